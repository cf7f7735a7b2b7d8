//! Replicas that come, go silent, come back, and are gone.

use std::fmt;

use super::{Presences, merge::on_shards};
use crate::{
    diff::Diff,
    ledger::{OWN, PartId},
    tag::ReplicaId,
};

impl Presences {
    /// Says that a replica is up: what is known of it is shown.
    ///
    /// An earlier incarnation of the same node is dropped, and will not be taken back.
    ///
    /// # Errors
    ///
    /// [`UpError::Departed`] if this incarnation, or a later one, is known to be gone for good;
    /// [`UpError::OwnNode`] if the replica is this node, which is up as long as it runs;
    /// [`UpError::TooMany`] at the bound of [`replicas_max`](crate::Config::replicas_max).
    ///
    /// # Examples
    ///
    /// ```
    /// use lapwing_presence::{Config, Presences, ReplicaId, UpError};
    ///
    /// let mut presences = Presences::new(ReplicaId::new(1, 1), Config::default());
    /// presences.replica_up(ReplicaId::new(2, 7))?;
    /// presences.replica_up(ReplicaId::new(2, 8))?;
    /// let late = presences.replica_up(ReplicaId::new(2, 7));
    /// assert_eq!(late.unwrap_err(), UpError::Departed { incarnation: 7 });
    /// # Ok::<(), UpError>(())
    /// ```
    pub fn replica_up(&mut self, replica: ReplicaId) -> Result<Diff, UpError> {
        if replica.node() == self.id.node() {
            return Err(UpError::OwnNode);
        }
        if let Some(incarnation) =
            self.ledger.departed(replica.node()).filter(|last| replica.incarnation() <= *last)
        {
            return Err(UpError::Departed { incarnation });
        }
        let others: Vec<ReplicaId> =
            self.ledger.iter().map(|known| known.id).filter(|other| other.node() == replica.node()).collect();
        if let Some(later) = others.iter().find(|other| other.supersedes(replica)) {
            return Err(UpError::Departed { incarnation: later.incarnation() - 1 });
        }
        // Who takes an earlier start's place adds none.
        if others.is_empty() && self.ledger.is_full() {
            return Err(UpError::TooMany);
        }
        let mut diff = Diff::new();
        for earlier in others.into_iter().filter(|other| replica.supersedes(*other)) {
            diff.absorb(self.replica_departed(earlier));
        }
        match self.ledger.number(replica) {
            Some(number) => diff.absorb(self.show(number)),
            None => drop(self.ledger.add(replica)),
        }
        Ok(diff)
    }

    /// Says that nothing is heard of a replica: what is known of it is hidden, and kept in case that it comes
    /// back.
    ///
    /// Nothing happens if the replica is not known, or is this node.
    pub fn replica_down(&mut self, replica: ReplicaId) -> Diff {
        let Some(number) = self.other(replica) else { return Diff::new() };
        if !std::mem::replace(&mut self.ledger.known_mut(number).shown, false) {
            return Diff::new();
        }
        let threads = self.threads(self.part_len(number));
        on_shards(&mut self.shards, threads, |_, shard| {
            let mut diff = Diff::new();
            shard.hide(number, &mut diff);
            diff
        })
    }

    /// Says that nothing was heard of a replica for so long that what is known of it is dropped.
    ///
    /// It may come back, and is then as new: it was perhaps only the network between us that was down.
    pub fn replica_forgotten(&mut self, replica: ReplicaId) -> Diff {
        let Some(number) = self.other(replica) else { return Diff::new() };
        let threads = self.threads(self.part_len(number));
        let diff = on_shards(&mut self.shards, threads, |_, shard| {
            let mut diff = Diff::new();
            shard.forget(number, &mut diff);
            diff
        });
        self.ledger.remove(number);
        diff
    }

    /// Says that a replica has ended: it is forgotten, and no late message brings it back.
    ///
    /// Also holds for a replica of which this node has not heard yet, and for earlier incarnations of its
    /// node.
    pub fn replica_departed(&mut self, replica: ReplicaId) -> Diff {
        if replica.node() == self.id.node() {
            return Diff::new();
        }
        let gone: Vec<ReplicaId> = self
            .ledger
            .iter()
            .map(|known| known.id)
            .filter(|known| *known == replica || replica.supersedes(*known))
            .collect();
        self.ledger.depart(replica);
        let mut diff = Diff::new();
        for replica in gone {
            diff.absorb(self.replica_forgotten(replica));
        }
        diff
    }

    /// Whether a replica is known and shown.
    pub fn is_up(&self, replica: ReplicaId) -> bool {
        self.ledger.number(replica).is_some_and(|number| self.ledger.known(number).shown)
    }

    fn show(&mut self, number: PartId) -> Diff {
        if std::mem::replace(&mut self.ledger.known_mut(number).shown, true) {
            return Diff::new();
        }
        let threads = self.threads(self.part_len(number));
        on_shards(&mut self.shards, threads, |_, shard| {
            let mut diff = Diff::new();
            shard.show(number, &mut diff);
            diff
        })
    }

    fn other(&self, replica: ReplicaId) -> Option<PartId> {
        self.ledger.number(replica).filter(|number| *number != OWN)
    }
}

/// Why a replica was not taken as up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpError {
    /// This incarnation of the node is gone for good.
    Departed {
        /// The last incarnation that is known to be gone.
        incarnation: u64,
    },
    /// The replica has this node's own number: an earlier start of it, or two nodes are configured as one.
    OwnNode,
    /// As many replicas are known as may be.
    TooMany,
}

impl fmt::Display for UpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Departed { incarnation } => {
                write!(f, "the node's incarnations up to {incarnation} are gone for good")
            }
            Self::OwnNode => f.write_str("the replica has this node's own number"),
            Self::TooMany => f.write_str("as many replicas are known as may be"),
        }
    }
}

impl std::error::Error for UpError {}
