//! What a node does for sessions that go from one to another, but for the sessions themselves.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use lapwing_cluster::Instance;
use lapwing_cluster_driver::SessionMoves;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout_at},
};

use super::{
    going,
    heirs::{Moved, in_messages},
    link::Link,
    question::{Answer, HeardThere, Question},
};
use crate::{topic::Topic, topics::position::Position};

/// How long it is waited for what the other node has heard and this one has not.
const CATCH_UP_MAX: Duration = Duration::from_secs(5);

/// The time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The time before what the other node does not know yet is asked again: it does with its next beat.
const ASK_AGAIN: Duration = Duration::from_millis(200);

impl Link {
    /// Tells the nodes to which sessions with this socket id have gone what this one was told of them, by `next`. Nobody waits for it: here it was
    /// done. It was passed on so often before it came here: sessions go from a node to another and back, and what is said of them comes to an end.
    pub(crate) fn pass_on(&self, id: &str, passed: u8, next: impl Fn() -> Question) {
        let within = match passed {
            0 => going::REMEMBERED,
            1 => CATCH_UP_MAX,
            _ => return,
        };
        let nodes = self.going().of(id, within);
        if nodes.is_empty() {
            return;
        }
        // What it consists of can be written.
        let order = Bytes::from(serde_json::to_vec(&next()).unwrap_or_default());
        for to in nodes {
            // It is said from now on, whether this node waits for it or ends.
            let told = self.cluster().call(Some(to), order.clone(), CATCH_UP_MAX);
            self.runtime().spawn(async move { drop(told.await) });
        }
    }

    /// What the driver is told of moves.
    pub(crate) fn moves(&self) -> SessionMoves<'_> {
        self.cluster().moves()
    }

    /// The runtime that the node was started on.
    pub(crate) fn runtime(&self) -> &Handle {
        self.cluster_runtime()
    }

    /// The other nodes to which sessions may go: those that live, and do not go down themselves.
    pub(crate) fn targets(&self) -> Vec<Instance> {
        let peers = self.cluster().peers().into_iter();
        peers.filter(|(_, peer)| !peer.is_draining).map(|(instance, _)| instance).collect()
    }

    /// Waits for the engine.
    pub(crate) async fn ready(&self) {
        self.cluster().ready().await;
    }

    /// How far this node has heard a topic.
    pub(crate) fn heard(&self, topic: &str, position: Option<Position>) -> HeardThere {
        let settled = self.cluster().settled(topic).into_iter();
        HeardThere { settled: settled.map(|(node, number)| (node.0, number)).collect(), position }
    }

    /// Waits until this node has heard as much of these topics as another one. Whoever is taken from among their members then, and put among those of the
    /// other node before, misses nothing. Returns false if that takes too long.
    pub(crate) async fn catch_up(
        &self,
        with: Instance,
        topics: HashSet<Topic>,
        position: impl Fn(&Topic) -> Option<Position>,
    ) -> bool {
        let end = Instant::now() + CATCH_UP_MAX;
        let topics: Vec<_> = topics.into_iter().collect();
        let Ok(Some(there)) = timeout_at(end, self.heard_at(with, &topics)).await else { return false };
        loop {
            let all = topics.iter().zip(&there).all(|(topic, there)| {
                let settled: Vec<_> =
                    there.settled.iter().map(|(node, number)| (Instance(*node), *number)).collect();
                self.cluster().has_settled(topic, &settled) && is_reached(position(topic), there.position)
            });
            if all {
                break;
            }
            if timeout_at(end, sleep(LOOK_EVERY)).await.is_err() {
                return false;
            }
        }
        // What is settled may still wait for the program.
        timeout_at(end, self.cluster().marked()).await.is_ok()
    }

    /// How far another node has heard these topics, once it knows that of each node that lives as this one sees it. One of which the other node says nothing
    /// is gone there, or not met yet: it may have given out what this node lacks and will never have, and would not wait for here.
    async fn heard_at(&self, node: Instance, topics: &[Topic]) -> Option<Vec<HeardThere>> {
        loop {
            let topics: Vec<_> = topics.iter().map(|topic| topic.as_str().to_owned()).collect();
            let wanted = topics.len();
            let answer = self.ask_one(node, &Question::Heard { topics }).await?;
            if answer.heard.len() != wanted {
                return None;
            }
            let living: Vec<_> = self.cluster().peers().into_iter().map(|(peer, _)| peer.0).collect();
            if answer.heard.iter().all(|there| knows_all(there, &living)) {
                return Some(answer.heard);
            }
            sleep(ASK_AGAIN).await;
        }
    }

    async fn ask_one(&self, node: Instance, question: &Question) -> Option<Answer> {
        let body: Bytes = serde_json::to_vec(question).ok()?.into();
        let answers = self.cluster().call(Some(node), body, CATCH_UP_MAX).await.ok()?;
        let (_, body) = answers.answers.into_iter().next()?;
        serde_json::from_slice(&body).ok()
    }

    /// Another node has these sessions now.
    pub(crate) fn note_heirs(&self, heir: u64, of: Vec<(u64, u64)>, moves: Vec<usize>) {
        let moves = moves.into_iter().chain(std::iter::repeat(0));
        self.heirs().note(of.into_iter().zip(moves), heir);
    }

    /// Tells a node that has just started which sessions have come here before.
    pub(crate) fn tell_heirs_to(&self, node: u64, names: &[Moved]) {
        for of in in_messages(names) {
            let question = heirs(self.number(), of);
            // What it consists of can be written.
            let body = serde_json::to_vec(&question).unwrap_or_default();
            let told = self.cluster().call(Some(Instance(node)), body.into(), CATCH_UP_MAX);
            self.runtime().spawn(async move {
                // One that is gone again need not know.
                let _ = told.await;
            });
        }
    }

    /// Tells all other nodes which sessions another one has now, and waits until they know.
    pub(crate) fn tell_all(
        &self,
        heir: Instance,
        names: Vec<Moved>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let told: Vec<_> = in_messages(&names).map(|of| self.ask(&heirs(heir.0, of)).answered(0)).collect();
        async move {
            for told in told {
                let _ = told.await;
            }
        }
    }

    /// Tells the other nodes which sessions have come here.
    pub(crate) fn tell_heirs(&self) {
        for of in self.heirs().take_untold() {
            // Of a node that ends at this moment nobody has to know.
            let _ = self.tell(&heirs(self.number(), of));
        }
    }
}

/// A node has these sessions now.
fn heirs(heir: u64, sessions: Vec<Moved>) -> Question {
    let (of, moves) = sessions.into_iter().unzip();
    Question::Heirs { heir, of, moves }
}

/// Whether it is known there how far each of these nodes is heard, and each that is listed.
fn knows_all(there: &HeardThere, living: &[u64]) -> bool {
    let is_listed = |node: &u64| there.settled.iter().any(|(listed, _)| listed == node);
    there.settled.iter().all(|(_, number)| number.is_some()) && living.iter().all(is_listed)
}

/// Whether a position is not behind another one.
fn is_reached(here: Option<Position>, there: Option<Position>) -> bool {
    match (here, there) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(here), Some(there)) => here.epoch == there.epoch && here.offset >= there.offset,
    }
}
