//! What a join has to do with presence.

use std::sync::Arc;

use lapwing_transports::frame::Frame;

use super::Join;
use crate::{
    presence::{Asked, PresenceError, Showing, Viewer},
    protocol::{Payload, Ref, Serializer},
    sync::atomic::Ordering,
    topic::Topic,
};

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
        self.tracked.store(true, Ordering::Relaxed);
        self.home.node.tracker.track_and_show(&self.topic, key, self.id, meta, showing)
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
