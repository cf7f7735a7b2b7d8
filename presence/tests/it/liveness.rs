//! Everything at once: users work, messages get lost, nodes go and come, and every listener knows what is
//! shown.

use lapwing_presence::{Clock, Clocks, Config, Delta, Owner, Presences, ReplicaId, UpError};
use proptest::prelude::*;

use crate::support::{Listener, Op, config, node, op, shown};

#[derive(Clone, Debug)]
enum Event {
    Work {
        node: usize,
        op: Op,
    },
    /// What a node extracts for another goes on its way.
    Send {
        from: usize,
        to: usize,
    },
    /// A message arrives; it may arrive again later.
    Arrive {
        message: usize,
    },
    Up {
        at: usize,
        of: usize,
    },
    Down {
        at: usize,
        of: usize,
    },
    Forgotten {
        at: usize,
        of: usize,
    },
    /// A node starts anew, empty.
    Restart {
        node: usize,
    },
}

const NODES: usize = 4;

fn event() -> impl Strategy<Value = Event> {
    let pair = (0..NODES, 0..NODES);
    prop_oneof![
        8 => (0..NODES, op()).prop_map(|(node, op)| Event::Work { node, op }),
        6 => pair.clone().prop_map(|(from, to)| Event::Send { from, to }),
        8 => any::<usize>().prop_map(|message| Event::Arrive { message }),
        3 => pair.clone().prop_map(|(at, of)| Event::Up { at, of }),
        2 => pair.clone().prop_map(|(at, of)| Event::Down { at, of }),
        1 => pair.prop_map(|(at, of)| Event::Forgotten { at, of }),
        1 => (0..NODES).prop_map(|node| Event::Restart { node }),
    ]
}

struct World {
    config: Config,
    nodes: Vec<(Presences, Listener)>,
    messages: Vec<(usize, Delta)>,
}

impl World {
    fn new(config: Config) -> Self {
        let start = |number| (Presences::new(node(number), config.clone()), Listener::default());
        Self { nodes: (0..NODES as u64).map(start).collect(), config, messages: Vec::new() }
    }

    fn happen(&mut self, event: Event) {
        let id_of = |world: &Self, node: usize| world.nodes[node].0.id();
        match event {
            Event::Work { node, op } => self.at(node, |state| op.apply(state)),
            Event::Send { from, to } => {
                let delta = self.nodes[from].0.extract(&self.nodes[to].0.clocks());
                self.messages.push((to, delta));
            }
            Event::Arrive { message } => {
                let Some((to, delta)) = self.messages.get(message % self.messages.len().max(1)).cloned()
                else {
                    return;
                };
                let id = id_of(self, to);
                let own = |state: &Presences| shown_of(state, id);
                let before = own(&self.nodes[to].0);
                self.at(to, |state| state.merge(&delta));
                assert_eq!(own(&self.nodes[to].0), before, "a merge changes nothing of one's own");
                self.at(to, |state| {
                    let again = state.merge(&delta);
                    assert!(again.is_empty(), "a second merge reports {again:?}");
                    again
                });
            }
            Event::Up { at, of } => {
                let id = id_of(self, of);
                self.at(at, |state| state.replica_up(id).unwrap_or_default());
            }
            Event::Down { at, of } => {
                let id = id_of(self, of);
                self.at(at, |state| state.replica_down(id));
                self.check_hidden(at, id);
            }
            Event::Forgotten { at, of } => {
                let id = id_of(self, of);
                self.at(at, |state| state.replica_forgotten(id));
                self.check_hidden(at, id);
            }
            Event::Restart { node } => {
                let id = id_of(self, node);
                let again = ReplicaId::new(id.node(), id.incarnation() + 1);
                self.nodes[node] = (Presences::new(again, self.config.clone()), Listener::default());
            }
        }
    }

    fn at(&mut self, node: usize, act: impl FnOnce(&mut Presences) -> lapwing_presence::Diff) {
        let (state, listener) = &mut self.nodes[node];
        listener.hear(&act(state));
        listener.agrees(state);
    }

    fn check_hidden(&self, at: usize, of: ReplicaId) {
        if self.nodes[at].0.id() != of {
            assert!(shown_of(&self.nodes[at].0, of).is_empty(), "a hidden replica shows nothing");
        }
    }

    /// Everybody hears everybody, and messages flow.
    fn settle(&mut self) {
        for at in 0..NODES {
            for of in 0..NODES {
                self.happen(Event::Up { at, of });
            }
        }
        for from in 0..NODES {
            for to in 0..NODES {
                let delta = self.nodes[from].0.extract(&self.nodes[to].0.clocks());
                self.at(to, |state| state.merge(&delta));
            }
        }
    }
}

/// What is shown of one replica, for which the first half of a phx_ref stands.
fn shown_of(state: &Presences, id: ReplicaId) -> Vec<crate::support::Seen> {
    let origin = origin(id);
    shown(state).into_iter().filter(|(.., phx_ref, _)| phx_ref.starts_with(&origin)).collect()
}

fn origin(id: ReplicaId) -> String {
    let mut probe = Presences::new(id, Config::default().shards(1));
    let diff = probe.track("t", "k", Owner(0), b"").unwrap();
    diff.first_join().unwrap().tag().phx_ref().as_str()[..8].to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_keeps_the_laws(events in prop::collection::vec(event(), 1..80), config in config()) {
        let mut world = World::new(config);
        for event in events {
            world.happen(event);
        }
        world.settle();
        let owned: std::collections::BTreeSet<_> = (0..NODES)
            .flat_map(|node| shown_of(&world.nodes[node].0, world.nodes[node].0.id()))
            .collect();
        for (state, _) in &world.nodes {
            prop_assert_eq!(&shown(state), &owned, "all nodes show what the living replicas track");
        }
    }
}

fn pair() -> (Presences, Presences) {
    let mut here = Presences::new(node(1), Config::default());
    let there = Presences::new(node(2), Config::default());
    here.replica_up(node(2)).unwrap();
    (here, there)
}

#[test]
fn a_replica_is_hidden_shown_and_forgotten_as_a_whole() {
    let (mut here, mut there) = pair();
    here.track("room", "ada", Owner(1), b"{}").unwrap();
    for owner in 0..10 {
        there.track("room", "ada", Owner(owner), b"{}").unwrap();
        there.track(&format!("hall:{owner}"), "bob", Owner(owner), b"{}").unwrap();
    }
    here.merge(&there.extract(&here.clocks()));
    assert_eq!(here.count("room").presences, 11);

    let hidden = here.replica_down(node(2));
    assert_eq!(hidden.len(), 20);
    assert_eq!((here.count("room").presences, here.topics().count()), (1, 1));
    assert!(here.replica_down(node(2)).is_empty(), "it is hidden already");
    assert!(!here.is_up(node(2)));
    assert_eq!(here.clocks().seen(node(2)), None, "and nobody shall send or ask for more of it");

    there.untrack_all(Owner(3));
    let seen: Clocks = [(node(2), here.clock(node(2)).unwrap())].into_iter().collect();
    assert!(here.merge(&there.extract(&seen)).is_empty(), "a hidden replica's changes are not seen");

    let restored = here.replica_up(node(2)).unwrap();
    assert_eq!(restored.len(), 18);
    assert_eq!(here.replica_forgotten(node(2)).len(), 18);
    assert_eq!(here.clock(node(2)), None);
    assert!(here.merge(&there.extract(&seen)).is_empty(), "nobody asked for it");

    here.replica_up(node(2)).unwrap();
    assert_eq!(here.merge(&there.extract(&here.clocks())).len(), 18);
}

#[test]
fn a_departed_replica_does_not_come_back() {
    let (mut here, mut there) = pair();
    there.track("room", "bob", Owner(1), b"{}").unwrap();
    let late = there.extract(&here.clocks());
    here.merge(&late);
    assert_eq!(here.replica_departed(node(2)).len(), 1);
    assert_eq!(here.replica_up(node(2)).unwrap_err(), UpError::Departed { incarnation: 1 });
    assert!(here.merge(&late).is_empty());
    assert!(here.replica_up(ReplicaId::new(2, 2)).unwrap().is_empty());
    assert!(here.replica_departed(node(7)).is_empty(), "also if it was never heard of");
    assert!(here.replica_up(node(7)).is_err());
}

#[test]
fn who_comes_after_a_later_start_is_told_which_are_gone() {
    let (mut here, _) = pair();
    here.replica_up(ReplicaId::new(3, 9)).unwrap();
    assert_eq!(here.replica_up(ReplicaId::new(3, 4)).unwrap_err(), UpError::Departed { incarnation: 8 });
    assert!(here.replica_up(ReplicaId::new(3, 9)).is_ok());
}

#[test]
fn nobody_else_writes_this_nodes_part() {
    let (mut here, _) = pair();
    here.track("room", "ada", Owner(1), b"{}").unwrap();
    // Two nodes that were given one id: wrong, and no reason to lose what is tracked here.
    let mut twin = Presences::new(here.id(), Config::default().history_changes_max(0));
    for owner in 0..3 {
        twin.track("room", "eve", Owner(owner), b"{}").unwrap();
    }
    assert!(here.merge(&twin.extract(&here.clocks())).is_empty());
    assert_eq!(here.list("room").map(|entry| entry.key()).collect::<Vec<_>>(), ["ada"]);
}

#[test]
fn this_node_is_always_up() {
    let (mut here, _) = pair();
    here.track("room", "ada", Owner(1), b"{}").unwrap();
    for id in [here.id(), ReplicaId::new(1, 99)] {
        assert_eq!(here.replica_up(id).unwrap_err(), UpError::OwnNode);
        assert!(here.replica_down(id).is_empty());
        assert!(here.replica_forgotten(id).is_empty());
        assert!(here.replica_departed(id).is_empty());
    }
    assert_eq!(here.count("room").presences, 1);
}

#[test]
fn beyond_the_bound_a_delta_ahead_of_a_gap_is_dropped_and_comes_again() {
    let mut here = Presences::new(node(1), Config::default().held_changes_max(2));
    let mut there = Presences::new(node(2), Config::default());
    here.replica_up(node(2)).unwrap();
    let since = |state: &Presences, ticks: usize| {
        // A clock cannot be made up: take the one that the writer had.
        let mut probe = Presences::new(node(2), Config::default());
        (0..ticks).for_each(|owner| drop(probe.track("room", "k", Owner(owner as u64), b"")));
        state.extract(&[(node(2), probe.clock(node(2)).unwrap())].into_iter().collect())
    };
    for owner in 0..3 {
        there.track("room", "k", Owner(owner), b"").unwrap();
    }
    let first_of_gap = since(&there, 1);
    there.track("room", "k", Owner(3), b"").unwrap();
    let too_much = since(&there, 1);
    assert!(here.merge(&first_of_gap).is_empty());
    assert!(here.merge(&too_much).is_empty());
    assert_eq!(here.clock(node(2)), Some(Clock::ZERO));
    there.untrack("room", "k", Owner(3));
    assert_eq!(here.merge(&there.extract(&here.clocks())).len(), 3);
    assert_eq!(shown(&here), shown(&there));
}
