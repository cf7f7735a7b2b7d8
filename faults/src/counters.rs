//! Counts of what a proxy has seen.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

/// Counts of what a proxy has seen since it was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counters {
    /// Connections that were accepted.
    pub connections: u64,
    /// Those of them that are open now, the dead and the waiting ones included.
    pub open: u64,
    /// Requests by their method, those that were swallowed or refused included. Methods beyond the first 16
    /// are counted as `other`.
    pub requests: BTreeMap<String, u64>,
    /// Upgrades that succeeded.
    pub websockets: u64,
    /// Bytes that were passed on to the server.
    pub bytes_to_server: u64,
    /// Bytes that were passed on to clients.
    pub bytes_to_clients: u64,
    /// Connections that a fault or a cut has reset, not those that an end did.
    pub resets: u64,
}

/// The counters while they count.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counters>);

impl Tally {
    pub(crate) fn count_request(&self, method: &str) {
        let requests = &mut self.now().requests;
        let is_room = requests.len() < METHODS_MAX || requests.contains_key(method);
        *requests.entry(if is_room { method } else { "other" }.to_owned()).or_default() += 1;
    }

    /// For a change or a look of one line.
    pub(crate) fn now(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Methods are whatever a client sends.
const METHODS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_methods_are_counted_together() {
        let tally = Tally::default();
        for number in 0..20 {
            tally.count_request(&format!("M{number}"));
        }
        tally.count_request("M3");
        let requests = &tally.now().requests;
        assert_eq!((requests.len(), requests["M3"], requests["other"]), (17, 2, 4));
    }
}
