//! The task that hands what comes from other nodes to the program, one after the other.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, Weak},
};

use lapwing_cluster::{
    Instance, PeerEnd, Scope,
    wire::{PayloadKind, Publish},
};
use lapwing_cluster_driver::{ClusterEvent, Events};
use smol_str::{SmolStr, ToSmolStr as _};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::{
    Program,
    keeper::Keeper,
    options::Hasher,
    question::Question,
    relay::{Host, serve},
    slow,
};
use crate::{
    occasionally::{Occasionally, occasionally},
    protocol::{Payload, RawJson},
    topics::{
        broadcast::Broadcast,
        gap::{Gap, GapCause},
        heard::Origin,
    },
};

/// The mounts of this node, once there are any.
pub(super) type Hosts = Arc<OnceLock<Weak<dyn Host>>>;

pub(super) struct Pump {
    hasher: Hasher,
    /// Sessions go from one node to another: it counts how far their topics were heard.
    moves: bool,
    program: Weak<dyn Program>,
    /// Nothing where no topic is kept.
    keeper: Weak<Keeper>,
    hosts: Hosts,
    /// Requests that other nodes carry here; they end with the node.
    requests: JoinSet<()>,
    /// The names of the nodes that live, and of those that are remembered for what may still be told of them.
    names: HashMap<Instance, SmolStr>,
    /// Of the log lines about broadcasts that could not be read.
    unreadable: Occasionally,
}

/// Names are kept of so many nodes; those that are gone are forgotten beyond it.
const NAMES_MAX: usize = 1_024;

impl Pump {
    pub(super) fn new(
        (hasher, moves): (Hasher, bool),
        program: Weak<dyn Program>,
        keeper: Weak<Keeper>,
        hosts: Hosts,
    ) -> Self {
        let (names, requests) = (HashMap::new(), JoinSet::new());
        Self { hasher, moves, program, keeper, hosts, requests, names, unreadable: Occasionally::new() }
    }

    /// Runs until the node has ended, or the program is gone.
    pub(super) async fn run(mut self, mut events: Events) {
        while let Some(event) = events.next().await {
            let Some(program) = self.program.upgrade() else { return };
            match event {
                ClusterEvent::Broadcast { from, publish } => self.deliver(&*program, from, publish),
                ClusterEvent::Kept { key, kept } => {
                    self.keeper.upgrade().inspect(|keeper| keeper.handle_kept(key, kept));
                }
                ClusterEvent::Dropped => {
                    self.keeper.upgrade().inspect(Keeper::compare);
                }
                ClusterEvent::Gap(gap) => self.tell_gap(&*program, gap).await,
                ClusterEvent::PeerUp(peer, known) => {
                    program.handle_peer(peer.0);
                    self.hosts.get().and_then(Weak::upgrade).inspect(|host| host.handle_peer(peer.0));
                    info!(node = known.name, "a node is there");
                    if self.names.len() >= NAMES_MAX {
                        self.names.clear();
                    }
                    self.names.insert(peer, known.name.into());
                }
                ClusterEvent::PeerDown(peer, end) => {
                    program.handle_gone(peer.0, end == PeerEnd::Departed);
                    let node = self.name(peer);
                    match end {
                        PeerEnd::Departed => info!(%node, "a node has left"),
                        PeerEnd::Silent => warn!(%node, "a node is silent and counts as dead"),
                    }
                }
                ClusterEvent::Presence { from, bytes } => program.hear_presence(from.0, bytes),
                ClusterEvent::Settled => program.handle_settled(),
                ClusterEvent::EngineUp => {
                    info!("the cluster's engine is there");
                    program.handle_reach(true);
                    self.keeper.upgrade().inspect(|keeper| keeper.handle_reach(true));
                }
                ClusterEvent::EngineDown => {
                    warn!("the cluster's engine is away; what is local goes on");
                    program.handle_reach(false);
                    self.keeper.upgrade().inspect(|keeper| keeper.handle_reach(false));
                }
                ClusterEvent::Call(call) => {
                    let question = serde_json::from_slice::<Question>(call.body()).ok();
                    let is_order = matches!(question, Some(Question::Order { .. }));
                    let answer = question.and_then(|question| program.answer(question));
                    // Nothing is what a node says that does not know the question.
                    let body = answer.and_then(|answer| serde_json::to_vec(&answer).ok()).unwrap_or_default();
                    match is_order {
                        true => call.answer(body.into()),
                        false => call.answer_and_forget(body.into()),
                    }
                }
                ClusterEvent::Relay { relay, head } => {
                    // A panic in one was reported by the runtime.
                    while self.requests.try_join_next().is_some() {}
                    // Before there are mounts it is cut, and its client comes again.
                    if let Some(host) = self.hosts.get().and_then(Weak::upgrade) {
                        self.requests.spawn(serve(host, relay, head));
                    }
                }
                ClusterEvent::Move(output) => match self.hosts.get().and_then(Weak::upgrade) {
                    Some(host) => host.handle_move(output),
                    None => debug!("a session is offered before there are mounts"),
                },
                ClusterEvent::Mark(mark) => mark.reached(),
                other => debug!(?other, "an event of the cluster that nobody needs"),
            }
        }
    }

    fn deliver(&self, program: &dyn Program, from: Instance, publish: Publish) {
        let Publish { number, topic, event, kind, slow, payload, .. } = publish;
        let payload = match kind {
            PayloadKind::Binary | PayloadKind::BinaryAsItIs => Payload::Binary(payload),
            PayloadKind::Json | PayloadKind::JsonAsItIs => {
                match str::from_utf8(&payload).ok().and_then(|text| RawJson::new(text).ok()) {
                    Some(json) => Payload::Json(json),
                    None => {
                        let node = self.name(from);
                        return occasionally!(self.unreadable, warn, %node, "a node sent a broadcast that is no JSON");
                    }
                }
            }
        };
        let mut broadcast = Broadcast::new(String::from(topic), &*event, payload);
        broadcast.slow = slow.as_ref().map(slow::read);
        broadcast.origin = self.moves.then_some(Origin { node: from.0, number });
        program.deliver(&match kind {
            PayloadKind::Json | PayloadKind::Binary => broadcast,
            PayloadKind::JsonAsItIs | PayloadKind::BinaryAsItIs => broadcast.uncompressed(),
        });
    }

    /// Tells everybody on the topics that a gap is about. What comes later waits for that, and other tasks do not.
    async fn tell_gap(&self, program: &dyn Program, gap: lapwing_cluster::Gap) {
        let (node, cause) = (self.name(gap.from), cause_of(gap.cause));
        let topics = match gap.scope {
            Scope::Key { key, .. } => program.concerned(&|topic| self.hasher.key(topic) == key),
            Scope::All => program.concerned(&|_| true),
        };
        warn!(%node, %cause, topics = topics.len(), "broadcasts of another node are lost, or may be");
        for topic in topics {
            program.tell_gap(&Arc::new(Gap { topic, node: node.clone(), cause }));
            tokio::task::coop::consume_budget().await;
        }
    }

    fn name(&self, node: Instance) -> SmolStr {
        self.names.get(&node).cloned().unwrap_or_else(|| node.to_smolstr())
    }
}

fn cause_of(cause: lapwing_cluster::GapCause) -> GapCause {
    match cause {
        lapwing_cluster::GapCause::Overwritten => GapCause::Overwritten,
        lapwing_cluster::GapCause::Unanswered => GapCause::Unanswered,
        lapwing_cluster::GapCause::HeldTooMany => GapCause::HeldTooMany,
        lapwing_cluster::GapCause::Uncertain => GapCause::Uncertain,
        lapwing_cluster::GapCause::PublisherDied => GapCause::NodeDied,
        lapwing_cluster::GapCause::Unreadable => GapCause::Unreadable,
        _ => GapCause::Other,
    }
}
