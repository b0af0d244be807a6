//! Reads `contexts`: the named contexts of a Dockerfile.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::oci::{Reference, RegistryHost, Selector};

use super::distinct::distinct;
use super::names::ImageName;
use super::node::{Entry, Node, Origin, Value};
use super::paths;
use super::reader::{Late, Read, Reader};
use super::remote::{RemoteContext, RemoteContextError};
use super::spec::NamedContext;

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

/// The contexts of a job.
#[derive(Default)]
pub(super) struct ReadContexts {
    pub(super) contexts: BTreeMap<ContextName, NamedContext>,
    /// The contexts that are images of the plan, each with its place.
    pub(super) bases: Vec<(ImageName, Origin)>,
}

/// Reads `contexts`. Directories are relative to the directory of the plan.
pub(super) fn read(
    reader: &mut Reader<'_>,
    node: Option<&Node>,
    late: Late<'_>,
    directory: &Path,
) -> Read<ReadContexts> {
    let Some(node) = node else { return Ok(ReadContexts::default()) };
    // `forms` turned valid lists into maps. A list that is left is not valid.
    if matches!(node.value, Value::List(_) | Value::Flag(_)) {
        let hint = "write each item as NAME=WHERE, and each name once".to_owned();
        return Err(reader.problem(
            &node.origin,
            "`contexts` must be a list of different NAME=WHERE strings",
            Some(hint),
        ));
    }
    let entries = reader.any_map(node, "`contexts`")?;
    let read = |reader: &mut Reader<'_>, entry: &Entry| {
        let text = &*entry.key.name;
        let name = text.parse::<ContextName>().map_err(|error| {
            let message = format!("`{}` is not the name of a context: {error}", text.escape_debug());
            reader.problem(&entry.key.origin, message, None)
        });
        let context = context(reader, &entry.value, text, late, directory);
        Ok((name?, (context?, entry.value.origin.clone())))
    };
    let mut all = ReadContexts::default();
    for (name, (context, origin)) in distinct(reader, &entries, read)? {
        if let NamedContext::Image(image) = &context {
            all.bases.push((image.clone(), origin));
        }
        all.contexts.insert(name, context);
    }
    Ok(all)
}

fn context(reader: &mut Reader<'_>, node: &Node, name: &str, late: Late<'_>, directory: &Path) -> Read<NamedContext> {
    let text = reader.text(node, &format!("the context `{}`", name.escape_debug()), late)?;
    let mut refuse = |message: String, hint: &str| Err(reader.problem(&node.origin, message, Some(hint.to_owned())));
    let (scheme, rest) = text.split_once(':').unwrap_or_default();
    match scheme {
        "image" => rest
            .parse()
            .map(NamedContext::Image)
            .or_else(|error| refuse(format!("`{rest}` is not the name of an image of the plan: {error}"), FORMS)),
        "docker-image" => rest
            .trim_start_matches('/')
            .parse()
            .map(NamedContext::Reference)
            .or_else(|error| refuse(format!("the reference in `{text}` is not valid: {error}"), FORMS)),
        "target" => refuse(
            format!("`{text}` names a target of bake, and a plan has images instead"),
            &format!(
                "write \
            image:{rest}"
            ),
        ),
        "oci-layout" => refuse("an OCI layout as a context is not yet supported".to_owned(), FORMS),
        _ if text.is_empty() => refuse(format!("the context `{name}` is empty"), FORMS),
        _ => remote(reader, node, &format!("the context `{name}`"), &text).map(|remote| {
            remote.map_or_else(|| NamedContext::Directory(paths::join(directory, &text)), NamedContext::Remote)
        }),
    }
}

/// A context that the engine fetches itself. `None`: `text` is a directory.
pub(super) fn remote(reader: &mut Reader<'_>, node: &Node, subject: &str, text: &str) -> Read<Option<RemoteContext>> {
    RemoteContext::parse(text).map_err(|error| {
        let origin = match error {
            // A line of the plan in the message would show the credential.
            RemoteContextError::Credential => reader.unseen(&node.origin),
            _ => node.origin.clone(),
        };
        reader.problem(&origin, format!("{subject}: {error}"), Some(error.hint().to_owned()))
    })
}

/// The hint with the forms of a context.
const FORMS: &str = "name image:NAME of this plan, docker-image://HOST/REPOSITORY@sha256:…, a directory, or the \
    URL of a git repository or of an archive";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_names_are_images_in_their_shortest_form() {
        for (written, name) in [
            ("base", "base"),
            ("base:latest", "base"),
            ("docker.io/library/alpine:3", "alpine:3"),
            ("index.docker.io/acme/app", "acme/app"),
            ("ghcr.io/acme/app:latest", "ghcr.io/acme/app"),
            ("localhost:5000/app", "localhost:5000/app"),
        ] {
            assert_eq!(written.parse::<ContextName>().unwrap().as_str(), name, "{written}");
        }
        for bad in ["", "Base", "a b", "-a", "a:", "a=b", "base@sha256:00", "ä"] {
            assert_eq!(bad.parse::<ContextName>(), Err(ContextNameError), "{bad:?}");
        }
    }
}
