//! Broadcasts: an event that is published on a topic, and by whom.

use std::hash::{Hash, Hasher};

use crate::{
    protocol::Payload,
    topic::Topic,
    topics::{heard::Origin, position::Position, slow::SlowPolicy},
};
use smol_str::SmolStr;

/// The number of a join, unique on its node for as long as the node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u64);

/// The number of a session, unique on its node for as long as the node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransportId(pub u64);

/// One event on a topic: what [`Lapwing::publish`](crate::Lapwing::publish) and
/// [`Socket::publish`](crate::Socket::publish) send, and what subscribers get.
///
/// ```
/// use lapwing::{Broadcast, ChannelId, Lapwing};
/// use serde_json::json;
///
/// let lapwing = Lapwing::builder().build()?;
/// let broadcast = Broadcast::new("room:lobby", "shout", json!({"text": "hi"}));
/// assert_eq!(broadcast.topic, "room:lobby");
/// // To all but one join, on this node alone.
/// lapwing.publish(broadcast.except(ChannelId(7)).local())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Broadcast {
    /// The topic it was published on.
    pub topic: Topic,
    /// The event.
    pub event: SmolStr,
    /// The payload.
    pub payload: Payload,
    /// The join that is passed by: the sender of a `broadcast_from`. Joins have numbers on their own node only; what
    /// goes to other nodes says nothing of it.
    pub from: Option<ChannelId>,
    /// Its position in the history of its topic, if that is kept and this was recorded.
    pub position: Option<Position>,
    /// Whether other nodes are not told.
    pub(crate) is_local: bool,
    /// Whether a kept topic does not record it.
    pub(crate) is_unrecorded: bool,
    /// What becomes of it for clients that are slow; `None` for what its topic says.
    pub(crate) slow: Option<SlowPolicy>,
    /// Whether it goes to clients as it is.
    pub(crate) is_uncompressed: bool,
    /// Its place among all of its node, where members go from one node to another.
    pub(crate) origin: Option<Origin>,
}

/// Of what a broadcast tells the state: an event of a topic, or a thing with a key on it.
#[derive(Clone, Debug, Eq)]
pub(crate) struct StateKey {
    topic: Topic,
    of: SmolStr,
    is_of_event: bool,
}

impl PartialEq for StateKey {
    fn eq(&self, other: &Self) -> bool {
        #[cfg(test)]
        compared::note();
        self.is_of_event == other.is_of_event && self.of == other.of && self.topic == other.topic
    }
}

impl Hash for StateKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.topic, &self.of, self.is_of_event).hash(state);
    }
}

/// The comparisons of keys by this thread: what it costs to find one is to depend on no number of others.
#[cfg(test)]
pub(crate) mod compared {
    use std::cell::Cell;

    thread_local! {
        static COUNT: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn note() {
        COUNT.set(COUNT.get() + 1);
    }

    /// Those since this was last asked.
    pub(crate) fn take() -> usize {
        COUNT.take()
    }
}

impl Broadcast {
    /// A broadcast to everybody on the topic. A value behind [`Json`](crate::Json) becomes a payload by
    /// [`into_payload`](crate::IntoPayload::into_payload), which may fail.
    #[must_use]
    pub fn new(topic: impl Into<Topic>, event: impl AsRef<str>, payload: impl Into<Payload>) -> Self {
        Self {
            topic: topic.into(),
            event: SmolStr::new(event),
            payload: payload.into(),
            from: None,
            position: None,
            is_local: false,
            is_unrecorded: false,
            slow: None,
            is_uncompressed: false,
            origin: None,
        }
    }

    /// Passes by one join of this node.
    #[must_use]
    pub fn except(mut self, join: ChannelId) -> Self {
        self.from = Some(join);
        self
    }

    /// Is not recorded by a kept topic: for what is of no use to a client that comes back, such as who is typing.
    #[must_use]
    pub fn unrecorded(mut self) -> Self {
        self.is_unrecorded = true;
        self
    }

    /// Returns whether a kept topic remembers it. A [`PubSub`](crate::pubsub::PubSub) that carries it to other nodes carries that along.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        !self.is_unrecorded
    }

    /// Has this policy for clients that are slow, in the place of its [topic's](crate::Mount::slow), also for clients of other nodes.
    #[must_use]
    pub fn slow(mut self, policy: SlowPolicy) -> Self {
        self.slow = Some(policy);
        self
    }

    /// Is left out for clients that are behind, see [`SlowPolicy::volatile`], and is not recorded.
    #[must_use]
    pub fn volatile(self) -> Self {
        self.slow(SlowPolicy::volatile()).unrecorded()
    }

    /// Tells the state of something: takes the place of an older state with the same key that waits unsent, see
    /// [`SlowPolicy::latest_of`].
    ///
    /// ```
    /// use lapwing::{Broadcast, Lapwing};
    /// use serde_json::json;
    ///
    /// let lapwing = Lapwing::builder().build()?;
    /// lapwing.publish(Broadcast::new("map:7", "moved", json!({"bus": 12, "at": [1, 2]})).latest("bus:12"))?;
    /// lapwing.publish(Broadcast::new("map:7", "parked", json!({"bus": 12})).latest("bus:12"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn latest(self, key: impl AsRef<str>) -> Self {
        self.slow(SlowPolicy::latest_of(key))
    }

    /// Its policy for clients that are slow, if it has one of its own. A [`PubSub`](crate::pubsub::PubSub) that carries it to other nodes
    /// carries that along.
    #[must_use]
    pub fn slow_policy(&self) -> Option<&SlowPolicy> {
        self.slow.as_ref()
    }

    /// The policy that counts: what has a place in a history is given to everybody.
    pub(crate) fn policy(&self) -> Option<&SlowPolicy> {
        self.slow.as_ref().filter(|_| self.position.is_none())
    }

    /// Of what it tells the state, if it does. A newer state of the same takes the place of an older one.
    pub(crate) fn state_key(&self) -> Option<StateKey> {
        let policy = self.policy()?;
        let is_of_event = policy.is_of_each_event();
        let of = if is_of_event { &self.event } else { policy.key()? };
        Some(StateKey { topic: self.topic.clone(), of: of.clone(), is_of_event })
    }

    /// Is never compressed on its way to clients: for what has a secret beside something that a stranger has chosen, since the
    /// length of such a message tells of the secret. See [the guide](crate::guide::compression).
    #[must_use]
    pub fn uncompressed(mut self) -> Self {
        self.is_uncompressed = true;
        self
    }

    /// Returns whether it may be compressed. A [`PubSub`](crate::pubsub::PubSub) that carries it to other nodes carries that along.
    #[must_use]
    pub fn may_be_compressed(&self) -> bool {
        !self.is_uncompressed
    }

    /// Stays on this node.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.is_local = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(topic: &str, event: &str, policy: SlowPolicy) -> Broadcast {
        Broadcast::new(topic, event, Payload::empty()).slow(policy)
    }

    #[test]
    fn a_state_is_newer_than_another_of_the_same_thing_alone() {
        let (each, of) = (SlowPolicy::latest, SlowPolicy::latest_of);
        let is_newer =
            |a: &Broadcast, b: &Broadcast| a.state_key().is_some_and(|key| b.state_key() == Some(key));
        let this = state("t", "e", of("k"));
        assert!(is_newer(&this, &state("t", "f", of("k"))), "whatever event told it");
        assert!(is_newer(&state("t", "e", each()), &state("t", "e", each())));
        for other in [
            state("u", "e", of("k")),
            state("t", "e", of("l")),
            state("t", "e", each()),
            state("t", "e", SlowPolicy::volatile()),
            Broadcast::new("t", "e", Payload::empty()),
        ] {
            assert!(!is_newer(&this, &other) && !is_newer(&other, &this), "{other:?}");
        }
        assert!(!is_newer(&state("t", "e", each()), &state("t", "f", each())));
        let volatile = state("t", "e", SlowPolicy::volatile());
        assert!(!is_newer(&volatile, &volatile));
        assert!(!Broadcast::new("t", "e", Payload::empty()).volatile().is_recorded());
    }
}
