//! A broadcast's policy for clients that are slow, as its publisher said.

/// A policy for slow clients. `lapwing`'s `SlowPolicy` says what each does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slow {
    /// All of it waits, and at the bound the client is closed.
    Close,
    /// It is left out for clients that are behind.
    Volatile,
    /// It takes the place of an older one of the same event.
    Latest,
    /// It takes the place of an older one with the same key.
    LatestOf(Box<str>),
    /// So many wait for a client at most, and an event tells of those that were dropped.
    Few {
        /// How many.
        count: u64,
        /// The event.
        told_by: Box<str>,
    },
}
