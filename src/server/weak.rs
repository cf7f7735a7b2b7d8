//! A server without keeping it alive: what reads its numbers now and then is no reason for it to go on.

use std::sync::{Arc, Weak};

use crate::server::{Inner, Lapwing};

pub(crate) struct WeakLapwing(Weak<Inner>);

impl Lapwing {
    pub(crate) fn downgrade(&self) -> WeakLapwing {
        WeakLapwing(Arc::downgrade(&self.0))
    }
}

impl WeakLapwing {
    /// The server, unless its last clone is gone.
    pub(crate) fn upgrade(&self) -> Option<Lapwing> {
        self.0.upgrade().map(Lapwing)
    }
}
