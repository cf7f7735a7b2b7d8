//! Giving back what a table needed in a storm.

use slab::Slab;

/// A table with room for so many entries is not made smaller: there is nothing to be won.
const CAPACITY_MIN: usize = 1_024;

/// Makes a slab smaller when three quarters of its room lie idle.
///
/// Entries of a slab cannot move, so that room is given back only behind the last of them. Looking whether there is any costs
/// nothing; giving it back costs a walk over what is left, and is done once per so many removals, and when half of the
/// entries have gone since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shrink {
    /// Removals since room was given back.
    removals: u32,
    /// How many entries there were then.
    entries: u32,
}

impl Shrink {
    /// An entry was taken out of the slab.
    pub fn handle_removal<T>(&mut self, slab: &mut Slab<T>) {
        self.removals = self.removals.saturating_add(1);
        let capacity = slab.capacity();
        let is_sparse = capacity > CAPACITY_MIN && slab.len() <= capacity / 4;
        let is_worth_it = self.removals as usize >= capacity / 16 || slab.len() <= self.entries as usize / 2;
        if is_sparse && is_worth_it {
            slab.shrink_to_fit();
            if slab.capacity() < capacity {
                *self = Self { removals: 0, entries: u32::try_from(slab.len()).unwrap_or(u32::MAX) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> (Slab<usize>, Vec<usize>) {
        let mut slab = Slab::new();
        let keys = (0..100_000).map(|n| slab.insert(n)).collect();
        (slab, keys)
    }

    #[test]
    fn room_is_given_back_in_whatever_order_the_entries_go() {
        let reversed = |keys: &mut Vec<usize>| keys.reverse();
        let mixed = |keys: &mut Vec<usize>| keys.sort_by_key(|key| key.wrapping_mul(0x9e37_79b9) % 100_003);
        let orders: [fn(&mut Vec<usize>); 3] = [|_| {}, reversed, mixed];
        for order in orders {
            let ((mut slab, mut keys), mut shrink) = (filled(), Shrink::default());
            order(&mut keys);
            for key in keys {
                slab.remove(key);
                shrink.handle_removal(&mut slab);
            }
            assert!(slab.capacity() <= CAPACITY_MIN, "{}", slab.capacity());
        }
    }

    #[test]
    fn the_first_entries_keep_no_room_for_those_that_went() {
        let ((mut slab, keys), mut shrink) = (filled(), Shrink::default());
        for key in &keys[10..] {
            slab.remove(*key);
            shrink.handle_removal(&mut slab);
        }
        assert!(slab.capacity() <= CAPACITY_MIN, "{}", slab.capacity());
        assert!(keys[..10].iter().all(|key| slab.contains(*key)));
    }

    #[test]
    fn an_entry_that_stays_behind_keeps_its_place() {
        let ((mut slab, keys), mut shrink) = (filled(), Shrink::default());
        let (last, others) = keys.split_last().unwrap();
        for key in others {
            slab.remove(*key);
            shrink.handle_removal(&mut slab);
        }
        assert!(slab.contains(*last) && slab.capacity() >= 100_000);
        slab.remove(*last);
        shrink.handle_removal(&mut slab);
        assert!(slab.capacity() <= CAPACITY_MIN);
    }
}
