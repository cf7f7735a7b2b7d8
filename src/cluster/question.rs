//! What nodes ask each other, as JSON: they are few, and a later release adds to them.

use serde::{Deserialize, Serialize};

use crate::protocol::RawJson;

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
    },
    /// How many joins does a topic have?
    Members {
        /// The topic.
        topic: String,
    },
}

/// An answer to any of them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) count: u64,
}

/// What all nodes of a cluster answered, this one included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Everywhere {
    /// How many there were, on all nodes that answered together.
    pub count: u64,
    /// The names of the nodes that live and did not answer in time. What was asked of them may have been done, or not.
    pub missing: Vec<String>,
}

impl Everywhere {
    pub(crate) fn here(count: u64) -> Self {
        Self { count, missing: Vec::new() }
    }
}
