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
    join::landing::SAID_MAX,
    protocol::RawJson,
    topics::{cut::Place, heard::Heard, position::Position},
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

#[cfg(fuzzing)]
impl About {
    /// Reads all that is in it: the request, and the parameters of the joins. Returns how much those take.
    pub(crate) fn unpack(self) -> Option<usize> {
        luggage::read_request(&self.request)?;
        Some(self.joins.into_iter().map(|join| join.params.into_payload().size()).sum())
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

impl Cuts {
    /// What another node has said of that. None of what no node of this library's says: each broadcast is looked for in it.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let cuts: Self = serde_json::from_slice(bytes).ok()?;
        let is_bounded = |cut: &CutOf| cut.heard.is_bounded() && cut.said.len() <= SAID_MAX;
        cuts.0.iter().all(is_bounded).then_some(cuts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_read_as_every_release_writes_them_and_no_longer_ones() {
        let first = r#"[{"join":"a","topic":"b","heard":[[1,2]],"position":null}]"#;
        assert_eq!(serde_json::to_string(&Cuts::read(first.as_bytes()).unwrap()).unwrap(), first);
        let said =
            r#"[{"join":"a","topic":"b","heard":[],"position":"a:1","said":[{"of":[1,2]},{"kept":"a:2"}]}]"#;
        assert_eq!(serde_json::to_string(&Cuts::read(said.as_bytes()).unwrap()).unwrap(), said);
        let long = |heard: &str, said: &str| {
            let of = |piece: &str, count: usize| vec![piece; count].join(",");
            let cuts = |heard: String, said: String| {
                format!(r#"[{{"join":"a","topic":"b","heard":[{heard}],"position":null,"said":[{said}]}}]"#)
            };
            let read =
                |nodes: usize, places: usize| Cuts::read(cuts(of(heard, nodes), of(said, places)).as_bytes());
            (read(64, 256).is_some(), read(65, 256).is_some(), read(64, 257).is_some())
        };
        assert_eq!(long("[1,2]", r#"{"of":[1,2]}"#), (true, false, false));
    }
}
