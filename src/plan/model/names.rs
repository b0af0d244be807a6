//! Names of images and engines in a plan.

use std::fmt;
use std::str::FromStr;

use crate::oci::{Reference, RegistryHost, Selector};

/// The longest name of an image or an engine, in bytes.
const MAX_NAME: usize = 128;

/// Why a string is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has at most {MAX_NAME} letters, digits, `_` and `-`, and begins with a letter or a digit")]
pub struct NameError;

/// The grammar is that of targets in bake: no `.`, `/`, `:` or `@`. So a bare word on the command line is an image and
/// never a reference, and `IMAGE.KEY` has one reading.
fn check(text: &str) -> Result<Box<str>, NameError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if text.len() > MAX_NAME || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.bytes().all(allowed) {
        return Err(NameError);
    }
    Ok(text.into())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

impl EngineName {
    /// The name of one of the programs that share this engine's entry in the plan: `ci/buildkitd-0`.
    #[must_use]
    pub fn part(&self, part: &str) -> Self {
        Self(format!("{self}/{part}").into())
    }
}

name! {
    /// The name of an image in the plan: its key under `images`.
    ImageName
}
name! {
    /// The name of an engine in the plan: its key under `engines`.
    EngineName
}

/// The name of a context, as it stands after `FROM` and `--from=`. The name has the form of an image name. `alpine`,
/// `alpine:latest` and `docker.io/library/alpine` are the same name (buildx, `parseContextNames`; `BuildKit`,
/// `frontend/dockerui`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextName(Box<str>);

impl ContextName {
    /// The name in its shortest form. The frontend looks it up in this form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a string is not the name of a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name must look like the name of an image, in lower case and without a digest")]
pub struct ContextNameError;

impl FromStr for ContextName {
    type Err = ContextNameError;

    fn from_str(text: &str) -> Result<Self, ContextNameError> {
        let Reference { repository, selector } = text.parse().map_err(|_| ContextNameError)?;
        let Selector::Tag(tag) = selector else { return Err(ContextNameError) };
        let hub = repository.host().as_str() == RegistryHost::DOCKER_HUB;
        let path = repository.path().as_str();
        let name = if hub { path.strip_prefix("library/").unwrap_or(path).to_owned() } else { repository.to_string() };
        Ok(Self(if tag.as_str() == "latest" { name.into() } else { format!("{name}:{tag}").into() }))
    }
}

impl fmt::Display for ContextName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_and_engine_names_are_bare_words() {
        for good in ["hello", "a", "x86", "my-app_2", "3proxy", &"n".repeat(128)] {
            assert_eq!(good.parse::<ImageName>().unwrap().to_string(), good);
        }
        for bad in ["", "-x", "_x", "a.b", "a/b", "a:b", "a@b", "a b", "ä", "a\n", "*", &"n".repeat(129)] {
            assert_eq!(bad.parse::<EngineName>(), Err(NameError), "{bad:?}");
        }
    }
}
