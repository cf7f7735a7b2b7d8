//! The other node by which a session's stream comes: one that goes on doing so is better off with the session.

use std::time::Duration;

use super::{stance::Carrier, waking::Core};
use crate::session::life::Tick;

/// How often the time doubles until a session is told of again: a node that takes none is asked each hour at least.
const TOLD_MAX: u8 = 6;

impl Core {
    /// An attachment carries the session from now on, by way of this other node, or of none.
    pub(crate) fn note_carrier(&mut self, node: Option<u64>, now: Tick) {
        let before = self.moving().and_then(|moving| moving.carrier);
        // What kept it here does so on another connection by the same node.
        let told = |node| before.filter(|carrier| carrier.node == node).map_or(0, |carrier| carrier.told);
        let carrier = node.map(|node| Carrier { node, since: now, told: told(node) });
        if carrier.is_some() {
            self.calls().moving_mut().carrier = carrier;
        } else if let Some(moving) = self.moving_mut() {
            moving.carrier = None;
            self.forget_plain();
        }
    }

    /// The other node by which a stream of the session has come for so long. It is said again after twice that time, as there is a reason why the
    /// session is still here, then after four times, and so on.
    pub(super) fn take_staying(&mut self, now: Tick, after: Duration) -> Option<u64> {
        let node = self.moving()?.carrier?.node;
        let comes_by = self.comes_by(node);
        let carrier = self.moving_mut()?.carrier.as_mut()?;
        if !comes_by || now.since(carrier.since) < after.saturating_mul(1 << carrier.told) {
            return None;
        }
        (carrier.since, carrier.told) = (now, TOLD_MAX.min(carrier.told + 1));
        Some(node)
    }

    /// The other node by which the session's stream comes.
    pub(super) fn carrier(&self) -> Option<u64> {
        self.moving()
            .and_then(|moving| moving.carrier)
            .filter(|_| self.is_attached())
            .map(|carrier| carrier.node)
    }

    /// Whether a stream of the session comes by way of this other node, and the session could go there.
    pub(crate) fn comes_by(&self, node: u64) -> bool {
        self.carrier() == Some(node) && self.is_movable()
    }
}
