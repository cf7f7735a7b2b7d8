//! Subscriptions to topics, and the way of a broadcast to all members.
//!
//! ```text
//!   dispatch ──▶ Delivery: encodes at most once per serializer, on first use
//!      │
//!      ├─▶ Member::Lane   the frame goes straight into a session's outbox; no channel is woken
//!      └─▶ Member::Inbox  the broadcast goes to a mailbox: intercepting joins, foreign topics, plain tasks
//! ```
//!
//! A topic's members are locked while a broadcast goes out. So all members see the broadcasts of a topic in one
//! order, and a join can be put between two of them. What happens under the lock is pushing a pointer and
//! waking a task, never I/O. Lock order: shard, then members, then whatever a member's push locks.

pub(crate) mod broadcast;
pub(crate) mod compression;
pub(crate) mod cut;
pub(crate) mod delivery;
pub(crate) mod gap;
pub(crate) mod heard;
pub(crate) mod history;
pub(crate) mod keep;
pub(crate) mod kept;
pub(crate) mod log;
pub(crate) mod meter;
mod moving;
pub(crate) mod position;
pub(crate) mod published;
pub(crate) mod room;
pub(crate) mod slow;

use std::{
    collections::HashMap,
    fmt,
    hash::BuildHasher,
    sync::{Arc, PoisonError},
};

use foldhash::quality::RandomState;
use lapwing_transports::{forms::Forms, frame::Frame, shrink::Shrink};
use slab::Slab;
use tokio::time::Instant;

use crate::{
    occasionally::Occasionally,
    protocol::{EncodeError, Serializer},
    sync::{
        Mutex, MutexGuard, RwLock,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    topic::{Topic, TopicPattern},
    topics::{
        broadcast::{Broadcast, ChannelId, TransportId},
        compression::{Compression, Frames, Wanted},
        delivery::Delivery,
        gap::Gap,
        heard::{Heard, Origin},
        kept::Kept,
        meter::{Meter, Source},
        position::Position,
        slow::SlowPolicy,
    },
};

/// Enough that two workers seldom meet on one, few enough that an empty table is small.
const SHARDS: usize = 64;

/// A shard with room for so many topics is not made smaller when most of them are gone.
const SHARD_CAPACITY_MIN: usize = 64;

/// A walk of so many looks who takes compressed frames: to ask each member costs a tenth of what it takes to give it a broadcast.
const LOOKED_EVERY: u8 = 16;

/// How many members a listing copies before it lets go of the lock.
const CHUNK: usize = 1_024;

/// The fast lane: a session into whose outbox encoded broadcasts go.
pub(crate) trait Lane: Send + Sync {
    /// Queues a frame; never waits.
    fn push_frame(&self, frame: Frame);

    /// Queues a frame that all members of a topic get; never waits. It may be written a little later than others.
    fn push_broadcast(&self, frame: Frame);

    /// The form in which the client takes compressed frames now, if it does.
    #[cfg_attr(not(feature = "deflate"), allow(dead_code, reason = "nothing is compressed"))]
    fn compressed_forms(&self) -> Forms {
        Forms::NONE
    }

    /// The serializer of the session's frames.
    fn serializer(&self) -> &Arc<dyn Serializer>;

    fn transport_id(&self) -> TransportId;

    /// The socket id that the client was given on connect.
    fn socket_id(&self) -> Option<&str>;

    /// A join of the session's missed something. May lock the joins of the session.
    fn tell_gap(&self, channel: ChannelId, gap: &Arc<Gap>) {
        let _ = (channel, gap);
    }
}

/// Something that wants the broadcast itself.
pub(crate) trait Inbox: Send + Sync {
    /// Takes it or leaves it; never waits.
    fn deliver(self: Arc<Self>, delivery: &mut Delivery<'_>);

    /// The client that gets what it lets through, if there is one.
    fn lane(&self) -> Option<&dyn Lane> {
        None
    }

    /// It missed something.
    fn tell_gap(self: Arc<Self>, gap: &Arc<Gap>) {
        let _ = gap;
    }

    /// The join that it is, or stands for, on whatever topic.
    fn join(&self) -> Option<ChannelId> {
        None
    }

    /// What it leaves out, if it stands for a join that has come from another node.
    fn cut(&self) -> Option<cut::Cut> {
        None
    }

    /// Which join of the topic it is; `None` for whatever else is subscribed.
    fn join_of(&self, topic: &Topic) -> Option<MemberInfo> {
        let _ = topic;
        None
    }
}

/// A subscriber of a topic.
#[derive(Clone)]
pub(crate) enum Member {
    Lane { lane: Arc<dyn Lane>, channel: ChannelId },
    Inbox(Arc<dyn Inbox>),
}

/// All topics that have a subscriber.
pub(crate) struct Topics {
    shards: Box<[Shard]>,
    hasher: RandomState,
    count: AtomicUsize,
    /// Of the log lines about broadcasts that could not be encoded.
    log: Occasionally,
    pub(crate) meter: Meter,
    /// Which topics are kept, and what they remember; nothing where none is.
    kept: Option<Box<Kept>>,
    /// What becomes of broadcasts for clients that are slow, by patterns of topics.
    slow: Box<[(TopicPattern, SlowPolicy)]>,
    compression: Compression,
}

/// Some of the topics, by name.
type Shard = RwLock<HashMap<Topic, Arc<TopicEntry>, RandomState>>;

impl Member {
    fn inbox(&self) -> Option<Arc<dyn Inbox>> {
        match self {
            Self::Inbox(inbox) => Some(inbox.clone()),
            Self::Lane { .. } => None,
        }
    }

    /// The join that it is, or stands for.
    fn join(&self) -> Option<ChannelId> {
        match self {
            Self::Lane { channel, .. } => Some(*channel),
            Self::Inbox(inbox) => inbox.join(),
        }
    }

    fn join_of(&self, topic: &Topic) -> Option<MemberInfo> {
        match self {
            Self::Lane { lane, channel } => Some(MemberInfo::new(*channel, &**lane)),
            Self::Inbox(inbox) => inbox.join_of(topic),
        }
    }
}

/// One join of a topic, as [`Lapwing::members`](crate::Lapwing::members) lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberInfo {
    /// The number of the join.
    pub channel_id: ChannelId,
    /// The number of the client's session.
    pub transport_id: TransportId,
    /// The id that the client was given on connect, which [`Lapwing::kick`](crate::Lapwing::kick) takes; `None` for anonymous
    /// clients.
    pub socket_id: Option<String>,
}

impl MemberInfo {
    pub(crate) fn new(channel_id: ChannelId, lane: &(impl Lane + ?Sized)) -> Self {
        let socket_id = lane.socket_id().map(str::to_owned);
        Self { channel_id, transport_id: lane.transport_id(), socket_id }
    }
}

/// A topic with subscribers.
pub(crate) struct TopicEntry {
    members: Mutex<Members>,
    /// [`Wanted`] by the members that the last walk has seen, and those that have come since.
    wanted: AtomicU32,
}

#[derive(Default)]
struct Members {
    slab: Slab<Member>,
    /// Taken out of the table: a subscriber that found the entry just before must look again.
    removed: bool,
    /// How many walks there were, modulo something.
    walks: u8,
    /// What was given out here, where members go from one node to another.
    heard: Option<Box<Heard>>,
    shrink: Shrink,
}

/// How many subscribers a broadcast had, with its position if it was recorded, or with the first encoding that failed.
type Dispatched = Result<(usize, Option<Position>), (usize, EncodeError)>;

/// A place among a topic's subscribers. Given back with [`Topics::unsubscribe`], once.
#[derive(Clone)]
pub(crate) struct Subscribed {
    entry: Arc<TopicEntry>,
    slot: u32,
}

impl Topics {
    pub(crate) fn new() -> Self {
        Self::keeping(None)
    }

    /// Topics of which some are kept.
    pub(crate) fn keeping(kept: Option<Box<Kept>>) -> Self {
        let hasher = RandomState::default();
        let shard = || RwLock::new(HashMap::with_hasher(hasher.clone()));
        let shards = std::iter::repeat_with(shard).take(SHARDS).collect();
        let (log, meter) = (Occasionally::default(), Meter::default());
        let (slow, compression) = (Box::default(), Compression::default());
        Self { shards, hasher, count: AtomicUsize::new(0), log, meter, kept, slow, compression }
    }

    /// The same with policies for clients that are slow.
    pub(crate) fn with_slow(mut self, slow: Vec<(TopicPattern, SlowPolicy)>) -> Self {
        self.slow = slow.into();
        self
    }

    /// The same with clients of which some take compressed frames.
    pub(crate) fn with_compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// What the topic of a broadcast says about clients that are slow, where it does not say so itself.
    pub(crate) fn slow_rule(&self, broadcast: &Broadcast) -> Option<&SlowPolicy> {
        let mut rules = self.slow.iter().filter(|_| broadcast.slow.is_none());
        rules.find(|(pattern, _)| pattern.matches(&broadcast.topic)).map(|(_, policy)| policy)
    }

    /// Which topics are kept, and what they remember.
    pub(crate) fn kept(&self) -> Option<&Kept> {
        self.kept.as_deref()
    }

    /// How many topics have a subscriber.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Subscribes, and runs `first` before any broadcast can reach the new member.
    pub(crate) fn subscribe(&self, topic: &Topic, member: Member, first: impl FnOnce()) -> Subscribed {
        let mut entry = self.entry(topic);
        let wanted = match &member {
            Member::Lane { lane, .. } => self.compression.wanted_by(&**lane),
            Member::Inbox(inbox) => {
                inbox.lane().map_or(Wanted::default(), |lane| self.compression.wanted_by(lane))
            }
        };
        let slot = loop {
            let mut members = entry.members();
            if !members.removed {
                first();
                if members.slab.len() == members.slab.capacity() {
                    // By an eighth, not by doubling: half of a large topic's table would lie idle.
                    let more = members.slab.len() / 8 + 1;
                    members.slab.reserve_exact(more);
                }
                entry.wanted.fetch_or(wanted.0, Ordering::Relaxed);
                break members.slab.insert(member) as u32;
            }
            drop(members);
            entry = self.entry(topic);
        };
        Subscribed { entry, slot }
    }

    /// Ends a subscription: nothing is delivered to it any more once this returns.
    pub(crate) fn unsubscribe(&self, topic: &Topic, subscribed: Subscribed) {
        let mut members = subscribed.entry.members();
        let Members { slab, shrink, .. } = &mut *members;
        let removed = slab.try_remove(subscribed.slot as usize);
        shrink.handle_removal(slab);
        let empty = slab.is_empty();
        drop(members);
        drop(removed);
        if empty {
            self.remove_if_empty(topic);
        }
    }

    /// Gives a broadcast to all subscribers of its topic on this node. Returns its position, if it was recorded.
    ///
    /// # Errors
    /// The first encoding that failed; members with other serializers have got it.
    pub(crate) fn dispatch(
        &self,
        source: Source,
        broadcast: &Broadcast,
    ) -> Result<Option<Position>, EncodeError> {
        self.metered(source, |now| self.dispatch_at_once(broadcast, now))
    }

    /// Counts what becomes of a broadcast.
    fn metered(
        &self,
        source: Source,
        dispatch: impl FnOnce(Instant) -> Dispatched,
    ) -> Result<Option<Position>, EncodeError> {
        let start = Instant::now();
        let (receivers, result) = match dispatch(start) {
            Ok((receivers, position)) => (receivers, Ok(position)),
            Err((receivers, error)) => (receivers, Err(error)),
        };
        self.meter.dispatched(source, receivers, start.elapsed());
        result
    }

    /// Dispatches, and says how many subscribers there were, too.
    fn dispatch_at_once(&self, broadcast: &Broadcast, now: Instant) -> Dispatched {
        if let Some(kept) = &self.kept
            && let Some(rule) = kept.rule(broadcast)
        {
            return self.dispatch_recorded(broadcast, || kept.append(rule, broadcast.clone(), now));
        }
        let Some(entry) = self.find(&broadcast.topic) else { return Ok((0, None)) };
        let frames = self.compression.prepare(entry.wanted(), broadcast);
        self.give_out(&entry, entry.members(), (broadcast, frames), None)
    }

    /// Gives a broadcast to the members of an entry, with the place that it has just been given, if it was.
    fn give_out(
        &self,
        entry: &TopicEntry,
        mut members: MutexGuard<'_, Members>,
        (broadcast, frames): (&Broadcast, Frames),
        origin: Option<Origin>,
    ) -> Dispatched {
        let delivery = self.delivery(broadcast, None).at(origin);
        let mut delivery = delivery.with(frames, members.looks(&self.compression));
        members.deliver(&mut delivery);
        entry.set_wanted(&delivery);
        let receivers = members.slab.len();
        delivery.failed.map_or(Ok((receivers, None)), |error| Err((receivers, error)))
    }

    fn delivery<'a>(&'a self, broadcast: &'a Broadcast, shared: Option<&'a Arc<Broadcast>>) -> Delivery<'a> {
        Delivery::new(broadcast, shared, &self.log, &self.meter)
    }

    /// Gives out a broadcast that the store of a cluster has numbered. `before` is the check of the place before it.
    ///
    /// # Errors
    /// As for [`dispatch`](Self::dispatch).
    pub(crate) fn dispatch_stored(
        &self,
        source: Source,
        broadcast: &Broadcast,
        before: u64,
    ) -> Result<Option<Position>, EncodeError> {
        let Some(kept) = &self.kept else { return Ok(None) };
        let record = || kept.append_stored(broadcast.clone(), before);
        self.metered(source, |_| self.dispatch_recorded(broadcast, record))
    }

    /// What is remembered of a topic goes on from a position of the store, with these, each with the check of the place before. Nobody is
    /// given them; a join stands before all of them or behind.
    pub(crate) fn restart_stored(
        &self,
        topic: &Topic,
        position: Position,
        stored: impl Iterator<Item = (Broadcast, u64)>,
    ) {
        let Some(kept) = &self.kept else { return };
        let entry = self.find(topic);
        let _members = entry.as_ref().map(|entry| entry.members());
        kept.restart(topic, position);
        for (broadcast, before) in stored {
            kept.append_stored(broadcast, before);
        }
    }

    /// Records a broadcast and gives it out, with the members locked: all that happens on a topic has one order.
    fn dispatch_recorded(
        &self,
        broadcast: &Broadcast,
        record: impl FnOnce() -> Arc<Broadcast>,
    ) -> Dispatched {
        // A topic without members has a lock, too: a client that joins meanwhile gets this one by replay or live, and not twice.
        let mut entry = self.entry(&broadcast.topic);
        let frames = self.compression.prepare(entry.wanted(), broadcast);
        let mut members = entry.members();
        while members.removed {
            drop(members);
            entry = self.entry(&broadcast.topic);
            members = entry.members();
        }
        let shared = record();
        let looks = members.looks(&self.compression);
        let mut delivery = self.delivery(&shared, Some(&shared)).with(frames, looks);
        members.deliver(&mut delivery);
        entry.set_wanted(&delivery);
        let failed = delivery.failed.take();
        let receivers = members.slab.len();
        drop(members);
        if receivers == 0 {
            self.remove_if_empty(&shared.topic);
        }
        failed.map_or(Ok((receivers, shared.position)), |error| Err((receivers, error)))
    }

    /// Gives a broadcast to the inboxes of a topic when that is free again: for those that lock more than an inbox may.
    /// Returns how many there are.
    pub(crate) fn dispatch_apart(&self, broadcast: &Broadcast) -> u64 {
        let Some(entry) = self.find(&broadcast.topic) else { return 0 };
        let inboxes: Vec<_> = entry.members().slab.iter().filter_map(|(_, member)| member.inbox()).collect();
        let count = inboxes.len() as u64;
        let mut delivery = self.delivery(broadcast, None);
        for inbox in inboxes {
            inbox.deliver(&mut delivery);
        }
        count
    }

    /// Tells all subscribers of a topic that they missed something, when it is free again: sessions look for their joins. A thousand are
    /// taken at a time.
    pub(crate) fn tell_gap(&self, gap: &Arc<Gap>) {
        let Some(entry) = self.find(&gap.topic) else { return };
        let mut from = 0;
        loop {
            let members = entry.members();
            let capacity = members.slab.capacity();
            let until = (from + CHUNK).min(capacity);
            let chunk: Vec<Member> =
                (from..until).filter_map(|slot| members.slab.get(slot).cloned()).collect();
            drop(members);
            for member in chunk {
                match member {
                    Member::Lane { lane, channel } => lane.tell_gap(channel, gap),
                    Member::Inbox(inbox) => inbox.tell_gap(gap),
                }
            }
            if until >= capacity {
                return;
            }
            from = until;
        }
    }

    /// The topics one after the other, each with how many subscribe to it. A shard is taken at a time, and no lock is held
    /// between two of them.
    pub(crate) fn walk(&self) -> impl Iterator<Item = (Topic, usize)> {
        self.shards.iter().flat_map(|shard| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            let entries: Vec<_> = shard.iter().map(|(topic, entry)| (topic.clone(), entry.clone())).collect();
            drop(shard);
            // A topic in the middle of a fan-out is waited for, but not with its shard locked.
            entries.into_iter().map(|(topic, entry)| {
                let subscribers = entry.members().slab.len();
                (topic, subscribers)
            })
        })
    }

    /// The joins of a topic one after the other, a thousand taken at a time.
    pub(crate) fn members(&self, topic: Topic) -> impl Iterator<Item = MemberInfo> {
        let mut next = self.find(&topic).map(|entry| (entry, 0));
        std::iter::from_fn(move || {
            let (entry, from) = next.take()?;
            let members = entry.members();
            let capacity = members.slab.capacity();
            let until = (from + CHUNK).min(capacity);
            let chunk: Vec<_> =
                (from..until).filter_map(|slot| members.slab.get(slot)?.join_of(&topic)).collect();
            drop(members);
            next = (until < capacity).then_some((entry, until));
            Some(chunk)
        })
        .flatten()
    }

    /// Looks a topic up. The shard is free when this returns: joins to its other topics do not wait for a fan-out.
    fn find(&self, topic: &Topic) -> Option<Arc<TopicEntry>> {
        self.shard(topic).read().unwrap_or_else(PoisonError::into_inner).get(topic).cloned()
    }

    fn entry(&self, topic: &Topic) -> Arc<TopicEntry> {
        if let Some(entry) = self.find(topic) {
            return entry;
        }
        let mut shard = self.shard(topic).write().unwrap_or_else(PoisonError::into_inner);
        let entry = shard.entry(topic.clone()).or_insert_with(|| {
            self.count.fetch_add(1, Ordering::Relaxed);
            Arc::new(TopicEntry { members: Mutex::default(), wanted: AtomicU32::new(0) })
        });
        entry.clone()
    }

    fn remove_if_empty(&self, topic: &Topic) {
        let mut shard = self.shard(topic).write().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = shard.get(topic) else { return };
        let mut members = entry.members();
        if members.slab.is_empty() {
            members.removed = true;
            drop(members);
            shard.remove(topic);
            if shard.capacity() > SHARD_CAPACITY_MIN && shard.len() < shard.capacity() / 8 {
                let room = 2 * shard.len();
                shard.shrink_to(room);
            }
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn shard(&self, topic: &Topic) -> &Shard {
        &self.shards[self.hasher.hash_one(topic) as usize % SHARDS]
    }
}

impl Members {
    /// Counts a walk. Returns what to find out in it: who takes compressed frames, in the first and in every [`LOOKED_EVERY`]th.
    fn looks<'a>(&mut self, compression: &'a Compression) -> Option<&'a Compression> {
        let is_due = self.walks == 0;
        self.walks = (self.walks + 1) % LOOKED_EVERY;
        (is_due && !compression.is_empty()).then_some(compression)
    }

    fn deliver(&mut self, delivery: &mut Delivery<'_>) {
        if let Some(origin) = delivery.origin() {
            self.heard.get_or_insert_default().note(origin);
        }
        for (_, member) in &self.slab {
            match member {
                Member::Lane { channel, .. } if delivery.broadcast.from == Some(*channel) => {}
                Member::Lane { lane, .. } => {
                    if let Some(frame) = delivery.frame(lane.serializer()) {
                        delivery.note(&**lane);
                        lane.push_broadcast(frame);
                    }
                }
                Member::Inbox(inbox) => inbox.clone().deliver(delivery),
            }
        }
    }
}

impl TopicEntry {
    fn members(&self) -> MutexGuard<'_, Members> {
        // A serializer of the user's may panic under this lock; the table is sound all the same.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self) -> Wanted {
        Wanted(self.wanted.load(Ordering::Relaxed))
    }

    /// Remembers what a walk has seen, with the members locked.
    fn set_wanted(&self, delivery: &Delivery<'_>) {
        // Most walks see what the one before has seen.
        if let Some(wanted) = delivery.wanted().filter(|wanted| *wanted != self.wanted()) {
            self.wanted.store(wanted.0, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics").field("len", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests;
