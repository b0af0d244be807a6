//! Reads `ssh`: the ssh agents that a build may use, in the form of `docker build --ssh`.

use std::path::Path;

use crate::plan::model::spec::{AgentSource, SshSpec};
use crate::plan::read::distinct::distinct;
use crate::plan::read::node::Node;
use crate::plan::read::paths;
use crate::plan::read::reader::{Late, Read, Reader};

/// The longest id, in bytes.
const MAX_ID: usize = 256;

/// Reads `ssh`. Each id may appear once.
pub(in crate::plan) fn read(
    reader: &mut Reader<'_>,
    node: Option<&Node>,
    late: Late<'_>,
    directory: &Path,
) -> Read<Vec<SshSpec>> {
    let Some(node) = node else { return Ok(Vec::new()) };
    let items = reader.list(node, "`ssh`")?;
    let agents = distinct(reader, &items, |reader, item| agent(reader, item, late, directory))?;
    Ok(agents.into_iter().map(|(id, agent)| SshSpec { id, agent }).collect())
}

/// `default`, `ID` or `ID=SOCKET`.
fn agent(reader: &mut Reader<'_>, item: &Node, late: Late<'_>, directory: &Path) -> Read<(String, AgentSource)> {
    let text = reader.text(item, "an agent", late)?;
    let (id, socket) = text.split_once('=').map_or((&*text, None), |(id, socket)| (id, Some(socket)));
    // The Dockerfile writes the id among options that are separated by commas.
    if id.is_empty() || id.len() > MAX_ID || id.contains(|c: char| c.is_control() || c.is_whitespace() || c == ',') {
        let hint = "write `default` or `ID=SOCKET`".to_owned();
        let message = format!("the id of an agent must be 1 to {MAX_ID} bytes without spaces and commas");
        return Err(reader.problem(&item.origin, message, Some(hint)));
    }
    match socket {
        None => Ok((id.to_owned(), AgentSource::Environment)),
        Some("") => {
            let hint = format!("write `{id}` alone for the agent of SSH_AUTH_SOCK");
            Err(reader.problem(&item.origin, format!("the agent `{id}` has no socket"), Some(hint)))
        }
        Some(socket) => Ok((id.to_owned(), AgentSource::Socket(paths::join(directory, socket)))),
    }
}
