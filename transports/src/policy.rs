//! What becomes of a frame whose client is behind: a mark that a few frames carry, and that their sessions act on.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;

/// What becomes of a frame whose client is behind, in the place of the session's end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// It tells the state of something: it takes the place of an older state that was not sent yet.
    Latest(Key),
    /// It is of no use later: it is left out where something waits already, or nothing carries the session.
    Volatile,
    /// No more than so many of its kind wait: the oldest are dropped for it, and in their place the client is told how many they were.
    Few(Arc<Few>),
    /// It tells of so many frames of a kind that were dropped.
    Dropped(Key, u64),
}

/// How many frames of a kind may wait, and what tells of those that were dropped.
pub struct Few {
    key: Key,
    frames_max: usize,
    tell: Box<dyn Fn(u64) -> Option<Told> + Send + Sync>,
}

/// A frame that tells of others.
#[derive(Clone, Debug)]
pub struct Told {
    /// Whether it is text.
    pub is_text: bool,
    /// The encoded message.
    pub payload: Bytes,
}

impl Few {
    /// At most so many frames of a kind, one at least. `tell` makes the frame that says how many were dropped; where it makes none, none are.
    #[must_use]
    pub fn new(
        key: Key,
        frames_max: usize,
        tell: impl Fn(u64) -> Option<Told> + Send + Sync + 'static,
    ) -> Self {
        Self { key, frames_max: frames_max.max(1), tell: Box::new(tell) }
    }

    /// Their kind.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// How many may wait.
    #[must_use]
    pub fn frames_max(&self) -> usize {
        self.frames_max
    }

    /// What tells that so many were dropped.
    #[must_use]
    pub fn tell(&self, dropped: u64) -> Option<Told> {
        (self.tell)(dropped)
    }
}

impl PartialEq for Few {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.frames_max == other.frames_max
    }
}

impl Eq for Few {}

impl fmt::Debug for Few {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Few").field("frames_max", &self.frames_max).finish_non_exhaustive()
    }
}

/// Of what a frame tells the state. Cheap to clone.
#[derive(Clone)]
pub struct Key(Arc<str>);

impl Key {
    /// A key that is the same for all frames about one thing.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text that it was made of.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Those who get the same frame have the same allocation.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        #[cfg(test)]
        compared::note();
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// It may hold what clients said.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// The comparisons of keys by this thread: what it costs to find one is to depend on no number of others.
#[cfg(test)]
pub(crate) mod compared {
    use std::cell::Cell;

    thread_local! {
        static COUNT: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn note() {
        COUNT.set(COUNT.get() + 1);
    }

    /// Those since this was last asked.
    pub(crate) fn take() -> usize {
        COUNT.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_the_same_for_the_same_kind_and_number() {
        let few = |key, frames_max| Few::new(Key::new(key), frames_max, |_| None);
        assert_eq!(few("a", 3), few("a", 3));
        assert_ne!(few("a", 3), few("b", 3));
        assert_ne!(few("a", 3), few("a", 4));
        assert_eq!((few("a", 0).frames_max(), few("a", 3).key()), (1, &Key::new("a")));
    }

    #[test]
    fn what_is_printed_has_nothing_that_a_client_said() {
        let few = Few::new(Key::new("secret"), 3, |_| None);
        let texts = [format!("{few:?}"), format!("{:?}", few.key())];
        assert!(texts[0].starts_with("Few") && texts[1].starts_with("Key"), "{texts:?}");
        assert!(texts.iter().all(|text| !text.contains("secret")), "{texts:?}");
    }
}
