//! What went wrong in Phoenix's tracker, played against ours. The numbers are those of phoenix_pubsub.

use std::time::Duration;

use lapwing_presence::{Clocks, Config, Owner, Presences, ReplicaId, TrackError};

use crate::{
    network::{FAIR, Network, Weather, hasty},
    support::{Listener, Op, node, shown},
};

const MS: Duration = Duration::from_millis(1);

fn track(topic: u8, key: u8, owner: u8) -> Op {
    Op::Track { topic, key, owner, meta: 0 }
}

/// Issue 55, PR 60, PR 80: a node is restarted, and what the earlier start tracked finds its way back through
/// a third node that still remembers it.
#[test]
fn issue_55_a_restarted_node_does_not_meet_its_own_zombies() {
    let mut network = Network::new(4, 55, hasty());
    network.work(3, track(0, 0, 0));
    network.run(1000 * MS);
    network.kill(3);
    // Node 2 is cut off and remembers the first start longer than the others.
    network.groups = vec![0, 0, 1, 0];
    network.restart(3);
    network.work(3, track(0, 1, 0));
    network.run(300 * MS);
    network.groups.fill(0);
    network.run(1000 * MS);
    network.assert_converged();
    assert_eq!(network.shown(3).len(), 1);

    // Also when a late message of the first start arrives after all.
    let mut here = Presences::new(node(1), Config::default());
    let mut first = Presences::new(ReplicaId::new(2, 1), Config::default());
    first.track("room", "zombie", Owner(1), b"{}").unwrap();
    here.replica_up(first.id()).unwrap();
    let late = first.extract(&here.clocks());
    here.merge(&late);
    assert_eq!(here.replica_up(ReplicaId::new(2, 2)).unwrap().len(), 1, "the first start's leave");
    assert!(here.merge(&late).is_empty());
    assert!(here.replica_up(first.id()).is_err());
    assert_eq!(here.list("room").count(), 0);
}

/// Issue 74: two nodes that each track 51 and then meet ended with 51 and 102 entries.
#[test]
fn issue_74_two_nodes_that_meet_late_both_know_everything() {
    for each in [50, 51, 102, 500] {
        let mut network = Network::new(2, 74, hasty());
        network.groups = vec![0, 1];
        for number in 0..2 {
            for owner in 0..each {
                let key = format!("{number}:{owner}");
                let diff = network.presences(number).track("test", &key, Owner(owner), b"{}").unwrap();
                network.nodes[number].listener.hear(&diff);
            }
        }
        network.run(3000 * MS);
        network.settle();
        network.assert_converged();
        assert_eq!(network.nodes[0].replica.presences().count("test").keys as u64, 2 * each);
    }
}

/// Issue 175: a list grew with every update, because the replaced entry remained on other nodes.
#[test]
fn issue_175_a_list_does_not_grow_with_updates() {
    let mut network = Network::new(2, 175, hasty());
    for round in 0..50u8 {
        for owner in 0..3 {
            network.work(0, track(0, owner, owner));
            network.work(0, Op::Update { topic: 0, key: owner, owner, meta: round });
        }
        network.run(40 * MS);
        network.work(0, Op::UntrackAll { owner: round % 3 });
        assert!(network.shown(1).len() <= 3);
    }
    network.settle();
    network.assert_converged();
}

/// PR 111, the first counter-example: joins were known across a split, leaves during it were not taken over
/// after.
#[test]
fn pr_111_leaves_during_a_split_are_known_after_it() {
    for split_ms in [300, 2000, 8000] {
        let mut network = Network::new(3, 111, hasty());
        for key in 0..3 {
            network.work(2, track(0, key, key));
        }
        network.run(1000 * MS);
        network.groups = vec![0, 1, 1];
        network.run(MS * split_ms / 2);
        network.work(2, Op::UntrackAll { owner: 0 });
        network.work(2, Op::UntrackAll { owner: 1 });
        network.run(MS * split_ms / 2);
        network.settle();
        network.assert_converged();
        assert_eq!(network.shown(0).len(), 1);
    }
}

/// PR 111, the second counter-example: two deltas that did not touch were joined into one, and what was
/// between them never arrived.
#[test]
fn pr_111_deltas_that_do_not_touch_are_not_taken_for_one() {
    let mut writer = Presences::new(node(1), Config::default());
    let mut reader = Presences::new(node(2), Config::default());
    reader.replica_up(node(1)).unwrap();
    let mut deltas = Vec::new();
    for owner in 0..6 {
        let seen = writer.clocks();
        writer.track("room", "ada", Owner(owner), b"{}").unwrap();
        deltas.push(writer.extract(&seen));
    }
    for place in [0, 1, 4, 3] {
        reader.merge(&deltas[place]);
    }
    assert_eq!(reader.count("room").presences, 2, "what comes after a gap waits");
    assert_eq!(reader.merge(&deltas[2]).len(), 3, "and is there once the gap is closed");
    reader.merge(&deltas[5]);
    assert_eq!(shown(&reader), shown(&writer));
}

/// PR 108: an empty delta was chosen for a node that had seen nothing.
#[test]
fn pr_108_who_has_seen_nothing_is_given_everything() {
    let mut writer = Presences::new(node(1), Config::default().history_changes_max(4));
    for owner in 0..60 {
        writer.track("room", "ada", Owner(owner), b"{}").unwrap();
    }
    let mut reader = Presences::new(node(2), Config::default());
    reader.replica_up(node(1)).unwrap();
    let delta = writer.extract(&reader.clocks());
    assert!(delta.has_whole());
    assert_eq!(reader.merge(&delta).len(), 60);
}

/// PR 136: a node that came after another went asked for the dead one's clock at every heartbeat.
#[test]
fn pr_136_nobody_asks_for_a_replica_that_is_down() {
    let mut network = Network::new(3, 136, hasty());
    network.work(1, track(0, 0, 0));
    network.kill(2);
    network.run(1000 * MS);
    network.kill(1);
    network.run(600 * MS);
    network.restart(2);
    network.run(1500 * MS);
    network.requests = 0;
    network.run(3000 * MS);
    assert_eq!(network.requests, 0);
    network.assert_converged();
}

/// Issue 148, PR 213: a stale whole state from a third node came after newer deltas, and its older entry won.
#[test]
fn issue_148_a_stale_transfer_does_not_replace_what_is_newer() {
    let mut writer = Presences::new(node(1), Config::default());
    let mut stale = Presences::new(node(2), Config::default().history_changes_max(0));
    let mut fresh = Presences::new(node(3), Config::default());
    for state in [&mut stale, &mut fresh] {
        state.replica_up(node(1)).unwrap();
    }
    let nothing: Clocks = fresh.clocks();
    writer.track("room", "alice", Owner(1), b"0").unwrap();
    stale.merge(&writer.extract(&stale.clocks()));
    writer.update("room", "alice", Owner(1), b"1").unwrap();
    writer.update("room", "alice", Owner(1), b"2").unwrap();

    let mut listener = Listener::default();
    listener.hear(&fresh.merge(&writer.extract(&nothing)));
    let transfer = stale.extract(&nothing);
    assert!(transfer.has_whole());
    listener.hear(&fresh.merge(&transfer));
    listener.agrees(&fresh);
    assert_eq!(shown(&fresh), shown(&writer));
}

/// Issue 214: the same topic, key and owner on two nodes, merged in either order.
#[test]
fn issue_214_the_same_key_and_owner_on_two_nodes_are_two_presences() {
    let mut ends = Vec::new();
    for order in [[1, 2], [2, 1]] {
        let mut reader = Presences::new(node(3), Config::default());
        for number in order {
            let mut writer = Presences::new(node(number), Config::default());
            writer.track("room", "ada", Owner(1), &[number as u8]).unwrap();
            reader.replica_up(node(number)).unwrap();
            reader.merge(&writer.extract(&reader.clocks()));
        }
        assert_eq!((reader.count("room").presences, reader.count("room").keys), (2, 1));
        ends.push(shown(&reader));
    }
    assert_eq!(ends[0], ends[1]);
}

/// Issue 49: tracking twice was accepted, and untracking then crashed the tracker.
#[test]
fn issue_49_tracking_twice_is_refused_and_untracking_twice_is_nothing() {
    let mut presences = Presences::new(node(1), Config::default());
    presences.track("room", "ada", Owner(1), b"{}").unwrap();
    let again = presences.track("room", "ada", Owner(1), b"{}");
    assert!(matches!(again, Err(TrackError::AlreadyTracked { .. })));
    assert_eq!(presences.untrack("room", "ada", Owner(1)).len(), 1);
    assert!(presences.untrack("room", "ada", Owner(1)).is_empty());
    assert_eq!(presences.topics().count(), 0);
}

/// A replica that was down comes back: those who left meanwhile are not seen to come and go.
#[test]
fn a_replica_that_comes_back_is_shown_when_it_is_caught_up_with() {
    let mut network = Network::new(2, 7, hasty());
    network.work(1, track(0, 0, 0));
    network.work(1, track(0, 1, 1));
    network.run(1000 * MS);
    network.groups = vec![0, 1];
    network.run(2500 * MS);
    assert!(network.shown(0).is_empty(), "it is down");
    network.work(1, Op::UntrackAll { owner: 0 });
    network.run(1000 * MS);
    network.groups.fill(0);
    for _ in 0..1000 {
        network.run(MS);
        assert!(network.shown(0).iter().all(|(_, _, owner, ..)| *owner != 0), "a zombie was shown");
    }
    network.assert_converged();
}

/// Half of all messages lost, for long: nobody flaps who is heard often enough, and all is well in the end.
#[test]
fn heavy_loss_delays_and_does_not_diverge() {
    let mut network = Network::new(7, 50, hasty());
    network.weather = Weather { lost: 50, repeated: 30, delay_ms_max: 300 };
    for round in 0..60u8 {
        network.work(usize::from(round % 7), track(round % 3, round % 2, round % 3));
        network.work(usize::from(round % 5), Op::UntrackAll { owner: round % 3 });
        network.run(150 * MS);
    }
    network.weather = FAIR;
    network.settle();
    network.assert_converged();
}

/// Keys are data: names that mean something to JavaScript, and huge ones, are names like any other.
#[test]
fn keys_may_be_anything() {
    let mut presences = Presences::new(node(1), Config::default());
    let huge = "k".repeat(1 << 20);
    let keys = ["__proto__", "constructor", "toString", "", "\0", "ключ", huge.as_str()];
    for (owner, key) in keys.into_iter().enumerate() {
        presences.track("room", key, Owner(owner as u64), b"{}").unwrap();
    }
    let listed: Vec<&str> = presences.list("room").map(|entry| entry.key()).collect();
    assert_eq!(listed, keys);
    assert!(keys.iter().all(|key| presences.get("room", key).count() == 1));
}
