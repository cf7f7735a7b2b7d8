//! Telling joins who is present, in an order with the diffs.
//!
//! Diffs and states leave through one door, the engine's or that of the task which fetches, one after the other. So
//! whoever is given a state gets all diffs that it contains before it, or none of them, and all others behind it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use lapwing_transports::frame::Frame;

use super::{Answer, PresenceError};
use crate::{
    occasionally::{Occasionally, occasionally},
    protocol::{EncodeError, Outgoing, Payload, Ref, Serializer},
    topic::Topic,
};

/// Frames that are kept for others while a state is shown: one per serializer and join_ref. Clients count from 1, so that
/// those who join the same page at the same time nearly all have the same join_ref.
const FRAMES_MAX: usize = 16;

/// Limits the log lines about serializers that panic.
static PANICS: Occasionally = Occasionally::new();

/// A join that is to be shown who is present on its topic.
pub(crate) trait Viewer: Send + Sync {
    fn topic(&self) -> &Topic;

    fn join_ref(&self) -> Option<&Ref>;

    fn serializer(&self) -> &Arc<dyn Serializer>;

    /// Queues a frame; never waits.
    fn show(&self, frame: Frame);
}

/// A viewer, and who waits until it was shown the state.
pub(crate) struct Showing {
    pub(super) viewer: Arc<dyn Viewer>,
    pub(super) answer: Answer<()>,
}

/// Shows one event to many, and answers.
pub(super) fn show(event: &str, payload: &Payload, showings: Vec<Showing>) {
    let mut frames = Frames(Vec::new());
    for Showing { viewer, answer } in showings {
        // A serializer of the user's may panic; the others have to be shown all the same.
        let shown = catch_unwind(AssertUnwindSafe(|| frames.frame(&*viewer, event, payload)));
        let shown = match shown {
            Ok(Ok(frame)) => {
                viewer.show(frame);
                Ok(())
            }
            Ok(Err(error)) => Err(PresenceError::Encode(error)),
            Err(_) => {
                occasionally!(
                    PANICS,
                    error,
                    event,
                    "a join was not shown who is present: its serializer panicked"
                );
                Err(PresenceError::Closed)
            }
        };
        // Whoever asked may have stopped waiting.
        let _ = answer.send(shown);
    }
}

/// Frames of one event by serializer and join_ref.
struct Frames(Vec<(*const (), Option<Ref>, Frame)>);

impl Frames {
    fn frame(&mut self, viewer: &dyn Viewer, event: &str, payload: &Payload) -> Result<Frame, EncodeError> {
        let (serializer, join_ref) = (viewer.serializer(), viewer.join_ref());
        let key = Arc::as_ptr(serializer).cast::<()>();
        let known = self.0.iter().find(|(other, of, _)| *other == key && of.as_ref() == join_ref);
        if let Some((_, _, frame)) = known {
            return Ok(frame.clone());
        }
        let push = Outgoing::Push { join_ref, topic: viewer.topic(), event, payload };
        let frame = serializer.encode(push)?;
        if self.0.len() < FRAMES_MAX {
            self.0.push((key, join_ref.cloned(), frame.clone()));
        }
        Ok(frame)
    }
}
