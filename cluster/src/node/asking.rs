//! Questions between the programs of nodes.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;

use super::Node;
use crate::{calls::Finished, channel::Channel, id::Instance, output::Output, wire::Message};

impl Node {
    /// Asks one peer, or all that live; [`Output::Answered`] follows within `within`. None if too many calls wait.
    pub fn call(
        &mut self,
        now: Duration,
        to: Option<Instance>,
        body: Bytes,
        within: Duration,
    ) -> Option<u64> {
        let to: BTreeSet<_> = match to {
            Some(peer) => BTreeSet::from([peer]),
            None => self.living().map(|(instance, _)| instance).collect(),
        };
        let id = self.calls.begin(now, to, body, within, &self.config)?;
        self.handle_calls(now);
        Some(id)
    }

    /// Answers [`Output::Call`], which is not told again: where it is repeated, as its answer was lost, it is answered so once more, for a minute since it last came.
    pub fn answer(&mut self, to: Instance, id: u64, body: Bytes) {
        self.calls.answer(to, id, body.clone());
        self.queue_message(Channel::Node(to), &Message::Answer { id, body });
    }

    /// Answers [`Output::Call`], which may be told again where it is repeated. For questions that change nothing: they take no room from those that do.
    pub fn answer_and_forget(&mut self, to: Instance, id: u64, body: Bytes) {
        self.calls.answer_and_forget(to, id);
        self.queue_message(Channel::Node(to), &Message::Answer { id, body });
    }

    /// Sends the questions that are due, and tells the program of those that are over.
    pub(super) fn handle_calls(&mut self, now: Duration) {
        self.calls.forget(now);
        if self.is_up {
            for (to, id, body) in self.calls.due(now, &self.config) {
                self.queue_message(Channel::Node(to), &Message::Call { id, body });
            }
        }
        for Finished { id, answers, missing } in self.calls.finished(now) {
            self.outputs.push_back(Output::Answered { id, answers, missing });
        }
    }
}
