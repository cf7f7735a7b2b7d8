//! What a caller can choose about the state.

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
    pub(crate) held_changes_max: usize,
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
    /// A node that lacks more gets the whole part of that replica instead. A remembered change costs about 50
    /// bytes, and keeps alive a replaced entry of another replica, so the bound in bytes is this number times
    /// the size of a meta. The default is a little more than Phoenix's largest delta generation (10,000).
    pub fn history_changes_max(mut self, changes: usize) -> Self {
        self.history_changes_max = changes;
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
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shards: 32,
            hash_seed: 0,
            parallel_changes_min: 8192,
            history_changes_max: 16_384,
            held_changes_max: 16_384,
        }
    }
}
