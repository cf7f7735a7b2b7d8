//! A session of no server, for sockets that tests make.

use std::sync::{Arc, PoisonError};

use lapwing_transports::{frame::Frame, outbox::Waiting};

use crate::{
    join::{Join, Peer},
    protocol::Serializer,
    sync::Mutex,
    topics::{Lane, broadcast::TransportId},
};

/// Keeps what is pushed, and has no client.
pub(crate) struct Nobody {
    pub(crate) transport_id: TransportId,
    pub(crate) serializer: Arc<dyn Serializer>,
    /// What was pushed.
    pub(crate) frames: Mutex<Vec<Frame>>,
}

impl Lane for Nobody {
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

impl Peer for Nobody {
    fn waiting(&self) -> Waiting {
        Waiting::default()
    }

    fn pause_reading(&self) {}

    fn resume_reading(&self) {}

    fn forget(&self, _: &Join) {}

    fn cleared(&self) {}
}
