//! The replicas that a node knows: up to where each is seen, what is held back of it, and whether it is
//! shown.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;

use crate::{
    clock::Clocks,
    config::Config,
    delta::{Delta, Part},
    entry::Entry,
    history::History,
    tag::{Clock, Owner, ReplicaId, Tag},
};

/// A known replica's number in this node's tables; given again once the replica is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PartId(pub(crate) u16);

/// This node's own part.
pub(crate) const OWN: PartId = PartId(0);

/// How many nodes' last incarnations are remembered, so that a departed one is not taken back. The one noted
/// longest ago is dropped first; it would have to be heard of again after this many other nodes have gone.
const DEPARTED_MAX: usize = 4096;

#[derive(Debug)]
pub(crate) struct Ledger {
    known: Vec<Option<Known>>,
    numbers: HashMap<ReplicaId, PartId, FixedState>,
    /// For each node, the greatest incarnation that will not come back, and in which order they were noted.
    departed: HashMap<u64, u64, FixedState>,
    departed_order: VecDeque<u64>,
    bounds: Bounds,
}

/// The bounds of each known replica, and of their number.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    held_changes_max: usize,
    held_bytes_max: usize,
    history_changes_max: usize,
    history_bytes_max: usize,
    replicas_max: usize,
}

/// One known replica.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) id: ReplicaId,
    pub(crate) shown: bool,
    /// The part is complete up to here.
    pub(crate) clock: Clock,
    pub(crate) history: History,
    /// Ranges that came ahead of a gap. No element's range contains another's, and all start after `clock`.
    held: Vec<Part>,
}

/// A part that a merge will apply.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) number: PartId,
    pub(crate) part: Part,
    /// The changes up to here are applied already.
    pub(crate) seen: Clock,
}

impl Ledger {
    pub(crate) fn new(id: ReplicaId, config: &Config) -> Self {
        let mut ledger = Self {
            known: Vec::new(),
            numbers: HashMap::default(),
            departed: HashMap::default(),
            departed_order: VecDeque::new(),
            bounds: Bounds {
                held_changes_max: config.held_changes_max,
                held_bytes_max: config.held_bytes_max,
                history_changes_max: config.history_changes_max,
                history_bytes_max: config.history_bytes_max,
                replicas_max: config.replicas_max,
            },
        };
        let own = ledger.add(id);
        assert!(own == OWN, "the first number is this node's");
        ledger
    }

    /// Whether as many other replicas are known as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.numbers.len() > self.bounds.replicas_max
    }

    /// Starts to know a replica, shown and empty. The caller has looked that there is [room](Self::is_full).
    pub(crate) fn add(&mut self, id: ReplicaId) -> PartId {
        let place = self.known.iter().position(Option::is_none).unwrap_or(self.known.len());
        let number = PartId(u16::try_from(place).expect("the number of replicas is bounded"));
        if place == self.known.len() {
            self.known.push(None);
        }
        let history = History::new(self.bounds.history_changes_max, self.bounds.history_bytes_max);
        self.known[place] = Some(Known { id, shown: true, clock: Clock::ZERO, history, held: Vec::new() });
        self.numbers.insert(id, number);
        number
    }

    pub(crate) fn remove(&mut self, number: PartId) {
        if let Some(known) = self.known[usize::from(number.0)].take() {
            self.numbers.remove(&known.id);
        }
    }

    /// Notes that this and earlier incarnations of the node will not come back.
    pub(crate) fn depart(&mut self, id: ReplicaId) {
        match self.departed.get_mut(&id.node()) {
            Some(last) => *last = id.incarnation().max(*last),
            None => {
                self.departed.insert(id.node(), id.incarnation());
                self.departed_order.push_back(id.node());
            }
        }
        if self.departed_order.len() > DEPARTED_MAX
            && let Some(node) = self.departed_order.pop_front()
        {
            self.departed.remove(&node);
        }
    }

    /// Decides what of a delta is to be applied, in this order, and takes note of it as if it were.
    ///
    /// Changes that are known already are left out, what starts after a gap is held back, and what was held back before
    /// a gap that now closes comes with it.
    pub(crate) fn plan(&mut self, delta: &Delta) -> Vec<Step> {
        let mut steps = Vec::new();
        for part in &delta.parts {
            // Nobody knows better than we what we track, and a replica that we have not heard of, or not any
            // more, would have nobody to say that it is gone (phoenix_pubsub's issues 55 and PR 80).
            let Some(number) = self.number(part.replica).filter(|number| *number != OWN) else { continue };
            let bounds = self.bounds;
            let known = self.known_mut(number);
            if !known.accepts(part) {
                known.hold(part, bounds);
                continue;
            }
            steps.push(known.accept(number, part.clone()));
            while let Some(place) = known.held.iter().position(|held| known.accepts(held)) {
                let held = known.held.swap_remove(place);
                steps.push(known.accept(number, held));
            }
            known.held.retain(|held| held.to > known.clock);
        }
        steps
    }

    /// Remembers the changes of a plan, for those who will lack them.
    ///
    /// Apart from [`plan`](Self::plan), so that it can be done while the shards apply the changes.
    pub(crate) fn remember(&mut self, steps: &[Step]) {
        for step in steps {
            let history = &mut self.known_mut(step.number).history;
            if step.part.whole {
                history.reset(step.part.to);
                continue;
            }
            for change in step.part.changes().filter(|change| change.clock() > step.seen) {
                history.push(change.clone());
            }
        }
    }

    pub(crate) fn known_mut(&mut self, number: PartId) -> &mut Known {
        self.known[usize::from(number.0)].as_mut().expect("a number names a known replica")
    }

    pub(crate) fn known(&self, number: PartId) -> &Known {
        self.known[usize::from(number.0)].as_ref().expect("a number names a known replica")
    }

    pub(crate) fn number(&self, id: ReplicaId) -> Option<PartId> {
        self.numbers.get(&id).copied()
    }

    /// The known replica that wrote the entry with a tag.
    pub(crate) fn writer(&self, tag: Tag) -> Option<PartId> {
        let known = self.known.iter().flatten().find(|known| known.id.wrote(tag))?;
        self.number(known.id)
    }

    /// The greatest incarnation of the node that is not taken back.
    pub(crate) fn departed(&self, node: u64) -> Option<u64> {
        self.departed.get(&node).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.known.iter().flatten()
    }

    /// The clocks that this node has seen of the replicas that it shows.
    ///
    /// Those that are down are left out: nobody shall send us news of them, and nobody shall ask us, or a
    /// node that came after they went would ask at every heartbeat (phoenix_pubsub's PR 136).
    pub(crate) fn clocks(&self) -> Clocks {
        self.iter().filter(|known| known.shown).map(|known| (known.id, known.clock)).collect()
    }
}

impl Known {
    /// Takes the next tick for an entry; only for this node's own part.
    pub(crate) fn pack(
        &mut self,
        previous: Clock,
        owner: Owner,
        key: &str,
        meta: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Entry {
        self.clock = self.clock.next();
        Entry::pack(Tag::new(self.id.origin(), self.clock), previous, owner, key, meta, scratch)
    }

    /// The held-back ranges that reach beyond `clock`.
    pub(crate) fn held_after(&self, clock: Clock) -> impl Iterator<Item = &Part> {
        self.held.iter().filter(move |part| part.to > clock)
    }

    fn accepts(&self, part: &Part) -> bool {
        part.to > self.clock && (part.whole || part.from <= self.clock)
    }

    fn accept(&mut self, number: PartId, part: Part) -> Step {
        let seen = self.clock;
        self.clock = part.to;
        Step { number, part, seen }
    }

    fn hold(&mut self, part: &Part, bounds: Bounds) {
        if part.to <= self.clock || self.held.iter().any(|held| contains(held, part)) {
            return;
        }
        self.held.retain(|held| !contains(part, held));
        let all = || self.held.iter().chain([part]);
        let (changes, bytes): (usize, usize) = (all().map(Part::len).sum(), all().map(Part::bytes).sum());
        if changes <= bounds.held_changes_max && bytes <= bounds.held_bytes_max {
            self.held.push(part.clone());
        }
    }
}

fn contains(outer: &Part, inner: &Part) -> bool {
    outer.from <= inner.from && inner.to <= outer.to
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::Change;

    fn delta(from: u64, to: u64) -> Delta {
        let changes = (from + 1..=to).map(|clock| {
            let tag = Tag::new(2, Clock::new(clock));
            let entry = Entry::pack(tag, Clock::ZERO, Owner(clock), "k", b"", &mut Vec::new());
            Change::Set { topic: "room".into(), entry }
        });
        let chunks = [changes.collect()].into();
        let replica = ReplicaId::new(2, 1);
        Delta {
            parts: vec![Part { replica, from: Clock::new(from), to: Clock::new(to), whole: false, chunks }],
        }
    }

    #[test]
    fn what_was_held_is_dropped_when_it_is_known() {
        let mut ledger = Ledger::new(ReplicaId::new(1, 1), &Config::default());
        let number = ledger.add(ReplicaId::new(2, 1));
        for (from, to) in [(2, 4), (6, 8), (3, 4), (5, 8)] {
            assert!(ledger.plan(&delta(from, to)).is_empty());
        }
        assert_eq!(ledger.known(number).held.len(), 2, "what another contains is not held");
        assert_eq!(ledger.plan(&delta(0, 2)).len(), 2);
        assert_eq!(ledger.known(number).held.len(), 1);
        assert_eq!(ledger.plan(&delta(0, 9)).len(), 1);
        assert!(ledger.known(number).held.is_empty());
        assert_eq!(ledger.known(number).clock, Clock::new(9));
    }

    #[test]
    fn nothing_is_kept_of_what_is_known_to_its_end() {
        let mut ledger = Ledger::new(ReplicaId::new(1, 1), &Config::default());
        let number = ledger.add(ReplicaId::new(2, 1));
        assert!(ledger.plan(&delta(2, 4)).is_empty());
        let held_after = |ledger: &Ledger, clock| ledger.known(number).held_after(Clock::new(clock)).count();
        assert_eq!([3, 4].map(|clock| held_after(&ledger, clock)), [1, 0]);
        assert_eq!(ledger.plan(&delta(0, 4)).len(), 1);
        assert!(ledger.known(number).held.is_empty());
        // A second time it is no step: a whole part would make the history begin anew.
        let mut whole = delta(0, 4);
        whole.parts[0].whole = true;
        assert!(ledger.plan(&delta(0, 4)).is_empty() && ledger.plan(&whole).is_empty());
        assert!(ledger.known(number).held.is_empty());
    }

    #[test]
    fn a_number_is_given_again_when_its_replica_is_gone() {
        let mut ledger = Ledger::new(ReplicaId::new(1, 1), &Config::default());
        let ids = [2, 3, 4].map(|node| ReplicaId::new(node, 1));
        assert_eq!(ids.map(|id| ledger.add(id)), [PartId(1), PartId(2), PartId(3)]);
        ledger.remove(PartId(2));
        assert_eq!(ledger.number(ids[1]), None);
        assert_eq!(ledger.add(ReplicaId::new(9, 1)), PartId(2));
        assert_eq!(ledger.number(ids[2]), Some(PartId(3)));
    }
}
