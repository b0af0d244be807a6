//! The Dockerfile that a session serves.

use crate::context::{AddedLines, AddedStages, ContextError, GivenDockerfile, Root, Staged, add_stages};

/// Opens the directory of `dockerfile`. If there are `stages`, the served file has them before its own stages.
///
/// # Errors
/// polyarch cannot read the Dockerfile, or cannot add the stages to it.
pub(super) fn open(dockerfile: &GivenDockerfile, stages: &AddedStages) -> Result<(Root, AddedLines), ContextError> {
    let root = dockerfile.open()?;
    if stages.is_empty() {
        return Ok((root, AddedLines::default()));
    }
    let Staged { text, added } = add_stages(&dockerfile.read()?, stages)?;
    Ok((root.with_file(dockerfile.name(), text), added))
}

/// BuildKit's message, with the line numbers of the file on the disk.
pub(super) fn in_lines_of_the_file(message: String, added: AddedLines) -> String {
    let Some(begins) = message.find(PARSE_ERROR) else { return message };
    let Some(line) = message[begins..].find("line ").map(|at| begins + at + "line ".len()) else { return message };
    let digits = message[line..].bytes().take_while(u8::is_ascii_digit).count();
    let (before, after) = (&message[..line], &message[line + digits..]);
    match message[line..line + digits].parse() {
        Ok(number) => format!("{before}{}{after}", added.original(number)),
        Err(_) => message,
    }
}

/// The beginning of every message that names a line (`BuildKit`, `frontend/dockerfile/parser`).
const PARSE_ERROR: &str = "dockerfile parse error";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_lines_are_those_of_the_dockerfile() {
        let stages = [("base".parse().unwrap(), "localhost:5000/base:1".parse().unwrap())].into();
        let added = add_stages(b"ARG A\nFROM base\nFRM x", &stages).unwrap().added;
        for (said, shown) in [
            (
                "dockerfile parse error line 4: unknown instruction: FRM",
                "dockerfile parse error line 3: unknown instruction: FRM",
            ),
            ("x: dockerfile parse error on line 1: y 4", "x: dockerfile parse error on line 1: y 4"),
            ("executor failed on line 4", "executor failed on line 4"),
            ("dockerfile parse error line x", "dockerfile parse error line x"),
        ] {
            assert_eq!(in_lines_of_the_file(said.into(), added), shown);
        }
        let said = "dockerfile parse error line 3: x";
        assert_eq!(in_lines_of_the_file(said.into(), AddedLines::default()), said);
    }
}
