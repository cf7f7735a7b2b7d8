//! One broadcast on its way to the members of its topic: encoded at most once per serializer, and once more with its position
//! where a member asked for that.

use std::{cell::OnceCell, sync::Arc};

use lapwing_transports::{frame::Frame, quoted::Quoted};
use tracing::debug;

use crate::{
    occasionally::{Occasionally, occasionally},
    protocol::{EncodeError, Outgoing, Payload, Ref, Serializer, event},
    topics::{
        Lane,
        broadcast::Broadcast,
        compression::{Compression, Frames, Wanted},
        heard::Origin,
        log::Offset,
        meter::Meter,
    },
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

/// One broadcast on its way to the members of its topic.
pub(crate) struct Delivery<'a> {
    pub(crate) broadcast: &'a Broadcast,
    /// Its place among all of its node, where that counts.
    origin: Option<Origin>,
    /// The broadcast as it is shared, where it is from the beginning.
    whole: Option<&'a Arc<Broadcast>>,
    shared: OnceCell<Arc<Broadcast>>,
    /// One frame per serializer, nearly always one or two.
    frames: Vec<(*const (), Option<Frame>)>,
    /// Those that were encoded before the members were locked.
    prepared: Frames,
    /// Says who of the members takes compressed frames, in the walks that look for that.
    compression: Option<&'a Compression>,
    wanted: Wanted,
    /// The same with the broadcast's position, for the joins that asked for it.
    recorded: Vec<(Arc<dyn Serializer>, RecordedFrames)>,
    pub(super) failed: Option<EncodeError>,
    log: &'a Occasionally,
    pub(crate) meter: &'a Meter,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(
        broadcast: &'a Broadcast,
        whole: Option<&'a Arc<Broadcast>>,
        log: &'a Occasionally,
        meter: &'a Meter,
    ) -> Self {
        let (frames, recorded, prepared) = (Vec::new(), Vec::new(), Frames::new());
        let (compression, wanted) = (None, Wanted::default());
        let origin = broadcast.origin;
        Self {
            broadcast,
            origin,
            whole,
            shared: OnceCell::new(),
            prepared,
            frames,
            compression,
            wanted,
            recorded,
            failed: None,
            log,
            meter,
        }
    }

    /// The same with frames that are encoded already, and with who takes compressed ones, if the walk is to find that out.
    pub(super) fn with(mut self, prepared: Frames, compression: Option<&'a Compression>) -> Self {
        self.prepared = prepared;
        self.compression = compression;
        self
    }

    /// The same with a place that it was given just now.
    pub(super) fn at(mut self, origin: Option<Origin>) -> Self {
        self.origin = origin.or(self.origin);
        self
    }

    /// Its place among all of its node, where that counts.
    pub(crate) fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// A client gets the frame of its serializer: whether it takes it compressed matters to the broadcasts that follow.
    #[inline]
    pub(crate) fn note(&mut self, lane: &(impl Lane + ?Sized)) {
        if let Some(compression) = self.compression {
            self.wanted.add(compression.wanted_by(lane));
        }
    }

    /// Who takes compressed frames, if the walk has found that out.
    pub(super) fn wanted(&self) -> Option<Wanted> {
        self.compression.map(|_| self.wanted)
    }

    /// The broadcast in a shape that mailboxes can keep.
    pub(crate) fn shared(&self) -> Arc<Broadcast> {
        if let Some(shared) = self.whole {
            return shared.clone();
        }
        let share = || Arc::new(Broadcast { origin: self.origin, ..self.broadcast.clone() });
        self.shared.get_or_init(share).clone()
    }

    /// The broadcast as a serializer encodes it; `None` if it cannot.
    #[inline]
    pub(crate) fn frame(&mut self, serializer: &Arc<dyn Serializer>) -> Option<Frame> {
        let key = Arc::as_ptr(serializer).cast::<()>();
        match self.frames.iter().find(|(known, _)| *known == key) {
            Some((_, frame)) => frame.clone(),
            None => self.encode(key, serializer),
        }
    }

    #[cold]
    fn encode(&mut self, key: *const (), serializer: &Arc<dyn Serializer>) -> Option<Frame> {
        let Broadcast { topic, event, payload, .. } = self.broadcast;
        let prepared = self.prepared.iter().position(|(known, _)| *known == key);
        let encoded = match prepared {
            Some(index) => Ok(self.prepared.swap_remove(index).1),
            None => serializer.encode(Outgoing::Broadcast { topic, event, payload }),
        };
        let frame = match encoded {
            Ok(frame) => {
                let policy = self.broadcast.policy().and_then(|policy| policy.mark(topic, event, serializer));
                Some(match policy {
                    None => frame,
                    Some(policy) => frame.with_policy(policy),
                })
            }
            Err(error) => {
                self.not_encoded(serializer, error);
                None
            }
        };
        self.frames.push((key, frame.clone()));
        frame
    }

    /// The broadcast as a serializer encodes it for a join that asked for positions; `None` if it cannot, or if the broadcast
    /// has none.
    pub(crate) fn recorded(&mut self, serializer: &Arc<dyn Serializer>) -> Option<RecordedFrames> {
        let position = self.broadcast.position?;
        if let Some((_, frames)) = self.recorded.iter().find(|(known, _)| Arc::ptr_eq(known, serializer)) {
            return Some(frames.clone());
        }
        match RecordedFrames::of(&**serializer, self.broadcast, position.offset) {
            Ok(frames) => {
                self.recorded.push((serializer.clone(), frames.clone()));
                Some(frames)
            }
            Err(error) => {
                self.not_encoded(serializer, error);
                None
            }
        }
    }

    fn not_encoded(&mut self, serializer: &Arc<dyn Serializer>, error: EncodeError) {
        let Broadcast { topic, event, .. } = self.broadcast;
        let (topic, event) = (Quoted::new(topic), Quoted::new(event));
        // That some client cannot take bytes is no fault of whoever sends them to all.
        if matches!(error, EncodeError::BinaryPayload) {
            debug!(%topic, %event, serializer = serializer.name(), "a client that takes no bytes is passed by");
        } else {
            let serializer = serializer.name();
            occasionally!(self.log, warn, %topic, %event, %error, serializer, "broadcast could not be encoded");
            if self.failed.is_none() {
                self.meter.failed.add("encode", 1);
            }
            self.failed.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::{V1, V2},
        topics::position::Position,
    };

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

    #[test]
    fn a_broadcast_is_shared_with_the_place_that_it_was_given() {
        let (log, meter) = (Occasionally::new(), Meter::default());
        let broadcast = Broadcast::new("t", "said", Payload::empty());
        let origin = Some(Origin { node: 1, number: 7 });
        let delivery = Delivery::new(&broadcast, None, &log, &meter).at(origin);
        assert_eq!((delivery.shared().origin, broadcast.origin), (origin, None));
    }

    #[test]
    fn a_recorded_broadcast_is_encoded_once_for_each_serializer_and_no_other_broadcast_is() {
        let (log, meter, v2) = (Occasionally::new(), Meter::default(), Arc::new(V2) as Arc<dyn Serializer>);
        let plain = Broadcast::new("t", "said", Payload::empty());
        assert!(Delivery::new(&plain, None, &log, &meter).recorded(&v2).is_none());
        let position = Some(Position { epoch: 1, offset: Offset(7) });
        let recorded = Broadcast { position, ..plain };
        let mut delivery = Delivery::new(&recorded, None, &log, &meter);
        let [first, second] = [(); 2].map(|()| delivery.recorded(&v2).unwrap().into_parts().0);
        assert_eq!(first.payload().as_ptr(), second.payload().as_ptr());
    }

    #[test]
    fn what_cannot_be_encoded_has_failed_unless_it_is_bytes_for_a_client_that_takes_none() {
        let (log, meter) = (Occasionally::new(), Meter::default());
        let serializers: [(Arc<dyn Serializer>, _, _); 2] = [
            (Arc::new(V2), Payload::from(serde_json::json!([1])), true),
            (Arc::new(V1), Payload::from(vec![1]), false),
        ];
        for (serializer, payload, has_failed) in serializers {
            let broadcast = Broadcast::new("t", "said", payload);
            let mut delivery = Delivery::new(&broadcast, None, &log, &meter);
            assert!(delivery.frame(&serializer).is_none());
            assert_eq!(delivery.failed.is_some(), has_failed, "{}", serializer.name());
        }
    }
}
