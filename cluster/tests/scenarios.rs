//! What a cluster does in the cases that its operators know, step by step.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails says so by panicking")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use lapwing_cluster::{
    Channel, Config, Event, Gap, GapCause, Instance, Interest, Output, PeerEnd, Scope, Sent, Spread, Work,
    wire::{Beat, Message, PayloadKind, Slow, Tops},
};
use support::net::Net;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ends(output: &Output) -> Option<(Instance, PeerEnd)> {
    match output {
        Output::PeerDown(peer, end) => Some((*peer, *end)),
        _ => None,
    }
}

fn gaps(output: &Output) -> Option<Gap> {
    match output {
        Output::Gap(gap) => Some(*gap),
        _ => None,
    }
}

#[test]
fn a_broadcast_reaches_all_other_nodes_once() {
    let mut net = Net::new(3, &Config::default());
    for node in 0..3 {
        net.subscribe(node, "room:1");
    }
    assert_eq!(net.publish(0, "room:1", "hello"), Sent::Now);
    assert_eq!(net.delivered(0), Vec::<String>::new());
    assert_eq!(net.delivered(1), ["hello"]);
    assert_eq!(net.delivered(2), ["hello"]);
}

#[test]
fn a_node_without_members_hears_nothing() {
    let config = Config::default().spread(Spread::Topics);
    let mut net = Net::new(2, &config);
    net.subscribe(1, "room:1");
    net.publish(0, "room:2", "hello");
    assert_eq!(net.delivered(1), Vec::<String>::new());
}

#[test]
fn an_engine_that_is_away_for_half_a_minute_kills_nobody_and_loses_nothing_that_the_ring_holds() {
    let mut net = Net::new(3, &Config::default());
    for node in 0..3 {
        net.subscribe(node, "room:1");
    }
    net.kill_engine();
    assert_eq!(net.publish(0, "room:1", "while away"), Sent::Later);
    net.pass(secs(30));
    net.restart();
    net.pass(secs(10));
    assert_eq!(net.delivered(1), ["while away"]);
    assert_eq!(net.delivered(2), ["while away"]);
    for node in 0..3 {
        assert_eq!(net.take(node, ends), []);
        assert_eq!(net.take(node, gaps), []);
        assert_eq!(net.nodes[node].living().count(), 2);
    }
}

#[test]
fn what_the_ring_could_not_hold_is_told_once() {
    let config = Config::default().ring_bytes_max(500);
    let mut net = Net::new(2, &config);
    net.subscribe(1, "room:1");
    net.pass(secs(1));
    net.kill_engine();
    let sent: Vec<_> = (0..6).map(|at| net.publish(0, "room:1", &at.to_string())).collect();
    assert_eq!(sent, [Sent::Later; 6]);
    assert!(net.nodes[0].ring_bytes() <= 500);
    assert_eq!(net.nodes[0].forgotten(), 1, "the oldest");
    net.restart();
    net.pass(secs(3));
    assert_eq!(net.delivered(1), ["1", "2", "3", "4", "5"]);
    let told = net.take(1, gaps);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(matches!(told[0].scope, Scope::Key { after: 0, .. }), "{told:?}");
}

/// The publisher is back first and goes on, so that its ring forgets what it has handed over; others come while it hands over, and when it has.
#[test]
fn nodes_that_come_back_later_than_a_publisher_that_goes_on_are_told_one_gap() {
    for late in [0, 1, 3, 20] {
        let config = Config::default().ring_bytes_max(1_000).in_flight_bytes_max(300);
        let mut net = Net::new(2, &config);
        net.subscribe(1, "room:1");
        net.publish(0, "room:1", "before");
        net.pass(secs(1));
        let say = |net: &mut Net, numbers: std::ops::Range<u64>| {
            for number in numbers {
                net.publish(0, "room:1", &number.to_string());
            }
        };
        net.kill_engine();
        say(&mut net, 0..30);
        net.engine.is_away = false;
        net.connect(0);
        say(&mut net, 30..30 + late);
        net.connect(1);
        say(&mut net, 30 + late..60);
        net.pass(secs(3));
        let told = net.take(1, gaps);
        assert_eq!(told.len(), 1, "{late}: {told:?}");
        let heard = net.delivered(1);
        let first: u64 = heard[1].parse().unwrap();
        assert!((19..50).contains(&first), "{late}: {first}");
        assert_eq!(heard[1..], (first..60).map(|at| at.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn a_node_that_stops_is_gone_after_eight_beats_and_its_broadcasts_may_be_missing() {
    let mut net = Net::new(3, &Config::default());
    // A beat of everybody puts the first verdict behind.
    net.pass(secs(1));
    net.engine.connections.remove(&2);
    net.pass_for(Duration::from_millis(2_900), &[0, 1]);
    assert_eq!(net.take(0, ends), []);
    net.pass_for(Duration::from_millis(1_200), &[0, 1]);
    assert_eq!(net.take(0, ends), [(Instance(3), PeerEnd::Silent)]);
    let told = net.take(0, gaps);
    let gap = Gap { from: Instance(3), scope: Scope::All, cause: GapCause::PublisherDied };
    assert_eq!(told, [gap]);
}

#[test]
fn a_node_that_was_paused_takes_nobody_for_dead() {
    let mut net = Net::new(2, &Config::default());
    net.pass(secs(1));
    let before = net.now;
    net.pass_for(secs(10), &[0]);
    assert!(net.now >= before + secs(10));
    assert_eq!(net.take(0, ends), [(Instance(2), PeerEnd::Silent)]);
    net.pass(secs(2));
    assert_eq!(net.take(1, ends), []);
    assert_eq!(net.nodes[0].living().count(), 1, "the paused node is back");
}

#[test]
fn a_planned_departure_is_seen_at_once_and_tells_no_gap() {
    let mut net = Net::new(2, &Config::default());
    net.nodes[1].begin_drain();
    net.pass(secs(1));
    assert!(net.nodes[0].living().all(|(_, peer)| peer.is_draining));
    net.nodes[1].depart();
    net.settle();
    assert_eq!(net.take(0, ends), [(Instance(2), PeerEnd::Departed)]);
    assert_eq!(net.take(0, gaps), []);
    assert!(net.nodes[1].is_flushed());
}

#[test]
fn beats_that_do_not_come_back_end_the_connection() {
    let mut net = Net::new(1, &Config::default());
    net.engine.is_stalled = true;
    let reconnects =
        |net: &mut Net| net.take(0, |output| matches!(output, Output::Reconnect).then_some(())).len();
    net.pass(Duration::from_millis(1_900));
    assert_eq!(reconnects(&mut net), 0);
    net.pass(secs(1));
    assert_eq!(reconnects(&mut net), 1);
}

#[test]
fn a_join_waits_for_the_confirmation_of_its_channel() {
    let mut net = Net::new(1, &Config::default());
    let Interest::Waiting(key) = net.nodes[0].subscribe("room:1") else { panic!("too early") };
    let confirmed = |net: &mut Net| {
        net.take(0, |output| match output {
            Output::Confirmed(key) => Some(*key),
            _ => None,
        })
    };
    assert_eq!(confirmed(&mut net), []);
    net.settle();
    assert_eq!(confirmed(&mut net), [key]);
    assert_eq!(net.nodes[0].subscribe("room:1"), Interest::Confirmed);
}

#[test]
fn a_channel_that_was_confirmed_a_moment_before_its_connection_was_lost_misses_nothing() {
    let mut net = Net::new(2, &Config::default());
    // All of it since the last beat, so that nobody has said what was published before.
    net.publish(0, "room:1", "before");
    net.subscribe(1, "room:1");
    net.cut(1);
    net.publish(0, "room:1", "missed");
    net.connect(1);
    net.publish(0, "room:1", "after");
    net.pass(secs(1));
    assert_eq!(net.delivered(1), ["before", "missed", "after"]);
    assert_eq!(net.take(1, gaps), []);
}

#[test]
fn a_refused_channel_is_told_and_can_be_wanted_again() {
    let mut net = Net::new(1, &Config::default());
    let Interest::Waiting(key) = net.nodes[0].subscribe("room:1") else { panic!("too early") };
    let now = net.now;
    let Some(Work::Subscribe(channels)) = net.nodes[0].poll_work(now) else { panic!("nothing to subscribe") };
    assert_eq!(channels, [Channel::Topics(key)]);
    net.nodes[0].handle_event(now, Event::Refused(channels));
    assert_eq!(net.nodes[0].poll_output(), Some(Output::Refused(key)));
    assert_eq!(net.nodes[0].subscribe("room:1"), Interest::Waiting(key));
    net.settle();
    assert!(net.nodes[0].is_ready());
}

#[test]
fn a_topic_channel_is_given_up_some_time_after_its_last_member_left() {
    let config = Config::default().spread(Spread::Topics);
    let mut net = Net::new(1, &config);
    net.subscribe(0, "room:1");
    let count = |net: &Net| net.engine.connections[&0].subscribed.len();
    let now = net.now;
    net.nodes[0].unsubscribe(now, "room:1");
    net.pass(secs(1));
    assert_eq!(net.nodes[0].subscribe("room:1"), Interest::Confirmed, "who is back soon finds it there");
    net.pass(secs(5));
    assert_eq!(count(&net), 3);
    let now = net.now;
    net.nodes[0].unsubscribe(now, "room:1");
    net.pass(secs(3));
    assert_eq!(count(&net), 2, "control and its own");
}

#[test]
fn partitions_are_kept() {
    let mut net = Net::new(1, &Config::default());
    net.subscribe(0, "room:1");
    let now = net.now;
    net.nodes[0].unsubscribe(now, "room:1");
    net.pass(secs(60));
    assert_eq!(net.engine.connections[&0].subscribed.len(), 3);
}

#[test]
fn a_call_is_repeated_until_all_have_answered() {
    let mut net = Net::new(3, &Config::default());
    let now = net.now;
    net.cut(2);
    let id = net.nodes[0].call(now, None, Bytes::from_static(b"disconnect"), secs(5)).unwrap();
    net.settle();
    let calls = |output: &Output| match output {
        Output::Call(from, id, body) => Some((*from, *id, body.clone())),
        _ => None,
    };
    assert_eq!(net.take(1, calls).len(), 1);
    net.nodes[1].answer(Instance(1), id, Bytes::from_static(b"2"));
    net.settle();
    net.connect(2);
    net.pass(secs(2));
    assert_eq!(net.take(1, calls).len(), 0, "whoever has answered is not asked again");
    assert_eq!(net.take(2, calls).len(), 1, "nor the program twice");
    net.nodes[2].answer(Instance(1), id, Bytes::from_static(b"3"));
    net.settle();
    let answered = Output::Answered {
        id,
        answers: vec![(Instance(2), Bytes::from_static(b"2")), (Instance(3), Bytes::from_static(b"3"))],
        missing: vec![],
    };
    assert!(net.outputs[0].contains(&answered), "{:?}", net.outputs[0]);
}

#[test]
fn a_call_that_is_not_answered_names_who_did_not() {
    let mut net = Net::new(2, &Config::default());
    net.engine.connections.remove(&1);
    let now = net.now;
    let id = net.nodes[0].call(now, None, Bytes::new(), secs(2)).unwrap();
    net.pass_for(Duration::from_millis(1_900), &[0]);
    assert!(!net.outputs[0].iter().any(|output| matches!(output, Output::Answered { .. })));
    net.pass_for(Duration::from_millis(200), &[0]);
    let answered = Output::Answered { id, answers: vec![], missing: vec![Instance(2)] };
    assert!(net.outputs[0].contains(&answered), "{:?}", net.outputs[0]);
}

#[test]
fn calls_that_wait_are_bounded() {
    let config = Config::default().calls_max(2);
    let mut net = Net::new(2, &config);
    let now = net.now;
    let mut call = || net.nodes[0].call(now, None, Bytes::new(), secs(2));
    assert!(call().is_some() && call().is_some());
    assert_eq!(call(), None);
}

#[test]
fn presence_goes_to_one_or_to_all() {
    let mut net = Net::new(3, &Config::default());
    net.nodes[0].send_presence(None, Bytes::from_static(b"all"));
    net.nodes[0].send_presence(Some(Instance(3)), Bytes::from_static(b"one"));
    net.settle();
    let heard = |output: &Output| match output {
        Output::Presence(from, bytes) => Some((*from, bytes.clone())),
        _ => None,
    };
    assert_eq!(net.take(1, heard), [(Instance(1), Bytes::from_static(b"all"))]);
    assert_eq!(net.take(2, heard).len(), 2);
}

#[test]
fn a_message_of_a_later_version_is_counted_and_told_as_a_gap_once() {
    let mut net = Net::new(2, &Config::default());
    let mut bytes = Message::Departed.encode(Instance(2)).to_vec();
    bytes[0] = 200;
    let now = net.now;
    for _ in 0..3 {
        let bytes = Bytes::from(bytes.clone());
        net.nodes[0].handle_event(now, Event::Message { channel: Channel::Control, bytes });
    }
    net.settle();
    let gap = Gap { from: Instance(2), scope: Scope::All, cause: GapCause::Unreadable };
    assert_eq!(net.take(0, gaps), [gap]);
    assert_eq!(net.nodes[0].unreadable(), 3);
    assert_eq!(net.take(0, ends), []);
}

#[test]
fn a_policy_for_slow_clients_is_left_out_while_a_node_lives_that_cannot_read_it() {
    let mut net = Net::new(2, &Config::default());
    net.subscribe(1, "room:1");
    let policies = |net: &mut Net| {
        for slow in [None, Some(Slow::Latest)] {
            net.nodes[0].publish("room:1", "said", PayloadKind::Json, slow, "1".into());
        }
        net.settle();
        let outputs = std::mem::take(&mut net.outputs[1]);
        let delivered = outputs.into_iter().filter_map(|output| match output {
            Output::Deliver { publish, .. } => Some(publish.slow),
            _ => None,
        });
        delivered.collect::<Vec<_>>()
    };
    assert_eq!(policies(&mut net), [None, Some(Slow::Latest)]);
    let old = Instance(99);
    let tops = Tops { top: 0, since: 0, lost: 0, part: (0, 1), changed: Vec::new() };
    let beat = Beat { number: 1, name: "old".into(), versions: (1, 1), is_draining: false, tops };
    for message in [Message::Beat(beat), Message::Departed] {
        let is_there = matches!(message, Message::Beat(_));
        let bytes = message.encode(old);
        net.nodes[0].handle_event(net.now, Event::Message { channel: Channel::Control, bytes });
        assert_eq!(policies(&mut net), [None, (!is_there).then_some(Slow::Latest)]);
    }
}

#[test]
fn strangers_are_bounded() {
    let config = Config::default().peers_max(4);
    let mut net = Net::new(3, &config);
    net.subscribe(0, "room:1");
    for stranger in 100..200 {
        let bytes = Message::AskTops { after: 0 }.encode(Instance(stranger));
        let now = net.now;
        net.nodes[0].handle_event(now, Event::Message { channel: Channel::Control, bytes });
    }
    net.pass(secs(5));
    assert_eq!(net.nodes[0].living().count(), 2, "those who live are not forgotten for strangers");
}
