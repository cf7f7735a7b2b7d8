//! Which broadcasts of which nodes the members of a topic have been given here: a member that goes on at another node has heard these, and no others.

use serde::{Deserialize, Serialize};

/// Nodes of which a topic remembers that, each start of one counting as one. Those that were heard longest ago are forgotten first: what they said
/// has arrived everywhere.
const NODES_MAX: usize = 64;

/// The place of a broadcast among all of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The number of the node's start.
    pub(crate) node: u64,
    pub(crate) number: u64,
}

/// The last number of each node, the one that was heard last at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Heard(Vec<(u64, u64)>);

impl Heard {
    /// A broadcast is given out. Of one node they come in order.
    pub(crate) fn note(&mut self, origin: Origin) {
        let Self(nodes) = self;
        match nodes.iter().rposition(|(node, _)| *node == origin.node) {
            Some(at) => {
                nodes[at].1 = nodes[at].1.max(origin.number);
                nodes[at..].rotate_left(1);
            }
            None => {
                if nodes.len() == NODES_MAX {
                    nodes.remove(0);
                }
                nodes.push((origin.node, origin.number));
            }
        }
    }

    /// What was given out elsewhere before, and here since.
    pub(crate) fn and(&mut self, here: &Self) {
        here.0.iter().for_each(|&(node, number)| self.note(Origin { node, number }));
    }

    /// Whether no more nodes are in it than a topic remembers.
    pub(crate) fn is_bounded(&self) -> bool {
        self.0.len() <= NODES_MAX
    }

    /// Whether a broadcast was given out, if its topic had members.
    pub(crate) fn has(&self, origin: Origin) -> bool {
        self.0.iter().any(|(node, number)| *node == origin.node && origin.number <= *number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(node: u64, number: u64) -> Origin {
        Origin { node, number }
    }

    #[test]
    fn what_was_given_out_is_heard_and_nothing_else_is() {
        let mut heard = Heard::default();
        assert!(!heard.has(origin(1, 1)));
        for (node, number) in [(1, 5), (2, 3), (1, 9), (2, 2)] {
            heard.note(origin(node, number));
        }
        for (node, number, is_heard) in
            [(1, 5, true), (1, 9, true), (1, 10, false), (2, 3, true), (2, 4, false), (3, 1, false)]
        {
            assert_eq!(heard.has(origin(node, number)), is_heard, "{node} {number}");
        }
        let text = serde_json::to_string(&heard).unwrap();
        assert_eq!(serde_json::from_str::<Heard>(&text).unwrap(), heard);
    }

    #[test]
    fn the_nodes_that_were_heard_longest_ago_are_forgotten() {
        let mut heard = Heard::default();
        for node in 0..NODES_MAX as u64 {
            heard.note(origin(node, 7));
        }
        heard.note(origin(0, 8));
        heard.note(origin(1_000, 1));
        assert_eq!(heard.0.len(), NODES_MAX);
        assert!(heard.has(origin(0, 8)) && heard.has(origin(2, 7)) && heard.has(origin(1_000, 1)));
        assert!(!heard.has(origin(1, 7)), "it was the one that was heard longest ago");
    }
}
