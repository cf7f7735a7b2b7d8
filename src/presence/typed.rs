//! States and diffs as types, for a program that keeps its own view of who is present.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// One key's presence: all its metas, and what [`Builder::fetch`](crate::Builder::fetch) added.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Presence {
    /// One object per track: tabs and devices of a person. Each has its `phx_ref`.
    pub metas: Vec<Map<String, Value>>,
    /// The fields that were added to the key.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Presences by key: the payload of `presence_state`.
pub type PresenceState = HashMap<String, Presence>;

/// The payload of `presence_diff`.
///
/// A server's own view of who is present, for which Phoenix has `handle_metas`, is a task that subscribes to the topic and
/// applies diffs:
///
/// ```
/// use lapwing::{Lapwing, PresenceDiff};
/// use serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lapwing = Lapwing::builder().build()?;
/// let mut subscription = lapwing.subscribe("jobs");
/// let job = lapwing.track("jobs", "import", json!({"done": 0})).await?;
/// let broadcast = subscription.recv().await?;
/// let diff: PresenceDiff = broadcast.payload.parse()?;
/// assert_eq!(diff.joins["import"].metas[0]["done"], 0);
///
/// drop(job);
/// let diff: PresenceDiff = subscription.recv().await?.payload.parse()?;
/// assert!(diff.leaves.contains_key("import"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct PresenceDiff {
    /// Metas that are there now and were not before. To be applied first.
    pub joins: PresenceState,
    /// Metas that are gone. An update has the old one here and the new one in `joins`.
    pub leaves: PresenceState,
}

impl PresenceDiff {
    /// Applies the diff to a state, as phoenix.js does: joins, then leaves, metas told apart by their `phx_ref`.
    ///
    /// ```
    /// use lapwing::{PresenceDiff, PresenceState};
    ///
    /// let mut state = PresenceState::new();
    /// let diff: PresenceDiff = serde_json::from_str(
    ///     r#"{"joins": {"ada": {"metas": [{"phx_ref": "A"}]}}, "leaves": {}}"#,
    /// ).unwrap();
    /// diff.apply_to(&mut state);
    /// assert!(state.contains_key("ada"));
    /// ```
    pub fn apply_to(&self, state: &mut PresenceState) {
        for (key, joined) in &self.joins {
            let here = state.entry(key.clone()).or_default();
            here.metas.retain(|meta| !has_ref(&joined.metas, meta));
            here.metas.extend(joined.metas.iter().cloned());
            here.extra = joined.extra.clone();
        }
        for (key, left) in &self.leaves {
            let Some(here) = state.get_mut(key) else { continue };
            here.metas.retain(|meta| !has_ref(&left.metas, meta));
            if here.metas.is_empty() {
                state.remove(key);
            }
        }
    }
}

fn has_ref(metas: &[Map<String, Value>], meta: &Map<String, Value>) -> bool {
    metas.iter().any(|other| other.get("phx_ref") == meta.get("phx_ref"))
}
