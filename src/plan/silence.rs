//! Reads `silence`: the cautions that are not wanted.

use std::collections::BTreeSet;

use super::node::{Node, Value};
use super::reader::{Late, Read, Reader};
use super::suggest::suggest;

/// Something that works and may be a danger. A run warns of each once, unless the plan silences it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caution {
    /// An engine has a version with known ways out of a build.
    VulnerableEngine,
    /// A Dockerfile is built by a frontend that is not Docker's own.
    ForeignFrontend,
    /// A build argument or a label has the name of a secret.
    SecretNames,
    /// The index under a final tag has annotations that the new one lacks.
    LostAnnotations,
}

impl Caution {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::VulnerableEngine, Self::ForeignFrontend, Self::SecretNames, Self::LostAnnotations];

    /// Its name in the plan.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VulnerableEngine => "vulnerable_engine",
            Self::ForeignFrontend => "foreign_frontend",
            Self::SecretNames => "secret_names",
            Self::LostAnnotations => "lost_annotations",
        }
    }
}

/// Reads the list, if there is one.
pub(super) fn read(reader: &mut Reader<'_>, node: Option<&Node>) -> Read<BTreeSet<Caution>> {
    let Some(node) = node.filter(|node| !matches!(node.value, Value::Null)) else { return Ok(BTreeSet::new()) };
    let items = reader.list(node, "`silence`")?;
    let read: Vec<_> = items.iter().map(|item| caution(reader, item)).collect();
    read.into_iter().collect()
}

fn caution(reader: &mut Reader<'_>, node: &Node) -> Read<Caution> {
    let text = reader.text(node, "an item of `silence`", Late::default())?;
    let names = Caution::ALL.map(Caution::as_str);
    Caution::ALL.into_iter().find(|caution| caution.as_str() == text).ok_or_else(|| {
        let hint = suggest(&text, names).unwrap_or_else(|| format!("known are {}", names.join(", ")));
        reader.problem(&node.origin, format!("`{text}` is no warning that can be silenced"), Some(hint))
    })
}
