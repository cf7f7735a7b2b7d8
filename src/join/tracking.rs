//! What a join has to do with presence.

use std::{fmt, sync::Arc};

use lapwing_transports::frame::Frame;

use super::Join;
use crate::{
    presence::{Asked, PresenceError, Showing, Viewer},
    protocol::{Payload, Ref, Serializer},
    sync::atomic::{AtomicU8, Ordering},
    topic::Topic,
};

/// Whether a join ever tracked a presence, and whether its client is expected on another node.
#[derive(Default)]
pub(super) struct Tracked(AtomicU8);

const EVER: u8 = 1;
const EXPECTED: u8 = 2;

impl Tracked {
    fn set(&self, flag: u8) {
        self.0.fetch_or(flag, Ordering::Relaxed);
    }

    fn has(&self, flag: u8) -> bool {
        self.0.load(Ordering::Relaxed) & flag != 0
    }
}

impl fmt::Debug for Tracked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracked")
            .field("ever", &self.has(EVER))
            .field("expected", &self.has(EXPECTED))
            .finish()
    }
}

impl Join {
    /// Tracks a presence, unless the join is over: nothing would ever take it away. Shows the state with it to the client
    /// if it is to be shown.
    pub(crate) fn track(&self, key: &str, meta: &Payload, showing: Option<Showing>) -> Asked<String> {
        let tracking = self.tracking.fetch_add(1, Ordering::Relaxed);
        // Held until the request is on its way: an end must come behind it.
        let state = self.state();
        if state.turn.is_ended() {
            return Asked::refused(PresenceError::NotTracked);
        }
        if tracking >= self.home.node.tracker.per_join_max() {
            return Asked::refused(PresenceError::TooMany);
        }
        self.tracked.set(EVER);
        self.home.node.tracker.track_and_show(&self.topic, key, self.id, meta, showing)
    }

    /// The join ends as this node goes down: others go on showing what it tracked until its client is there again, for a while.
    pub(crate) fn expect_elsewhere(&self) {
        self.tracked.set(EXPECTED);
    }

    /// The join is over: what it tracked goes, and then nothing is left of it.
    pub(super) fn end_presences(self: &Arc<Self>) {
        if !self.tracked.has(EVER) {
            return self.clear();
        }
        let join = self.clone();
        let (tracker, done) = (&self.home.node.tracker, Box::new(move || join.clear()));
        match self.tracked.has(EXPECTED) {
            true => tracker.leave(self.id, done),
            false => tracker.end(self.id, done),
        }
    }

    /// A presence that was counted by [`Join::track`] is not there, or no longer.
    pub(crate) fn untracked(&self) {
        self.tracking.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Viewer for Join {
    fn topic(&self) -> &Topic {
        &self.topic
    }

    fn join_ref(&self) -> Option<&Ref> {
        self.join_ref.as_ref()
    }

    fn serializer(&self) -> &Arc<dyn Serializer> {
        self.peer.serializer()
    }

    fn show(&self, frame: Frame) {
        self.peer.push_frame(frame);
    }
}
