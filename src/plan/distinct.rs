//! Reads lists without duplicates: tags, platforms.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::Hash;

use super::node::{Entry, Node, Origin};
use super::reader::{Read, Reader};

/// An element of a list.
pub(super) trait Item {
    /// The place of the element in the plan.
    fn origin(&self) -> &Origin;
}

impl Item for Node {
    fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl Item for Entry {
    fn origin(&self) -> &Origin {
        &self.key.origin
    }
}

/// Reads all `items` into pairs of a key and a value, and refuses a duplicate key. An error in one item does not keep
/// the others from being read.
pub(super) fn distinct<I: Item, K: Clone + Eq + Hash + Display, V>(
    reader: &mut Reader<'_>,
    items: &[I],
    read: impl Fn(&mut Reader<'_>, &I) -> Read<(K, V)>,
) -> Read<Vec<(K, V)>> {
    let (mut all, mut seen) = (Ok(Vec::with_capacity(items.len().min(64))), HashSet::new());
    for item in items {
        reader.go_on()?;
        let one = read(reader, item).and_then(|(key, value)| {
            if seen.insert(key.clone()) {
                return Ok((key, value));
            }
            Err(reader.problem(item.origin(), format!("`{key}` appears twice"), None))
        });
        match (one, &mut all) {
            (Ok(one), Ok(all)) => all.push(one),
            (Err(told), _) => all = Err(told),
            (Ok(_), Err(_)) => {}
        }
    }
    all
}
