//! Reads `contexts`: the named contexts of a Dockerfile.

use std::collections::BTreeMap;
use std::path::Path;

use crate::plan::model::names::ContextName;
use crate::plan::model::names::ImageName;
use crate::plan::model::remote::{RemoteContext, RemoteContextError};
use crate::plan::model::spec::NamedContext;
use crate::plan::read::distinct::distinct;
use crate::plan::read::node::{Entry, Node, Origin, Value};
use crate::plan::read::paths;
use crate::plan::read::reader::{Late, Read, Reader};

/// The contexts of a job.
#[derive(Default)]
pub(in crate::plan) struct ReadContexts {
    pub(in crate::plan) contexts: BTreeMap<ContextName, NamedContext>,
    /// The contexts that are images of the plan, each with its place.
    pub(in crate::plan) bases: Vec<(ImageName, Origin)>,
}

/// Reads `contexts`. Directories are relative to the directory of the plan.
pub(in crate::plan) fn read(
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
pub(in crate::plan) fn remote(
    reader: &mut Reader<'_>,
    node: &Node,
    subject: &str,
    text: &str,
) -> Read<Option<RemoteContext>> {
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
    use crate::plan::ContextNameError;

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
