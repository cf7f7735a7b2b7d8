//! Merging is idempotent, commutative and associative; diffs sum up to the state; replicas converge.

use lapwing_presence::{Clock, Clocks, Config, Delta, Owner, Presences};
use proptest::prelude::*;

use crate::support::{Dice, Listener, Op, config, node, op, shown};

/// A replica that knows the writers 1 to 3 and has heard nothing.
fn reader(config: Config) -> Presences {
    let mut reader = Presences::new(node(9), config);
    for writer in 1..=3 {
        reader.replica_up(node(writer)).unwrap();
    }
    reader
}

/// Lets three replicas work, and takes deltas on the way, each from some clock that the writer had before.
fn deltas(work: &[(u8, Op)], config: &Config, dice: &mut Dice) -> (Vec<Presences>, Vec<Delta>) {
    let mut writers: Vec<Presences> =
        (1..=3).map(|writer| Presences::new(node(writer), config.clone())).collect();
    let mut past: Vec<Vec<Clock>> = vec![vec![Clock::ZERO]; 3];
    let mut deltas = Vec::new();
    for (writer, op) in work {
        let place = usize::from(*writer);
        let writer = &mut writers[place];
        op.apply(writer);
        past[place].push(writer.clock(writer.id()).unwrap());
        if dice.roll(2) == 0 {
            let from = past[place][dice.roll(past[place].len())];
            deltas.push(writer.extract(&[(writer.id(), from)].into_iter().collect()));
        }
    }
    (writers, deltas)
}

/// All that a state has taken in: what is shown, up to where it has seen whom, and what it holds back.
fn value(presences: &Presences) -> impl PartialEq + std::fmt::Debug {
    let held = presences.extract(&everything(presences));
    (shown(presences), presences.clocks(), held.len())
}

fn everything(presences: &Presences) -> Clocks {
    presences.clocks()
}

fn nothing() -> Clocks {
    (1..=3).map(|writer| (node(writer), Clock::ZERO)).collect()
}

fn work() -> impl Strategy<Value = Vec<(u8, Op)>> {
    prop::collection::vec((0..3u8, op()), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn merge_is_commutative_and_idempotent(
        work in work(), config in config(), there in config(), seed: u64, repeats in 0..20usize,
    ) {
        let mut dice = Dice(seed);
        let (_, deltas) = deltas(&work, &config, &mut dice);
        let mut in_order = reader(config);
        for delta in &deltas {
            in_order.merge(delta);
            prop_assert!(in_order.merge(delta).is_empty(), "a second merge reports nothing");
        }
        let mut shuffled: Vec<&Delta> = deltas.iter().collect();
        for _ in 0..repeats.min(deltas.len()) {
            shuffled.push(&deltas[dice.roll(deltas.len())]);
        }
        dice.shuffle(&mut shuffled);
        let mut in_disorder = reader(there);
        for delta in shuffled {
            in_disorder.merge(delta);
        }
        prop_assert_eq!(value(&in_order), value(&in_disorder));
    }

    #[test]
    fn merge_is_associative(work in work(), config in config(), seed: u64) {
        let mut dice = Dice(seed);
        let (_, deltas) = deltas(&work, &config, &mut dice);
        // Three states that have each taken in some of it.
        let mut taken: Vec<Vec<&Delta>> = vec![Vec::new(); 3];
        for delta in &deltas {
            taken[dice.roll(3)].push(delta);
        }
        let state = |place: usize| {
            let mut state = reader(config.clone());
            taken[place].iter().for_each(|delta| drop(state.merge(delta)));
            state
        };
        let join = |mut into: Presences, from: &Presences| {
            into.merge(&from.extract(&nothing()));
            into
        };
        let left = join(join(state(0), &state(1)), &state(2));
        let right = join(state(0), &join(state(1), &state(2)));
        prop_assert_eq!(value(&left), value(&right));
    }

    #[test]
    fn what_was_lost_comes_with_the_next_extract(
        work in work(), config in config(), held_max in 0..20usize, seed: u64,
    ) {
        let mut dice = Dice(seed);
        let (writers, mut deltas) = deltas(&work, &config, &mut dice);
        dice.shuffle(&mut deltas);
        deltas.truncate(deltas.len() / 2);
        let mut reader = reader(config.held_changes_max(held_max));
        let mut listener = Listener::default();
        for delta in &deltas {
            listener.hear(&reader.merge(delta));
            listener.agrees(&reader);
        }
        for writer in &writers {
            listener.hear(&reader.merge(&writer.extract(&reader.clocks())));
            listener.agrees(&reader);
        }
        let union = writers.iter().flat_map(shown).collect();
        prop_assert_eq!(shown(&reader), union);
    }

    #[test]
    fn diffs_of_several_calls_are_one_diff(work in work(), ticks in 1..8usize, config in config()) {
        let mut presences = Presences::new(node(1), config);
        let (mut each, mut gathered) = (Listener::default(), Listener::default());
        for tick in work.chunks(ticks) {
            let mut gathering = lapwing_presence::Diff::new();
            for (_, op) in tick {
                let diff = op.apply(&mut presences);
                each.hear(&diff);
                gathering.absorb(diff);
            }
            let mut together = lapwing_presence::Diff::new();
            together.absorb(gathering.clone());
            for topic in gathering.into_topics() {
                let known = together.topics().iter().find(|known| known.topic() == topic.topic()).unwrap();
                prop_assert_eq!(known.joins(), topic.joins());
                prop_assert_eq!(topic.joins_by_key().len(), topic.joins().len());
                prop_assert_eq!(topic.leaves_by_key().len(), topic.leaves().len());
                for entry in topic.joins() {
                    prop_assert!(gathered.0.insert(crate::support::seen(topic.topic(), entry)));
                }
                for entry in topic.leaves() {
                    prop_assert!(gathered.0.remove(&crate::support::seen(topic.topic(), entry)));
                }
            }
        }
        each.agrees(&presences);
        gathered.agrees(&presences);
    }

    #[test]
    fn who_relays_gives_what_the_writer_would_have_given(
        work in work(), config in config(), there in config(), seed: u64,
    ) {
        let mut dice = Dice(seed);
        let mut writer = Presences::new(node(1), config.clone());
        let mut relay = reader(there.clone());
        let mut readers = vec![(Clock::ZERO, reader(config.clone()))];
        for (_, op) in &work {
            op.apply(&mut writer);
            if dice.roll(3) > 0 {
                relay.merge(&writer.extract(&relay.clocks()));
            }
            if dice.roll(4) == 0 {
                let mut early = reader(config.clone());
                early.merge(&writer.extract(&early.clocks()));
                readers.push((early.clock(node(1)).unwrap(), early));
            }
        }
        for (clock, mut early) in readers {
            if early.clock(node(1)) > relay.clock(node(1)) {
                continue;
            }
            let delta = relay.extract(&[(node(1), clock)].into_iter().collect());
            let mut listener = Listener(shown(&early));
            listener.hear(&early.merge(&delta));
            listener.agrees(&early);
            prop_assert_eq!(shown(&early), shown(&relay));
            prop_assert_eq!(early.clock(node(1)), relay.clock(node(1)));
        }
    }

    #[test]
    fn nothing_remains_of_an_owner(work in work(), config in config()) {
        let mut presences = Presences::new(node(1), config.clone());
        let mut other = Presences::new(node(2), config);
        other.replica_up(node(1)).unwrap();
        for (_, op) in &work {
            op.apply(&mut presences);
            other.merge(&presences.extract(&other.clocks()));
        }
        let diff = presences.untrack_all(Owner(1));
        prop_assert!(diff.topics().iter().all(|topic| topic.joins().is_empty()));
        other.merge(&presences.extract(&other.clocks()));
        for state in [&presences, &other] {
            prop_assert!(shown(state).iter().all(|(_, _, owner, ..)| *owner != 1));
        }
        prop_assert_eq!(shown(&presences), shown(&other));
    }
}
