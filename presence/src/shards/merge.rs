//! Taking over what another node knows.

use rayon::prelude::*;

use super::{Presences, shard_of};
use crate::{
    delta::{Change, Delta},
    diff::Diff,
    ledger::{PartId, Step},
    state::{Hasher, State, TopicName},
    tag::Clock,
};

impl Presences {
    /// Takes over what a delta says, and returns what that changed here.
    ///
    /// It can be anything: known already, incomplete, about replicas that are down. What starts after changes
    /// that this node lacks is held back until they come ([`clock`](Self::clock) tells that they have not).
    /// Parts about this node itself, or about a replica that it has not heard to be up, are left aside.
    ///
    /// # Threads
    ///
    /// The changes are applied shard by shard, in parallel on the current rayon pool when there are at least
    /// [`parallel_changes_min`](crate::Config::parallel_changes_min) of them, else on the caller's thread.
    /// One topic is one shard: a delta about a single topic has nothing to do in parallel.
    ///
    /// Measured on two cores over 1,000 topics, updates only, with threads that were asleep: the median of 61
    /// rounds, and the best in parentheses.
    ///
    /// | changes | inline | both cores | gain |
    /// |---|---|---|---|
    /// | 512 | 0.57 ms (0.40) | 0.58 ms (0.34) | 0.99 (1.20) |
    /// | 1,024 | 1.2 ms (0.95) | 1.4 ms (0.66) | 0.89 (1.44) |
    /// | 4,096 | 2.6 ms (2.0) | 2.5 ms (1.4) | 1.03 (1.39) |
    /// | 8,192 | 4.5 ms (3.8) | 4.3 ms (2.5) | 1.03 (1.51) |
    /// | 16,384 | 8.4 ms (7.5) | 5.6 ms (4.0) | 1.51 (1.89) |
    ///
    /// Two threads halve the work when both begin at once. But the second often begins two to three
    /// milliseconds after it is woken, so that work of less than a few milliseconds is done before it helps:
    /// hence 8,192, from where on the median does not lose.
    ///
    /// # Examples
    ///
    /// ```
    /// use lapwing_presence::{Config, Owner, Presences, ReplicaId};
    ///
    /// let mut here = Presences::new(ReplicaId::new(1, 1), Config::default());
    /// let mut there = Presences::new(ReplicaId::new(2, 1), Config::default());
    /// here.track("room", "ada", Owner(7), b"{}")?;
    /// there.replica_up(here.id())?;
    ///
    /// let delta = here.extract(&there.clocks());
    /// assert_eq!(there.merge(&delta).len(), 1);
    /// assert!(there.merge(&delta).is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn merge(&mut self, delta: &Delta) -> Diff {
        let steps = self.ledger.plan(delta);
        let work: usize = steps.iter().map(|step| self.work(step)).sum();
        let threads = self.threads(work);
        if threads == Threads::One && steps.iter().all(|step| !step.part.whole) {
            self.ledger.remember(&steps);
            return self.merge_inline(&steps);
        }
        let Self { ledger, shards, hasher, .. } = self;
        let sorted: Vec<Sorted<'_>> =
            steps.iter().map(|step| Sorted::new(step, hasher, shards.len(), threads)).collect();
        let apply = |place: usize, shard: &mut State| {
            let mut diff = Diff::new();
            for step in &sorted {
                step.apply(place, shard, &mut diff);
            }
            diff.finish()
        };
        match threads {
            Threads::One => {
                ledger.remember(&steps);
                on_shards(shards, threads, apply)
            }
            Threads::All => rayon::join(|| on_shards(shards, threads, apply), || ledger.remember(&steps)).0,
        }
    }

    /// A few changes: each goes straight to its shard.
    fn merge_inline(&mut self, steps: &[Step]) -> Diff {
        let mut diff = Diff::new();
        for step in steps {
            for change in step.part.changes().filter(|change| change.clock() > step.seen) {
                let name = TopicName { name: change.topic(), hash: self.hasher.topic(change.topic()) };
                self.shard_mut(name).apply(name, step.number, change, &mut diff);
            }
        }
        diff.finish()
    }

    /// Whether so much work is worth waking other threads.
    pub(super) fn threads(&self, work: usize) -> Threads {
        if work >= self.parallel_changes_min && rayon::current_num_threads() > 1 {
            Threads::All
        } else {
            Threads::One
        }
    }

    /// How many entries of a part there are here.
    pub(super) fn part_len(&self, number: PartId) -> usize {
        self.shards.iter().map(|shard| shard.part_len(number)).sum()
    }

    fn work(&self, step: &Step) -> usize {
        let swept = if step.part.whole { self.part_len(step.number) } else { 0 };
        step.part.len() + swept
    }
}

/// Does something with every shard, and puts the diffs together.
pub(super) fn on_shards(
    shards: &mut [State],
    threads: Threads,
    work: impl Fn(usize, &mut State) -> Diff + Sync + Send,
) -> Diff {
    let mut all = Diff::new();
    match threads {
        Threads::One => {
            for (place, shard) in shards.iter_mut().enumerate() {
                all.append_disjoint(work(place, shard));
            }
        }
        Threads::All => {
            let shards = shards.par_iter_mut().enumerate().with_max_len(1);
            let diffs: Vec<Diff> = shards.map(|(place, shard)| work(place, shard)).collect();
            for diff in diffs {
                all.append_disjoint(diff);
            }
        }
    }
    all
}

/// On which threads something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Threads {
    /// The caller's.
    One,
    /// Those of the current rayon pool.
    All,
}

/// A step with its changes sorted by shard.
struct Sorted<'a> {
    step: &'a Step,
    /// For each chunk of the part, for each shard, the changes in their order, with the hashes of their
    /// topics.
    chunks: Vec<Vec<Vec<(u64, &'a Change)>>>,
}

impl<'a> Sorted<'a> {
    fn new(step: &'a Step, hasher: &Hasher, shards: usize, threads: Threads) -> Self {
        let sort = |chunk: &'a Vec<Change>| {
            let mut sorted = vec![Vec::new(); shards];
            let mut last: Option<(&'a str, u64)> = None;
            for change in chunk {
                if change.clock() <= step.seen && !step.part.whole {
                    continue;
                }
                let topic: &str = change.topic();
                let hash = match last {
                    Some((name, hash)) if std::ptr::eq(name, topic) => hash,
                    _ => hasher.topic(topic),
                };
                last = Some((topic, hash));
                sorted[shard_of(hash, shards)].push((hash, change));
            }
            sorted
        };
        let chunks = match threads {
            Threads::All => step.part.chunks.par_iter().map(sort).collect(),
            Threads::One => step.part.chunks.iter().map(sort).collect(),
        };
        Self { step, chunks }
    }

    fn apply(&self, place: usize, shard: &mut State, diff: &mut Diff) {
        let changes = || self.chunks.iter().flat_map(|chunk| &chunk[place]);
        let known = shard.part_len(self.step.number);
        if self.step.part.whole && known == 0 {
            shard.reserve(changes().count());
        }
        for (hash, change) in changes() {
            let name = TopicName { name: change.topic(), hash: *hash };
            shard.apply(name, self.step.number, change, diff);
        }
        if self.step.part.whole && known > 0 {
            let mut kept: Vec<Clock> = changes().map(|(_, change)| change.clock()).collect();
            kept.sort_unstable();
            shard.sweep(self.step.number, &kept, diff);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        tag::{Owner, ReplicaId},
    };

    fn on_two_threads<R: Send>(work: impl FnOnce() -> R + Send) -> R {
        rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap().install(work)
    }

    fn writer(config: Config, presences: u64) -> Presences {
        let mut writer = Presences::new(ReplicaId::new(1, 1), config);
        for owner in 0..presences {
            writer.track(&format!("room:{owner}"), "ada", Owner(owner), b"").unwrap();
        }
        writer
    }

    #[test]
    fn other_threads_are_woken_for_as_much_work_as_is_said_if_there_are_any() {
        let presences = writer(Config::default().parallel_changes_min(10), 0);
        let threads = |work| on_two_threads(|| presences.threads(work));
        assert_eq!([9, 10, 11].map(threads), [Threads::One, Threads::All, Threads::All]);
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(alone.install(|| presences.threads(11)), Threads::One);
    }

    #[test]
    fn the_work_of_a_whole_part_is_also_what_it_may_sweep_away() {
        let writer = writer(Config::default().history_changes_max(3), 5);
        let whole = writer.extract(&[(writer.id(), Clock::ZERO)].into_iter().collect());
        let mut reader = Presences::new(ReplicaId::new(2, 1), Config::default());
        reader.replica_up(writer.id()).unwrap();
        let number = reader.ledger.number(writer.id()).unwrap();
        let step = |part| Step { number, part, seen: Clock::ZERO };
        assert_eq!(reader.work(&step(whole.parts[0].clone())), 5);
        reader.merge(&whole);
        assert_eq!(reader.part_len(number), 5);
        assert_eq!(reader.work(&step(whole.parts[0].clone())), 10);
        let changes = writer.extract(&[(writer.id(), Clock::new(2))].into_iter().collect());
        assert_eq!(reader.work(&step(changes.parts[0].clone())), 3);
    }

    #[test]
    fn all_threads_do_what_one_does() {
        let config = |min| Config::default().parallel_changes_min(min);
        let mut ends = Vec::new();
        for min in [0, usize::MAX] {
            on_two_threads(|| {
                let mut writer = writer(config(min), 50);
                let mut reader = Presences::new(ReplicaId::new(2, 1), config(min));
                reader.replica_up(writer.id()).unwrap();
                let mut lens = vec![reader.merge(&writer.extract(&reader.clocks())).len()];
                (0..50).step_by(2).for_each(|owner| drop(writer.untrack_all(Owner(owner))));
                lens.push(reader.merge(&writer.extract(&reader.clocks())).len());
                let number = reader.ledger.number(writer.id()).unwrap();
                assert_eq!(reader.part_len(number), 25);
                // And the reader can give on what it was given.
                let nothing = [(writer.id(), Clock::ZERO)].into_iter().collect();
                lens.extend([reader.extract(&nothing).len(), writer.extract(&nothing).len()]);
                lens.push(reader.replica_down(writer.id()).len());
                lens.push(reader.replica_up(writer.id()).unwrap().len());
                lens.push(reader.replica_forgotten(writer.id()).len());
                ends.push(lens);
            });
        }
        assert_eq!(ends[0], ends[1]);
        // Who relays remembers the additions beside the removals; the writer knows which it replaced.
        assert_eq!(ends[0], [50, 25, 75, 50, 25, 25, 25]);
    }
}
