//! Options of the state.

/// How [`Presences`](crate::Presences) is laid out and bounded.
///
/// # Examples
///
/// ```
/// use lapwing_presence::{Config, Presences, ReplicaId};
///
/// let config = Config::default().hash_seed(0x5EED).history_changes_max(100_000);
/// let presences = Presences::new(ReplicaId::new(1, 1), config);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Config {
    pub(crate) shards: usize,
    pub(crate) hash_seed: u64,
    pub(crate) parallel_changes_min: usize,
    pub(crate) history_changes_max: usize,
    pub(crate) history_bytes_max: usize,
    pub(crate) held_changes_max: usize,
    pub(crate) held_bytes_max: usize,
    pub(crate) replicas_max: usize,
}

impl Config {
    /// Over how many shards the topics are spread; 32 unless said otherwise, at least 1.
    ///
    /// A shard is the unit of parallel work, and a topic lives in one shard. A few times the number of threads
    /// is enough to balance them. Nodes of one cluster may differ in it. More than 4,096 are taken as 4,096.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = shards.clamp(1, 4096);
        self
    }

    /// Seeds the hash tables; 0 unless said otherwise.
    ///
    /// Topics and keys come from clients. Give a number that clients cannot know, or they can choose keys
    /// that all fall into one place of the table and make it slow.
    pub fn hash_seed(mut self, seed: u64) -> Self {
        self.hash_seed = seed;
        self
    }

    /// From how many changes on one call is spread over rayon's threads; 8,192 unless said otherwise.
    ///
    /// A change costs a few hundred nanoseconds, and a thread that sleeps may begin milliseconds after it is
    /// woken. See [`Presences::merge`](crate::Presences::merge) for the measurement.
    pub fn parallel_changes_min(mut self, changes: usize) -> Self {
        self.parallel_changes_min = changes;
        self
    }

    /// How many changes of each replica are remembered for extracting deltas; 16,384 unless said otherwise.
    ///
    /// A node that lacks more gets the whole part of that replica instead. The default is a little more than
    /// Phoenix's largest delta generation (10,000).
    pub fn history_changes_max(mut self, changes: usize) -> Self {
        self.history_changes_max = changes;
        self
    }

    /// How many bytes the remembered changes of each replica may take, with their keys, metas and topics'
    /// names; 8 MiB unless said otherwise.
    ///
    /// At the bound the oldest changes are forgotten, as at the bound on their number. An entry that is
    /// tracked is counted too, though remembering it costs a pointer: the change may outlive it. The default
    /// holds the default number of changes with metas of 300 bytes, and 2,000 changes with metas of 4 KB.
    pub fn history_bytes_max(mut self, bytes: usize) -> Self {
        self.history_bytes_max = bytes;
        self
    }

    /// How many changes of each replica are held back while what came before them is missing; 16,384 unless
    /// said otherwise.
    ///
    /// At the bound a delta that came ahead of a gap is dropped. Nothing is lost by it: the clock stays
    /// behind, and the transfer that closes the gap brings what was dropped.
    pub fn held_changes_max(mut self, changes: usize) -> Self {
        self.held_changes_max = changes;
        self
    }

    /// How many bytes the changes of each replica that are held back may take; 8 MiB unless said otherwise.
    ///
    /// At the bound a delta is dropped, as at the bound on their number.
    pub fn held_bytes_max(mut self, bytes: usize) -> Self {
        self.held_bytes_max = bytes;
        self
    }

    /// How many other replicas are known at a time, shown or hidden; 1,024 unless said otherwise, and at most
    /// 65,535.
    ///
    /// Each may take the bounds above in memory. At the bound a new one is refused with
    /// [`UpError::TooMany`](crate::UpError::TooMany) until another is forgotten.
    pub fn replicas_max(mut self, replicas: usize) -> Self {
        self.replicas_max = replicas.min(usize::from(u16::MAX));
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shards: 32,
            hash_seed: 0,
            parallel_changes_min: 8192,
            history_changes_max: 16_384,
            history_bytes_max: 8 << 20,
            held_changes_max: 16_384,
            held_bytes_max: 8 << 20,
            replicas_max: 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_sets_itself_and_nothing_else() {
        let set = Config::default()
            .shards(5)
            .hash_seed(1)
            .parallel_changes_min(2)
            .history_changes_max(3)
            .history_bytes_max(4)
            .held_changes_max(6)
            .held_bytes_max(7)
            .replicas_max(8);
        let Config {
            shards,
            hash_seed,
            parallel_changes_min,
            history_changes_max,
            history_bytes_max,
            held_changes_max,
            held_bytes_max,
            replicas_max,
        } = set;
        assert_eq!((shards, hash_seed, parallel_changes_min), (5, 1, 2));
        assert_eq!((history_changes_max, history_bytes_max), (3, 4));
        assert_eq!((held_changes_max, held_bytes_max, replicas_max), (6, 7, 8));
    }

    #[test]
    fn a_layout_that_cannot_be_is_taken_as_the_nearest_that_can() {
        assert_eq!(Config::default().shards(0).shards, 1);
        assert_eq!(Config::default().shards(usize::MAX).shards, 4096);
        assert_eq!(Config::default().replicas_max(usize::MAX).replicas_max, 65_535);
    }
}
