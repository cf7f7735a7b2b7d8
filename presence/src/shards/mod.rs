//! All shards together: the replicated set that a node holds, and what the node itself tracks in it.

mod extract;
pub(crate) mod liveness;
mod merge;
mod owners;

use std::{fmt, sync::Arc};

use crate::{
    clock::Clocks,
    config::Config,
    delta::Change,
    diff::Diff,
    entry::Entry,
    ledger::{Ledger, OWN},
    state::{Count, Hasher, Id, List, State, TopicName},
    tag::{Clock, Owner, ReplicaId, Tag},
};

use self::owners::Owners;

/// The presences of a cluster, as one node sees them.
///
/// The presences of this node are changed by [`track`](Self::track), [`update`](Self::update),
/// [`untrack`](Self::untrack) and [`untrack_all`](Self::untrack_all); what others track comes in by
/// [`merge`](Self::merge), and what they lack goes out by [`extract`](Self::extract). Every change returns
/// the [`Diff`] that it caused here. [`Replica`](crate::Replica) decides when to do so.
///
/// See the [crate's documentation](crate) for the laws.
#[derive(Debug)]
pub struct Presences {
    id: ReplicaId,
    hasher: Hasher,
    ledger: Ledger,
    shards: Vec<State>,
    owners: Owners,
    parallel_changes_min: usize,
    /// Where entries are put together; kept to allocate once.
    scratch: Vec<u8>,
}

impl Presences {
    /// An empty state: no presence, and no other replica known.
    ///
    /// The id must not have been used before: see [`ReplicaId`].
    pub fn new(id: ReplicaId, config: Config) -> Self {
        let hasher = Hasher::new(config.hash_seed);
        Self {
            id,
            ledger: Ledger::new(id, &config),
            shards: (0..config.shards).map(|_| State::new(hasher.clone())).collect(),
            owners: Owners::default(),
            hasher,
            parallel_changes_min: config.parallel_changes_min,
            scratch: Vec::new(),
        }
    }

    /// Says that `key` is present in `topic`, for as long as `owner` is responsible for it.
    ///
    /// The meta is copied. An owner may track a key in several topics and several keys in a topic.
    ///
    /// # Errors
    ///
    /// [`TrackError::AlreadyTracked`] if the owner tracks the key in the topic: [`update`](Self::update) is
    /// for that.
    ///
    /// # Examples
    ///
    /// ```
    /// use lapwing_presence::{Config, Owner, Presences, ReplicaId, TrackError};
    ///
    /// let mut presences = Presences::new(ReplicaId::new(1, 1), Config::default());
    /// let diff = presences.track("room", "ada", Owner(7), b"{}")?;
    /// let phx_ref = diff.first_join().unwrap().tag().phx_ref();
    ///
    /// let again = presences.track("room", "ada", Owner(7), b"{}");
    /// assert!(matches!(again, Err(TrackError::AlreadyTracked { tag, .. }) if tag.phx_ref() == phx_ref));
    /// # Ok::<(), TrackError>(())
    /// ```
    pub fn track(&mut self, topic: &str, key: &str, owner: Owner, meta: &[u8]) -> Result<Diff, TrackError> {
        let name = TopicName { name: topic, hash: self.hasher.topic(topic) };
        let place = self.shard_of(name);
        let shard = &mut self.shards[place];
        let own = self.ledger.known_mut(OWN);
        let mut diff = Diff::new();
        let pack = || own.pack(Clock::ZERO, owner, key, meta, &mut self.scratch);
        let id = match shard.insert(name, key.as_bytes(), owner, OWN, &mut diff, pack) {
            Ok(id) => id,
            Err(known) => return Err(TrackError::AlreadyTracked { tag: shard.entry(known).tag() }),
        };
        let change = Change::Set { topic: shard.topic_of(id).clone(), entry: shard.entry(id).clone() };
        own.history.push(change);
        self.owners.enter(owner, place, id, &mut self.shards, &self.hasher);
        Ok(diff)
    }

    /// Gives a tracked key another meta, and so another tag.
    ///
    /// # Errors
    ///
    /// [`UpdateError::NotTracked`] if the owner does not track the key in the topic.
    ///
    /// # Examples
    ///
    /// ```
    /// use lapwing_presence::{Config, Owner, Presences, ReplicaId, UpdateError};
    ///
    /// let mut presences = Presences::new(ReplicaId::new(1, 1), Config::default());
    /// assert_eq!(presences.update("room", "ada", Owner(7), b"{}").unwrap_err(), UpdateError::NotTracked);
    ///
    /// presences.track("room", "ada", Owner(7), b"{}")?;
    /// let diff = presences.update("room", "ada", Owner(7), br#"{"away":true}"#)?;
    /// let room = &diff.topics()[0];
    /// assert_eq!(room.joins()[0].previous(), Some(room.leaves()[0].tag()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update(&mut self, topic: &str, key: &str, owner: Owner, meta: &[u8]) -> Result<Diff, UpdateError> {
        let name = TopicName { name: topic, hash: self.hasher.topic(topic) };
        let place = self.shard_of(name);
        let shard = &mut self.shards[place];
        let Some(id) = shard.find(name, key.as_bytes(), owner, OWN) else {
            return Err(UpdateError::NotTracked);
        };
        let own = self.ledger.known_mut(OWN);
        let previous = shard.entry(id).clock();
        let entry = own.pack(previous, owner, key, meta, &mut self.scratch);
        let topic = shard.topic_of(id).clone();
        let mut diff = Diff::new();
        shard.replace(id, entry.clone(), &mut diff);
        own.history.supersede(previous);
        own.history.push(Change::Set { topic, entry });
        Ok(diff)
    }

    /// Says that the key is not present in the topic for this owner any more.
    ///
    /// The diff is empty if it was not.
    pub fn untrack(&mut self, topic: &str, key: &str, owner: Owner) -> Diff {
        let name = TopicName { name: topic, hash: self.hasher.topic(topic) };
        let mut diff = Diff::new();
        if let Some(id) = self.shard(name).find(name, key.as_bytes(), owner, OWN) {
            self.remove(self.shard_of(name), id, &mut diff);
        }
        diff
    }

    /// Says that an owner has ended: all that it tracked is gone.
    ///
    /// Costs what the owner tracked.
    ///
    /// # Examples
    ///
    /// ```
    /// use lapwing_presence::{Config, Owner, Presences, ReplicaId};
    ///
    /// let mut presences = Presences::new(ReplicaId::new(1, 1), Config::default());
    /// presences.track("room", "ada", Owner(7), b"{}")?;
    /// presences.track("hall", "ada", Owner(7), b"{}")?;
    /// assert_eq!(presences.untrack_all(Owner(7)).len(), 2);
    /// assert!(presences.untrack_all(Owner(7)).is_empty());
    /// # Ok::<(), lapwing_presence::TrackError>(())
    /// ```
    pub fn untrack_all(&mut self, owner: Owner) -> Diff {
        let mut diff = Diff::new();
        for (shard, id) in self.owners.find(owner, &self.shards, &self.hasher) {
            self.remove(shard, id, &mut diff);
        }
        diff
    }

    /// Drops an entry in whose place another stands, though its owner did not say that it is gone: that of somebody who was on a node that is
    /// about to go, and is on another by now. One of this node's own goes as by [`untrack`](Self::untrack).
    ///
    /// Of another replica's entry the others hear nothing: each drops it for itself, and a replica that is about to go takes with it what any
    /// of them kept. The diff is empty if the entry is not there, or has another tag by now.
    ///
    /// # Examples
    ///
    /// ```
    /// use lapwing_presence::{Config, Owner, Presences, ReplicaId};
    ///
    /// let mut goes = Presences::new(ReplicaId::new(1, 1), Config::default());
    /// goes.track("room", "ada", Owner(7), b"{}")?;
    /// let mut stays = Presences::new(ReplicaId::new(2, 1), Config::default());
    /// stays.replica_up(goes.id())?;
    /// stays.merge(&goes.extract(&stays.clocks()));
    ///
    /// let left = stays.list("room").next().unwrap().clone();
    /// let mut diff = stays.track("room", "ada", Owner(1), b"{}")?;
    /// diff.absorb(stays.displace("room", &left));
    /// assert_eq!((diff.topics()[0].joins().len(), diff.topics()[0].leaves()[0].tag()), (1, left.tag()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn displace(&mut self, topic: &str, entry: &Entry) -> Diff {
        let name = TopicName { name: topic, hash: self.hasher.topic(topic) };
        let mut diff = Diff::new();
        let Some(part) = self.ledger.writer(entry.tag()) else { return diff };
        let place = self.shard_of(name);
        let found = self.shards[place].find(name, entry.key_bytes(), entry.owner(), part);
        let Some(id) = found.filter(|id| self.shards[place].entry(*id).tag() == entry.tag()) else {
            return diff;
        };
        match part {
            OWN => self.remove(place, id, &mut diff),
            _ => drop(self.shards[place].remove(id, &mut diff)),
        }
        diff
    }

    /// The replica that this node is.
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    /// Iterates over the entries shown in a topic, of any replica; those of one key follow each other.
    ///
    /// # Examples
    ///
    /// ```
    /// use lapwing_presence::{Config, Owner, Presences, ReplicaId};
    ///
    /// let mut presences = Presences::new(ReplicaId::new(1, 1), Config::default());
    /// presences.track("room", "ada", Owner(1), b"{}")?;
    /// presences.track("room", "bob", Owner(2), b"{}")?;
    /// let keys: Vec<&str> = presences.list("room").map(|entry| entry.key()).collect();
    /// assert_eq!(keys, ["ada", "bob"]);
    /// assert_eq!(presences.list("hall").count(), 0);
    /// # Ok::<(), lapwing_presence::TrackError>(())
    /// ```
    pub fn list(&self, topic: &str) -> List<'_> {
        let name = TopicName { name: topic, hash: self.hasher.topic(topic) };
        self.shard(name).list(name)
    }

    /// The shown entries of one key in a topic, on any replica.
    pub fn get(&self, topic: &str, key: &str) -> List<'_> {
        let name = TopicName { name: topic, hash: self.hasher.topic(topic) };
        self.shard(name).key(name, key)
    }

    /// The entry that an owner on this node tracks.
    pub fn find(&self, topic: &str, key: &str, owner: Owner) -> Option<&Entry> {
        let name = TopicName { name: topic, hash: self.hasher.topic(topic) };
        let shard = self.shard(name);
        shard.find(name, key.as_bytes(), owner, OWN).map(|id| shard.entry(id))
    }

    /// How many are shown in a topic, without looking at them.
    pub fn count(&self, topic: &str) -> Count {
        let name = TopicName { name: topic, hash: self.hasher.topic(topic) };
        self.shard(name).count(name)
    }

    /// The topics in which somebody is shown. This walks over all of them.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.shards.iter().flat_map(State::topics)
    }

    /// The clocks that this node has seen of the replicas that it shows, itself among them.
    pub fn clocks(&self) -> Clocks {
        self.ledger.clocks()
    }

    /// Up to where this node has seen a replica, shown or not; `None` if it is not known.
    pub fn clock(&self, replica: ReplicaId) -> Option<Clock> {
        self.ledger.number(replica).map(|number| self.ledger.known(number).clock)
    }

    fn remove(&mut self, shard: usize, id: Id, diff: &mut Diff) {
        let owner = self.shards[shard].entry(id).owner();
        self.owners.leave(owner, shard, id, &mut self.shards, &self.hasher);
        let shard = &mut self.shards[shard];
        let own = self.ledger.known_mut(OWN);
        let topic = shard.topic_of(id).clone();
        let entry = shard.remove(id, diff);
        let removal = own.pack(Clock::ZERO, owner, entry.key(), b"", &mut self.scratch);
        own.history.supersede(entry.clock());
        own.history.push(Change::Removed { topic, entry: removal });
    }

    fn shard_mut(&mut self, topic: TopicName<'_>) -> &mut State {
        let place = self.shard_of(topic);
        &mut self.shards[place]
    }

    fn shard(&self, topic: TopicName<'_>) -> &State {
        &self.shards[self.shard_of(topic)]
    }

    fn shard_of(&self, topic: TopicName<'_>) -> usize {
        shard_of(topic.hash, self.shards.len())
    }
}

/// The tables inside a shard look at the lowest and at the highest seven bits of the hash: the shard is
/// chosen by bits between them, or the shards' tables would be filled unevenly.
fn shard_of(hash: u64, shards: usize) -> usize {
    (hash >> 40) as u16 as usize % shards
}

/// Why a key was not tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrackError {
    /// The owner tracks this key in this topic.
    #[non_exhaustive]
    AlreadyTracked {
        /// The entry's tag.
        tag: Tag,
    },
}

impl fmt::Display for TrackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyTracked { .. } => f.write_str("the owner tracks this key in this topic already"),
        }
    }
}

impl std::error::Error for TrackError {}

/// Why an entry was not updated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateError {
    /// The owner does not track this key in this topic.
    NotTracked,
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTracked => f.write_str("the owner does not track this key in this topic"),
        }
    }
}

impl std::error::Error for UpdateError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_spread_over_the_shards() {
        let hasher = Hasher::new(7);
        let mut topics = [0; 32];
        for number in 0..3200 {
            topics[shard_of(hasher.topic(&format!("room:{number}")), topics.len())] += 1;
        }
        assert!(topics.iter().all(|count| (50..200).contains(count)), "{topics:?}");
    }
}
