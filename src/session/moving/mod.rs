//! Sessions that go from one node of a cluster to another: what is known of a client and its joins where they are, and made of that where they go.
//!
//! ```text
//!   source                                                       target
//!   About: the request, the joins ──────────────────────────────▶ connect, then join for each: asked anew, told to nobody
//!                                                                 each stands among its topics' members, and what comes for it waits
//!   Held: nothing more comes for a join, its mailbox is empty
//!   Cuts: how far each has heard ───────────────────────────────▶ each lands: it goes on behind its cut
//!   each leaves                                                   joined is called
//! ```

pub(crate) mod arrival;
pub(crate) mod coming;
pub(crate) mod leaving;
pub(crate) mod luggage;

use serde::{Deserialize, Serialize};

use self::luggage::Params;
use crate::{
    join::landing::Place,
    protocol::RawJson,
    topics::{heard::Heard, position::Position},
};

/// What the target is told of a session beforehand.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct About {
    /// The mount's path.
    pub(crate) mount: String,
    /// The request that the client connected with.
    request: RawJson,
    /// The last token that the client has brought in the place of the one in it.
    #[serde(default)]
    token: Option<String>,
    /// The id that the program gave the client.
    #[serde(default)]
    id: Option<String>,
    /// Milliseconds for which its login is good, if it ends.
    #[serde(default)]
    login_ms: Option<u64>,
    joins: Vec<AboutJoin>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct AboutJoin {
    topic: String,
    /// As JSON.
    join_ref: Option<RawJson>,
    /// Whether the join message had it as its `join_ref`, and not as its `ref`.
    has_join_ref: bool,
    params: Params,
    /// Other topics that the join is subscribed to.
    #[serde(default)]
    foreign: Vec<String>,
}

impl About {
    /// The topics that the session's joins hear.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &str> {
        self.joins
            .iter()
            .flat_map(|join| std::iter::once(&join.topic).chain(&join.foreign))
            .map(String::as_str)
    }
}

/// How far each join has heard each of its topics.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Cuts(Vec<CutOf>);

#[derive(Debug, Serialize, Deserialize)]
struct CutOf {
    /// The join's own topic.
    join: String,
    /// The topic that was heard.
    topic: String,
    heard: Heard,
    position: Option<Position>,
    /// What the join has said since, to all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    said: Vec<Place>,
}
