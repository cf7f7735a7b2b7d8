//! What becomes of a broadcast for clients that are slow.

use lapwing_transports::policy::{Key, Policy};
use smol_str::SmolStr;

use crate::sync::atomic::{AtomicU64, Ordering};

/// What becomes of a broadcast for a client that is slow, or away: for one broadcast ([`Broadcast::slow`](crate::Broadcast::slow)), or for
/// all of a pattern of topics ([`Mount::slow`](crate::Mount::slow)).
///
/// Whoever reads gets everything, whatever the policy is. Replies, pushes and what presence says always come, in their order, and so do
/// broadcasts that a kept topic records, since each of them has a place: let them be [`unrecorded`](crate::Broadcast::unrecorded)
/// for a policy to count.
///
/// ```
/// use lapwing::{Broadcast, Mount, SlowPolicy};
/// use serde_json::json;
///
/// let mount = Mount::new()
///     .slow("prices:*", SlowPolicy::latest())
///     .slow("cursors:*", SlowPolicy::volatile());
///
/// // One state for each of many things on a topic.
/// let moved = Broadcast::new("map:7", "moved", json!({"bus": 12, "at": [1, 2]})).latest("bus:12");
/// # let _ = (mount, moved);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowPolicy(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Close,
    Volatile,
    /// The state of each event, or of something with a key.
    Latest(Option<SmolStr>),
}

impl SlowPolicy {
    /// All of it waits for the client, in its order. At the bound of the client's [`OutboxLimits`](crate::OutboxLimits) its session is
    /// closed with 1013, and the client comes back. The default.
    #[must_use]
    pub fn close() -> Self {
        Self(Kind::Close)
    }

    /// It is left out for clients that are behind: whose connection takes no more for now, that have none, or for whom half of what may wait
    /// does. A client that polls gets one thing between two polls. No client is told, and none is closed for it.
    #[must_use]
    pub fn volatile() -> Self {
        Self(Kind::Volatile)
    }

    /// Each event of the topic tells a state: a newer one takes the place of an older one of the same event that waits unsent. So a
    /// slow client gets the newest state as soon as its connection takes it, and one that comes back gets one of each.
    ///
    /// As it takes the older one's place, it may come before what was pushed or broadcast between the two; everything else keeps its
    /// order. In a channel that intercepts the event it does the same in the mailbox, and what `handle_out` pushes meanwhile has the
    /// same policy.
    #[must_use]
    pub fn latest() -> Self {
        Self(Kind::Latest(None))
    }

    /// The same for the state of one thing of many, whatever events tell it: those with the same key on the same topic.
    #[must_use]
    pub fn latest_of(key: impl AsRef<str>) -> Self {
        Self(Kind::Latest(Some(SmolStr::new(key))))
    }

    /// The mark for the frames of a broadcast, if they need one.
    pub(crate) fn mark(&self, topic: &str, event: &str) -> Option<Policy> {
        // With the length before it, no topic and key are another topic and another key.
        let key = |kind: char, of: &str| Key::new(&format!("{}{kind}{topic}{of}", topic.len()));
        Some(match &self.0 {
            Kind::Close => return None,
            Kind::Volatile => Policy::Volatile,
            Kind::Latest(None) => Policy::Latest(key('e', event)),
            Kind::Latest(Some(of)) => Policy::Latest(key('k', of)),
        })
    }

    pub(crate) fn is_volatile(&self) -> bool {
        self.0 == Kind::Volatile
    }

    /// Whether it is about the latest state of something.
    pub(crate) fn is_latest(&self) -> bool {
        matches!(self.0, Kind::Latest(_))
    }

    /// Whether it goes by events.
    pub(crate) fn is_of_each_event(&self) -> bool {
        self.0 == Kind::Latest(None)
    }
}

/// What mailboxes were spared.
#[derive(Debug, Default)]
pub(crate) struct Spared {
    replaced: AtomicU64,
    left_out: AtomicU64,
}

impl Spared {
    pub(crate) fn count_replaced(&self) {
        self.replaced.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_left_out(&self) {
        self.left_out.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::Relaxed)
    }

    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_its_topic_and_of_an_event_or_a_thing() {
        let marks = [
            SlowPolicy::latest().mark("a", "e"),
            SlowPolicy::latest().mark("a", "f"),
            SlowPolicy::latest_of("e").mark("a", "e"),
            SlowPolicy::latest_of("").mark("ae", "e"),
            SlowPolicy::latest_of("e").mark("b", "e"),
            SlowPolicy::volatile().mark("a", "e"),
        ];
        for (index, mark) in marks.iter().enumerate() {
            assert!(mark.is_some() && marks.iter().filter(|other| *other == mark).count() == 1, "{index}");
        }
        assert_eq!(SlowPolicy::latest_of("e").mark("a", "f"), marks[2], "whatever the event");
        assert_eq!(SlowPolicy::close().mark("a", "e"), None);
    }
}
