//! The instructions of a Dockerfile, for checks before the build (`BuildKit`, `frontend/dockerfile/parser`). This
//! parser also reads the lines of a here-document as instructions.

/// An instruction with its lines joined.
#[derive(Debug)]
pub(in crate::context) struct Instruction {
    /// The first line, counted from 1.
    pub(in crate::context) line: usize,
    /// The last line.
    pub(in crate::context) last_line: usize,
    /// The offset of the first line, in bytes.
    pub(in crate::context) offset: usize,
    pub(in crate::context) text: String,
}

impl Instruction {
    /// The first word, in upper case.
    pub(in crate::context) fn keyword(&self) -> String {
        self.text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase()
    }

    /// The flags that follow the keyword, without their dashes.
    pub(in crate::context) fn flags(&self) -> impl Iterator<Item = &str> {
        self.text.split_whitespace().skip(1).map_while(|word| word.strip_prefix("--"))
    }

    /// The words behind the flags.
    pub(in crate::context) fn words(&self) -> impl Iterator<Item = &str> {
        self.text.split_whitespace().skip(1).skip_while(|word| word.starts_with("--"))
    }
}

/// The first and the last line of the instruction that BuildKit calls `step`, as in `[build 2/5] RUN make`. `None`: no
/// instruction has exactly these words, or several have them. BuildKit prints some steps in another form.
#[must_use]
pub fn lines_of_step(dockerfile: &[u8], step: &str) -> Option<(usize, usize)> {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let named = words(step.split_once(']')?.1);
    let all = instructions(dockerfile);
    // BuildKit names most instructions without quotes, as a shell would read them.
    let is_it = |text: &str| words(text) == named || words(&text.replace(['"', '\''], "")) == named;
    let mut found = all.iter().filter(|instruction| is_it(&instruction.text));
    let first = found.next().filter(|_| !named.is_empty())?;
    found.next().is_none().then_some((first.line, first.last_line))
}

/// The lines of the first `COPY` or `ADD` of a file whose name has control characters. Only the list form can contain
/// such a name.
#[must_use]
pub fn lines_of_control_characters(dockerfile: &[u8]) -> Option<(usize, usize)> {
    let copies_such = |instruction: &&Instruction| {
        let list =
            instruction.text.find('[').and_then(|at| serde_json::from_str::<Vec<String>>(&instruction.text[at..]).ok());
        let copied = list.iter().flat_map(|names| names.split_last().map(|(_, copied)| copied).unwrap_or_default());
        matches!(instruction.keyword().as_str(), "COPY" | "ADD")
            && copied.into_iter().any(|name| name.contains(char::is_control))
    };
    let all = instructions(dockerfile);
    all.iter().find(copies_such).map(|found| (found.line, found.last_line))
}

/// Reads the instructions. A text that is not valid gives some result, and `BuildKit` reports the error.
pub(in crate::context) fn instructions(dockerfile: &[u8]) -> Vec<Instruction> {
    let mut all: Vec<Instruction> = Vec::new();
    let mut escape = '\\';
    let (mut directives, mut goes_on) = (true, false);
    let mut offset = 0;
    for (nth, bytes) in dockerfile.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let begins = offset;
        offset += bytes.len();
        let lossy = String::from_utf8_lossy(bytes);
        let line = lossy.trim_start_matches('\u{feff}').trim();
        let comment = line.strip_prefix('#');
        directives = directives && comment.and_then(|comment| directive(comment, &mut escape)).is_some();
        // Comments and empty lines are also ignored inside an instruction.
        if line.is_empty() || comment.is_some() {
            continue;
        }
        if !goes_on {
            all.push(Instruction { line: nth + 1, last_line: nth + 1, offset: begins, text: String::new() });
        }
        let continued = line.strip_suffix(escape);
        goes_on = continued.is_some();
        if let Some(last) = all.last_mut() {
            last.text.push_str(continued.unwrap_or(line));
            last.last_line = nth + 1;
        }
    }
    all
}

/// A parser directive: a comment `name=value` before everything else.
fn directive(comment: &str, escape: &mut char) -> Option<()> {
    let (name, value) = comment.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    if name.eq_ignore_ascii_case("escape") {
        *escape = value.chars().next()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_step_is_located_if_one_instruction_matches() {
        let file = b"FROM a AS build\nRUN make \\\n    && make install\nRUN twice\nRUN twice\nCOPY --from=x /a /b\nCOPY [\"a b\", \"/c\"]\nCOPY \"q\" /\n";
        for (step, lines) in [
            ("[build 2/5] RUN make     && make install", Some((2, 3))),
            ("[5/5] COPY --from=x /a /b", Some((6, 6))),
            ("[7/8] COPY [a b, /c]", Some((7, 7))),
            ("[8/8] COPY q /", Some((8, 8))),
            ("[3/5] RUN twice", None),
            ("[3/5] RUN other", None),
            ("[1/5] ", None),
            ("exporting to image", None),
        ] {
            assert_eq!(lines_of_step(file, step), lines, "{step}");
        }
    }

    #[test]
    fn copy_of_a_name_with_control_characters_is_located() {
        for (text, lines) in [
            (r#"COPY ["a\nb", "/"]"#, Some((2, 2))),
            ("copy --chmod=755 [\"x\", \\\n  \"a\\tb\", \"/\"]", Some((2, 3))),
            (r#"ADD ["\u0001", "/"]"#, Some((2, 2))),
            (r#"COPY ["a", "/b\n"]"#, None),
            (r#"RUN ["a\nb", "/"]"#, None),
            (r"COPY a\nb /", None),
            (r#"COPY ["a\nb""#, None),
        ] {
            assert_eq!(lines_of_control_characters(format!("FROM a\n{text}\n").as_bytes()), lines, "{text}");
        }
    }

    fn read(text: &str) -> Vec<(usize, String)> {
        instructions(text.as_bytes()).into_iter().map(|found| (found.line, found.text)).collect()
    }

    #[test]
    fn escape_character_continues_a_line() {
        let text = "\u{feff}# syntax=x\n\nFROM a\nRUN one \\\n # comment\n\n  two \\ \n three\n#last\nCOPY a\\b c:\\";
        let expected = [(3, "FROM a"), (4, "RUN one two three"), (10, "COPY a\\b c:")];
        assert_eq!(read(text), expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn escape_directive_counts_only_before_everything_else() {
        for (text, count) in [
            ("# syntax=docker/dockerfile:1\n# escape=`\nRUN a`\nb\nRUN c:\\\nRUN d", 3),
            ("#Escape = `\nRUN a `\nb", 1),
            ("# a comment\n# escape=`\nRUN a\\\nb", 1),
            ("FROM a\n# escape=`\nRUN a\\\nb", 2),
        ] {
            assert_eq!(read(text).len(), count, "{text}");
        }
    }

    #[test]
    fn instruction_has_a_keyword_flags_and_words() {
        let found = instructions(b"from --platform=linux/amd64 \\\n  golang AS build");
        assert_eq!((found[0].keyword().as_str(), found[0].offset), ("FROM", 0));
        assert_eq!(found[0].flags().collect::<Vec<_>>(), ["platform=linux/amd64"]);
        assert_eq!(found[0].words().collect::<Vec<_>>(), ["golang", "AS", "build"]);
    }
}
