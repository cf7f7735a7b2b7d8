//! Kept topics of a cluster: what this node gives to the store, and the copies that it has of the topics with members here.
//!
//! ```text
//!   Link::keep ──▶ Appends ──▶ store ──▶ the topic's channel, on all nodes
//!   Pump ──▶ Mirror: the next one? ──▶ Program::deliver_stored
//!             └─ no: read what is missing, once for all ──▶ store
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use lapwing_cluster::{
    Channel, Key,
    wire::{Kept, Message, PayloadKind, Place, Publish, WireLimits},
};
use lapwing_cluster_driver::{
    self as driver,
    store::{PAGE_ENTRIES_MAX, Page, Refused, Store, StoreError},
};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, oneshot},
    task::AbortHandle,
    time::sleep,
};

use super::{
    Program, Stored,
    appends::{Appends, Full},
    info::StoreStats,
    mirror::{Mirror, Step},
    pages::{bounds, read_all},
    tally::Tally,
};
use crate::{
    occasionally::{Occasionally, occasionally},
    protocol::{Payload, RawJson, event},
    topic::Topic,
    topics::{
        broadcast::{Broadcast, ChannelId},
        gap::{Gap, GapCause},
        history::CHECK_BITS,
        keep::Keep,
        log::Offset,
        position::Position,
        published::Sent,
    },
};

/// Topics that are read at once, so that an engine that came back is not asked for all of them in one moment.
const READS_MAX: usize = 32;

/// How often each topic with members is compared with the store, whatever is heard: what is lost without a trace is found, and the store does not
/// forget where a topic stands on which nothing is said.
const COMPARE_INTERVAL: Duration = Duration::from_secs(15 * 60);

/// The first and the longest pause before the store is read again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Broadcasts whose sender is passed by when they come back. Of more, senders hear the oldest themselves.
const SENDERS_MAX: usize = 16_384;

pub(super) struct Keeper {
    cluster: driver::Cluster,
    store: Arc<dyn Store>,
    runtime: Handle,
    program: OnceLock<Weak<dyn Program>>,
    appends: Arc<Appends>,
    tally: Arc<Tally>,
    /// The topics with members here.
    topics: Mutex<HashMap<Topic, Claimed>>,
    reads: Semaphore,
    /// The joins that broadcasts of this node are not for, and the topics of these, by the broadcast's number.
    senders: Mutex<BTreeMap<u64, (Topic, ChannelId)>>,
    comparing: Mutex<Option<AbortHandle>>,
    /// Of the log lines about entries that cannot be read.
    unreadable: Occasionally,
    /// Of the log lines about a store that does not answer.
    away: Occasionally,
}

struct Claimed {
    claims: usize,
    copy: Arc<Copied>,
}

/// This node's copy of a topic.
struct Copied {
    topic: Topic,
    keep: Keep,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mirror: Mirror,
    /// Who waits for the end of which read.
    waiting: Vec<(u64, oneshot::Sender<()>)>,
    /// Nobody needs it any more, or another has taken its place.
    is_over: bool,
}

/// The end of a read that is waited for.
pub(super) type Reading = oneshot::Receiver<()>;

impl Keeper {
    /// `appends_bytes_max` is what may wait for the store.
    pub(super) fn new(
        cluster: driver::Cluster,
        store: Arc<dyn Store>,
        runtime: Handle,
        appends_bytes_max: usize,
    ) -> Arc<Self> {
        let tally = Arc::<Tally>::default();
        let appends = Arc::new(Appends::new(cluster.instance(), appends_bytes_max, Arc::clone(&tally)));
        Arc::new(Self {
            cluster,
            store,
            runtime,
            program: OnceLock::new(),
            appends,
            tally,
            topics: Mutex::default(),
            reads: Semaphore::new(READS_MAX),
            senders: Mutex::default(),
            comparing: Mutex::new(None),
            unreadable: Occasionally::new(),
            away: Occasionally::new(),
        })
    }

    /// Begins to give to the store, and to compare with it.
    pub(super) fn begin(self: &Arc<Self>, program: Weak<dyn Program>) {
        if self.program.set(program).is_err() {
            return;
        }
        self.runtime.spawn(Arc::clone(&self.appends).run(Arc::clone(&self.store)));
        let here = Arc::downgrade(self);
        let comparing = self.runtime.spawn(async move {
            loop {
                sleep(COMPARE_INTERVAL).await;
                let Some(keeper) = here.upgrade() else { return };
                keeper.compare();
            }
        });
        self.replace_comparing(comparing.abort_handle());
    }

    /// Gives a broadcast to the store. It is delivered when it comes back from there.
    pub(super) fn append(&self, broadcast: &Broadcast, keep: Keep) -> Result<Sent, Full> {
        let Broadcast { topic, event, from, .. } = broadcast;
        let (kind, bytes) = bytes_of(broadcast);
        let channel = self.channel(topic);
        let entry = |number: u64| {
            let (topic, event) = (topic.as_str().into(), event.as_str().into());
            // What has a place is given to everybody: a policy for slow clients would not count.
            let publish =
                Publish { number, prev: number - 1, topic, event, kind, slow: None, payload: bytes };
            self.cluster
                .seal(broadcast.topic.as_str(), Message::Publish(publish).encode(self.cluster.instance()))
        };
        // Where nobody here has the topic it does not come back, and passes nobody by.
        let from = from.filter(|_| self.topics().contains_key(topic));
        // Locked until the sender is known: the broadcast may come back before this returns.
        let mut senders = self.senders();
        let number = self.appends.push((topic, channel), bounds(keep), entry)?;
        if let Some(from) = from {
            senders.insert(number, (topic.clone(), from));
            if senders.len() > SENDERS_MAX {
                senders.pop_first();
            }
        }
        drop(senders);
        Ok(if self.appends.is_up() { Sent::Now } else { Sent::Later })
    }

    /// Whether a broadcast that is to pass this join by has not come back.
    pub(super) fn is_keeping_for(&self, join: ChannelId) -> bool {
        self.senders().values().any(|(_, sender)| *sender == join)
    }

    /// A member more has a topic. What is returned ends when this node has a copy of it; nothing if it has.
    pub(super) fn claim(self: &Arc<Self>, topic: &Topic, keep: Keep) -> Option<Reading> {
        let mut topics = self.topics();
        if let Some(claimed) = topics.get_mut(topic) {
            claimed.claims += 1;
            let copy = Arc::clone(&claimed.copy);
            // Not with the table locked: the topic may be in the middle of a fan-out.
            drop(topics);
            return copy.state().wait_for(1);
        }
        let copy = Arc::new(Copied { topic: topic.clone(), keep, state: Mutex::default() });
        topics.insert(topic.clone(), Claimed { claims: 1, copy: Arc::clone(&copy) });
        drop(topics);
        let reading = copy.state().wait_for(1);
        // What is published from the moment of the read on has to come.
        let confirmation = self.cluster.subscribe(topic);
        let here = Arc::downgrade(self);
        self.runtime.spawn(async move {
            let is_confirmed = confirmation.await.is_ok();
            let Some(keeper) = here.upgrade() else { return };
            keeper.cluster.unsubscribe(&copy.topic);
            // Where it is refused the join is, too.
            if is_confirmed {
                keeper.verify(&copy);
            }
        });
        reading
    }

    /// A member less has a topic.
    pub(super) fn release(&self, topic: &Topic) {
        let mut topics = self.topics();
        let Some(claimed) = topics.get_mut(topic) else { return };
        claimed.claims -= 1;
        if claimed.claims > 0 {
            return;
        }
        let Some(Claimed { copy, .. }) = topics.remove(topic) else { return };
        drop(topics);
        self.senders().retain(|_, (of, _)| of != topic);
        let mut state = copy.state();
        state.is_over = true;
        state.waiting.clear();
        drop(state);
        let topics = self.topics();
        // Whoever has claimed it meanwhile reads it anew, and that takes the place of what is there.
        if !topics.contains_key(topic) {
            self.program().inspect(|program| program.forget_stored(topic));
        }
    }

    /// Reads a topic that has members. What is returned ends when that is done.
    pub(super) fn reread(self: &Arc<Self>, topic: &Topic) -> Option<Reading> {
        let copy = self.copy(topic)?;
        let number = self.verify(&copy)?;
        copy.state().wait_for(number)
    }

    /// Something that the store keeps was published.
    pub(super) fn handle_kept(self: &Arc<Self>, key: Key, kept: Kept) {
        // The topic is in what may be sealed; what cannot be opened is of nobody.
        let Some((_, publish)) = self.open(key, &kept) else { return };
        let Some(copy) = self.copy(&Topic::from(String::from(publish.topic))) else { return };
        let mut state = copy.state();
        let mut steps = Vec::new();
        state.mirror.handle_kept(kept, |number| self.check_at(&copy.topic, number), &mut steps);
        self.take(&copy, &mut state, steps);
    }

    /// The engine is there, or is away.
    pub(super) fn handle_reach(self: &Arc<Self>, is_up: bool) {
        self.appends.set_up(is_up);
        if !is_up {
            return;
        }
        // Once everything is delivered again: what is published behind the read has to come.
        let (here, cluster) = (Arc::downgrade(self), self.cluster.clone());
        let waiting = self.runtime.spawn(async move {
            cluster.ready().await;
            drop(cluster);
            loop {
                let Some(keeper) = here.upgrade() else { return };
                keeper.compare();
                drop(keeper);
                sleep(COMPARE_INTERVAL).await;
            }
        });
        self.replace_comparing(waiting.abort_handle());
    }

    /// Compares all topics with members with the store.
    pub(super) fn compare(self: &Arc<Self>) {
        let copies: Vec<_> = self.topics().values().map(|claimed| Arc::clone(&claimed.copy)).collect();
        for copy in copies {
            self.verify(&copy);
        }
    }

    /// Reads what stands behind a place of any topic, a page at a time; no more than `entries_max` for a topic where that is 0.
    pub(super) async fn read(
        &self,
        topic: &Topic,
        keep: Keep,
        after: Option<Place>,
        entries_max: usize,
    ) -> Result<Page, StoreError> {
        let read = read_all(&*self.store, (topic, self.channel(topic)), keep, after, entries_max).await;
        self.tally.read(&read);
        read
    }

    /// What the store keeps as broadcasts of a topic.
    pub(super) fn broadcasts(&self, topic: &Topic, entries: &[Kept]) -> Vec<Arc<Broadcast>> {
        entries.iter().filter_map(|kept| Some(Arc::new(self.stored(topic, kept)?.0.broadcast))).collect()
    }

    /// What is counted of the store.
    pub(super) fn stats(&self) -> StoreStats {
        self.tally.stats(self.appends.waiting())
    }

    /// Waits until the store has everything that was given to it.
    pub(super) async fn drained(&self) {
        self.appends.drained().await;
    }

    /// What waits then is given to the store once more at most.
    pub(super) fn close(&self) {
        self.appends.close();
    }

    fn verify(self: &Arc<Self>, copy: &Arc<Copied>) -> Option<u64> {
        let mut state = copy.state();
        if state.is_over {
            return None;
        }
        let mut steps = Vec::new();
        let number = state.mirror.verify(&mut steps);
        self.take(copy, &mut state, steps);
        Some(number)
    }

    /// Does what is to be done, in order, with the topic's place locked: so members see one order.
    fn take(self: &Arc<Self>, copy: &Arc<Copied>, state: &mut State, steps: Vec<Step>) {
        let Some(program) = self.program().filter(|_| !state.is_over) else { return };
        let topic = &copy.topic;
        for step in steps {
            match step {
                Step::Restart(mut place, entries) => {
                    let mut stored = Vec::with_capacity(entries.len());
                    for kept in entries {
                        match self.broadcast(topic, &kept) {
                            Some(broadcast) => stored.push(broadcast),
                            // What is remembered begins behind it.
                            None => {
                                place = kept.place;
                                stored.clear();
                            }
                        }
                    }
                    program.restart_stored(topic, position(place), stored);
                    self.forget_senders(topic);
                }
                Step::Gap(refused) => {
                    self.forget_senders(topic);
                    self.tell(&*program, topic, refused);
                }
                Step::Deliver(kept) => match self.broadcast(topic, &kept) {
                    Some(stored) => program.deliver_stored(stored),
                    None => {
                        self.forget_senders(topic);
                        // Its place is taken all the same, and nobody can be given what is in it.
                        program.restart_stored(topic, position(kept.place), Vec::new());
                        self.tell(&*program, topic, Refused::Trimmed);
                    }
                },
                Step::Read(after) => {
                    let reading =
                        read_for(Arc::downgrade(self), Arc::clone(&self.store), Arc::clone(copy), after);
                    self.runtime.spawn(reading);
                }
            }
        }
    }

    /// What was read for a topic.
    fn handle_page(self: &Arc<Self>, copy: &Arc<Copied>, page: Page) {
        let mut state = copy.state();
        let (mut steps, end) = (Vec::new(), page.end().number);
        state.mirror.handle_page(page, |number| self.check_at(&copy.topic, number), &mut steps);
        let is_read = |step: &&Step| matches!(step, Step::Deliver(kept) if kept.place.number <= end);
        self.tally.healed(steps.iter().filter(is_read).count());
        self.take(copy, &mut state, steps);
        let reads = state.mirror.reads();
        for (_, waiting) in state.waiting.extract_if(.., |(number, _)| *number <= reads) {
            // Who gave up has dropped the other end.
            let _ = waiting.send(());
        }
    }

    /// Members missed something that the store does not have any more.
    fn tell(&self, program: &dyn Program, topic: &Topic, refused: Refused) {
        self.tally.gap(refused);
        let cause = match refused {
            Refused::Epoch => GapCause::StoreLost,
            Refused::Trimmed => GapCause::Trimmed,
        };
        tracing::warn!(topic = %lapwing_transports::quoted::Quoted::new(topic), %cause, "broadcasts of a kept topic are lost");
        program.tell_gap(&Arc::new(Gap { topic: topic.clone(), node: "".into(), cause }));
    }

    /// An entry as it was published, and by whom.
    fn open(&self, key: Key, kept: &Kept) -> Option<(lapwing_cluster::Instance, Publish)> {
        let entry = self.cluster.open(key, &kept.entry)?;
        match Message::decode(&entry, &WireLimits::default()) {
            Ok((from, Message::Publish(publish))) => Some((from, publish)),
            _ => {
                occasionally!(self.unreadable, warn, "the store has an entry that cannot be read");
                None
            }
        }
    }

    /// An entry of a topic as it is given out here, which happens once.
    fn broadcast(&self, topic: &Topic, kept: &Kept) -> Option<Stored> {
        let (mut stored, number) = self.stored(topic, kept)?;
        if stored.is_own {
            stored.broadcast.from = self.senders().remove(&number).map(|(_, from)| from);
        }
        Some(stored)
    }

    /// What the store has of this node's on a topic may not come back any more. What it does not have yet does.
    fn forget_senders(&self, topic: &Topic) {
        let first = self.appends.first_waiting();
        self.senders().retain(|number, (of, _)| of != topic || first.is_some_and(|first| *number >= first));
    }

    /// An entry of a topic as a broadcast, with the number that its publisher gave it; none of what no node of this library's has published.
    fn stored(&self, topic: &Topic, kept: &Kept) -> Option<(Stored, u64)> {
        let (publisher, publish) = self.open(self.cluster.key(topic), kept)?;
        let Publish { number, topic: named, event, kind, payload, .. } = publish;
        if *named != *topic.as_str() || event::is_reserved(&event) || event::is_of_presence(&event) {
            return None;
        }
        let payload = match kind {
            PayloadKind::Binary | PayloadKind::BinaryAsItIs => Payload::Binary(payload),
            PayloadKind::Json | PayloadKind::JsonAsItIs => {
                Payload::Json(RawJson::new(str::from_utf8(&payload).ok()?).ok()?)
            }
        };
        let mut broadcast = Broadcast::new(topic, &*event, payload);
        broadcast.position = Some(position(kept.place));
        broadcast.is_uncompressed = matches!(kind, PayloadKind::JsonAsItIs | PayloadKind::BinaryAsItIs);
        let is_own = publisher == self.cluster.instance();
        Some((Stored { broadcast, before: kept.before.into(), is_own }, number))
    }

    fn check_at(&self, topic: &Topic, number: u64) -> Option<u32> {
        // Checks have fewer bits than that.
        self.program()?.check_at(topic, number).map(|check| check as u32)
    }

    fn copy(&self, topic: &Topic) -> Option<Arc<Copied>> {
        self.topics().get(topic).map(|claimed| Arc::clone(&claimed.copy))
    }

    fn program(&self) -> Option<Arc<dyn Program>> {
        self.program.get()?.upgrade()
    }

    /// Where what is kept of a topic is published.
    fn channel(&self, topic: &str) -> Channel {
        Channel::Topics(self.cluster.key(topic))
    }

    fn replace_comparing(&self, new: AbortHandle) {
        let old = self.comparing.lock().unwrap_or_else(PoisonError::into_inner).replace(new);
        old.inspect(AbortHandle::abort);
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<Topic, Claimed>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn senders(&self) -> MutexGuard<'_, BTreeMap<u64, (Topic, ChannelId)>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.appends.close();
        self.comparing.lock().unwrap_or_else(PoisonError::into_inner).take().inspect(AbortHandle::abort);
    }
}

impl Copied {
    fn state(&self) -> MutexGuard<'_, State> {
        // A serializer of the user's may panic under this lock, and members have one order all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The end of a read; nothing if it is over.
    fn wait_for(&mut self, read: u64) -> Option<Reading> {
        if self.mirror.reads() >= read {
            return None;
        }
        // Those who gave up leave their place when somebody comes after them.
        self.waiting.retain(|(_, waiting)| !waiting.is_closed());
        let (ends, reading) = oneshot::channel();
        self.waiting.push((read, ends));
        Some(reading)
    }
}

/// Reads for a topic until there is an answer, or nobody needs it any more. Nothing is kept alive by waiting.
async fn read_for(here: Weak<Keeper>, store: Arc<dyn Store>, copy: Arc<Copied>, after: Option<Place>) {
    let mut pause = PAUSES.0;
    loop {
        let Some(keeper) = here.upgrade().filter(|_| !copy.state().is_over) else { return };
        let permit = keeper.reads.acquire().await;
        let topic = (&copy.topic, keeper.channel(&copy.topic));
        let read = read_all(&*store, topic, copy.keep, after, PAGE_ENTRIES_MAX).await;
        drop(permit);
        keeper.tally.read(&read);
        match read {
            Ok(page) => return keeper.handle_page(&copy, page),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                occasionally!(keeper.away, warn, %error, cause, "kept topics cannot be read");
            }
        }
        drop(keeper);
        sleep(pause).await;
        pause = (2 * pause).min(PAUSES.1);
    }
}

/// A place as clients hold it.
pub(super) fn position(place: Place) -> Position {
    let offset = Offset(place.number << CHECK_BITS | u64::from(place.check));
    Position { epoch: place.epoch, offset }
}

/// A position as the store knows it.
pub(super) fn place(position: Position) -> Place {
    let Offset(offset) = position.offset;
    let check = (offset & ((1 << CHECK_BITS) - 1)) as u32;
    Place { epoch: position.epoch, number: offset >> CHECK_BITS, check }
}

/// The payload of a broadcast as other nodes take it.
pub(super) fn bytes_of(broadcast: &Broadcast) -> (PayloadKind, Bytes) {
    match (&broadcast.payload, broadcast.is_uncompressed) {
        (Payload::Json(json), is_uncompressed) => {
            let kind = if is_uncompressed { PayloadKind::JsonAsItIs } else { PayloadKind::Json };
            (kind, Bytes::copy_from_slice(json.as_str().as_bytes()))
        }
        (Payload::Binary(bytes), true) => (PayloadKind::BinaryAsItIs, bytes.clone()),
        (Payload::Binary(bytes), false) => (PayloadKind::Binary, bytes.clone()),
    }
}
