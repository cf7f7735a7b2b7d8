//! One broadcast on its way to the members of its topic.

use std::{
    cell::OnceCell,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lapwing_transports::frame::Frame;

use crate::{
    occasionally::Occasionally,
    protocol::{EncodeError, Serializer},
    topics::{
        Lane,
        broadcast::Broadcast,
        compression::{Compression, Wanted},
        encodings::{Encoder, Encodings, Frames, SerializerKey},
        heard::Origin,
        meter::Meter,
        recorded::RecordedFrames,
    },
};

/// One broadcast on its way to the members of its topic.
pub(crate) struct Delivery<'a> {
    pub(crate) broadcast: &'a Broadcast,
    /// Its place among all of its node, where that counts.
    origin: Option<Origin>,
    /// The broadcast as it is shared, where it is from the beginning.
    whole: Option<&'a Arc<Broadcast>>,
    shared: OnceCell<Arc<Broadcast>>,
    encodings: Encodings,
    /// Where this is that of one of several threads: what it has in common with the others.
    common: Option<&'a Common>,
    /// Says who of the members takes compressed frames, in the walks that look for that.
    compression: Option<&'a Compression>,
    wanted: Wanted,
    log: &'a Occasionally,
    pub(crate) meter: &'a Meter,
}

/// What the threads have in common that give one broadcast to parts of a topic: what one of them encodes none encodes again.
pub(super) struct Common(Mutex<Found>);

struct Found {
    encodings: Encodings,
    wanted: Wanted,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(
        broadcast: &'a Broadcast,
        whole: Option<&'a Arc<Broadcast>>,
        log: &'a Occasionally,
        meter: &'a Meter,
    ) -> Self {
        let (common, compression, wanted) = (None, None, Wanted::default());
        let (origin, shared, encodings) = (broadcast.origin, OnceCell::new(), Encodings::default());
        Self { broadcast, origin, whole, shared, encodings, common, compression, wanted, log, meter }
    }

    /// The same with frames that are encoded already, and with who takes compressed ones, if the walk is to find that out.
    pub(super) fn with(mut self, prepared: Frames, compression: Option<&'a Compression>) -> Self {
        self.encodings = Encodings::of(prepared);
        self.compression = compression;
        self
    }

    /// The same with a place that it was given just now.
    pub(super) fn at(mut self, origin: Option<Origin>) -> Self {
        self.origin = origin.or(self.origin);
        self
    }

    /// Prepares for several threads. Until they are [joined](Self::join), this one encodes nothing.
    pub(super) fn share(&mut self) -> Common {
        let encodings = std::mem::take(&mut self.encodings);
        Common(Mutex::new(Found { encodings, wanted: self.wanted }))
    }

    /// The same for one of several threads. It has reference counts of its own: those that all members of a topic have in common would
    /// have each thread wait for the others.
    pub(super) fn fork<'b>(&self, common: &'b Common) -> Delivery<'b>
    where
        'a: 'b,
    {
        let mut fork = Delivery::new(self.broadcast, None, self.log, self.meter).at(self.origin);
        fork.common = Some(common);
        fork.compression = self.compression;
        fork
    }

    /// One of several threads is done.
    pub(super) fn end(self) {
        if let Some(common) = self.common {
            common.found().wanted.add(self.wanted);
        }
    }

    /// All of several threads are done: what they have found is this one's.
    pub(super) fn join(&mut self, common: Common) {
        let found = common.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        (self.encodings, self.wanted) = (found.encodings, found.wanted);
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

    /// The first encoding that failed.
    pub(super) fn take_failed(&mut self) -> Option<EncodeError> {
        self.encodings.take_failed()
    }

    /// The broadcast as a serializer encodes it; `None` if it cannot.
    #[inline]
    pub(crate) fn frame(&mut self, serializer: &Arc<dyn Serializer>) -> Option<Frame> {
        match self.encodings.known(SerializerKey::of(serializer)) {
            Some(frame) => frame.clone(),
            None => self.encode(serializer),
        }
    }

    #[cold]
    fn encode(&mut self, serializer: &Arc<dyn Serializer>) -> Option<Frame> {
        let Some(common) = self.common else { return self.encodings.frame(self.encoder(), serializer) };
        let frame = common.found().encodings.frame(self.encoder(), serializer);
        self.encodings.keep(SerializerKey::of(serializer), frame.map(|frame| frame.apart()))
    }

    /// The broadcast as a serializer encodes it for a join that asked for positions; `None` if it cannot, or if the broadcast
    /// has none.
    pub(crate) fn recorded(&mut self, serializer: &Arc<dyn Serializer>) -> Option<RecordedFrames> {
        let offset = self.broadcast.position?.offset;
        let Some(common) = self.common else {
            return self.encodings.recorded(self.encoder(), offset, serializer);
        };
        if let Some(known) = self.encodings.known_recorded(serializer) {
            return Some(known.clone());
        }
        let frames = common.found().encodings.recorded(self.encoder(), offset, serializer)?;
        Some(self.encodings.keep_recorded(serializer, frames.apart()))
    }

    fn encoder(&self) -> Encoder<'a> {
        Encoder { broadcast: self.broadcast, log: self.log, meter: self.meter }
    }
}

impl Common {
    /// Locked while something is encoded, as whoever else needs it would encode the same.
    fn found(&self) -> MutexGuard<'_, Found> {
        // A serializer of the user's may panic under this lock; what was encoded before is sound all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::{Payload, V1, V2},
        topics::{log::Offset, position::Position},
    };

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
            assert_eq!(delivery.take_failed().is_some(), has_failed, "{}", serializer.name());
        }
    }
}
