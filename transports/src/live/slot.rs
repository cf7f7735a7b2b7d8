//! Where the registry keeps a session, and what is known of its carrier, in one number: every session has it.

use std::sync::atomic::{AtomicU32, Ordering};

/// No table has so many places.
const COMPRESSES: u32 = 1 << 31;

/// A place in the registry, and whether what carries the session takes compressed frames.
#[derive(Debug, Default)]
pub(crate) struct Slot(AtomicU32);

impl Slot {
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed) & !COMPRESSES
    }

    pub(crate) fn set(&self, slot: u32) {
        debug_assert!(slot < COMPRESSES, "no table has so many places");
        let compresses = self.0.load(Ordering::Relaxed) & COMPRESSES;
        // Before anybody else knows the session.
        self.0.store(slot | compresses, Ordering::Relaxed);
    }

    pub(crate) fn compresses(&self) -> bool {
        self.0.load(Ordering::Relaxed) & COMPRESSES != 0
    }

    pub(crate) fn set_compresses(&self, compresses: bool) {
        if compresses {
            self.0.fetch_or(COMPRESSES, Ordering::Relaxed);
        } else {
            self.0.fetch_and(!COMPRESSES, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_and_what_is_known_of_the_carrier_leave_each_other_alone() {
        let slot = Slot::default();
        slot.set_compresses(true);
        slot.set(7);
        assert!(slot.get() == 7 && slot.compresses());
        slot.set_compresses(false);
        assert!(slot.get() == 7 && !slot.compresses());
    }
}
