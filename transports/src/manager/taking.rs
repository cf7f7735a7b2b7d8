//! Taking the frames of a client, in their order, once each.

use std::sync::Arc;

use super::Manager;
use crate::{
    frame::Message,
    handler::Handler,
    live::{LiveSession, still::Taking},
    session::{Seq, Taken},
};

/// Why a frame from a client goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// Frames before it are missing.
    Early,
    /// The session is over, or is from now on.
    Closed,
    /// The session is held still, as it may go to another node: this frame was not taken.
    Still,
    /// It has gone there: this frame was not taken.
    Gone,
}

impl<H: Handler> Manager<H> {
    /// A frame with its number came from a client of a resumable session: hands it on if it is the next one.
    pub(crate) fn take(
        &self,
        session: &Arc<LiveSession<H::State>>,
        number: Seq,
        message: Message<'_>,
    ) -> Result<(), Rejected> {
        let mut core = session.core();
        match core.taking() {
            Taking::Now => {}
            Taking::Still => return Err(Rejected::Still),
            Taking::Gone => return Err(Rejected::Gone),
        }
        if core.session.closed().is_some() {
            return Err(Rejected::Closed);
        }
        // Counted and handed on in the same order, since what cannot be handed on at once waits behind what was counted before.
        match core.session.take(number) {
            Taken::Next => self.hand_on(session, core, message).map_err(|_| Rejected::Closed),
            Taken::Duplicate => Ok(()),
            Taken::Early => Err(Rejected::Early),
        }
    }
}
