//! The frontend that a Dockerfile names in `# syntax=` (BuildKit, `frontend/dockerfile/parser`, `DetectSyntax`).

use super::{ContextError, GivenDockerfile};

/// The repositories of Docker's own frontends.
const OWN: [&str; 2] = ["docker/dockerfile", "docker/dockerfile-upstream"];

impl GivenDockerfile {
    /// The image of the frontend, as the Dockerfile writes it.
    ///
    /// # Errors
    /// The errors of [`GivenDockerfile::read`].
    pub fn frontend(&self) -> Result<Option<String>, ContextError> {
        Ok(syntax(&self.read()?))
    }
}

/// Whether an image is one of Docker's own frontends, in any version. A copy in another repository does not count.
pub fn is_dockers_frontend(image: &str) -> bool {
    let path = ["docker.io/", "index.docker.io/"].iter().find_map(|host| image.strip_prefix(host)).unwrap_or(image);
    let name = path.split(['@', ':']).next().unwrap_or_default();
    OWN.contains(&name)
}

/// The directive `syntax`, in a comment of either kind. Only other directives may precede this comment. In a build
/// file that is a JSON object, `syntax` is a field.
fn syntax(dockerfile: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(dockerfile);
    let text = text.trim_start_matches('\u{feff}');
    let text = if text.starts_with("#!") { text.split_once('\n')?.1 } else { text };
    let comment = ["#", "//"].iter().find_map(|mark| {
        let mut directives = text.lines().map_while(|line| directive(line, mark));
        let (_, value) = directives.find(|(name, _)| name.eq_ignore_ascii_case("syntax"))?;
        value.split_whitespace().next().map(str::to_owned)
    });
    let document = || serde_json::from_str::<serde_json::Value>(text).ok();
    comment.or_else(|| Some(document()?.get("syntax")?.as_str()?.to_owned()))
}

/// `name=value` of a comment.
fn directive<'a>(line: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let (name, value) = line.trim().strip_prefix(mark)?.split_once('=')?;
    let name = name.trim();
    let is_name =
        name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(|b| b.is_ascii_alphanumeric());
    is_name.then_some((name, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_directive_counts_only_before_everything_else() {
        for (text, expected) in [
            ("# syntax=docker/dockerfile:1\nFROM a", Some("docker/dockerfile:1")),
            ("#syntax = ghcr.io/x/y@sha256:00\nFROM a", Some("ghcr.io/x/y@sha256:00")),
            ("# escape=`\n# Syntax=x/y\nFROM a", Some("x/y")),
            ("\u{feff}#!/usr/bin/env frontend\n# syntax=x/y z\r\n", Some("x/y")),
            ("// syntax=x/y\n{}", Some("x/y")),
            ("#!/usr/bin/env frontend\n{\"syntax\": \"x/y\", \"n\": 1}", Some("x/y")),
            ("{\"syntax\": 1}", None),
            ("# A comment.\n# syntax=x/y\nFROM a", None),
            ("\n# syntax=x/y\nFROM a", None),
            ("FROM a\n# syntax=x/y", None),
            ("# syntax=\nFROM a", None),
            ("# check=skip=all\nFROM a", None),
            ("#!alone", None),
            ("", None),
        ] {
            assert_eq!(syntax(text.as_bytes()).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn docker_frontends_are_recognised_in_every_spelling() {
        for own in [
            "docker/dockerfile",
            "docker/dockerfile:1.7-labs",
            "docker.io/docker/dockerfile:1@sha256:00",
            "docker/dockerfile-upstream:master",
        ] {
            assert!(is_dockers_frontend(own), "{own}");
        }
        for foreign in [
            "ghcr.io/docker/dockerfile:1",
            "localhost:5000/docker/dockerfile:1",
            "docker/dockerfiles:1",
            "docker.io.example/docker/dockerfile",
            "r2d4/llb:latest",
            "",
        ] {
            assert!(!is_dockers_frontend(foreign), "{foreign}");
        }
    }
}
