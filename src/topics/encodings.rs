//! The frames of one broadcast: encoded at most once per serializer, and once more with its position where a member asked for that.

use std::sync::Arc;

use lapwing_transports::{frame::Frame, quoted::Quoted};
use tracing::debug;

use crate::{
    occasionally::{Occasionally, occasionally},
    protocol::{EncodeError, Outgoing, Serializer},
    topics::{broadcast::Broadcast, log::Offset, meter::Meter, recorded::RecordedFrames},
};

/// Tells a serializer from all others that there are: its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SerializerKey(usize);

impl SerializerKey {
    #[inline]
    pub(super) fn of(serializer: &Arc<dyn Serializer>) -> Self {
        Self(Arc::as_ptr(serializer).addr())
    }
}

/// Frames of a broadcast by their serializers.
pub(super) type Frames = Vec<(SerializerKey, Frame)>;

/// What is encoded, and where it is said and counted that it cannot be.
#[derive(Clone, Copy)]
pub(super) struct Encoder<'a> {
    pub(super) broadcast: &'a Broadcast,
    pub(super) log: &'a Occasionally,
    pub(super) meter: &'a Meter,
}

/// What was encoded of a broadcast, and the first that could not be.
#[derive(Default)]
pub(super) struct Encodings {
    /// One frame per serializer, nearly always one or two.
    frames: Vec<(SerializerKey, Option<Frame>)>,
    /// Those that were encoded before the members were locked.
    prepared: Frames,
    /// The same with the broadcast's position, for the joins that asked for it.
    recorded: Vec<(Arc<dyn Serializer>, RecordedFrames)>,
    failed: Option<EncodeError>,
}

impl Encodings {
    /// Those of a broadcast of which these frames are encoded already.
    pub(super) fn of(prepared: Frames) -> Self {
        Self { prepared, ..Self::default() }
    }

    /// The frame of a serializer, if that has come up before.
    #[inline]
    pub(super) fn known(&self, key: SerializerKey) -> Option<&Option<Frame>> {
        self.frames.iter().find(|(known, _)| *known == key).map(|(_, frame)| frame)
    }

    /// The frame of a serializer; `None` if it cannot encode the broadcast.
    pub(super) fn frame(&mut self, encoder: Encoder<'_>, serializer: &Arc<dyn Serializer>) -> Option<Frame> {
        let key = SerializerKey::of(serializer);
        if let Some(known) = self.known(key) {
            return known.clone();
        }
        let Broadcast { topic, event, payload, .. } = encoder.broadcast;
        let prepared = self.prepared.iter().position(|(known, _)| *known == key);
        let encoded = match prepared {
            Some(index) => Ok(self.prepared.swap_remove(index).1),
            None => serializer.encode(Outgoing::Broadcast { topic, event, payload }),
        };
        let frame = match encoded {
            Ok(frame) => {
                let policy =
                    encoder.broadcast.policy().and_then(|policy| policy.mark(topic, event, serializer));
                Some(match policy {
                    None => frame,
                    Some(policy) => frame.with_policy(policy),
                })
            }
            Err(error) => {
                self.not_encoded(encoder, serializer, error);
                None
            }
        };
        self.keep(key, frame)
    }

    /// Remembers the frame of a serializer.
    pub(super) fn keep(&mut self, key: SerializerKey, frame: Option<Frame>) -> Option<Frame> {
        self.frames.push((key, frame.clone()));
        frame
    }

    /// The frames that tell the broadcast's position, of a serializer that has come up before.
    pub(super) fn known_recorded(&self, serializer: &Arc<dyn Serializer>) -> Option<&RecordedFrames> {
        self.recorded.iter().find(|(known, _)| Arc::ptr_eq(known, serializer)).map(|(_, frames)| frames)
    }

    /// The frames that tell that it has this position; `None` if the serializer cannot encode them.
    pub(super) fn recorded(
        &mut self,
        encoder: Encoder<'_>,
        offset: Offset,
        serializer: &Arc<dyn Serializer>,
    ) -> Option<RecordedFrames> {
        if let Some(known) = self.known_recorded(serializer) {
            return Some(known.clone());
        }
        match RecordedFrames::of(&**serializer, encoder.broadcast, offset) {
            Ok(frames) => Some(self.keep_recorded(serializer, frames)),
            Err(error) => {
                self.not_encoded(encoder, serializer, error);
                None
            }
        }
    }

    /// Remembers the frames of a serializer that tell the broadcast's position.
    pub(super) fn keep_recorded(
        &mut self,
        serializer: &Arc<dyn Serializer>,
        frames: RecordedFrames,
    ) -> RecordedFrames {
        self.recorded.push((serializer.clone(), frames.clone()));
        frames
    }

    /// The first encoding that failed.
    pub(super) fn take_failed(&mut self) -> Option<EncodeError> {
        self.failed.take()
    }

    fn not_encoded(&mut self, encoder: Encoder<'_>, serializer: &Arc<dyn Serializer>, error: EncodeError) {
        let Broadcast { topic, event, .. } = encoder.broadcast;
        let (topic, event) = (Quoted::new(topic), Quoted::new(event));
        // That some client cannot take bytes is no fault of whoever sends them to all.
        if matches!(error, EncodeError::BinaryPayload) {
            debug!(%topic, %event, serializer = serializer.name(), "a client that takes no bytes is passed by");
        } else {
            let serializer = serializer.name();
            occasionally!(encoder.log, warn, %topic, %event, %error, serializer, "broadcast could not be encoded");
            if self.failed.is_none() {
                encoder.meter.failed.add("encode", 1);
            }
            self.failed.get_or_insert(error);
        }
    }
}
