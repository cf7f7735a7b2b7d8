//! Where the states of things wait in an outbox in which much does: found without a look at each frame.
//!
//! Who has hundreds of things on one topic pushes a state into an outbox where hundreds of others wait, for each client that is slow; and
//! to look through them costs a miss of the cache for each. So an outbox makes an index when somebody had to look at many frames
//! in vain, and has it until nothing waits.

use std::collections::{HashMap, hash_map::Entry};

use crate::{
    frame::Frame,
    policy::{Key, Policy},
};

/// The last frame of each thing behind the last fence. A state leaves the outbox as the oldest frame, or is replaced by a newer one of the same
/// thing, so that there is none of which an older one would have to be found again.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Counted from the frame that was the first when the index was made. Bounded by the frames that wait: what leaves is taken out.
    numbers: HashMap<Key, u64>,
    /// How many frames have left since.
    gone: u64,
}

impl Index {
    /// The index of these frames, of which the first has place 0.
    pub(super) fn of<'a>(frames: impl Iterator<Item = &'a Frame>) -> Self {
        let mut index = Self::default();
        frames.enumerate().for_each(|(place, frame)| index.push(place, frame));
        index
    }

    pub(super) fn place_of(&self, key: &Key) -> Option<usize> {
        self.numbers.get(key).map(|number| (number - self.gone) as usize)
    }

    /// This frame stands behind all others.
    pub(super) fn push(&mut self, place: usize, frame: &Frame) {
        if frame.is_fence() {
            self.numbers.clear();
        }
        if let Some(key) = key_of(frame) {
            self.numbers.insert(key.clone(), self.gone + place as u64);
        }
    }

    /// This frame has left the first place, and the others move up.
    pub(super) fn pop(&mut self, frame: &Frame) {
        self.forget(0, frame);
        self.gone += 1;
    }

    /// This frame has left its place, and those behind it move up.
    pub(super) fn remove(&mut self, place: usize, frame: &Frame) {
        self.forget(place, frame);
        let removed = self.gone + place as u64;
        self.numbers.values_mut().filter(|number| **number > removed).for_each(|number| *number -= 1);
    }

    /// A frame stands in the place of another, which is behind the last fence.
    pub(super) fn replace(&mut self, place: usize, before: &Frame, frame: &Frame) {
        if key_of(before) != key_of(frame) {
            self.forget(place, before);
            if let Some(key) = key_of(frame) {
                self.numbers.insert(key.clone(), self.gone + place as u64);
            }
        }
    }

    fn forget(&mut self, place: usize, frame: &Frame) {
        let number = self.gone + place as u64;
        if let Some(key) = key_of(frame)
            && let Entry::Occupied(known) = self.numbers.entry(key.clone())
            && *known.get() == number
        {
            known.remove();
        }
    }
}

fn key_of(frame: &Frame) -> Option<&Key> {
    if let Some(Policy::Latest(key)) = frame.policy() { Some(key) } else { None }
}
