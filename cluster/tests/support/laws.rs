//! What must hold when a schedule is over.

use std::collections::{BTreeMap, BTreeSet};

use lapwing_cluster::{Gap, GapCause, Instance, Scope};

use super::world::{Program, Published, World};

pub fn check(world: &World) {
    for (at, program) in world.programs.iter().enumerate() {
        let Some(program) = program else { continue };
        in_order_and_once(world, program);
        nothing_lost_in_silence(world, at, program);
        everybody_is_known(world, program);
    }
}

/// Law 5, of an outage that began at a step: each topic that a node had then, and has still, is told one gap of each publisher at most.
pub fn one_outage_is_one_gap(world: &World, began: u64) {
    for (at, program) in world.programs.iter().enumerate() {
        let Some(program) = program else { continue };
        let told: Vec<_> = program.gaps.iter().filter(|(_, step)| *step >= began).collect();
        let stayed = program.members.iter().filter(|(_, since)| since.is_some_and(|since| since <= began));
        for (topic, _) in stayed {
            let key = world.hasher.key(world.config.topic_spread(), topic);
            let is_about = |gap: &Gap| {
                matches!(gap.scope, Scope::All)
                    || matches!(gap.scope, Scope::Key { key: its, .. } if its == key)
            };
            let about: Vec<_> = told.iter().filter(|(gap, _)| is_about(gap)).collect();
            let publishers: BTreeSet<_> = about.iter().map(|(gap, _)| gap.from).collect();
            assert_eq!(
                about.len(),
                publishers.len(),
                "node {at} was told more than once of one outage: {about:?}"
            );
        }
    }
}

/// Law 1.
fn in_order_and_once(world: &World, program: &Program) {
    let mut last: BTreeMap<(Instance, &str), u64> = BTreeMap::new();
    for (from, id, _) in &program.delivered {
        let published = &world.published[*id as usize];
        assert_eq!(*from, published.from);
        assert_ne!(*from, program.instance, "an echo was delivered");
        let last = last.entry((*from, published.topic)).or_default();
        assert!(published.number > *last, "number {} after {last} on {}", published.number, published.topic);
        *last = published.number;
    }
}

/// Law 2, for members that have stayed since.
fn nothing_lost_in_silence(world: &World, at: usize, program: &Program) {
    let delivered: BTreeSet<u64> = program.delivered.iter().map(|(_, id, _)| *id).collect();
    for (id, published) in world.published.iter().enumerate() {
        let since = program.members.get(published.topic).copied().flatten();
        let is_owed = published.owed.contains(&at) && since.is_some_and(|since| since <= published.step);
        // Of an instance that was born and died while this node was cut off, nobody can know.
        let is_unheard_of =
            world.dead.contains(&published.from) && !program.last_up.contains_key(&published.from);
        if !is_owed || is_unheard_of || delivered.contains(&(id as u64)) {
            continue;
        }
        let told: Vec<_> = program.gaps.iter().filter(|(gap, _)| gap.from == published.from).collect();
        let is_told = told.iter().any(|(gap, step)| covers(world, program, (gap, *step), published));
        assert!(
            is_told,
            "publication {id} ({} {} of {}) is lost in silence at node {at}; told: {:?}",
            published.topic, published.number, published.from, told
        );
    }
}

fn covers(world: &World, program: &Program, (gap, step): (&Gap, u64), published: &Published) -> bool {
    // A peer that was found gone and never came back: whatever it did after that.
    let is_last_word =
        gap.cause == GapCause::PublisherDied && program.last_up.get(&gap.from).is_some_and(|up| *up < step);
    let is_in_scope = match gap.scope {
        Scope::All => step >= published.step || is_last_word,
        Scope::Key { key, after, upto } => {
            key == world.hasher.key(world.config.topic_spread(), published.topic)
                && after < published.number
                && published.number <= upto
        }
    };
    gap.from == published.from && is_in_scope
}

/// Law 3, at the end: the living know each other, and nobody knows the dead.
fn everybody_is_known(world: &World, program: &Program) {
    let living: BTreeSet<Instance> = world
        .programs
        .iter()
        .flatten()
        .map(|other| other.instance)
        .filter(|instance| *instance != program.instance)
        .collect();
    assert_eq!(program.peers, living, "peers of {}", program.instance);
}
