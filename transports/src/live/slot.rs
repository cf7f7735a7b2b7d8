//! Where the registry keeps a session, and what is known of its attachment, in one number: every session has it.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::forms::Forms;

/// No table has so many places: the bits above are those of forms.
const PLACES: u32 = 1 << PLACE_BITS;
const PLACE_BITS: u32 = u32::BITS - Forms::BITS;

/// A place in the registry, and in which form what carries the session takes compressed frames.
#[derive(Debug, Default)]
pub(crate) struct Slot(AtomicU32);

impl Slot {
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed) % PLACES
    }

    pub(crate) fn set(&self, slot: u32) {
        debug_assert!(slot < PLACES, "no table has so many places");
        let forms = self.0.load(Ordering::Relaxed) / PLACES * PLACES;
        // Before anybody else knows the session.
        self.0.store(slot | forms, Ordering::Relaxed);
    }

    pub(crate) fn forms(&self) -> Forms {
        Forms::of_bits(self.0.load(Ordering::Relaxed) >> PLACE_BITS)
    }

    /// The place stays what it is from when others know the session.
    pub(crate) fn set_forms(&self, forms: Forms) {
        if self.forms() != forms {
            self.0.store(self.get() | forms.bits() << PLACE_BITS, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_and_what_is_known_of_the_attachment_leave_each_other_alone() {
        let slot = Slot::default();
        slot.set_forms(Forms::STRINGS);
        slot.set(PLACES - 1);
        assert!(slot.get() == PLACES - 1 && slot.forms() == Forms::STRINGS);
        slot.set_forms(Forms::MESSAGES);
        assert!(slot.get() == PLACES - 1 && slot.forms() == Forms::MESSAGES);
        slot.set_forms(Forms::NONE);
        assert!(slot.get() == PLACES - 1 && slot.forms().is_none());
    }
}
