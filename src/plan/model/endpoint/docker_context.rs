//! The name of a docker context (docker/cli, `cli/context/store`, `restrictedNamePattern`).

use std::fmt;
use std::str::FromStr;

/// The name of a docker context: two or more letters, digits, `_`, `.`, `+` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DockerContext(String);

/// Why a string is not the name of a docker context.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a docker context has two or more letters, digits, `_`, `.`, `+` and `-`, and begins with a letter or a digit"
)]
pub struct DockerContextNameError;

impl DockerContext {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DockerContext {
    type Err = DockerContextNameError;

    fn from_str(text: &str) -> Result<Self, DockerContextNameError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte);
        let begins_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let valid = begins_well && text.len() > 1 && text.bytes().all(allowed);
        if valid { Ok(Self(text.to_owned())) } else { Err(DockerContextNameError) }
    }
}

impl fmt::Display for DockerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_context_names_are_those_of_the_docker_cli() {
        for good in ["graviton", "desktop-linux", "a1", "0.x+y_z"] {
            assert_eq!(good.parse::<DockerContext>().unwrap().as_str(), good);
        }
        for bad in ["", "a", "-a", "_ab", "../x", "a b", "a/b", "ö1"] {
            assert_eq!(bad.parse::<DockerContext>(), Err(DockerContextNameError), "{bad}");
        }
    }
}
