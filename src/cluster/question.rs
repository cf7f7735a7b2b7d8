//! What nodes ask each other, as JSON: they are few, and a later release adds to them.

use serde::{Deserialize, Serialize};

use crate::{
    protocol::RawJson,
    topics::{
        MemberInfo,
        broadcast::{ChannelId, TransportId},
        position::Position,
    },
};

/// Bytes of socket ids in an answer at most. It has to fit into a message, with six bytes for each that JSON escapes.
const LISTED_BYTES_MAX: usize = 128 * 1024;

/// Joins in an answer at most.
const LISTED_MAX: usize = 4_096;

/// A question. A node that does not know it answers nothing.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    /// Do this with the sessions of a socket id; how many were there?
    Order {
        /// The socket id.
        id: String,
        /// `disconnect` or `kick`.
        order: String,
        /// What it needs.
        with: RawJson,
        /// How often it was passed on, by nodes from which sessions with this socket id have gone.
        #[serde(default, skip_serializing_if = "is_none")]
        passed: u8,
    },
    /// How many joins does a topic have?
    Members {
        /// The topic.
        topic: String,
    },
    /// A node is about to go, and its clients come back to others: is that known?
    Leaving {
        /// The number of its start.
        node: u64,
    },
    /// How far are these topics heard there?
    Heard {
        /// The topics.
        topics: Vec<String>,
    },
    /// A node has these sessions now: is that known?
    Heirs {
        /// The number of its start.
        heir: u64,
        /// The sessions, as their tokens name them.
        of: Vec<(u64, u64)>,
        /// How often each had moved when it came there. An earlier release says nothing of that.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        moves: Vec<usize>,
    },
    /// Which joins does a topic have?
    List {
        /// The topic.
        topic: String,
        /// How many of them are wanted at most.
        limit: usize,
    },
}

fn is_none(passed: &u8) -> bool {
    *passed == 0
}

/// An answer to any of them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) count: u64,
    /// What [`Question::List`] asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) members: Vec<Listed>,
    /// What [`Question::Heard`] asks for, of each topic.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) heard: Vec<HeardThere>,
}

/// How far a node has heard a topic.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HeardThere {
    /// Up to which number what is published on the topic's channel is settled, for each node; none where that is not known yet.
    pub(crate) settled: Vec<(u64, Option<u64>)>,
    /// The position, if it is kept.
    pub(crate) position: Option<Position>,
}

/// A join: its number, that of its session, and its socket id.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listed(u64, u64, Option<String>);

impl Answer {
    pub(crate) fn of(count: u64) -> Self {
        Self { count, members: Vec::new(), heard: Vec::new() }
    }

    /// The first of so many joins, as far as they fit into an answer.
    pub(crate) fn listing(members: impl Iterator<Item = MemberInfo>, limit: usize) -> Self {
        let mut answer = Self::of(0);
        let mut bytes = 0;
        for MemberInfo { channel_id, transport_id, socket_id } in members {
            answer.count += 1;
            bytes += socket_id.as_ref().map_or(0, String::len);
            if answer.members.len() < limit.min(LISTED_MAX) && bytes <= LISTED_BYTES_MAX {
                answer.members.push(Listed(channel_id.0, transport_id.0, socket_id));
            }
        }
        answer
    }
}

/// The joins of a topic on all nodes of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MembersEverywhere {
    /// Those that are listed, this node's first. There may be more.
    pub members: Vec<MemberOf>,
    /// Their number, on all nodes that answered together.
    pub count: u64,
    /// The names of the nodes that live and did not answer in time.
    pub missing: Vec<String>,
}

/// A join on one of the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberOf {
    /// The name of the node; empty on a server that is alone.
    pub node: String,
    /// The join. Its numbers are of its node: other nodes have the same for others.
    pub member: MemberInfo,
}

impl MembersEverywhere {
    /// Takes in what a node has answered.
    pub(crate) fn add(&mut self, node: &str, answer: Answer, limit: usize) {
        self.count = self.count.saturating_add(answer.count);
        let room = limit.saturating_sub(self.members.len());
        self.members.extend(answer.members.into_iter().take(room).map(
            |Listed(channel, transport, socket_id)| {
                let (channel_id, transport_id) = (ChannelId(channel), TransportId(transport));
                MemberOf { node: node.to_owned(), member: MemberInfo { channel_id, transport_id, socket_id } }
            },
        ));
    }
}

/// The answers of all nodes of a cluster, this one included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Everywhere {
    /// Their number, on all nodes that answered together.
    pub count: u64,
    /// The names of the nodes that live and did not answer in time. What was asked of them may have been done, or not.
    pub missing: Vec<String>,
}

impl Everywhere {
    pub(crate) fn here(count: u64) -> Self {
        Self { count, missing: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heirs_are_read_as_every_release_says_them() {
        for text in [
            r#"{"heirs":{"heir":1,"of":[[2,3],[4,5]]}}"#,
            r#"{"heirs":{"heir":1,"of":[[2,3],[4,5]],"moves":[1,2]}}"#,
        ] {
            let question: Question = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&question).unwrap(), text);
        }
    }
}
