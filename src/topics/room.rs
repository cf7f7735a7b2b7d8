//! The bytes that the histories of a node may take together.

use crate::sync::atomic::{AtomicUsize, Ordering};

/// A bound that several histories share, each under a lock of its own: bytes are taken before they are used.
#[derive(Debug)]
pub(crate) struct Room {
    taken: AtomicUsize,
    bytes_max: usize,
}

impl Room {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { taken: AtomicUsize::new(0), bytes_max }
    }

    /// Takes as many of `bytes` as are left.
    ///
    /// # Errors
    ///
    /// By how much more is taken than there is.
    pub(crate) fn take(&self, bytes: usize) -> Result<usize, usize> {
        if bytes == 0 && self.taken.load(Ordering::Relaxed) <= self.bytes_max {
            return Ok(0);
        }
        let mut granted = 0;
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            granted = bytes.min(self.bytes_max.checked_sub(taken)?);
            Some(taken + granted)
        });
        taken.map(|_| granted).map_err(|taken| taken.saturating_sub(self.bytes_max))
    }

    /// Takes all of `bytes`, or none.
    pub(crate) fn take_all(&self, bytes: usize) -> bool {
        let taken = self.take(bytes).unwrap_or(0);
        if taken < bytes {
            self.give_back(taken);
        }
        taken == bytes
    }

    /// Takes `bytes` whether or not they are left: they are in use, and the next that is taken makes up for them.
    pub(crate) fn overdraw(&self, bytes: usize) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.taken.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is() {
        let room = Room::new(10);
        assert_eq!((room.take(7), room.take(7), room.take(7)), (Ok(7), Ok(3), Ok(0)));
        assert!(!room.take_all(1));
        room.give_back(5);
        assert!(!room.take_all(6), "and nothing is kept of it");
        assert!(room.take_all(5));
        room.overdraw(2);
        assert_eq!((room.take(1), room.taken()), (Err(2), 12));
    }

    #[test]
    fn threads_that_take_at_once_take_no_more_than_there_is() {
        let room = Room::new(1_000);
        let taken: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| (0..1_000).map(|_| room.take(1).expect("it is not over")).sum::<usize>())
                })
                .collect();
            takers.into_iter().map(|taker| taker.join().expect("it ends")).sum()
        });
        assert_eq!((taken, room.taken()), (1_000, 1_000));
    }
}
