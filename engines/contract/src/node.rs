//! A node whose program writes down what it hears.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use lapwing_cluster::{
    Gap, Instance, PeerEnd, Sent,
    wire::{Kept, PayloadKind},
};
use lapwing_cluster_driver::{Cluster, ClusterEvent, Engine, Events, Options, Relay};
use tokio::task::JoinHandle;

/// What a program heard.
#[derive(Debug, Default)]
pub struct Heard {
    /// Payloads by their publisher and topic.
    pub broadcasts: BTreeMap<(Instance, String), Vec<String>>,
    /// What a store has kept.
    pub kept: Vec<Kept>,
    /// Gaps that were told.
    pub gaps: Vec<Gap>,
    /// Nodes that came.
    pub ups: Vec<Instance>,
    /// Nodes that went.
    pub downs: Vec<(Instance, PeerEnd)>,
    /// Messages of presence.
    pub presence: Vec<(Instance, Bytes)>,
    /// How often the engine came.
    pub engine_ups: u32,
    /// How often it went.
    pub engine_downs: u32,
    /// How often something was asked.
    pub calls: u32,
    /// How many requests were carried here.
    pub relays: u32,
}

/// A node of a test.
pub struct TestNode {
    /// What the test says to it.
    pub cluster: Cluster,
    heard: Arc<Mutex<Heard>>,
    listener: JoinHandle<()>,
}

impl std::fmt::Debug for TestNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestNode").finish_non_exhaustive()
    }
}

impl TestNode {
    /// A node of the application "contract" that is ready. It answers each call with what is asked, in capitals; but to "hush" it says
    /// nothing. What is carried to it it sends back in capitals, its head first; where that is "hush", it says nothing.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(name: &str, engine: impl Engine) -> Self {
        Self::with(Options::new("contract").name(name), engine).await
    }

    /// The same with options.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn with(options: Options, engine: impl Engine) -> Self {
        let (cluster, events) = options.start(engine).await.unwrap_or_else(|error| panic!("{error:?}"));
        tokio::time::timeout(crate::PATIENCE, cluster.ready()).await.expect("a node becomes ready");
        Self::listening(cluster, events)
    }

    /// A node whose events nobody has heard yet.
    #[must_use]
    pub fn listening(cluster: Cluster, mut events: Events) -> Self {
        let heard = Arc::<Mutex<Heard>>::default();
        let writes = Arc::clone(&heard);
        let listener = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                writes.lock().unwrap().note(event);
            }
        });
        Self { cluster, heard, listener }
    }

    /// Publishes on a topic, as another node's members hear it.
    pub fn publish(&self, topic: &str, payload: &str) -> Sent {
        self.cluster.publish(topic, "said", PayloadKind::Json, None, payload.to_owned().into())
    }

    /// Has a member on a topic, and waits until it is confirmed.
    ///
    /// # Panics
    /// If it is not.
    pub async fn join(&self, topic: &str) {
        tokio::time::timeout(crate::PATIENCE, self.cluster.subscribe(topic)).await.unwrap().unwrap();
    }

    /// Whether the program was told that there is nothing more to hear.
    #[must_use]
    pub fn has_heard_all(&self) -> bool {
        self.listener.is_finished()
    }

    /// What was heard so far.
    ///
    /// # Panics
    /// If the program panicked.
    pub fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap()
    }

    /// What was heard of a node on a topic.
    pub fn heard_of(&self, from: &Self, topic: &str) -> Vec<String> {
        let key = (from.cluster.instance(), topic.to_owned());
        self.heard().broadcasts.get(&key).cloned().unwrap_or_default()
    }

    /// Waits until everybody knows everybody.
    pub async fn meet(nodes: &[&Self]) {
        for node in nodes {
            crate::eventually("the nodes know each other", || {
                node.cluster.peers().len() == nodes.len() - 1 && node.cluster.is_ready()
            })
            .await;
        }
    }

    /// Ends at once, without a word.
    pub fn die(self) {
        self.listener.abort();
        drop(self.cluster);
    }
}

impl Heard {
    fn note(&mut self, event: ClusterEvent) {
        match event {
            ClusterEvent::Broadcast { from, publish } => {
                let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
                self.broadcasts.entry((from, publish.topic.into())).or_default().push(payload);
            }
            ClusterEvent::Kept { kept, .. } => self.kept.push(kept),
            ClusterEvent::Gap(gap) => self.gaps.push(gap),
            ClusterEvent::PeerUp(peer, _) => self.ups.push(peer),
            ClusterEvent::PeerDown(peer, end) => self.downs.push((peer, end)),
            ClusterEvent::Presence { from, bytes } => self.presence.push((from, bytes)),
            ClusterEvent::Call(call) => {
                self.calls += 1;
                if call.body() != "hush" {
                    let answer = call.body().to_ascii_uppercase();
                    call.answer(answer.into());
                }
            }
            ClusterEvent::Relay { relay, head } => {
                self.relays += 1;
                tokio::spawn(answer(relay, head));
            }
            ClusterEvent::EngineUp => self.engine_ups += 1,
            ClusterEvent::EngineDown => self.engine_downs += 1,
            _ => {}
        }
    }
}

/// Says all that a relay brings in capitals, until one of both ends it.
async fn answer(relay: Relay, head: Bytes) {
    relay.used(head.len());
    let is_hushed = head == "hush";
    let mut next = Some(head);
    while let Some(bytes) = next {
        if !is_hushed && relay.send(bytes.to_ascii_uppercase().into()).await.is_err() {
            return;
        }
        next = match relay.recv().await {
            Ok(bytes) => bytes,
            Err(_) => return,
        };
        relay.used(next.as_ref().map_or(0, Bytes::len));
    }
    relay.finish();
}
