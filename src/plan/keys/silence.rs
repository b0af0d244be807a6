//! Reads `silence`: the warnings that polyarch does not print.

use std::collections::BTreeSet;

use crate::plan::model::caution::Caution;
use crate::plan::read::node::{Node, Value};
use crate::plan::read::reader::{Late, Read, Reader};
use crate::plan::read::suggest::suggest;

/// Reads the list, if it exists.
pub(in crate::plan) fn read(reader: &mut Reader<'_>, node: Option<&Node>) -> Read<BTreeSet<Caution>> {
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
