//! Reads lists in which nothing may be there twice: tags, platforms.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::Hash;

use super::node::{Entry, Node, Origin};
use super::reader::{Read, Reader};

/// What lists are made of.
pub(super) trait Item {
    /// Where it is written.
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

/// Reads all of `items` into keys and what belongs to them, and refuses a key that is there twice. Every item is read,
/// whatever is wrong with another.
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
            Err(reader.problem(item.origin(), format!("`{key}` is there twice"), None))
        });
        match (one, &mut all) {
            (Ok(one), Ok(all)) => all.push(one),
            (Err(told), _) => all = Err(told),
            (Ok(_), Err(_)) => {}
        }
    }
    all
}
