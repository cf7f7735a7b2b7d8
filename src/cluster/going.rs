//! Where the sessions of a node go that goes down, by their socket ids: an order about one of them may have come to the other node before the session
//! began there, and here when it was gone.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use lapwing_cluster::Instance;

use crate::topic::Topic;

/// No more than the node has sessions.
#[derive(Debug, Default)]
pub(crate) struct Going(Mutex<HashMap<Topic, BTreeSet<Instance>>>);

impl Going {
    /// A session with this socket id goes to that node from now on.
    pub(crate) fn note(&self, id: &Topic, to: Instance) {
        let mut going = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        going.entry(id.clone()).or_default().insert(to);
    }

    /// The nodes to which sessions with this socket id have gone.
    pub(crate) fn of(&self, id: &str) -> BTreeSet<Instance> {
        let going = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        going.get(id).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_one_user_may_go_to_several_nodes() {
        let going = Going::default();
        for node in [7, 8, 7] {
            going.note(&Topic::from("user:1"), Instance(node));
        }
        assert_eq!(going.of("user:1"), BTreeSet::from([Instance(7), Instance(8)]));
        assert!(going.of("user:2").is_empty());
    }
}
