//! What becomes of a broadcast for clients that are slow.

use std::sync::Arc;

use lapwing_transports::{
    frame::FrameKind,
    options::error::OptionError,
    policy::{Few, Key, Policy, Told},
};
use smol_str::SmolStr;

use crate::{
    protocol::{Outgoing, Payload, Serializer, event},
    sync::atomic::{AtomicU64, Ordering},
};

/// The treatment of a broadcast for a client that is slow, or away: for one broadcast ([`Broadcast::slow`](crate::Broadcast::slow)), or for
/// all of a pattern of topics ([`Mount::slow`](crate::Mount::slow)).
///
/// Whoever reads gets everything, but for states that a newer one has replaced before they were sent. Replies, pushes and what presence says always come, in their order, and so do
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
pub struct SlowPolicy {
    kind: Kind,
    /// What the program has asked of it that it cannot do.
    mistake: Option<&'static str>,
}

/// The kinds of policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Close,
    Volatile,
    /// The state of each event, or of something with a key.
    Latest(Option<SmolStr>),
    /// So many wait, and this event tells of those that were dropped.
    Few(usize, SmolStr),
}

/// The event that tells of broadcasts that were dropped.
const GAP: SmolStr = SmolStr::new_static("gap");

impl SlowPolicy {
    /// All of it waits for the client, in its order. At the bound of the client's [`OutboxLimits`](crate::OutboxLimits) its session is
    /// closed with 1013, and the client comes back. The default.
    #[must_use]
    pub fn close() -> Self {
        Self::of(Kind::Close)
    }

    /// It is left out for clients that are behind: whose connection takes no more for now, that have none, or for whom half of what may wait
    /// does. A client that polls gets one thing between two polls. No client is told, and none is closed for it.
    #[must_use]
    pub fn volatile() -> Self {
        Self::of(Kind::Volatile)
    }

    /// Each event of the topic tells a state: a newer one takes the place of an older one of the same event that waits unsent. So a
    /// slow client gets the newest state as soon as its connection takes it, and one that comes back gets one of each.
    ///
    /// As it takes the older one's place, it may come before what was pushed or broadcast between the two; everything else keeps its
    /// order. In a channel that intercepts the event it does the same in the mailbox, and what `handle_out` pushes meanwhile has the
    /// same policy.
    #[must_use]
    pub fn latest() -> Self {
        Self::of(Kind::Latest(None))
    }

    /// The same for the state of one thing of many, whatever events tell it: those with the same key on the same topic.
    #[must_use]
    pub fn latest_of(key: impl AsRef<str>) -> Self {
        Self::of(Kind::Latest(Some(SmolStr::new(key))))
    }

    /// A policy by which so many broadcasts of the topic wait for a client that is behind, one at least: for one more the oldest is dropped.
    /// Behind is here a client that has no connection, for whom half of what may wait does, or whose connection takes no more and for whom the same
    /// broadcast has waited for a second or two; whoever reads gets each burst in full. In the place of those that
    /// were dropped, the client gets an event of the topic, `gap` with `{"dropped": 3}`, after which a page loads its state anew. That any client
    /// understands; the numbers of a resumable session say nothing of it, since what was never sent has none.
    ///
    /// The session is closed only where other things fill the outbox. In the mailbox of a channel that intercepts them they all wait, and
    /// what `handle_out` pushes has the same policy.
    #[must_use]
    pub fn drop_oldest(broadcasts: usize) -> Self {
        Self::of(Kind::Few(broadcasts, GAP))
    }

    fn of(kind: Kind) -> Self {
        Self { kind, mistake: None }
    }

    /// Tells of dropped broadcasts by another event than `gap`.
    ///
    /// One that is [reserved](crate::protocol::event), and any on a policy that drops nothing to be told of, is a mistake: of a pattern it is
    /// an error of [`Builder::build`](crate::Builder::build), of a broadcast one of publishing it.
    ///
    /// ```
    /// use lapwing::{Broadcast, BroadcastError, Lapwing, SlowPolicy};
    /// use serde_json::json;
    ///
    /// let lapwing = Lapwing::builder().build()?;
    /// let news = || Broadcast::new("news", "headline", json!({}));
    /// lapwing.publish(news().slow(SlowPolicy::drop_oldest(20).told_by("missed")))?;
    /// let mistaken = lapwing.publish(news().slow(SlowPolicy::latest().told_by("missed")));
    /// assert!(matches!(mistaken, Err(BroadcastError::Policy(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn told_by(mut self, event: impl AsRef<str>) -> Self {
        let event = event.as_ref();
        let mistake = match &mut self.kind {
            Kind::Few(..) if event::is_reserved(event) || event::is_of_presence(event) => {
                "the event is one of the protocol's own: take another name"
            }
            Kind::Few(_, told_by) => {
                *told_by = SmolStr::new(event);
                return self;
            }
            _ => "only SlowPolicy::drop_oldest drops something to be told of: leave told_by out",
        };
        self.mistake = Some(mistake);
        self
    }

    /// Finds what it cannot do.
    pub(crate) fn check(&self) -> Result<(), OptionError> {
        self.mistake.map_or(Ok(()), |problem| Err(OptionError::new("SlowPolicy::told_by", problem)))
    }

    /// The same without what it cannot do, for one that was not made here.
    #[cfg(feature = "cluster")]
    pub(crate) fn sound(mut self) -> Self {
        self.mistake = None;
        self
    }

    /// The mark for the frames of a broadcast, if they need one.
    pub(crate) fn mark(&self, topic: &str, event: &str, serializer: &Arc<dyn Serializer>) -> Option<Policy> {
        // With the length before it, no topic and key are another topic and another key.
        let key = |kind: char, of: &str| Key::new(&format!("{}{kind}{topic}{of}", topic.len()));
        Some(match &self.kind {
            Kind::Close => return None,
            Kind::Volatile => Policy::Volatile,
            Kind::Latest(None) => Policy::Latest(key('e', event)),
            Kind::Latest(Some(of)) => Policy::Latest(key('k', of)),
            Kind::Few(count, told_by) => {
                let key = key('d', told_by);
                Policy::Few(Arc::new(few_of(key, *count, (topic, told_by), serializer)))
            }
        })
    }

    /// The kind, for who takes it to other nodes.
    #[cfg(feature = "cluster")]
    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    pub(crate) fn is_volatile(&self) -> bool {
        self.kind == Kind::Volatile
    }

    /// What it is about the latest state of, if that has a key.
    pub(crate) fn key(&self) -> Option<&SmolStr> {
        if let Kind::Latest(key) = &self.kind { key.as_ref() } else { None }
    }

    /// Whether it goes by events.
    pub(crate) fn is_of_each_event(&self) -> bool {
        self.kind == Kind::Latest(None)
    }
}

/// The mark with this key, of frames of which so many may wait; none if the key is no such mark's.
#[cfg(feature = "cluster")]
pub(crate) fn few(key: &str, count: usize, serializer: &Arc<dyn Serializer>) -> Option<Few> {
    let (length, rest) = key.split_once('d')?;
    let (topic, told_by) = rest.split_at_checked(length.parse().ok()?)?;
    Some(few_of(Key::new(key), count, (topic, told_by), serializer))
}

fn few_of(key: Key, count: usize, (topic, told_by): (&str, &str), serializer: &Arc<dyn Serializer>) -> Few {
    let (topic, told_by, serializer) = (SmolStr::new(topic), SmolStr::new(told_by), serializer.clone());
    Few::new(key, count, move |dropped| told(&*serializer, &topic, &told_by, dropped))
}

/// The event that tells of so many broadcasts that were dropped.
fn told(serializer: &dyn Serializer, topic: &str, event: &str, dropped: u64) -> Option<Told> {
    let payload = Payload::from(serde_json::json!({ "dropped": dropped }));
    let frame = serializer.encode(Outgoing::Broadcast { topic, event, payload: &payload }).ok()?;
    let is_text = frame.kind() == FrameKind::Text;
    // What the session's own dialect would take for something else is not told, and so nothing is dropped.
    let is_safe = !is_text || !matches!(frame.payload().first(), None | Some(b'!' | b'"' | b'*'));
    is_safe.then(|| Told { is_text, payload: frame.payload().clone() })
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
    use crate::protocol::V2;

    #[test]
    fn a_key_is_of_its_topic_and_of_an_event_or_a_thing() {
        let serializer: Arc<dyn Serializer> = Arc::new(V2);
        let marks = [
            SlowPolicy::latest().mark("a", "e", &serializer),
            SlowPolicy::latest().mark("a", "f", &serializer),
            SlowPolicy::latest_of("e").mark("a", "e", &serializer),
            SlowPolicy::latest_of("").mark("ae", "e", &serializer),
            SlowPolicy::latest_of("e").mark("b", "e", &serializer),
            SlowPolicy::volatile().mark("a", "e", &serializer),
            SlowPolicy::drop_oldest(1).mark("a", "e", &serializer),
            SlowPolicy::drop_oldest(1).mark("b", "e", &serializer),
        ];
        for (index, mark) in marks.iter().enumerate() {
            assert!(mark.is_some() && marks.iter().filter(|other| *other == mark).count() == 1, "{index}");
        }
        assert_eq!(SlowPolicy::latest_of("e").mark("a", "f", &serializer), marks[2], "whatever the event");
        assert_eq!(SlowPolicy::close().mark("a", "e", &serializer), None);
    }

    #[test]
    fn what_tells_of_dropped_broadcasts_is_an_event_of_the_topic() {
        let serializer: Arc<dyn Serializer> = Arc::new(V2);
        for (policy, event) in [
            (SlowPolicy::drop_oldest(1), "gap"),
            (SlowPolicy::drop_oldest(1).told_by("phx_error"), "gap"),
            (SlowPolicy::drop_oldest(1).told_by("presence_diff"), "gap"),
            (SlowPolicy::drop_oldest(1).told_by("missed"), "missed"),
        ] {
            let Some(Policy::Few(few)) = policy.mark("t", "e", &serializer) else { panic!("{policy:?}") };
            let told = few.tell(3).unwrap();
            assert_eq!(told.payload, format!(r#"[null,null,"t","{event}",{{"dropped":3}}]"#));
            let again = super::few(few.key().text(), few.frames_max(), &serializer).unwrap();
            assert_eq!((&again, again.tell(3).unwrap().payload), (&*few, told.payload));
        }
        for key in ["", "d", "1d", "9dt", "1kt", "xdt"] {
            assert!(super::few(key, 1, &serializer).is_none(), "{key}");
        }
        assert!(SlowPolicy::volatile().told_by("missed").check().is_err());
    }
}
