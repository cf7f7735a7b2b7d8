//! A node's way to the others.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use lapwing_cluster::Instance;
use lapwing_cluster_driver::{
    self as driver, CallError,
    store::{PAGE_ENTRIES_MAX, Refused},
};
use lapwing_transports::elsewhere::Elsewhere;
use tokio::{runtime::Handle, task::JoinHandle, time::timeout};

use super::{
    Program,
    error::{NotConfirmed, NotKept, NotRead, TooLarge},
    going::Going,
    heirs::Heirs,
    info::{ClusterInfo, ClusterStats, NodeInfo, StoreStats},
    keeper::{self, Keeper, Reading, bytes_of},
    options::Hasher,
    owing::Owing,
    pump::{Hosts, Pump},
    question::{Everywhere, Question},
    relay::{Carrier, Host},
    slow,
};
pub(crate) use super::{asking::Asking, options::Cluster};
use crate::{
    occasionally::{Occasionally, occasionally},
    topic::Topic,
    topics::{
        broadcast::{Broadcast, ChannelId},
        heard::Origin,
        keep::Keep,
        position::Position,
        published::Sent,
    },
};

/// Bytes of a topic, an event or a policy's key at most, as other nodes take them.
const TEXT_BYTES_MAX: usize = 1_024;

/// Bytes of a payload at most, as other nodes take them.
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// Of the log lines about nodes that did not answer.
static UNHEARD: Occasionally = Occasionally::new();

pub(crate) struct Link {
    cluster: driver::Cluster,
    name: String,
    is_draining: AtomicBool,
    /// How long a join waits for the engine.
    join_timeout: Duration,
    call_timeout: Duration,
    /// Sessions go from one node to another.
    moves: bool,
    /// When one follows its stream.
    follow_after: Option<Duration>,
    runtime: Handle,
    /// Where topics are kept.
    keeper: Option<Arc<Keeper>>,
    /// The mounts, as others' requests find them.
    hosts: Hosts,
    /// Which nodes have sessions that have gone from others.
    heirs: Arc<Heirs>,
    /// Where its own sessions have gone.
    going: Going,
    /// Answers that their channels owe.
    owing: Owing,
    /// What comes from the others, before anybody hears it.
    unheard: Mutex<Option<(driver::Events, Hasher)>>,
    /// Hands what comes to the program; ends with the driver.
    pump: Mutex<Option<JoinHandle<()>>>,
}

impl Link {
    /// `keeps` says whether topics are kept, by the engine's store.
    pub(crate) fn new(cluster: Cluster, keeps: bool) -> Self {
        let Cluster {
            name,
            cluster,
            events,
            runtime,
            hasher,
            join_timeout,
            call_timeout,
            ring_bytes_max,
            moves,
            follow_after,
        } = cluster;
        let keeper = cluster
            .store()
            .filter(|_| keeps)
            .map(|store| Keeper::new(cluster.clone(), Arc::clone(store), runtime.clone(), ring_bytes_max));
        Self {
            cluster,
            keeper,
            name,
            is_draining: AtomicBool::new(false),
            join_timeout,
            call_timeout,
            moves,
            follow_after,
            runtime,
            hosts: Hosts::default(),
            heirs: Arc::new(Heirs::new()),
            going: Going::default(),
            owing: Owing::default(),
            unheard: Mutex::new(Some((events, hasher))),
            pump: Mutex::new(None),
        }
    }

    /// Begins to hear the others.
    pub(crate) fn begin(&self, program: Weak<dyn Program>) {
        let unheard = self.unheard.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((events, hasher)) = unheard {
            let keeper = self.keeper.as_ref().map_or_else(Weak::new, Arc::downgrade);
            self.keeper.as_ref().inspect(|keeper| keeper.begin(program.clone()));
            let pump = Pump::new((hasher, self.moves), program, keeper, self.hosts.clone());
            let pump = self.runtime.spawn(pump.run(events));
            *self.pump.lock().unwrap_or_else(PoisonError::into_inner) = Some(pump);
        }
    }

    /// The way to the other nodes for the requests of a mount.
    pub(crate) fn elsewhere(&self, mount: &str) -> Arc<dyn Elsewhere> {
        let follow_after = self.follow_after.filter(|_| self.moves);
        Arc::new(Carrier::new(self.cluster.clone(), mount, self.heirs.clone(), follow_after))
    }

    /// Answers what others carry here from now on.
    pub(crate) fn host(&self, host: Weak<dyn Host>) {
        self.hosts.get_or_init(|| host);
    }

    pub(super) fn cluster(&self) -> &driver::Cluster {
        &self.cluster
    }

    pub(super) fn cluster_runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Which nodes have sessions that have gone from others.
    pub(crate) fn heirs(&self) -> &Heirs {
        &self.heirs
    }

    /// Where this node's own sessions go.
    pub(crate) fn going(&self) -> &Going {
        &self.going
    }

    /// The number of this node's start.
    pub(crate) fn number(&self) -> u64 {
        self.cluster.instance().0
    }

    /// This node's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The name of another node that lives.
    pub(crate) fn name_of(&self, number: u64) -> Option<String> {
        self.cluster.peers().into_iter().find(|(node, _)| node.0 == number).map(|(_, peer)| peer.name)
    }

    /// Sends messages about who is present, to one node or to all.
    pub(crate) fn presence_sender(&self) -> Arc<dyn Fn(Option<u64>, Bytes) + Send + Sync> {
        let cluster = self.cluster.clone();
        Arc::new(move |to, bytes| cluster.send_presence(to.map(Instance), bytes))
    }

    /// Gives a broadcast to the other nodes. Says its place among this one's, if sessions go from one to the other.
    pub(crate) fn publish(&self, broadcast: &Broadcast) -> Result<(Sent, Option<Origin>), TooLarge> {
        check_all(broadcast)?;
        let policy = broadcast.slow.as_ref();
        check("policy", policy.map_or(0, slow::text_bytes), TEXT_BYTES_MAX)?;
        let Broadcast { topic, event, .. } = broadcast;
        let (kind, bytes) = bytes_of(broadcast);
        let (sent, number) =
            self.cluster.publish_numbered(topic, event, kind, policy.map(slow::written), bytes);
        let sent = match sent {
            lapwing_cluster::Sent::Now => Sent::Now,
            lapwing_cluster::Sent::Later => Sent::Later,
            lapwing_cluster::Sent::Here => Sent::Here,
        };
        Ok((sent, self.moves.then(|| Origin { node: self.number(), number })))
    }

    /// Whether sessions go from one node to another.
    pub(crate) fn moves_sessions(&self) -> bool {
        self.moves
    }

    /// Gives a broadcast on a kept topic to the store, from where it comes back to all nodes.
    pub(crate) fn keep(&self, broadcast: &Broadcast, keep: Keep) -> Result<Result<Sent, NotKept>, TooLarge> {
        check_all(broadcast)?;
        let Some(keeper) = &self.keeper else { return Ok(Err(NotKept)) };
        Ok(keeper.append(broadcast, keep).map_err(|_| NotKept))
    }

    /// Whether a broadcast to all but this join is on its way to the store or back.
    pub(crate) fn is_keeping_for(&self, join: ChannelId) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| keeper.is_keeping_for(join))
    }

    /// A join owes an answer. Returns whether that has to be known, and [`settle`](Self::settle) is to be called.
    pub(crate) fn owe(&self, join: ChannelId) -> bool {
        if self.moves {
            self.owing.add(join);
        }
        self.moves
    }

    /// The join owes one less.
    pub(crate) fn settle(&self, join: ChannelId) {
        self.owing.settle(join);
    }

    /// Whether it owes any.
    pub(crate) fn owes(&self, join: ChannelId) -> bool {
        self.owing.has(join)
    }

    /// A subscriber more has this topic, which may be kept. What is returned is to be waited for; nothing where the engine delivers the topic
    /// already, and this node has what is kept of it.
    pub(crate) fn subscribe(&self, topic: &Topic, keep: Option<Keep>) -> Option<Wanted> {
        let confirmation = self.cluster.subscribe(topic);
        let keeper = self.keeper.as_ref().zip(keep);
        let reading = keeper.and_then(|(keeper, keep)| keeper.claim(topic, keep));
        let is_there = confirmation.is_there() && reading.is_none();
        (!is_there).then_some(Wanted { confirmation: Some(confirmation), reading, within: self.join_timeout })
    }

    /// A subscriber less has this topic.
    pub(crate) fn unsubscribe(&self, topic: &Topic) {
        self.cluster.unsubscribe(topic);
        self.keeper.as_ref().inspect(|keeper| keeper.release(topic));
    }

    /// Has what is kept of a topic read again, if it has subscribers here.
    pub(crate) async fn reread(&self, topic: &Topic) -> Result<(), NotConfirmed> {
        let Some(reading) = self.keeper.as_ref().and_then(|keeper| keeper.reread(topic)) else {
            return Ok(());
        };
        match timeout(self.join_timeout, reading).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(NotConfirmed::Ended),
            Err(_) => Err(NotConfirmed::Late),
        }
    }

    /// Where the store stands with a topic.
    pub(crate) async fn position(&self, topic: &Topic, keep: Keep) -> Result<Position, NotRead> {
        let keeper = self.keeper.as_ref().ok_or(NotRead::Away)?;
        let read = timeout(self.call_timeout, keeper.read(topic, keep, None, 0)).await;
        let page = read.map_err(|_| NotRead::Away)?.map_err(|_| NotRead::Away)?;
        Ok(keeper::position(page.end()))
    }

    /// What the store keeps of a topic, behind a position or all of it; and the position before that.
    pub(crate) async fn read(
        &self,
        topic: &Topic,
        keep: Keep,
        after: Option<Position>,
    ) -> Result<Vec<Arc<Broadcast>>, NotRead> {
        let keeper = self.keeper.as_ref().ok_or(NotRead::Away)?;
        let read = keeper.read(topic, keep, after.map(keeper::place), PAGE_ENTRIES_MAX);
        let page = timeout(self.call_timeout, read).await.map_err(|_| NotRead::Away)?;
        let page = page.map_err(|_| NotRead::Away)?;
        match page.refused {
            None => Ok(keeper.broadcasts(topic, &page.entries)),
            Some(Refused::Epoch) => Err(NotRead::Epoch),
            Some(Refused::Trimmed) => Err(NotRead::Trimmed),
        }
    }

    /// The others are told that this node is about to go.
    pub(crate) fn begin_drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        self.cluster.begin_drain();
    }

    /// Asks all other nodes that live, at once.
    pub(crate) fn ask(&self, question: &Question) -> Asking {
        let (names, body) = (self.names(), body_of(question));
        Asking::new(Box::pin(self.cluster.call(None, body, self.call_timeout)), names)
    }

    /// The same when nobody waits: who does not answer is in the log.
    ///
    /// # Errors
    /// Nobody can be asked.
    pub(crate) fn tell(&self, question: &Question) -> Result<(), CallError> {
        let call = self.cluster.try_call(None, body_of(question), self.call_timeout)?;
        let asking = Asking::new(Box::pin(call), self.names());
        self.runtime.spawn(async move {
            let Everywhere { missing, .. } = asking.answered(0).await;
            if !missing.is_empty() {
                occasionally!(UNHEARD, warn, nodes = ?missing, "these nodes did not say that they ended connections or joins");
            }
        });
        Ok(())
    }

    /// The names of the other nodes that live.
    fn names(&self) -> HashMap<Instance, String> {
        self.cluster.peers().into_iter().map(|(node, peer)| (node, peer.name)).collect()
    }

    /// Whether the engine is there, and this node does not go down.
    pub(crate) fn is_ready(&self) -> bool {
        self.cluster.is_ready() && !self.is_draining.load(Ordering::Relaxed)
    }

    /// All that the driver counts.
    pub(crate) fn counts(&self) -> driver::Stats {
        self.cluster.stats()
    }

    /// What is known of the cluster.
    pub(crate) fn info(&self) -> ClusterInfo {
        let here = NodeInfo::new(self.name.clone(), self.is_draining.load(Ordering::Relaxed));
        ClusterInfo { is_ready: self.is_ready(), ..ClusterInfo::of(&self.cluster, here) }
    }

    /// The numbers of it.
    pub(crate) fn stats(&self) -> ClusterStats {
        ClusterStats {
            is_ready: self.is_ready(),
            store: self.store_stats(),
            ..ClusterStats::of(&self.cluster)
        }
    }

    /// How many broadcasts the store has not taken.
    pub(crate) fn unkept(&self) -> usize {
        self.store_stats().map_or(0, |store| store.waiting)
    }

    /// What is counted of the store, if topics are kept.
    pub(crate) fn store_stats(&self) -> Option<StoreStats> {
        self.keeper.as_ref().map(|keeper| keeper.stats())
    }

    /// Says goodbye, and ends what [`begin`](Self::begin) started.
    pub(crate) async fn shutdown(&self, within: Duration) {
        if let Some(keeper) = &self.keeper {
            // What the store does not have by then is lost, as is what the engine does not have.
            let _ = timeout(within, keeper.drained()).await;
            keeper.close();
        }
        self.cluster.shutdown(within).await;
        let pump = self.pump.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(pump) = pump {
            // A panic in it was reported by the runtime.
            let _ = pump.await;
        }
    }
}

/// Whether other nodes take a broadcast.
fn check_all(broadcast: &Broadcast) -> Result<(), TooLarge> {
    let Broadcast { topic, event, payload, .. } = broadcast;
    check("topic", topic.len(), TEXT_BYTES_MAX)?;
    check("event", event.len(), TEXT_BYTES_MAX)?;
    check("payload", payload.size(), PAYLOAD_BYTES_MAX)
}

fn check(what: &'static str, bytes: usize, bytes_max: usize) -> Result<(), TooLarge> {
    if bytes > bytes_max { Err(TooLarge { what, bytes, bytes_max }) } else { Ok(()) }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// A subscription that the engine has not confirmed, or a topic whose store has not been read.
#[derive(Debug)]
pub(crate) struct Wanted {
    confirmation: Option<driver::Confirmation>,
    reading: Option<Reading>,
    within: Duration,
}

impl Wanted {
    /// Waits for the engine, as long as a join does. Cancel safe; may be called again after [`NotConfirmed::Late`] alone.
    pub(crate) async fn wait(&mut self) -> Result<(), NotConfirmed> {
        let within = self.within;
        timeout(within, self.wait_on()).await.unwrap_or(Err(NotConfirmed::Late))
    }

    async fn wait_on(&mut self) -> Result<(), NotConfirmed> {
        if let Some(confirmation) = &mut self.confirmation {
            let confirmed = confirmation.await;
            self.confirmation = None;
            confirmed.map_err(|error| match error {
                driver::NotConfirmed::Refused => NotConfirmed::Refused,
                _ => NotConfirmed::Ended,
            })?;
        }
        if let Some(reading) = &mut self.reading {
            let read = reading.await;
            self.reading = None;
            read.map_err(|_| NotConfirmed::Ended)?;
        }
        Ok(())
    }
}
/// A question as other nodes read it.
fn body_of(question: &Question) -> Bytes {
    // What it consists of can be written.
    serde_json::to_vec(question).unwrap_or_default().into()
}
