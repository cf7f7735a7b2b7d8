//! What becomes of a frame whose client is behind: a mark that a few frames carry, and that their sessions act on.

use std::{fmt, sync::Arc};

/// What becomes of a frame whose client is behind, in the place of the session's end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// It tells the state of something: it takes the place of an older state that was not sent yet.
    Latest(Key),
    /// It is of no use later: it is left out where something waits already, or nothing carries the session.
    Volatile,
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
}

/// Those who get the same frame have the same allocation.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for Key {}

/// It may hold what clients said.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}
