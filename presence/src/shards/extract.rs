//! Giving another node what it lacks.

use std::sync::Arc;

use rayon::prelude::*;

use super::{Presences, merge::Threads};
use crate::{
    clock::Clocks,
    delta::{Change, Delta, Part},
    ledger::PartId,
    tag::{Clock, ReplicaId},
};

impl Presences {
    /// Extracts what a node lacks that has seen `seen`: for each replica that is named there and that is further along
    /// here, the changes if they are all remembered, else the whole part.
    ///
    /// Replicas that are not named are left out: who has not heard of a replica does not want what others
    /// remember of it. Costs what is lacking, in the order of the changes or, for a whole part, of its
    /// entries; the latter is collected in parallel as in [`merge`](Self::merge).
    ///
    /// # Examples
    ///
    /// ```
    /// use lapwing_presence::{Clock, Clocks, Config, Owner, Presences, ReplicaId};
    ///
    /// let mut presences = Presences::new(ReplicaId::new(1, 1), Config::default());
    /// presences.track("room", "ada", Owner(7), b"{}")?;
    /// let seen = presences.clocks();
    /// assert!(presences.extract(&seen).is_empty());
    ///
    /// presences.track("room", "bob", Owner(8), b"{}")?;
    /// assert_eq!(presences.extract(&seen).len(), 1);
    /// assert!(presences.extract(&Clocks::new()).is_empty());
    ///
    /// let nothing: Clocks = [(presences.id(), Clock::ZERO)].into_iter().collect();
    /// assert_eq!(presences.extract(&nothing).len(), 2);
    /// # Ok::<(), lapwing_presence::TrackError>(())
    /// ```
    pub fn extract(&self, seen: &Clocks) -> Delta {
        let mut parts = Vec::new();
        for (replica, clock) in seen.iter() {
            let Some(number) = self.ledger.number(replica) else { continue };
            let known = self.ledger.known(number);
            if known.clock > clock {
                let changes = known.history.since(clock);
                parts.push(match changes {
                    Some(changes) => {
                        Part { replica, from: clock, to: known.clock, whole: false, chunks: [changes].into() }
                    }
                    None => self.whole(number),
                });
            }
            // What is held back here may close a gap there.
            parts.extend(known.held_after(clock).cloned());
        }
        Delta { parts }
    }

    /// Extracts all that is here of a replica, for a node that has never heard of it. What was [displaced](Self::displace) is not among it.
    pub(crate) fn extract_whole(&self, replica: ReplicaId) -> Delta {
        let number = self.ledger.number(replica);
        Delta { parts: number.map(|number| self.whole(number)).into_iter().collect() }
    }

    fn whole(&self, number: PartId) -> Part {
        let known = self.ledger.known(number);
        let chunks: Arc<[Vec<Change>]> = if self.threads(self.part_len(number)) == Threads::All {
            self.shards
                .par_iter()
                .with_max_len(1)
                .map(|shard| shard.collect(number))
                .collect::<Vec<_>>()
                .into()
        } else {
            self.shards.iter().map(|shard| shard.collect(number)).collect()
        };
        Part { replica: known.id, from: Clock::ZERO, to: known.clock, whole: true, chunks }
    }
}
