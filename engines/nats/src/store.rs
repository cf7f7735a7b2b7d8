//! Topics that are kept in a stream. Nothing runs in the server, so a node says itself which place an entry has: the one behind the topic's newest.
//! The stream takes it if that is still the newest, and publishes it; if not, another node was faster, and the place is looked up anew.
//!
//! ```text
//!   append ─ the newest? ─▶ … 41 ─▶ "42, if 41 is the last" "43, if 42 is directly before it" ─▶ taken, published
//!                                                          └─▶ not taken: the newest? ─▶ … 42 ─▶ "43, if 42 …"
//!          on several servers: "42, if it is the stream's 100th", as they take two at once that are to stand behind the same one of a topic
//!   read ─── the newest? ─▶ 43 ─ eight before it ─▶ 42 … 35 ─ eight before those ─▶ … as far as it is kept
//! ```

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use lapwing_cluster::wire::Place;
use lapwing_cluster_driver::{
    ConnectError,
    store::{Append, Doing, Found, Page, Read, Store, StoreError, count},
};
use tokio::time::{Instant, sleep};

use crate::{
    jetstream::{Behind, JetStream, Message, Put, now_ms},
    servers::Servers,
    standing::{Entry, Next, Standing},
    stream::{KeptStream, Limits},
    subjects::Subjects,
};

/// Topics of which it is remembered where they stand, so that an append need not look first. Beyond it all are forgotten.
const STANDINGS_MAX: usize = 2_048;

/// Entries of a topic that are given to the stream at once, each to stand directly behind the one before it there.
const RUN_MAX: usize = 64;

/// How often in a row others may be faster, until the queue is tried again later.
const CONFLICTS_MAX: u32 = 256;

/// For how long a node appends to topics of others without a pause, and how long that is: in it a node farther away from the server has its turn.
const TURN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(4));

/// What counts as a pause of itself.
const PAUSE_MIN: Duration = Duration::from_millis(4);

/// The topics that an application keeps in a NATS.
pub(crate) struct NatsStore {
    subjects: Subjects,
    stream: KeptStream,
    /// The connection, and whom to ask for another one.
    connected: tokio::sync::Mutex<(Servers, Option<Arc<Connected>>)>,
}

struct Connected {
    jetstream: JetStream,
    /// Where topics stood when this node appended last.
    standings: Mutex<HashMap<Box<str>, Standing>>,
    /// Of a stream that several servers have: its last sequence at which topics stood so; none if it is not known. Who appends has it locked.
    end: tokio::sync::Mutex<Option<u64>>,
    busy: Mutex<Busy>,
}

/// Since when appends follow on each other, and when the last one ended.
struct Busy {
    since: Instant,
    last: Instant,
}

/// A topic's entries that are to be appended.
struct Queue<'a> {
    topic: &'a str,
    subject: String,
    entries: VecDeque<&'a Append>,
    standing: Option<Standing>,
    /// How often in a row another node was faster.
    conflicts: u32,
}

impl NatsStore {
    pub(crate) fn new(servers: Servers, subjects: Subjects, stream: KeptStream) -> Self {
        Self { subjects, stream, connected: tokio::sync::Mutex::new((servers, None)) }
    }

    /// The connection that there is, or a new one; with a stream that keeps as much as is needed.
    async fn connected(&self, needed: Limits) -> Result<Arc<Connected>, StoreError> {
        let mut connected = self.connected.lock().await;
        let (servers, there) = &mut *connected;
        if let Some(there) = there.as_ref().filter(|there| !there.jetstream.is_lost()) {
            return Ok(Arc::clone(there));
        }
        let opened = JetStream::open(servers, self.subjects.clone(), &self.stream, needed).await;
        let jetstream = opened.map_err(|error| match error {
            ConnectError::Refused(why) => StoreError::Refused(why),
            ConnectError::Away(why) => StoreError::Away(why),
            error => StoreError::Away(error.into()),
        })?;
        let now = Instant::now();
        let busy = Mutex::new(Busy { since: now, last: now });
        let (standings, end) = (Mutex::default(), tokio::sync::Mutex::default());
        let new = Arc::new(Connected { jetstream, standings, end, busy });
        *there = Some(Arc::clone(&new));
        Ok(new)
    }

    /// Whatever went wrong, the next that is asked for is asked on another connection, when the stream is there again.
    async fn settled<T>(&self, there: &Arc<Connected>, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if done.is_err() {
            let connected = &mut self.connected.lock().await.1;
            connected.take_if(|connected| Arc::ptr_eq(connected, there));
        }
        done
    }

    async fn append_all(&self, appends: &[Append]) -> Result<(), StoreError> {
        let needed =
            appends.iter().map(|append| Limits::of(&append.bounds)).fold(Limits::default(), Limits::max);
        let there = self.connected(needed).await?;
        let done = self.append_to(&there, needed, appends).await;
        self.settled(&there, done).await
    }

    async fn append_to(
        &self,
        there: &Connected,
        needed: Limits,
        appends: &[Append],
    ) -> Result<(), StoreError> {
        there.jetstream.raise(needed).await?;
        let is_replicated = there.jetstream.is_replicated();
        let mut end = if is_replicated { Some(there.end.lock().await) } else { None };
        let mut queues = self.queues(there, appends)?;
        while !queues.is_empty() {
            if let Some(end) = end.as_deref_mut().filter(|end| end.is_none()) {
                *end = Some(there.begin_anew(&mut queues).await?);
            }
            there.look_up(&mut queues).await?;
            there.append_some(&mut queues, end.as_deref_mut()).await?;
            let (ended, left) = queues.into_iter().partition(|queue: &Queue<'_>| queue.entries.is_empty());
            there.remember(ended);
            queues = left;
        }
        Ok(())
    }

    /// The entries of each topic, in their order.
    fn queues<'a>(&self, there: &Connected, appends: &'a [Append]) -> Result<Vec<Queue<'a>>, StoreError> {
        let mut queues: Vec<Queue<'a>> = Vec::new();
        let mut at: HashMap<&str, usize> = HashMap::new();
        for append in appends {
            let topic = &*append.topic;
            if let Some(index) = at.get(topic) {
                let entries = &mut queues[*index].entries;
                let is_newer =
                    |last: &&Append| last.publisher != append.publisher || last.number < append.number;
                if entries.back().is_none_or(is_newer) {
                    entries.push_back(append);
                }
                continue;
            }
            let subject = self.subjects.topic(append.channel, topic).ok_or_else(too_long)?;
            let standing = there.standings().remove(topic);
            at.insert(topic, queues.len());
            queues.push(Queue { topic, subject, entries: VecDeque::from([append]), standing, conflicts: 0 });
        }
        Ok(queues)
    }

    async fn read_page(&self, read: &Read) -> Result<Page, StoreError> {
        let needed = Limits::of(&read.bounds);
        let there = self.connected(needed).await?;
        let done = self.read_from(&there.jetstream, needed, read).await;
        self.settled(&there, done).await
    }

    async fn read_from(
        &self,
        jetstream: &JetStream,
        needed: Limits,
        read: &Read,
    ) -> Result<Page, StoreError> {
        jetstream.raise(needed).await?;
        let top = match self.subjects.topic(read.channel, &read.topic) {
            Some(subject) => jetstream.last(&[subject]).await?.pop().flatten().as_ref().and_then(entry),
            // On such a one nobody can publish.
            None => None,
        };
        let top_at = match &top {
            Some(top) => top.kept.place,
            None => Place { epoch: jetstream.epoch().await?, ..Place::default() },
        };
        let after = beginning(jetstream, read.after, top_at.epoch).await?;
        let refused = match Page::new(
            after,
            read.entries_max,
            find(jetstream, read, top_at, top.as_ref(), after).await?,
        ) {
            Ok(page) => return Ok(page),
            Err(refused) => refused,
        };
        match Page::new(None, read.entries_max, find(jetstream, read, top_at, top.as_ref(), None).await?) {
            Ok(page) => Ok(Page { refused: Some(refused), ..page }),
            Err(_) => unreachable!("no place was asked for"),
        }
    }
}

impl Connected {
    /// Others have appended to a stream that several servers have, so that any topic may stand elsewhere. Returns its last sequence, from before it is
    /// looked up where they do.
    async fn begin_anew(&self, queues: &mut [Queue<'_>]) -> Result<u64, StoreError> {
        self.standings().clear();
        queues.iter_mut().for_each(|queue| queue.standing = None);
        self.jetstream.last_sequence().await
    }

    /// Finds out where the topics stand of which it is not known.
    async fn look_up(&self, queues: &mut [Queue<'_>]) -> Result<(), StoreError> {
        let unknown: Vec<_> = queues.iter_mut().filter(|queue| queue.standing.is_none()).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let subjects: Vec<_> = unknown.iter().map(|queue| queue.subject.clone()).collect();
        let mut unused = None;
        for (queue, last) in unknown.into_iter().zip(self.jetstream.last(&subjects).await?) {
            let standing = match last.as_ref().and_then(entry) {
                Some(entry) => entry.standing,
                None => {
                    let epoch = match unused {
                        Some(epoch) => epoch,
                        None => *unused.insert(self.jetstream.epoch().await?),
                    };
                    // What somebody else has written there is in no order.
                    let sequence = last.map_or(0, |last| last.sequence);
                    Standing::unused(epoch, sequence)
                }
            };
            queue.standing = Some(standing);
        }
        Ok(())
    }

    /// Appends entries of each topic that it does not have. Of each, one at least is taken, or another node was faster. With an `end` all of them stand
    /// directly behind that, in the stream, and that behind them then.
    async fn append_some(
        &self,
        queues: &mut [Queue<'_>],
        end: Option<&mut Option<u64>>,
    ) -> Result<(), StoreError> {
        let hour = now_ms() / 3_600_000;
        let first = end.as_deref().copied().flatten();
        // Who is slower here is not known.
        let (mut puts, mut runs, mut is_shared) = (Vec::new(), Vec::new(), first.is_some());
        for queue in queues {
            let Some(standing) = &queue.standing else { continue };
            queue.entries.retain(|append| !standing.has(append.publisher, append.number));
            is_shared |= standing.is_shared(hour);
            let mut run: Vec<Next> = Vec::new();
            for append in queue.entries.iter().take(RUN_MAX) {
                let (before, behind) = match run.last() {
                    None => (standing, Behind::Last(standing.sequence)),
                    Some(before) => (before.standing(), Behind::Put),
                };
                let behind = match first {
                    None => behind,
                    Some(first) if puts.is_empty() => Behind::Stream(first),
                    Some(_) => Behind::Put,
                };
                let next = self.next(before, append, hour);
                let (subject, field) = (queue.subject.clone(), Some(next.field.clone()));
                puts.push(Put { subject, behind, field, payload: next.payload.clone() });
                run.push(next);
            }
            runs.push((queue, run));
        }
        let sequences = self.jetstream.put(puts).await?;
        if let Some(end) = end
            && !sequences.is_empty()
        {
            *end = sequences.iter().copied().collect::<Option<Vec<_>>>().and_then(|all| all.last().copied());
        }
        let mut sequences = sequences.into_iter();
        for (queue, run) in runs {
            queue.settle(run.into_iter().zip(&mut sequences).collect())?;
        }
        if is_shared {
            self.take_turns().await;
        }
        Ok(())
    }

    /// The next entry of a topic. One that the server does not take leaves its place empty, so that all nodes tell that something is missing.
    fn next(&self, standing: &Standing, append: &Append, hour: u64) -> Next {
        let next = standing.next(append, append.entry.clone(), hour);
        if self.jetstream.has_room_for(&next.field, &next.payload) {
            return next;
        }
        tracing::warn!(
            bytes = append.entry.len(),
            "a broadcast of a kept topic is larger than max_payload of the NATS"
        );
        standing.next(append, Bytes::new(), hour)
    }

    /// Pauses now and then. Who appends as fast as the server answers would leave no time to another node to look where the topic stands and to append
    /// behind that.
    async fn take_turns(&self) {
        let now = Instant::now();
        let is_over = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            if now - busy.last >= PAUSE_MIN {
                busy.since = now;
            }
            busy.last = now;
            now - busy.since >= TURN.0
        };
        if is_over {
            // Of two that pause at the same time one is back first.
            let more = getrandom::u64().map_or(0, |random| random % 4);
            sleep(TURN.1 + Duration::from_millis(more)).await;
        }
    }

    fn remember(&self, queues: Vec<Queue<'_>>) {
        let mut standings = self.standings();
        if standings.len() + queues.len() > STANDINGS_MAX {
            standings.clear();
        }
        for Queue { topic, standing, .. } in queues {
            standings.extend(standing.map(|standing| (topic.into(), standing)));
        }
    }

    fn standings(&self) -> MutexGuard<'_, HashMap<Box<str>, Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue<'_> {
    /// What became of entries that were given to the stream: with their sequences those that it took, which are the first ones.
    fn settle(&mut self, run: Vec<(Next, Option<u64>)>) -> Result<(), StoreError> {
        let (count, mut taken) = (run.len(), 0);
        let mut standing = None;
        for (next, sequence) in run {
            let Some(sequence) = sequence else { break };
            standing = Some(next.at(sequence));
            taken += 1;
        }
        self.entries.drain(..taken);
        match standing {
            Some(standing) => {
                // Others were faster behind it, if it is not all of them: that is seen when the next one is not taken.
                self.standing = Some(standing);
                self.conflicts = 0;
            }
            None if count > 0 => {
                self.standing = None;
                self.conflicts += 1;
            }
            None => {}
        }
        if self.conflicts > CONFLICTS_MAX {
            return Err(StoreError::Away("others append to the topic all the time".into()));
        }
        Ok(())
    }
}

impl Store for NatsStore {
    fn append<'a>(&'a self, appends: &'a [Append]) -> Doing<'a, ()> {
        Box::pin(self.append_all(appends))
    }

    fn read<'a>(&'a self, read: &'a Read) -> Doing<'a, Page> {
        Box::pin(self.read_page(read))
    }
}

impl fmt::Debug for NatsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsStore").field("stream", &self.subjects.stream()).finish_non_exhaustive()
    }
}

/// Goes back from the newest entry of a topic, as far as it is kept or to `after`. Of more than are wanted the oldest are found.
async fn find(
    jetstream: &JetStream,
    read: &Read,
    top_at: Place,
    top: Option<&Entry>,
    after: Option<Place>,
) -> Result<Found, StoreError> {
    let wanted = count(read.entries_max);
    let mut found = Found { top: top_at, entries: Vec::new(), is_all: wanted > 0 };
    let Some(top) = top.filter(|_| wanted > 0) else { return Ok(found) };
    let from = after.filter(|after| after.epoch == top_at.epoch).map_or(1, |after| after.number.max(1));
    let now_ms = now_ms();
    let mut window = VecDeque::new();
    let mut next = vec![top.clone()];
    while !next.is_empty() {
        let mut links = Vec::new();
        for entry in next {
            let number = entry.kept.place.number;
            if number < from || !entry.is_kept(&top.standing, &read.bounds, now_ms) {
                links.clear();
                break;
            }
            links = entry.links().to_vec();
            links.truncate(usize::try_from(number - from).unwrap_or(usize::MAX));
            window.push_front(entry.kept);
            if window.len() > wanted {
                window.pop_back();
                found.is_all = false;
            }
        }
        next = before(jetstream, &links, window.front().map(|kept| kept.place)).await?;
    }
    found.entries = window.into();
    Ok(found)
}

/// The entries at these sequences, which stand before a place, the nearest first; up to where one of them is gone.
async fn before(
    jetstream: &JetStream,
    links: &[u64],
    place: Option<Place>,
) -> Result<Vec<Entry>, StoreError> {
    let (Some(place), false) = (place, links.is_empty()) else { return Ok(Vec::new()) };
    let messages = jetstream.at(links).await?;
    let numbers = (1..place.number).rev();
    let entries = messages.into_iter().zip(numbers).map_while(|(message, number)| {
        entry(&message?)
            .filter(|entry| entry.kept.place.number == number && entry.kept.place.epoch == place.epoch)
    });
    Ok(entries.collect())
}

/// A place that is asked for, as one of the order that there is: before its first entry stands whoever has read the topic before that was used.
async fn beginning(
    jetstream: &JetStream,
    after: Option<Place>,
    epoch: u64,
) -> Result<Option<Place>, StoreError> {
    let Some(place) = after else { return Ok(None) };
    let is_before_all = (place.number, place.check) == (0, 0) && place.epoch != epoch;
    if is_before_all && jetstream.remembers(place.epoch).await? {
        return Ok(Some(Place { epoch, ..place }));
    }
    Ok(Some(place))
}

fn entry(message: &Message) -> Option<Entry> {
    Entry::read(message.sequence, message.ms, &message.head, &message.payload)
}

fn too_long() -> StoreError {
    StoreError::Refused("a topic's name has more than 1,024 bytes".into())
}
