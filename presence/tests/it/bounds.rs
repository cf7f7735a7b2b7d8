//! Each bound is reached, in the unit of its cost, and what happens then is what is said.

use std::time::Duration;

use lapwing_presence::{
    Clock, Clocks, Config, Delta, Message, Owner, Presences, Replica, ReplicaId, UpError,
};

use crate::{
    network::hasty,
    support::{node, shown},
};

const META_BYTES: usize = 4096;

fn track(writer: &mut Presences, owner: u64) {
    writer.track("room", "ada", Owner(owner), &[b'm'; META_BYTES]).unwrap();
}

fn since(writer: &Presences, clock: Option<Clock>) -> Delta {
    writer.extract(&[(writer.id(), clock.unwrap_or_default())].into_iter().collect())
}

/// What one change with its meta takes.
fn change_bytes() -> usize {
    let mut probe = Presences::new(node(1), Config::default());
    track(&mut probe, 0);
    let one = since(&probe, None).bytes();
    track(&mut probe, 1);
    let bytes = since(&probe, None).bytes() - one;
    assert!((META_BYTES..META_BYTES + 200).contains(&bytes), "{bytes}");
    bytes
}

#[test]
fn beyond_the_bytes_of_its_history_a_whole_part_is_given() {
    let config = Config::default().history_bytes_max(10 * change_bytes());
    let mut writer = Presences::new(node(1), config);
    (0..5).for_each(|owner| track(&mut writer, owner));
    let early = writer.clock(node(1));
    (5..15).for_each(|owner| track(&mut writer, owner));
    assert_eq!(since(&writer, early).len(), 10);
    assert!(!since(&writer, early).has_whole());
    track(&mut writer, 15);
    assert!(since(&writer, early).has_whole());
    assert_eq!(since(&writer, early).len(), 16);
}

#[test]
fn what_is_held_back_is_bounded_in_bytes() {
    let mut writer = Presences::new(node(2), Config::default());
    let held_max = 3 * change_bytes() + 400;
    let mut reader = Presences::new(node(1), Config::default().held_bytes_max(held_max));
    reader.replica_up(node(2)).unwrap();
    track(&mut writer, 0);
    let gap = since(&writer, None);
    let mut after = Vec::new();
    for owner in 1..=4 {
        let clock = writer.clock(node(2));
        track(&mut writer, owner);
        after.push(since(&writer, clock));
    }
    for delta in &after {
        assert!(reader.merge(delta).is_empty(), "it starts after a gap");
    }
    assert_eq!(reader.extract(&reader.clocks()).len(), 3, "the fourth was dropped");
    assert_eq!(reader.merge(&gap).len(), 4);
    assert_eq!(reader.merge(&since(&writer, reader.clock(node(2)))).len(), 1);
    assert_eq!(shown(&reader), shown(&writer));
}

#[test]
fn what_is_held_back_is_bounded_in_changes() {
    let mut writer = Presences::new(node(2), Config::default());
    let mut reader = Presences::new(node(1), Config::default().held_changes_max(3));
    reader.replica_up(node(2)).unwrap();
    track(&mut writer, 0);
    let gap = since(&writer, None);
    for owner in 1..=4 {
        let clock = writer.clock(node(2));
        track(&mut writer, owner);
        reader.merge(&since(&writer, clock));
    }
    assert_eq!(reader.extract(&reader.clocks()).len(), 3);
    assert_eq!(reader.merge(&gap).len(), 4);
}

#[test]
fn no_more_replicas_are_known_than_may_be() {
    let mut presences = Presences::new(node(0), Config::default().replicas_max(3));
    for number in 1..=3 {
        presences.replica_up(node(number)).unwrap();
    }
    assert_eq!(presences.replica_up(node(4)).unwrap_err(), UpError::TooMany);
    assert_eq!(presences.clock(node(4)), None);
    presences.replica_down(node(1));
    assert_eq!(presences.replica_up(node(4)).unwrap_err(), UpError::TooMany, "a hidden one is known");
    presences.replica_up(node(1)).unwrap();
    presences.replica_up(ReplicaId::new(2, 2)).expect("it takes an earlier start's place");
    assert_eq!(presences.replica_up(node(4)).unwrap_err(), UpError::TooMany);
    presences.replica_forgotten(node(1));
    presences.replica_up(node(4)).expect("there is room again");
}

#[test]
fn a_replica_beyond_the_bound_is_not_listened_to_until_there_is_room() {
    let config = hasty().presences(Config::default().replicas_max(1));
    let mut replica = Replica::new(node(1), config, Duration::ZERO).unwrap();
    let (bob, eve) = (Presences::new(node(2), Config::default()), Presences::new(node(3), Config::default()));
    let hear = |replica: &mut Replica, now: Duration, who: &Presences| {
        replica.handle_heartbeat(now, who.id(), &who.clocks(), &Delta::default());
        std::iter::from_fn(|| replica.poll_transmit()).count()
    };
    assert_eq!(hear(&mut replica, Duration::ZERO, &bob), 1);
    assert_eq!(hear(&mut replica, Duration::ZERO, &eve), 0);
    replica.handle_departure(bob.id());
    assert_eq!(hear(&mut replica, Duration::ZERO, &eve), 1);
}

#[test]
fn messages_that_nobody_polls_are_bounded_in_bytes_and_the_newest_remains() {
    let bound = 10 * change_bytes();
    let mut replica = Replica::new(node(1), hasty().transmits_bytes_max(bound), Duration::ZERO).unwrap();
    let nothing: Clocks = [(node(1), Clock::ZERO)].into_iter().collect();
    let waiting = |replica: &mut Replica| -> Vec<usize> {
        std::iter::from_fn(|| replica.poll_transmit())
            .map(|transmit| match transmit.message {
                Message::Transfer { delta, .. } => delta.bytes(),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    (0..3).for_each(|owner| track(replica.presences_mut(), owner));
    (0..100).for_each(|_| replica.handle_transfer_request(Duration::ZERO, node(2), &nothing));
    let sizes = waiting(&mut replica);
    assert_eq!(sizes.len(), 3, "three of three changes each, with what is around them");
    assert!(sizes.iter().sum::<usize>() <= bound);
    // What was polled is not counted any more.
    (0..3).for_each(|_| replica.handle_transfer_request(Duration::ZERO, node(2), &nothing));
    assert_eq!(waiting(&mut replica).len(), 3);

    (3..20).for_each(|owner| track(replica.presences_mut(), owner));
    (0..5).for_each(|_| replica.handle_transfer_request(Duration::ZERO, node(2), &nothing));
    let sizes = waiting(&mut replica);
    assert_eq!(sizes.len(), 1);
    assert!(sizes[0] > bound, "a whole part is sent, though it is larger than the bound");
    (0..5).for_each(|_| replica.handle_transfer_request(Duration::ZERO, node(2), &nothing));
    replica.depart();
    assert_eq!(std::iter::from_fn(|| replica.poll_transmit()).count(), 1, "the departure");
}

#[test]
fn the_smallest_messages_are_bounded_in_bytes_too() {
    let mut replica = Replica::new(node(1), hasty().transmits_bytes_max(2000), Duration::ZERO).unwrap();
    for number in 2..100 {
        let somebody = Presences::new(node(number), Config::default());
        replica.handle_heartbeat(Duration::ZERO, somebody.id(), &somebody.clocks(), &Delta::default());
    }
    let last: Vec<usize> = std::iter::from_fn(|| replica.poll_transmit())
        .map(|transmit| match transmit.message {
            Message::Heartbeat { clocks, .. } => clocks.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(last, [99], "a heartbeat that names everybody is more than half of the bound");
}

#[test]
fn the_oldest_departed_are_not_remembered_for_ever() {
    let mut presences = Presences::new(node(0), Config::default());
    let later = |number: u64| ReplicaId::new(number, 2);
    for number in 1..=4096 {
        presences.replica_departed(later(number));
        // Said again, or of an earlier start, it takes no second place.
        presences.replica_departed(later(number));
        presences.replica_departed(node(number));
    }
    assert_eq!(presences.replica_up(later(1)).unwrap_err(), UpError::Departed { incarnation: 2 });
    presences.replica_departed(later(4097));
    assert!(presences.replica_up(later(1)).is_ok());
    for number in [2, 4096, 4097] {
        assert!(presences.replica_up(later(number)).is_err());
    }
}
