//! A node's way to the others.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use lapwing_cluster::{Instance, wire::PayloadKind};
use lapwing_cluster_driver as driver;
use tokio::{runtime::Handle, task::JoinHandle, time::timeout};

use super::{
    Program,
    error::{NotConfirmed, TooLarge},
    info::{ClusterInfo, ClusterStats, NodeInfo},
    options::Hasher,
    pump::Pump,
    question::{Everywhere, Question},
};
pub(crate) use super::{asking::Asking, options::Cluster};
use crate::{
    occasionally::{Occasionally, occasionally},
    protocol::Payload,
    topics::{broadcast::Broadcast, published::Sent},
};

/// Bytes of a topic or an event at most, as other nodes take them.
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
    runtime: Handle,
    /// What comes from the others, before anybody hears it.
    unheard: Mutex<Option<(driver::Events, Hasher)>>,
    /// Hands what comes to the program; ends with the driver.
    pump: Mutex<Option<JoinHandle<()>>>,
}

impl Link {
    pub(crate) fn new(cluster: Cluster) -> Self {
        let Cluster { name, cluster, events, runtime, hasher, join_timeout, call_timeout } = cluster;
        Self {
            cluster,
            name,
            is_draining: AtomicBool::new(false),
            join_timeout,
            call_timeout,
            runtime,
            unheard: Mutex::new(Some((events, hasher))),
            pump: Mutex::new(None),
        }
    }

    /// Begins to hear the others.
    pub(crate) fn begin(&self, program: Weak<dyn Program>) {
        let unheard = self.unheard.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((events, hasher)) = unheard {
            let pump = self.runtime.spawn(Pump::new(hasher, program).run(events));
            *self.pump.lock().unwrap_or_else(PoisonError::into_inner) = Some(pump);
        }
    }

    /// The number of this node's start.
    pub(crate) fn number(&self) -> u64 {
        self.cluster.instance().0
    }

    /// This node's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Sends messages about who is present, to one node or to all.
    pub(crate) fn presence_sender(&self) -> Arc<dyn Fn(Option<u64>, Bytes) + Send + Sync> {
        let cluster = self.cluster.clone();
        Arc::new(move |to, bytes| cluster.send_presence(to.map(Instance), bytes))
    }

    /// Gives a broadcast to the other nodes.
    pub(crate) fn publish(&self, broadcast: &Broadcast) -> Result<Sent, TooLarge> {
        let Broadcast { topic, event, payload, .. } = broadcast;
        check("topic", topic.len(), TEXT_BYTES_MAX)?;
        check("event", event.len(), TEXT_BYTES_MAX)?;
        check("payload", payload.size(), PAYLOAD_BYTES_MAX)?;
        let (kind, bytes) = match payload {
            Payload::Json(json) => (PayloadKind::Json, Bytes::copy_from_slice(json.as_str().as_bytes())),
            Payload::Binary(bytes) => (PayloadKind::Binary, bytes.clone()),
        };
        Ok(match self.cluster.publish(topic, event, kind, bytes) {
            lapwing_cluster::Sent::Now => Sent::Now,
            lapwing_cluster::Sent::Later => Sent::Later,
            lapwing_cluster::Sent::Here => Sent::Here,
        })
    }

    /// A subscriber more has this topic. What is returned is to be waited for; nothing where the engine delivers the topic already.
    pub(crate) fn subscribe(&self, topic: &str) -> Option<Wanted> {
        let confirmation = self.cluster.subscribe(topic);
        (!confirmation.is_there()).then_some(Wanted { confirmation, within: self.join_timeout })
    }

    /// A subscriber less has this topic.
    pub(crate) fn unsubscribe(&self, topic: &str) {
        self.cluster.unsubscribe(topic);
    }

    /// The others are told that this node is about to go.
    pub(crate) fn begin_drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        self.cluster.begin_drain();
    }

    /// Asks all other nodes that live, at once.
    pub(crate) fn ask(&self, question: &Question) -> Asking {
        let names = self.cluster.peers().into_iter().map(|(node, peer)| (node, peer.name)).collect();
        // What it consists of can be written.
        let body = serde_json::to_vec(question).unwrap_or_default();
        Asking::new(Box::pin(self.cluster.call(None, body.into(), self.call_timeout)), names)
    }

    /// The same when nobody waits: who does not answer is in the log.
    pub(crate) fn tell(&self, question: &Question) {
        let asking = self.ask(question);
        self.runtime.spawn(async move {
            let Everywhere { missing, .. } = asking.answered(0).await;
            if !missing.is_empty() {
                occasionally!(UNHEARD, warn, nodes = ?missing, "these nodes did not say that they ended connections or joins");
            }
        });
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
        ClusterStats { is_ready: self.is_ready(), ..ClusterStats::of(&self.cluster) }
    }

    /// Says goodbye, and ends what [`begin`](Self::begin) started.
    pub(crate) async fn shutdown(&self, within: Duration) {
        self.cluster.shutdown(within).await;
        let pump = self.pump.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(pump) = pump {
            // A panic in it was reported by the runtime.
            let _ = pump.await;
        }
    }
}

fn check(what: &'static str, bytes: usize, bytes_max: usize) -> Result<(), TooLarge> {
    if bytes > bytes_max { Err(TooLarge { what, bytes, bytes_max }) } else { Ok(()) }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// A subscription that the engine has not confirmed.
#[derive(Debug)]
pub(crate) struct Wanted {
    confirmation: driver::Confirmation,
    within: Duration,
}

impl Wanted {
    /// Waits for the engine, as long as a join does. Cancel safe; may be called again after [`NotConfirmed::Late`] alone.
    pub(crate) async fn wait(&mut self) -> Result<(), NotConfirmed> {
        match timeout(self.within, &mut self.confirmation).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(driver::NotConfirmed::Refused)) => Err(NotConfirmed::Refused),
            Ok(Err(_)) => Err(NotConfirmed::Ended),
            Err(_) => Err(NotConfirmed::Late),
        }
    }
}
