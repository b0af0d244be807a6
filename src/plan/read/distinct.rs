//! Reads lists without duplicates: tags, platforms.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;

use super::node::{Entry, Node, Origin, Value};
use super::reader::{Read, Reader};

/// An element of a list.
pub(in crate::plan) trait Item {
    /// The place of the element in the plan.
    fn origin(&self) -> &Origin;
    /// The element in the user's spelling.
    fn spelling(&self) -> &str;
}

impl Item for Node {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn spelling(&self) -> &str {
        if let Value::Text(text) | Value::Flag(text) = &self.value { text } else { "" }
    }
}

impl Item for Entry {
    fn origin(&self) -> &Origin {
        &self.key.origin
    }

    fn spelling(&self) -> &str {
        &self.key.name
    }
}

/// Reads all `items` into pairs of a key and a value, and refuses a duplicate key. An error in one item does not keep
/// the others from being read.
pub(in crate::plan) fn distinct<I: Item, K: Clone + Eq + Hash + Display, V>(
    reader: &mut Reader<'_>,
    items: &[I],
    read: impl Fn(&mut Reader<'_>, &I) -> Read<(K, V)>,
) -> Read<Vec<(K, V)>> {
    let (mut all, mut seen) = (Ok(Vec::with_capacity(items.len().min(64))), HashMap::new());
    for item in items {
        reader.go_on()?;
        let one = read(reader, item).and_then(|(key, value)| {
            let Some(first) = seen.insert(key.clone(), item.spelling()) else { return Ok((key, value)) };
            let name = key.to_string();
            let other = [item.spelling(), first].into_iter().find(|spelling| is_other_name(spelling, &name));
            let because = other.map(|other| format!(", because `{other}` is `{name}`")).unwrap_or_default();
            Err(reader.problem(item.origin(), format!("`{name}` appears twice{because}"), None))
        });
        match (one, &mut all) {
            (Ok(one), Ok(all)) => all.push(one),
            (Err(told), _) => all = Err(told),
            (Ok(_), Err(_)) => {}
        }
    }
    all
}

/// Whether `spelling` is another name of the element `name`. A pair such as `ID=SOCKET` is more than a name.
fn is_other_name(spelling: &str, name: &str) -> bool {
    !spelling.is_empty() && !spelling.contains('=') && spelling != name
}
