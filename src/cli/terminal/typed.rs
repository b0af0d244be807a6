//! Spells polyarch's own commands as the user types them: `polyarch build`, or `docker polyarch build` in docker.

use std::borrow::Cow;
use std::sync::OnceLock;

/// The docker CLI started this process as its plugin. It is set once, before polyarch shows anything.
static BY_DOCKER: OnceLock<()> = OnceLock::new();

/// Says that the user typed `docker polyarch`.
pub(crate) fn by_docker() {
    // A second call would say the same.
    let _ = BY_DOCKER.set(());
}

/// `text` of polyarch with its commands as the user types them.
pub(crate) fn as_typed(text: &str) -> Cow<'_, str> {
    if BY_DOCKER.get().is_some() { in_docker(text).into() } else { text.into() }
}

/// `text` for docker. A command stands between backticks, or in an indented line behind its variables.
pub(crate) fn in_docker(text: &str) -> String {
    let line = |line: &str| {
        let line = line.replace("`polyarch ", "`docker polyarch ");
        let is_before =
            |before: &str| before.starts_with(' ') && before.split_whitespace().all(|word| word.contains('='));
        match line.split_once("polyarch ") {
            Some((before, after)) if is_before(before) => format!("{before}docker polyarch {after}"),
            _ => line,
        }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_text_get_the_word_docker() {
        for (text, wanted) in [
            ("polyarch stops: run `polyarch plan`", "polyarch stops: run `docker polyarch plan`"),
            ("  # polyarch builds\n  polyarch build\n", "  # polyarch builds\n  docker polyarch build\n"),
            ("  POLYARCH_HOME=/a polyarch serve", "  POLYARCH_HOME=/a docker polyarch serve"),
        ] {
            assert_eq!(in_docker(text), wanted);
        }
    }
}
