//! The frames of a broadcast that tell its position in the history of its topic.

use lapwing_transports::frame::Frame;

use crate::{
    protocol::{EncodeError, Outgoing, Payload, Ref, Serializer, event},
    topics::{broadcast::Broadcast, log::Offset},
};

/// What a frame takes beside its bytes.
const FRAME_BYTES: usize = 160;

/// The frames of a broadcast that tell its position: the second one where the first has no place for it.
#[derive(Clone, Debug)]
pub(crate) struct RecordedFrames(Frame, Option<Frame>);

impl RecordedFrames {
    /// Encodes topic, event and payload with their place in the topic's history.
    pub(crate) fn encode(
        serializer: &dyn Serializer,
        (topic, event, payload): (&str, &str, &Payload),
        offset: Offset,
    ) -> Result<Self, EncodeError> {
        let at = Ref::from(format!("@{}", offset.0));
        let frame = serializer.encode(Outgoing::Recorded { at: &at, topic, event, payload })?;
        let second = match payload {
            Payload::Json(_) => None,
            Payload::Binary(_) => {
                let empty = Payload::empty();
                let at = Outgoing::Recorded { at: &at, topic, event: event::AT, payload: &empty };
                Some(serializer.encode(at)?)
            }
        };
        Ok(Self(frame, second))
    }

    /// How many they are.
    pub(crate) fn count(payload: &Payload) -> usize {
        match payload {
            Payload::Json(_) => 1,
            Payload::Binary(_) => 2,
        }
    }

    /// Encodes a broadcast.
    pub(crate) fn of(
        serializer: &dyn Serializer,
        broadcast: &Broadcast,
        offset: Offset,
    ) -> Result<Self, EncodeError> {
        Self::encode(serializer, (&broadcast.topic, &broadcast.event, &broadcast.payload), offset)
    }

    /// The bytes of the frames, and what they take besides.
    pub(crate) fn bytes(&self) -> usize {
        let bytes = |frame: &Frame| frame.payload().len() + FRAME_BYTES;
        bytes(&self.0) + self.1.as_ref().map_or(0, bytes)
    }

    /// Gives out frames of the same bytes, one after the other: those that are kept belong to no client.
    pub(crate) fn each_anew(&self, mut push: impl FnMut(Frame)) {
        self.each(|frame| push(frame.anew()));
    }

    /// The same frames with reference counts of their own.
    pub(super) fn apart(&self) -> Self {
        Self(self.0.apart(), self.1.as_ref().map(Frame::apart))
    }

    /// The frames.
    pub(crate) fn into_parts(self) -> (Frame, Option<Frame>) {
        (self.0, self.1)
    }

    /// Gives the frames out one after the other.
    pub(crate) fn each(&self, mut push: impl FnMut(Frame)) {
        push(self.0.clone());
        if let Some(second) = &self.1 {
            push(second.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::V2;

    #[test]
    fn what_is_json_is_one_frame_and_bytes_are_two_and_each_is_counted() {
        for (payload, count) in [(Payload::empty(), 1), (Payload::from(vec![1, 2]), 2)] {
            let frames = RecordedFrames::encode(&V2, ("t", "said", &payload), Offset(7)).unwrap();
            let (mut given, mut anew) = (Vec::new(), Vec::new());
            frames.each(|frame| given.push(frame.payload().clone()));
            frames.each_anew(|frame| anew.push(frame.payload().clone()));
            assert_eq!((given.len(), RecordedFrames::count(&payload)), (count, count));
            assert_eq!(given, anew);
            assert_eq!(frames.bytes(), given.iter().map(|bytes| bytes.len() + FRAME_BYTES).sum::<usize>());
        }
    }
}
