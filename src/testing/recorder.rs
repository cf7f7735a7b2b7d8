//! A session of no server, which keeps what is pushed.

use std::{
    sync::{Arc, PoisonError},
    task::{Context, Poll},
};

use lapwing_transports::{frame::Frame, session::outbox::Waiting};

use crate::{
    join::{Join, Peer, push_error::PushError},
    protocol::Serializer,
    sync::Mutex,
    topics::{Lane, broadcast::TransportId},
};

/// A session without a client.
pub(crate) struct Recorder {
    pub(crate) transport_id: TransportId,
    pub(crate) serializer: Arc<dyn Serializer>,
    /// What was pushed.
    pub(crate) frames: Mutex<Vec<Frame>>,
}

impl Lane for Recorder {
    fn push_frame(&self, frame: Frame) {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).push(frame);
    }

    fn push_broadcast(&self, frame: Frame) {
        self.push_frame(frame);
    }

    fn serializer(&self) -> &Arc<dyn Serializer> {
        &self.serializer
    }

    fn transport_id(&self) -> TransportId {
        self.transport_id
    }

    fn socket_id(&self) -> Option<&str> {
        None
    }
}

impl Peer for Recorder {
    fn waiting(&self) -> Waiting {
        Waiting::default()
    }

    fn unacknowledged(&self) -> Waiting {
        Waiting::default()
    }

    fn try_push(&self, frame: Frame, then: Option<Frame>) -> Result<(), PushError> {
        std::iter::once(frame).chain(then).for_each(|frame| self.push_frame(frame));
        Ok(())
    }

    fn poll_ready(&self, _: &Context<'_>) -> Poll<bool> {
        Poll::Ready(true)
    }

    fn give_up(&self) {}

    fn room(&self) -> (usize, usize) {
        (usize::MAX, usize::MAX)
    }

    fn hold(&self, _: usize) -> bool {
        true
    }

    fn release(&self, _: usize) {}

    fn pause_reading(&self) {}

    fn resume_reading(&self) {}

    fn forget(&self, _: &Join) {}

    fn cleared(&self, _: &Join) {}
}
