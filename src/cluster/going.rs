//! Where the sessions of a node go, by their socket ids: an order about one of them may have come to the other node before the session began there,
//! and here when it was gone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lapwing_cluster::Instance;
use tokio::time::Instant;

use crate::topic::Topic;

/// For how long it is remembered: longer than an order is under way.
pub(super) const REMEMBERED: Duration = Duration::from_secs(60);

/// No more than sessions go in twice that time.
#[derive(Debug, Default)]
pub(crate) struct Going(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    by_id: HashMap<Topic, BTreeMap<Instance, Instant>>,
    /// When it was last forgotten who went long ago.
    tidied: Option<Instant>,
}

impl Going {
    /// A session with this socket id goes to that node from now on.
    pub(crate) fn note(&self, id: &Topic, to: Instance) {
        let (now, mut noted) = (Instant::now(), self.noted());
        noted.by_id.entry(id.clone()).or_default().insert(to, now);
        if now.duration_since(*noted.tidied.get_or_insert(now)) < REMEMBERED {
            return;
        }
        noted.tidied = Some(now);
        noted.by_id.retain(|_, nodes| {
            nodes.retain(|_, at| now.duration_since(*at) < REMEMBERED);
            !nodes.is_empty()
        });
    }

    /// The nodes to which sessions with this socket id have gone in that time.
    pub(crate) fn of(&self, id: &str, within: Duration) -> BTreeSet<Instance> {
        let (now, noted) = (Instant::now(), self.noted());
        let nodes = noted.by_id.get(id).into_iter().flatten();
        nodes.filter(|(_, at)| now.duration_since(**at) < within).map(|(node, _)| *node).collect()
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sessions_of_one_user_may_go_to_several_nodes_and_are_forgotten_in_time() {
        let (going, user) = (Going::default(), Topic::from("user:1"));
        for node in [7, 8, 7] {
            going.note(&user, Instance(node));
        }
        let of = |id: &str| going.of(id, REMEMBERED);
        assert_eq!(of("user:1"), BTreeSet::from([Instance(7), Instance(8)]));
        assert!(of("user:2").is_empty());
        tokio::time::advance(REMEMBERED / 2).await;
        going.note(&user, Instance(8));
        assert_eq!(
            going.of("user:1", REMEMBERED / 2),
            BTreeSet::from([Instance(8)]),
            "the other one went before"
        );
        tokio::time::advance(REMEMBERED / 2).await;
        assert_eq!(of("user:1"), BTreeSet::from([Instance(8)]), "though nobody has tidied up");
        going.note(&Topic::from("user:2"), Instance(7));
        assert_eq!(of("user:1"), BTreeSet::from([Instance(8)]));
        tokio::time::advance(REMEMBERED).await;
        going.note(&Topic::from("user:2"), Instance(7));
        assert_eq!(going.noted().by_id.len(), 1, "nothing is left of the other one");
    }
}
