//! Waiting one's turn.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::sync::watch;

/// A line of people who wait for their turn, first come, first served.
#[derive(Debug, Default)]
pub(crate) struct Line {
    numbers: watch::Sender<BTreeSet<u64>>,
    next: AtomicU64,
}

/// A place in a line, left when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    line: &'a Line,
    number: u64,
}

impl Line {
    /// Takes the last place.
    pub(crate) fn join(&self) -> Place<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.numbers.send_modify(|numbers| {
            numbers.insert(number);
        });
        Place { line: self, number }
    }
}

impl Place<'_> {
    /// How many joined before.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Waits until all who came before have left.
    pub(crate) async fn turn(&self) {
        let mut numbers = self.line.numbers.subscribe();
        // The sender outlives this place, so that there is no error.
        let _ = numbers.wait_for(|numbers| numbers.first() == Some(&self.number)).await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.line.numbers.send_modify(|numbers| {
            numbers.remove(&self.number);
        });
    }
}
