//! Reads `silence`: the warnings that polyarch does not print.

use std::collections::BTreeSet;

use super::node::{Node, Value};
use super::reader::{Late, Read, Reader};
use super::suggest::suggest;

/// A possible danger that does not stop a run. A run prints each warning once, unless the plan silences it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caution {
    /// A build can escape from this version of the engine.
    VulnerableEngine,
    /// A Dockerfile names a frontend that is not Docker's own.
    ForeignFrontend,
    /// A build argument or a label has the name of a secret.
    SecretNames,
    /// The index under a final tag has annotations that the new one lacks.
    LostAnnotations,
}

impl Caution {
    /// All warnings.
    pub const ALL: [Self; 4] =
        [Self::VulnerableEngine, Self::ForeignFrontend, Self::SecretNames, Self::LostAnnotations];

    /// The name in the plan.
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

/// Reads the list, if it exists.
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
        let hint = suggest(&text, names).unwrap_or_else(|| format!("use one of: {}", names.join(", ")));
        reader.problem(&node.origin, format!("`{text}` is not a warning that you can silence"), Some(hint))
    })
}
