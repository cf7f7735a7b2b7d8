//! The other node by which a session's stream comes: one that goes on doing so is better off with the session.

use std::time::Duration;

use super::{stance::Carrier, waking::Core};
use crate::session::life::Tick;

impl Core {
    /// An attachment carries the session from now on, by way of this other node, or of none.
    pub(crate) fn note_carrier(&mut self, node: Option<u64>, now: Tick) {
        let carrier = node.map(|node| Carrier { node, since: now });
        if carrier.is_some() {
            self.calls().moving_mut().carrier = carrier;
        } else if let Some(moving) = self.moving_mut() {
            moving.carrier = None;
            self.forget_plain();
        }
    }

    /// The other node by which a stream of the session has come for so long. It is said once in that time.
    pub(super) fn take_staying(&mut self, now: Tick, after: Duration) -> Option<u64> {
        self.moving()?.carrier?;
        let is_carried = self.is_attached() && self.is_movable();
        let carrier = self.moving_mut()?.carrier.as_mut()?;
        if !is_carried || now.since(carrier.since) < after {
            return None;
        }
        carrier.since = now;
        Some(carrier.node)
    }
}
