//! What other nodes of a cluster say and ask, as this one takes it.

use std::sync::Arc;

use bytes::Bytes;

use super::{Node, check, question_of};
use crate::{
    cluster::{
        Program, Stored,
        question::{Answer, Question},
    },
    presence::Gone,
    topic::Topic,
    topics::{broadcast::Broadcast, gap::Gap, meter::Source, position::Position},
};

/// The other nodes of a cluster.
impl Program for Node {
    fn deliver(&self, broadcast: &Broadcast) {
        // No node of this library's sends such a one.
        if check(broadcast).is_ok() {
            // An encoding that failed is in the log already.
            let _ = self.dispatch(Source::Node, broadcast);
        }
    }

    fn deliver_stored(&self, Stored { broadcast, before, is_own }: Stored) {
        let source = if is_own { Source::Program } else { Source::Node };
        // An encoding that failed is in the log already.
        let _ = self.topics.dispatch_stored(source, &broadcast, before);
    }

    fn restart_stored(&self, topic: &Topic, position: Position, stored: Vec<Stored>) {
        let stored = stored.into_iter().map(|stored| (stored.broadcast, stored.before));
        self.topics.restart_stored(topic, position, stored);
    }

    fn forget_stored(&self, topic: &Topic) {
        self.topics.kept().inspect(|kept| kept.forget(topic));
    }

    fn check_at(&self, topic: &Topic, number: u64) -> Option<u64> {
        self.topics.kept()?.check_at(topic, number)
    }

    fn concerned(&self, concerns: &dyn Fn(&str) -> bool) -> Vec<Topic> {
        self.topics.walk().filter(|(topic, _)| concerns(topic)).map(|(topic, _)| topic).collect()
    }

    fn tell_gap(&self, gap: &Arc<Gap>) {
        self.topics.tell_gap(gap);
    }

    fn hear_presence(&self, node: u64, piece: Bytes) {
        self.tracker.hear(node, piece);
    }

    fn handle_peer(&self, node: u64) {
        self.tracker.handle_peer(node);
    }

    fn handle_settled(&self) {
        self.tracker.handle_settled();
    }

    fn handle_gone(&self, node: u64, is_for_good: bool) {
        self.tracker.handle_gone(Gone { node, is_for_good });
    }

    fn handle_reach(&self, is_up: bool) {
        self.tracker.handle_reach(is_up);
    }

    fn answer(&self, question: Question) -> Option<Answer> {
        Some(match question {
            Question::Order { id, order, with, passed } => {
                let broadcast = Broadcast::new(id, order, with);
                let count = self.socket_ids.dispatch_apart(&broadcast);
                let next = || question_of(&broadcast, passed + 1);
                self.link()?.pass_on(&broadcast.topic, passed, next);
                Answer::of(count)
            }
            Question::Leaving { node } => {
                self.tracker.handle_leaving(node);
                Answer::of(1)
            }
            Question::Heard { topics } => {
                let position = |topic: &str| self.topics.kept()?.position(&topic.into());
                let heard = topics.iter().map(|topic| Some(self.link()?.heard(topic, position(topic))));
                Answer { heard: heard.collect::<Option<_>>()?, ..Answer::of(1) }
            }
            Question::Heirs { heir, of, moves } => {
                self.link()?.note_heirs(heir, of, moves);
                Answer::of(1)
            }
            Question::Members { topic } => Answer::of(self.topics.members(topic.into()).count() as u64),
            Question::List { topic, limit } => Answer::listing(self.topics.members(topic.into()), limit),
        })
    }
}
