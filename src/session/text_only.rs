//! Keeps bytes from a wire that carries only text.

use std::sync::Arc;

use lapwing_transports::frame::{Frame, FrameKind, Message};

use crate::protocol::{ChannelMsg, DecodeError, EncodeError, Outgoing, Payload, Serializer};

/// A serializer for stock long-poll clients, which parse every message as JSON: Phoenix loses the whole batch
/// that a frame of bytes is in. Here a reply of bytes becomes an error reply that says why, and a push or
/// broadcast of bytes is an error for whoever sends it.
pub(crate) struct TextOnly(pub(crate) Arc<dyn Serializer>);

impl Serializer for TextOnly {
    fn decode(&self, message: Message<'_>) -> Result<ChannelMsg, DecodeError> {
        self.0.decode(message)
    }

    fn encode(&self, outgoing: Outgoing<'_>) -> Result<Frame, EncodeError> {
        let frame = self.0.encode(outgoing)?;
        match (frame.kind(), outgoing) {
            (FrameKind::Text, _) => Ok(frame),
            (FrameKind::Binary, Outgoing::Reply { join_ref, reference, topic, .. }) => {
                let response = &Payload::reason("binary payload cannot be sent over longpoll");
                self.0.encode(Outgoing::Reply { join_ref, reference, topic, status: "error", response })
            }
            (FrameKind::Binary, _) => Err(EncodeError::BinaryPayload),
        }
    }

    fn name(&self) -> &str {
        self.0.name()
    }
}
