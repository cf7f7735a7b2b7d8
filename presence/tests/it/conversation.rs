//! What one replica says and when, message by message and millisecond by millisecond.

use std::time::Duration;

use lapwing_presence::{Clock, Clocks, Delta, Destination, Message, Owner, Presences, Replica, ReplicaId};

use crate::{network::hasty, support::node};

const MS: Duration = Duration::from_millis(1);
const T: Duration = Duration::from_secs(1000);
const PERIOD: Duration = Duration::from_millis(100);
const SILENCE_MAX: Duration = Duration::from_millis(500);
const DOWN_AFTER: Duration = Duration::from_millis(1500);
const FORGET_AFTER: Duration = Duration::from_millis(6000);

fn here() -> Replica {
    Replica::new(node(1), hasty(), T).unwrap()
}

fn writer(number: u64) -> Presences {
    Presences::new(node(number), lapwing_presence::Config::default())
}

fn track(writer: &mut Presences, owner: u64) {
    writer.track("room", "ada", Owner(owner), b"{}").unwrap();
}

/// What the writer's first `ticks` changes were, as a clock.
fn clock(ticks: u64) -> Clock {
    let mut probe = writer(77);
    (0..ticks).for_each(|owner| track(&mut probe, owner));
    probe.clock(probe.id()).unwrap()
}

fn clocks(of: &[(ReplicaId, Clock)]) -> Clocks {
    of.iter().copied().collect()
}

/// A sign of life of the writer, with what it has changed since `ticks`, or without.
fn heartbeat(replica: &mut Replica, now: Duration, writer: &Presences, since: Option<u64>) -> usize {
    let delta = since.map(|ticks| writer.extract(&clocks(&[(writer.id(), clock(ticks))])));
    replica.handle_heartbeat(now, writer.id(), &writer.clocks(), &delta.unwrap_or_default()).len()
}

/// What waits to be sent, in short.
fn said(replica: &mut Replica) -> Vec<String> {
    let name = |to: Destination| match to {
        Destination::All => "all".to_owned(),
        Destination::One(id) => id.node().to_string(),
    };
    std::iter::from_fn(|| replica.poll_transmit())
        .map(|transmit| {
            let to = name(transmit.to);
            match transmit.message {
                Message::Heartbeat { from, clocks, delta, .. } => {
                    assert_eq!(clocks.iter().next().map(|(id, _)| id), Some(from));
                    format!("heartbeat to {to}, {} changes", delta.len())
                }
                Message::TransferRequest { seen, .. } => {
                    let of: Vec<String> = seen
                        .iter()
                        .map(|(id, clock)| format!("{} from {}", id.node(), clock.ticks()))
                        .collect();
                    format!("request to {to}: {}", of.join(", "))
                }
                Message::Transfer { delta, .. } => format!("transfer to {to}, {} changes", delta.len()),
                Message::Departure { from, .. } => format!("departure of {} to {to}", from.node()),
                other => panic!("an unknown message: {other:?}"),
            }
        })
        .collect()
}

/// Lets the timeouts come when they are due, until `end`; what was said at which millisecond.
fn run(replica: &mut Replica, end: Duration) -> Vec<(u128, String)> {
    let mut all = Vec::new();
    while let Some(due) = replica.poll_timeout().filter(|due| *due <= end) {
        replica.handle_timeout(due);
        all.extend(said(replica).into_iter().map(|said| ((due - T).as_millis(), said)));
    }
    all
}

#[test]
fn a_quiet_replica_says_that_it_lives_as_seldom_as_it_may() {
    let mut replica = here();
    let said = run(&mut replica, T + SILENCE_MAX * 2);
    let beat = "heartbeat to all, 0 changes".to_owned();
    assert_eq!(said, [(0, beat.clone()), (500, beat.clone()), (1000, beat)]);
}

#[test]
fn changes_are_told_once_and_a_heartbeat_without_them_follows() {
    let mut replica = here();
    run(&mut replica, T);
    for owner in 0..3 {
        track(replica.presences_mut(), owner);
    }
    let said = run(&mut replica, T + PERIOD * 3);
    let beat = |changes: usize| format!("heartbeat to all, {changes} changes");
    assert_eq!(said, [(100, beat(3)), (200, beat(0))]);
    track(replica.presences_mut(), 3);
    let said = run(&mut replica, T + PERIOD * 9);
    assert_eq!(said, [(400, beat(1)), (500, beat(0))], "then the silence is counted from the last");
    assert_eq!(run(&mut replica, T + PERIOD * 10), [(1000, beat(0))]);
}

#[test]
fn more_changes_than_are_remembered_are_for_those_who_ask() {
    let mut replica = here();
    run(&mut replica, T);
    for owner in 0..21 {
        track(replica.presences_mut(), owner);
    }
    let said_of_it = run(&mut replica, T + PERIOD);
    assert_eq!(said_of_it, [(100, "heartbeat to all, 0 changes".to_owned())]);
    let nothing = clocks(&[(node(1), Clock::ZERO)]);
    replica.handle_transfer_request(T + PERIOD, node(2), &nothing);
    assert_eq!(said(&mut replica), ["transfer to 2, 21 changes"]);
    let all = replica.presences().clocks();
    replica.handle_transfer_request(T + PERIOD, node(2), &all);
    assert_eq!(said(&mut replica), [""; 0], "who lacks nothing is not answered");
}

#[test]
fn a_timeout_before_its_time_does_nothing() {
    let mut replica = here();
    run(&mut replica, T);
    track(replica.presences_mut(), 1);
    assert_eq!(replica.poll_timeout(), Some(T + PERIOD));
    replica.handle_timeout(T + PERIOD - MS);
    assert_eq!((said(&mut replica).len(), replica.poll_timeout()), (0, Some(T + PERIOD)));
    replica.handle_timeout(T + PERIOD + MS);
    assert_eq!((said(&mut replica).len(), replica.poll_timeout()), (1, Some(T + PERIOD * 2 + MS)));
}

#[test]
fn whoever_is_new_is_greeted_once() {
    let (mut replica, mut bob) = (here(), writer(2));
    track(&mut bob, 1);
    assert_eq!(heartbeat(&mut replica, T, &bob, Some(0)), 1);
    assert_eq!(said(&mut replica), ["heartbeat to 2, 0 changes"], "and nothing is lacking");
    assert_eq!(heartbeat(&mut replica, T, &bob, Some(0)), 0);
    assert_eq!(said(&mut replica), [""; 0]);
}

#[test]
fn nobody_takes_this_nodes_number() {
    let mut replica = here();
    for incarnation in [1, 2] {
        let mut twin = Presences::new(ReplicaId::new(1, incarnation), lapwing_presence::Config::default());
        track(&mut twin, 1);
        assert_eq!(heartbeat(&mut replica, T, &twin, None), 0);
        assert_eq!(said(&mut replica), [""; 0]);
    }
}

#[test]
fn what_is_lacking_is_requested_at_once_and_again_after_two_periods() {
    let (mut replica, mut bob) = (here(), writer(2));
    track(&mut bob, 1);
    heartbeat(&mut replica, T, &bob, None);
    assert_eq!(said(&mut replica), ["heartbeat to 2, 0 changes", "request to 2: 2 from 0"]);
    heartbeat(&mut replica, T + PERIOD * 2 - MS, &bob, None);
    assert_eq!(said(&mut replica), [""; 0], "it was just requested");
    heartbeat(&mut replica, T + PERIOD * 2, &bob, None);
    assert_eq!(said(&mut replica), ["request to 2: 2 from 0"]);
}

#[test]
fn after_an_answer_what_is_still_lacking_is_requested_at_once() {
    let (mut replica, mut bob) = (here(), writer(2));
    track(&mut bob, 1);
    let first = bob.extract(&clocks(&[(bob.id(), Clock::ZERO)]));
    track(&mut bob, 2);
    heartbeat(&mut replica, T, &bob, None);
    said(&mut replica);
    assert_eq!(replica.handle_transfer(T + MS, bob.id(), &first).len(), 1);
    heartbeat(&mut replica, T + MS, &bob, None);
    assert_eq!(said(&mut replica), ["request to 2: 2 from 1"]);
}

#[test]
fn news_of_others_is_awaited_for_a_period_before_it_is_requested() {
    let (mut replica, mut bob, mut eve) = (here(), writer(2), writer(3));
    heartbeat(&mut replica, T, &bob, None);
    heartbeat(&mut replica, T, &eve, None);
    run(&mut replica, T);
    // Eve has seen a change of Bob that has not come here.
    track(&mut bob, 1);
    eve.replica_up(bob.id()).unwrap();
    eve.merge(&bob.extract(&eve.clocks()));
    heartbeat(&mut replica, T + MS, &eve, None);
    assert_eq!(said(&mut replica), [""; 0]);
    let said_of_it = run(&mut replica, T + PERIOD * 4);
    assert_eq!(
        said_of_it,
        [
            (200, "request to 2: 2 from 0".to_owned()),
            (400, "request to 3: 2 from 0".to_owned()), // There was no answer.
        ]
    );
    let transfer = eve.extract(&replica.presences().clocks());
    assert_eq!(replica.handle_transfer(T + PERIOD * 4, eve.id(), &transfer).len(), 1);
    assert!(run(&mut replica, T + PERIOD * 8).iter().all(|(_, said)| !said.starts_with("request")));
}

#[test]
fn who_is_silent_is_hidden_and_then_forgotten_to_the_millisecond() {
    let (mut replica, mut bob) = (here(), writer(2));
    track(&mut bob, 1);
    heartbeat(&mut replica, T, &bob, Some(0));
    run(&mut replica, T + DOWN_AFTER - MS);
    assert!(replica.presences().is_up(bob.id()));
    assert_eq!(replica.handle_timeout(T + DOWN_AFTER).topics()[0].leaves().len(), 1);
    assert!(!replica.presences().is_up(bob.id()));
    run(&mut replica, T + FORGET_AFTER - MS);
    assert_eq!(replica.presences().clock(bob.id()), Some(clock(1)));
    assert!(replica.handle_timeout(T + FORGET_AFTER).is_empty());
    assert_eq!(replica.presences().clock(bob.id()), None);
    // And is as new.
    said(&mut replica);
    assert_eq!(heartbeat(&mut replica, T + FORGET_AFTER, &bob, Some(0)), 1);
    assert_eq!(said(&mut replica), ["heartbeat to 2, 0 changes"]);
}

#[test]
fn who_sleeps_through_it_all_reports_those_who_left_meanwhile() {
    let (mut replica, mut bob) = (here(), writer(2));
    track(&mut bob, 1);
    heartbeat(&mut replica, T, &bob, Some(0));
    assert_eq!(replica.handle_timeout(T + FORGET_AFTER).topics()[0].leaves().len(), 1);
    assert_eq!(replica.presences().clock(bob.id()), None);
}

#[test]
fn every_message_is_a_sign_of_life() {
    let (mut replica, bob, eve) = (here(), writer(2), writer(3));
    let mut ida = writer(4);
    for writer in [&bob, &eve, &ida] {
        heartbeat(&mut replica, T, writer, None);
    }
    replica.handle_transfer_request(T + MS, bob.id(), &Clocks::new());
    replica.handle_transfer(T + MS, eve.id(), &Delta::default());
    run(&mut replica, T + DOWN_AFTER);
    let up = |replica: &Replica| [2, 3, 4].map(|number| replica.presences().is_up(node(number)));
    assert_eq!(up(&replica), [true, true, false]);
    // A transfer shows nobody who is down: it may be an old one.
    track(&mut ida, 1);
    replica.handle_transfer(T + DOWN_AFTER, ida.id(), &ida.extract(&clocks(&[(ida.id(), Clock::ZERO)])));
    assert_eq!(up(&replica), [true, true, false]);
}

#[test]
fn who_comes_back_is_shown_when_the_clock_that_it_named_is_reached() {
    let (mut replica, mut bob) = (here(), writer(2));
    track(&mut bob, 1);
    heartbeat(&mut replica, T, &bob, Some(0));
    run(&mut replica, T + DOWN_AFTER);
    (2..=4).for_each(|owner| track(&mut bob, owner));
    let now = T + DOWN_AFTER;
    assert_eq!(heartbeat(&mut replica, now, &bob, None), 0, "it is behind: three changes are lacking");
    assert_eq!(said(&mut replica), ["request to 2: 2 from 1"]);
    let transfer = bob.extract(&clocks(&[(bob.id(), clock(1))]));
    // It goes on meanwhile. What it had when it came back is enough.
    track(&mut bob, 5);
    assert_eq!(heartbeat(&mut replica, now, &bob, None), 0);
    assert_eq!(replica.handle_transfer(now, bob.id(), &transfer).len(), 4);
    assert!(replica.presences().is_up(bob.id()));
}

#[test]
fn who_was_shown_again_and_falls_silent_stays_hidden_whoever_speaks() {
    let (mut replica, bob, eve) = (here(), writer(2), writer(3));
    heartbeat(&mut replica, T, &bob, None);
    heartbeat(&mut replica, T, &eve, None);
    run(&mut replica, T + DOWN_AFTER);
    heartbeat(&mut replica, T + DOWN_AFTER, &bob, None);
    assert!(replica.presences().is_up(bob.id()), "nothing was lacking of it");
    run(&mut replica, T + DOWN_AFTER * 2);
    heartbeat(&mut replica, T + DOWN_AFTER * 2, &eve, None);
    assert!(!replica.presences().is_up(bob.id()));
    assert!(replica.presences().is_up(eve.id()));
}

#[test]
fn who_falls_silent_while_it_comes_back_has_to_come_back_again() {
    let (mut replica, mut bob) = (here(), writer(2));
    track(&mut bob, 1);
    heartbeat(&mut replica, T, &bob, Some(0));
    run(&mut replica, T + DOWN_AFTER);
    track(&mut bob, 2);
    heartbeat(&mut replica, T + DOWN_AFTER, &bob, None);
    let of_the_first_time = bob.extract(&clocks(&[(bob.id(), clock(1))]));
    run(&mut replica, T + DOWN_AFTER * 2);
    track(&mut bob, 3);
    heartbeat(&mut replica, T + DOWN_AFTER * 2, &bob, None);
    assert_eq!(replica.handle_transfer(T + DOWN_AFTER * 2, bob.id(), &of_the_first_time).len(), 0);
    assert!(!replica.presences().is_up(bob.id()));
    assert_eq!(heartbeat(&mut replica, T + DOWN_AFTER * 2, &bob, Some(2)), 3);
}

#[test]
fn a_departure_is_known_at_once_and_for_good() {
    let (mut replica, mut bob) = (here(), writer(2));
    track(&mut bob, 1);
    heartbeat(&mut replica, T, &bob, Some(0));
    said(&mut replica);
    assert_eq!(replica.handle_departure(bob.id()).topics()[0].leaves().len(), 1);
    assert_eq!(replica.presences().clock(bob.id()), None);
    assert_eq!(heartbeat(&mut replica, T, &bob, Some(0)), 0, "a late message");
    assert_eq!(said(&mut replica), [""; 0]);
    assert!(run(&mut replica, T + PERIOD * 5).iter().all(|(_, said)| said == "heartbeat to all, 0 changes"));
}

#[test]
fn nobody_asks_a_replica_that_departed_or_was_started_anew() {
    let later = Presences::new(ReplicaId::new(2, 2), lapwing_presence::Config::default());
    for departs in [true, false] {
        let (mut replica, mut bob, mut eve) = (here(), writer(2), writer(3));
        heartbeat(&mut replica, T, &bob, None);
        track(&mut bob, 1);
        eve.replica_up(bob.id()).unwrap();
        eve.merge(&bob.extract(&eve.clocks()));
        heartbeat(&mut replica, T, &eve, None);
        if departs {
            replica.handle_departure(later.id());
        } else {
            heartbeat(&mut replica, T, &later, None);
        }
        said(&mut replica);
        let requests = run(&mut replica, T + PERIOD * 9);
        assert!(requests.iter().all(|(_, said)| !said.starts_with("request")), "{requests:?}");
    }
}

#[test]
fn who_departs_says_so_and_nothing_else() {
    let (mut replica, mut bob) = (here(), writer(2));
    track(replica.presences_mut(), 1);
    track(&mut bob, 1);
    replica.handle_timeout(T);
    replica.depart();
    assert_eq!(said(&mut replica), ["departure of 1 to all"]);
    assert_eq!(replica.poll_timeout(), None);
    heartbeat(&mut replica, T, &bob, None);
    replica.handle_transfer_request(T, bob.id(), &clocks(&[(node(1), Clock::ZERO)]));
    assert!(replica.handle_timeout(T + FORGET_AFTER).is_empty());
    assert!(replica.presences().is_up(bob.id()), "time has ended for it");
    assert_eq!(said(&mut replica), [""; 0]);
}

#[test]
fn messages_of_every_kind_come_in_by_one_door() {
    let (mut ada, mut bob) = (here(), Replica::new(node(2), hasty(), T).unwrap());
    track(ada.presences_mut(), 1);
    talk(&mut ada, &mut bob);
    assert_eq!(bob.presences().count("room").presences, 1);
    ada.depart();
    let departure = ada.poll_transmit().unwrap();
    assert_eq!(bob.handle(T, departure.message).len(), 1);
    assert_eq!(bob.presences().clock(node(1)), None);
}

/// Lets two talk until neither has anything to say, beginning with a heartbeat that lost its delta.
fn talk(one: &mut Replica, other: &mut Replica) {
    let clocks = one.presences().clocks();
    other.handle_heartbeat(T, one.presences().id(), &clocks, &Delta::default());
    loop {
        let (to, back) = (other.poll_transmit(), one.poll_transmit());
        if to.is_none() && back.is_none() {
            return;
        }
        to.into_iter().for_each(|transmit| drop(one.handle(T, transmit.message)));
        back.into_iter().for_each(|transmit| drop(other.handle(T, transmit.message)));
    }
}
