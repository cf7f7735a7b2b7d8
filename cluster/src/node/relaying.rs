//! What a node has to do with relays and moves: it hands on what is said about them, and knows who is there.

use bytes::Bytes;

use super::Node;
use crate::{
    channel::Channel,
    engine::Work,
    id::Instance,
    output::{Output, Standing},
    wire::Message,
};

impl Node {
    /// Whether an instance is there. One that was never heard is taken for gone once so many of this node's own beats have come back that a
    /// peer would have been heard.
    #[must_use]
    pub fn standing(&self, instance: Instance) -> Standing {
        if instance == self.identity.instance || self.living().any(|(living, _)| living == instance) {
            return Standing::Living;
        }
        if self.is_gone(instance) {
            return Standing::Gone;
        }
        let has_heard = self.is_up && self.echoes >= self.config.silence_beats;
        if has_heard { Standing::Gone } else { Standing::Unsure }
    }

    /// A message about relays for the engine: see [`Relays::poll_message`](crate::relay::Relays::poll_message).
    #[must_use]
    pub fn relay_work(&self, to: Instance, bytes: Bytes) -> Work {
        let bytes = Message::Relay(bytes).encode(self.identity.instance);
        Work::Publish { number: None, channel: Channel::Node(to), bytes }
    }

    /// A message about moves for the engine: see [`Moves::poll_message`](crate::moves::Moves::poll_message).
    #[must_use]
    pub fn move_work(&self, to: Instance, bytes: Bytes) -> Work {
        let bytes = Message::Move(bytes).encode(self.identity.instance);
        Work::Publish { number: None, channel: Channel::Node(to), bytes }
    }

    pub(super) fn handle_relay(&mut self, from: Instance, bytes: Bytes) {
        // Who is not known to live has no requests to carry, and none of this node's sessions.
        if self.is_living(from) {
            self.outputs.push_back(Output::Relay(from, bytes));
        }
    }

    pub(super) fn handle_move(&mut self, from: Instance, bytes: Bytes) {
        // Nor has it a session to give: of what it gave it may be thought dead already.
        if self.is_living(from) {
            self.outputs.push_back(Output::Move(from, bytes));
        }
    }
}
