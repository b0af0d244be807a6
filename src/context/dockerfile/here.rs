//! Here-documents in a Dockerfile. BuildKit does not read their lines as instructions (`frontend/dockerfile/parser`,
//! `heredoc`).

use super::instructions::Instruction;

/// Removes the instructions that were read from the lines of here-documents. `None`: the end of a here-document is not
/// certain.
pub(super) fn without_here_documents(dockerfile: &[u8], all: Vec<Instruction>) -> Option<Vec<Instruction>> {
    let mut kept = Vec::new();
    let mut open: Vec<Ending> = Vec::new();
    for instruction in all {
        if open.is_empty() {
            open = endings(&instruction);
            kept.push(instruction);
        } else if open[0].is(raw_line(dockerfile, &instruction)) {
            open.remove(0);
        }
    }
    open.is_empty().then_some(kept)
}

/// The line that ends a here-document.
struct Ending {
    name: String,
    /// Whether tabs before the line are ignored: `<<-`.
    tabs: bool,
}

impl Ending {
    fn is(&self, line: &[u8]) -> bool {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let tabs = if self.tabs { line.iter().take_while(|byte| **byte == b'\t').count() } else { 0 };
        &line[tabs..] == self.name.as_bytes()
    }
}

/// The here-documents that begin at an instruction, in their order.
fn endings(instruction: &Instruction) -> Vec<Ending> {
    if !matches!(instruction.keyword().as_str(), "RUN" | "COPY" | "ADD") {
        return Vec::new();
    }
    instruction.text.split_whitespace().skip(1).filter_map(ending).collect()
}

/// `<<NAME`, `<<-NAME`, `3<<"NAME"`.
fn ending(word: &str) -> Option<Ending> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (tabs, name) = rest.strip_prefix('-').map_or((false, rest), |name| (true, name));
    let name = name.trim_matches(['"', '\'']);
    (!name.is_empty() && !name.contains('<')).then(|| Ending { name: name.to_owned(), tabs })
}

fn raw_line<'a>(dockerfile: &'a [u8], instruction: &Instruction) -> &'a [u8] {
    let line = dockerfile.get(instruction.offset..).unwrap_or_default();
    line.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::instructions::instructions;
    use super::*;

    fn read(text: &str) -> Option<Vec<String>> {
        let kept = without_here_documents(text.as_bytes(), instructions(text.as_bytes()))?;
        Some(kept.into_iter().map(|instruction| instruction.text).collect())
    }

    #[test]
    fn lines_of_a_here_document_are_not_instructions() {
        for (text, kept) in [
            ("FROM a\nRUN <<EOF\nFROM b\nEOF\nRUN c", &["FROM a", "RUN <<EOF", "RUN c"][..]),
            (
                "FROM a\nCOPY <<-\"X\" <<'Y' /\nFROM b\n\tX\nFROM c\nY\nFROM d",
                &["FROM a", "COPY <<-\"X\" <<'Y' /", "FROM d"],
            ),
            ("FROM a\nRUN 3<<E cat\n E\nFROM b\nE\r\nFROM d", &["FROM a", "RUN 3<<E cat", "FROM d"]),
            ("FROM a\nRUN cat <<<EOF\nFROM b", &["FROM a", "RUN cat <<<EOF", "FROM b"]),
            ("FROM a\nENV X=<<EOF\nFROM b", &["FROM a", "ENV X=<<EOF", "FROM b"]),
        ] {
            assert_eq!(
                read(text).as_deref(),
                Some(&kept.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
        assert_eq!(read("FROM a\nRUN <<EOF\nFROM b"), None, "it does not end");
        assert_eq!(read("FROM a\nRUN <<EOF\nx \\\nEOF\nFROM b"), None, "its end is not read");
    }
}
