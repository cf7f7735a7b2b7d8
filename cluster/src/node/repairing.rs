//! What this node asks its peers for anew, and what it answers them: last numbers, and publications that are missing.

use std::time::Duration;

use super::Node;
use crate::{
    channel::{Channel, Key},
    id::Instance,
    wire::{Message, Repair},
};

impl Node {
    /// After an outage, once everything is delivered again: what was missed?
    pub(super) fn ask_again(&mut self, now: Duration) {
        let mut steps = Vec::new();
        for (instance, member) in self.members.iter_mut() {
            let asks = member.inbound.handle_up(now, &self.config);
            steps.extend(asks.into_iter().map(|step| (instance, step)));
        }
        for (instance, step) in steps {
            self.take_step(instance, step);
        }
    }

    /// A peer lacks what was published on a channel between two numbers.
    pub(super) fn handle_ask(&mut self, from: Instance, (key, after, upto): (Key, u64, u64)) {
        let repair = self.outbound.repair(key, after, upto, &self.config.wire);
        self.queue_message(Channel::Node(from), &Message::Repair(repair));
    }

    /// A peer does not know the last numbers, as it was away or missed a beat. So it may have missed questions as well, or its answers were
    /// lost: they are put again at once, and not when they are due.
    pub(super) fn handle_ask_tops(&mut self, from: Instance, after: u64) {
        for tops in self.outbound.tops_since(after, &self.config.wire) {
            self.queue_message(Channel::Node(from), &Message::Tops(tops));
        }
        let Some(member) = self.members.get(from) else { return };
        for step in member.inbound.questions() {
            self.take_step(from, step);
        }
    }

    /// An answer came.
    pub(super) fn handle_repair(&mut self, now: Duration, from: Instance, repair: Repair) {
        let Repair { key, after, upto, mut is_complete, publishes } = repair;
        let mut read = Vec::with_capacity(publishes.len());
        for bytes in publishes {
            match Message::decode(&bytes, &self.config.wire) {
                Ok((sender, Message::Publish(publish))) if sender == from => read.push(publish),
                // It is a gap; what is beside it is not.
                _ => {
                    self.unreadable += 1;
                    is_complete = false;
                }
            }
        }
        let Some(member) = self.members.get(from) else { return };
        let range = (key, after, upto);
        let steps = member.inbound.handle_repair(now, range, is_complete, read, &self.config);
        for step in steps {
            self.take_step(from, step);
        }
    }
}
