//! Finds the instruction whose source is a misspelled stage. The engine then looks for an image of that name, and its
//! error is about a registry (docker/cli#2496, moby/buildkit#7091).

use crate::context::{NamedSource, named_sources, stages_of};
use crate::plan::did_you_mean;

/// How BuildKit refuses a source whose name has a variable: today's spelling, and the spelling of BuildKit 0.8.
const VARIABLE: [&str; 2] = ["variable expansion is not supported for --from", "failed to parse stage name"];

/// An instruction whose source has a wrong name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misnamed {
    pub(in crate::run) hint: String,
    /// The first and the last line of the instruction, counted from 1.
    pub(in crate::run) lines: (usize, usize),
}

impl Misnamed {
    /// Finds the instruction of `dockerfile` that made a build fail with `message`.
    pub(in crate::run) fn of(message: &str, dockerfile: &[u8]) -> Option<Self> {
        let stages = stages_of(dockerfile);
        let stages: Vec<&str> = stages.iter().flatten().map(String::as_str).collect();
        let hides = VARIABLE.iter().any(|words| message.contains(words));
        named_sources(dockerfile).into_iter().find_map(|NamedSource { name, lines }| {
            if hides && name.contains('$') {
                let hint = format!("add a stage for this source: `FROM {name} AS files`, then `COPY --from=files`");
                return Some(Self { hint, lines });
            }
            if !is_asked_for(&name, message) || stages.iter().any(|stage| stage.eq_ignore_ascii_case(&name)) {
                return None;
            }
            let meant = did_you_mean(&name, stages.iter().copied())?;
            let hint = format!("{meant} No stage is called `{name}`, so the engine looks for an image of that name");
            Some(Self { hint, lines })
        })
    }
}

/// Whether the engine asked Docker Hub for an image with exactly this name.
fn is_asked_for(name: &str, message: &str) -> bool {
    let is_word = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let asked = [format!("library/{name}:"), format!("library/{name}/")];
    is_word && asked.iter().any(|asked| message.contains(&asked.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"FROM golang AS builder\nRUN make\n\nFROM scratch\nCOPY --from=bulder /f \\\n  /g\n";

    #[test]
    fn misspelled_stage_gets_a_suggestion() {
        let new = "bulder: failed to resolve source metadata for docker.io/library/bulder:latest: not found";
        let old = r#"failed to do request: Head "https://registry.example/v2/library/bulder/manifests/latest": EOF"#;
        for message in [new, old] {
            let misnamed = Misnamed::of(message, FILE).unwrap();
            assert_eq!(misnamed.lines, (5, 6));
            assert!(misnamed.hint.starts_with("did you mean `builder`?"), "{}", misnamed.hint);
        }
        for other in ["golang: docker.io/library/golang:latest: not found", "docker.io/library/bulder2:latest", ""] {
            assert_eq!(Misnamed::of(other, FILE), None, "{other}");
        }
        // No stage has a name near to this one.
        let file = b"FROM golang AS builder\nFROM scratch\nCOPY --from=busybox /f /g\n";
        assert_eq!(Misnamed::of("docker.io/library/busybox:latest: not found", file), None);
        // The first source is a base, the second is a mount.
        let file = b"FROM golang AS builder\nFROM bilder\nRUN --mount=from=bulder,target=/x true\n";
        assert_eq!(Misnamed::of("docker.io/library/bilder:latest: 401", file).unwrap().lines, (2, 2));
        assert_eq!(Misnamed::of("docker.io/library/bulder:latest: 401", file).unwrap().lines, (3, 3));
    }

    #[test]
    fn variable_in_copy_from_gets_a_hint_for_a_stage() {
        let file = b"ARG V=1\nFROM scratch\nCOPY --from=img:$V /f /g\n";
        for message in [r#"failed to parse stage name "img:$V": invalid reference format"#, VARIABLE[0]] {
            let misnamed = Misnamed::of(message, file).unwrap();
            assert_eq!(misnamed.lines, (3, 3));
            assert!(misnamed.hint.contains("`FROM img:$V AS files`"), "{}", misnamed.hint);
        }
        assert_eq!(Misnamed::of("something else", file), None);
    }
}
