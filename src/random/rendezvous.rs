//! Rendezvous hashing: gives each key the same node in every run, although nodes come and go.
//!
//! Each pair of key and node has a score, and the node with the highest score gets the key. A new node takes keys only
//! for itself, and a lost node gives only its own keys away.

use std::cmp::Reverse;

/// A node, and its share of the keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'a> {
    /// The name of the node. It decides the score, so it must be the same in every run.
    pub(crate) name: &'a str,
    /// The share of the node: a node of weight 4 gets twice as many keys as a node of weight 2.
    pub(crate) weight: u16,
}

/// The most tickets of a node. A higher weight counts as this one, because each ticket costs time.
const MOST_TICKETS: u16 = 256;

/// The numbers of `nodes`, from 0, in the order in which they should get `key`. Nodes with the same name keep their
/// order.
pub(crate) fn rendezvous(key: &str, nodes: &[Node<'_>]) -> Vec<usize> {
    let score =
        |node: &Node<'_>| (0..node.weight.clamp(1, MOST_TICKETS)).map(|ticket| hash(key, node.name, ticket)).max();
    let mut numbers: Vec<_> = (0..nodes.len()).collect();
    numbers.sort_by_cached_key(|number| Reverse(score(&nodes[*number])));
    numbers
}

/// A hash that is the same on every machine and in every version: FNV-1a, with the last step of `SplitMix64`. FNV alone
/// hardly changes its high bits for the last byte.
fn hash(key: &str, node: &str, ticket: u16) -> u64 {
    // No name contains a byte 0xff, so the parts cannot run into each other.
    let bytes = key.bytes().chain([0xff]).chain(node.bytes()).chain([0xff]).chain(ticket.to_le_bytes());
    let fnv =
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: usize = 3000;

    /// The first node of each key.
    fn firsts(nodes: &[Node<'_>]) -> Vec<String> {
        (0..KEYS).map(|key| nodes[rendezvous(&format!("image-{key}"), nodes)[0]].name.to_owned()).collect()
    }

    fn share(firsts: &[String], name: &str) -> usize {
        firsts.iter().filter(|first| *first == name).count()
    }

    fn nodes<const N: usize>(names: [&'static str; N]) -> [Node<'static>; N] {
        names.map(|name| Node { name, weight: 4 })
    }

    #[test]
    fn choice_of_a_node_is_the_same_in_every_version() {
        let order = |key| rendezvous(key, &nodes(["a", "b", "c"]));
        assert_eq!((order("web"), order("api"), order("db")), (vec![0, 2, 1], vec![0, 1, 2], vec![1, 2, 0]));
        assert_eq!(rendezvous("web", &[]), Vec::<usize>::new());
    }

    #[test]
    fn nodes_share_keys_by_their_weights() {
        let equal = firsts(&nodes(["a", "b", "c"]));
        for name in ["a", "b", "c"] {
            assert!((900..1100).contains(&share(&equal, name)), "{name}: {}", share(&equal, name));
        }
        let unequal = firsts(&[Node { name: "big", weight: 8 }, Node { name: "small", weight: 4 }]);
        assert!((1900..2100).contains(&share(&unequal, "big")), "{}", share(&unequal, "big"));
    }

    #[test]
    fn new_node_takes_keys_only_for_itself() {
        let (before, after) = (firsts(&nodes(["a", "b", "c"])), firsts(&nodes(["a", "b", "c", "d"])));
        let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
        assert!(moved.iter().all(|(_, after)| *after == "d"));
        assert!((650..850).contains(&moved.len()), "{}", moved.len());
    }
}
