use super::*;
use crate::{
    channel::Key,
    output::Standing,
    wire::{Kept, Place, Repair, WireLimits},
};

const ME: Instance = Instance(1);
const PEER: Instance = Instance(2);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn node(config: Config) -> Node {
    Node::new(Identity { app: "chat".into(), name: "one".into(), instance: ME }, config, secs(0))
}

/// Does what the node asks of the engine, up to the end; returns how many messages that were.
fn obey(node: &mut Node) -> usize {
    let mut messages = 0;
    while let Some(work) = node.poll_work(secs(0)) {
        let event = match work {
            Work::Subscribe(channels) => Event::Subscribed(channels),
            Work::Unsubscribe(channels) => Event::Unsubscribed(channels),
            Work::Publish { number, .. } => {
                messages += 1;
                let Some(number) = number else { continue };
                Event::Published(number)
            }
        };
        node.handle_event(secs(0), event);
    }
    messages
}

fn up(config: Config) -> Node {
    let mut node = node(config);
    node.handle_event(secs(0), Event::Up);
    obey(&mut node);
    node
}

fn publish(node: &mut Node) -> Sent {
    node.publish("room:1", "said", PayloadKind::Json, None, Bytes::from_static(b"{}"))
}

fn tell(node: &mut Node, from: Instance, message: &Message) {
    let bytes = message.encode(from);
    node.handle_event(secs(0), Event::Message { channel: Channel::Control, bytes });
}

fn beat(top: u64, lost: u64) -> Message {
    let tops = Tops { top, since: 0, lost, part: (0, 1), changed: Vec::new() };
    Message::Beat(Beat { number: 1, name: "two".into(), versions: (1, 2), is_draining: false, tops })
}

fn outputs(node: &mut Node) -> Vec<Output> {
    std::iter::from_fn(|| node.poll_output()).collect()
}

fn is_uncertain(output: &Output) -> bool {
    matches!(output, Output::Gap(Gap { scope: Scope::All, cause: GapCause::Uncertain, .. }))
}

#[test]
fn a_node_is_ready_when_the_engine_delivers_all_that_was_asked_for() {
    let mut node = node(Config::default());
    assert!(!node.is_ready() && !node.is_up());
    node.handle_event(secs(0), Event::Up);
    assert!(node.is_up() && !node.is_ready());
    obey(&mut node);
    assert!(node.is_ready());
    assert!(matches!(node.subscribe("room:1"), Interest::Waiting(_)));
    assert!(!node.is_ready());
    obey(&mut node);
    assert!(node.is_ready() && node.subscribe("room:1") == Interest::Confirmed);
    node.handle_event(secs(0), Event::Down);
    assert!(!node.is_up() && !node.is_ready());
}

#[test]
fn a_connection_on_which_nothing_comes_back_is_over_also_if_nothing_ever_came() {
    let mut node = node(Config::default().beat(secs(1)).echoes_missing_max(3));
    node.handle_event(secs(0), Event::Up);
    let reconnects = |node: &mut Node| outputs(node).contains(&Output::Reconnect);
    for at in 0..3 {
        node.handle_tick(secs(at));
        assert!(!reconnects(&mut node), "{at}");
    }
    node.handle_tick(secs(3));
    assert!(reconnects(&mut node));
    // It may not hear what all nodes say, and so not itself: nothing comes back, and it is not ready.
    node.handle_event(secs(3), Event::Down);
    node.handle_event(secs(3), Event::Up);
    let Some(Work::Subscribe(channels)) = node.poll_work(secs(3)) else { panic!("it subscribes") };
    node.handle_event(secs(3), Event::Refused(channels));
    assert!(!node.is_ready());
}

#[test]
fn a_node_is_flushed_when_the_engine_has_what_was_published_and_what_was_said() {
    let mut node = up(Config::default());
    assert!(node.is_flushed());
    assert_eq!((publish(&mut node), node.is_flushed()), (Sent::Now, false));
    assert!(matches!(node.poll_work(secs(0)), Some(Work::Publish { number: Some(1), .. })));
    assert!(!node.is_flushed(), "it is not confirmed");
    node.handle_event(secs(0), Event::Published(1));
    assert!(node.is_flushed());
    node.depart();
    assert!(!node.is_flushed());
    assert_eq!(obey(&mut node), 2, "the last beat, and the departure");
    assert!(node.is_flushed());
    node.handle_tick(secs(100));
    assert_eq!(obey(&mut node), 0);
}

#[test]
fn who_departs_tells_all_before_also_what_it_could_not_hand_over() {
    let mut node = up(Config::default().in_flight_bytes_max(1));
    publish(&mut node);
    publish(&mut node);
    node.depart();
    let said: Vec<_> = std::iter::from_fn(|| node.poll_work(secs(0))).collect();
    let [
        Work::Publish { number: Some(1), .. },
        Work::Publish { bytes: beat, .. },
        Work::Publish { bytes: departed, .. },
    ] = &said[..]
    else {
        panic!("{said:?}")
    };
    let Ok((_, Message::Beat(beat))) = Message::decode(beat, &WireLimits::default()) else {
        panic!("{said:?}")
    };
    assert_eq!((beat.tops.top, beat.tops.lost), (2, 2));
    assert_eq!(*departed, Message::Departed.encode(ME));
}

#[test]
fn what_is_missing_of_who_departs_is_told_and_nothing_else() {
    let gaps = |node: &mut Node| {
        let gap = |output| if let Output::Gap(Gap { scope, .. }) = output { Some(scope) } else { None };
        outputs(node).into_iter().filter_map(gap).collect::<Vec<_>>()
    };
    let met = || {
        let mut node = up(Config::default());
        node.subscribe("room:1");
        obey(&mut node);
        tell(&mut node, PEER, &beat(2, 0));
        node
    };
    let mut node = met();
    tell(&mut node, PEER, &Message::Departed);
    assert_eq!(gaps(&mut node), []);
    // Its last beat tells of something that did not come.
    let mut node = met();
    let key = node.hasher.key(node.config.spread, "room:1");
    let Message::Beat(mut last) = beat(3, 0) else { unreachable!() };
    last.tops.changed.push((key, 3));
    tell(&mut node, PEER, &Message::Beat(last.clone()));
    tell(&mut node, PEER, &Message::Departed);
    assert_eq!(gaps(&mut node), [Scope::Key { key, after: 2, upto: 3 }]);
    // This node has missed something, and nobody has said what.
    let mut node = met();
    tell(&mut node, PEER, &Message::Beat(last));
    node.handle_event(secs(0), Event::Down);
    node.handle_event(secs(0), Event::Up);
    tell(&mut node, PEER, &Message::Departed);
    assert_eq!(gaps(&mut node), [Scope::All], "once");
}

#[test]
fn of_who_has_departed_nothing_is_heard_again() {
    let mut node = up(Config::default());
    node.subscribe("room:1");
    obey(&mut node);
    let key = node.hasher.key(node.config.spread, "room:1");
    tell(&mut node, PEER, &beat(0, 0));
    tell(&mut node, PEER, &Message::Departed);
    outputs(&mut node);
    let (prev, kind, slow, payload) = (0, PayloadKind::Json, None, Bytes::from_static(b"{}"));
    let publish = Publish { number: 1, prev, topic: "t".into(), event: "e".into(), kind, slow, payload };
    let bytes = Message::Publish(publish).encode(PEER);
    node.handle_event(secs(0), Event::Message { channel: Channel::Topics(key), bytes });
    tell(&mut node, PEER, &beat(1, 0));
    assert_eq!(outputs(&mut node), [], "a closed connection's");
}

#[test]
fn a_beat_waits_for_no_answer() {
    let mut node = up(Config::default());
    node.send_presence(Some(PEER), Bytes::from_static(b"?"));
    node.handle_tick(secs(0));
    assert!(matches!(node.poll_work(secs(0)), Some(Work::Publish { channel: Channel::Control, .. })));
}

#[test]
fn what_is_published_is_kept_and_counted() {
    let mut node = up(Config::default());
    assert_eq!(node.ring_bytes(), 0);
    publish(&mut node);
    let one = node.ring_bytes();
    assert!(one > 60, "{one}");
    publish(&mut node);
    assert_eq!(node.ring_bytes(), 2 * one);
}

#[test]
fn a_beat_is_due_when_its_time_has_come_and_at_once_before_a_departure() {
    let mut node = up(Config::default().beat(secs(10)));
    let beats = |node: &mut Node, at| {
        node.handle_tick(secs(at));
        obey(node)
    };
    assert_eq!([0, 9, 10, 10, 19, 20].map(|at| beats(&mut node, at)), [1, 0, 1, 0, 0, 1]);
    node.begin_drain();
    assert_eq!(beats(&mut node, 21), 1);
}

#[test]
fn what_this_node_says_itself_is_bounded_and_dropped_while_the_engine_is_away() {
    let mut node = up(Config::default().queue_max(2));
    (0..3).for_each(|_| node.send_presence(None, Bytes::from_static(b"?")));
    assert_eq!(obey(&mut node), 2);
    node.handle_event(secs(0), Event::Down);
    node.send_presence(Some(PEER), Bytes::from_static(b"?"));
    node.handle_event(secs(0), Event::Up);
    node.depart();
    assert_eq!(obey(&mut node), 2, "the departure alone, and the beat before it");
    let mut node = up(Config::default().queue_bytes_max(300));
    (0..3).for_each(|_| node.send_presence(None, vec![0; 200].into()));
    assert_eq!(obey(&mut node), 2, "so many bytes, and one message more");
    node.send_presence(None, vec![0; 200].into());
    assert_eq!(obey(&mut node), 1);
}

#[test]
fn somebody_new_who_has_published_is_doubted_after_a_loss_here_or_there() {
    // Whether this node has lost something, what the peer has published and lost, and whether that is told.
    for (has_lost, top, lost, told) in
        [(false, 5, 0, 0), (true, 5, 0, 1), (false, 5, 3, 1), (true, 0, 0, 0), (true, 5, 3, 1)]
    {
        let mut node = up(Config::default());
        if has_lost {
            node.handle_event(secs(0), Event::Dropped);
        }
        tell(&mut node, PEER, &beat(top, lost));
        tell(&mut node, PEER, &beat(top, lost));
        let outputs = outputs(&mut node);
        assert_eq!(outputs[0], Output::PeerUp(PEER));
        assert_eq!(
            outputs.iter().filter(|output| is_uncertain(output)).count(),
            told,
            "{has_lost} {top} {lost}"
        );
    }
}

#[test]
fn who_is_met_by_a_publication_is_doubted_with_its_next_beat_if_that_tells_a_loss() {
    for (lost, told) in [(0, 0), (1, 1)] {
        let mut node = up(Config::default());
        let (prev, kind, slow, payload) = (0, PayloadKind::Json, None, Bytes::from_static(b"{}"));
        let publish = Publish { number: 2, prev, topic: "t".into(), event: "e".into(), kind, slow, payload };
        let bytes = Message::Publish(publish).encode(PEER);
        node.handle_event(secs(0), Event::Message { channel: Channel::Topics(Key(7)), bytes });
        assert!(!outputs(&mut node).iter().any(is_uncertain));
        // What it has not handed over again it does not tell yet.
        tell(&mut node, PEER, &beat(0, lost));
        assert_eq!(outputs(&mut node).iter().filter(|output| is_uncertain(output)).count(), told, "{lost}");
    }
}

#[test]
fn a_loss_is_told_until_the_engine_has_brought_a_beat_back_that_told_it() {
    let mut node = up(Config::default().ring_bytes_max(0).beat(secs(10)));
    publish(&mut node);
    let next_beat = |node: &mut Node, at| {
        node.handle_tick(secs(at));
        let Some(Work::Publish { bytes, .. }) = node.poll_work(secs(at)) else { panic!("it is due") };
        let Ok((ME, Message::Beat(beat))) = Message::decode(&bytes, &WireLimits::default()) else {
            panic!("{bytes:?}")
        };
        beat
    };
    let first = next_beat(&mut node, 0);
    node.handle_event(secs(0), Event::Down);
    node.handle_event(secs(0), Event::Up);
    tell(&mut node, ME, &Message::Beat(first.clone()));
    obey(&mut node);
    let second = next_beat(&mut node, 10);
    tell(&mut node, ME, &Message::Beat(second.clone()));
    assert_eq!([first, second, next_beat(&mut node, 20)].map(|beat| beat.tops.lost), [1, 1, 0]);
}

#[test]
fn whoever_asks_for_the_last_numbers_is_asked_for_what_is_missing_of_it_again() {
    let mut node = up(Config::default());
    node.subscribe("room:1");
    obey(&mut node);
    let key = node.hasher.key(node.config.spread, "room:1");
    tell(&mut node, PEER, &beat(0, 0));
    let tops = Tops { top: 3, since: 0, lost: 0, part: (0, 1), changed: vec![(key, 3)] };
    tell(&mut node, PEER, &Message::Tops(tops));
    assert_eq!(obey(&mut node), 1, "the question");
    tell(&mut node, PEER, &Message::AskTops { after: 0 });
    let ask = Message::Ask { key, after: 0, upto: 3 }.encode(ME);
    let said: Vec<_> = std::iter::from_fn(|| node.poll_work(secs(0))).collect();
    let to_peer = |bytes| Work::Publish { number: None, channel: Channel::Node(PEER), bytes };
    assert!(said.contains(&to_peer(ask)) && said.len() == 2, "{said:?}");
    tell(&mut node, Instance(9), &Message::AskTops { after: 0 });
    assert_eq!(obey(&mut node), 1, "of a stranger nothing is missing");
}

#[test]
fn after_a_loss_without_a_cut_the_others_are_asked_with_the_next_beat() {
    let mut node = up(Config::default().beat(secs(10)));
    tell(&mut node, PEER, &beat(5, 0));
    node.handle_tick(secs(0));
    assert_eq!(obey(&mut node), 1);
    node.handle_event(secs(0), Event::Dropped);
    assert_eq!(obey(&mut node), 0, "not at once");
    node.handle_tick(secs(10));
    assert_eq!(obey(&mut node), 2, "the question, and the beat");
    node.handle_tick(secs(20));
    assert_eq!(obey(&mut node), 1, "once");
}

#[test]
fn after_a_cut_they_are_asked_when_everything_is_delivered_again() {
    let mut node = up(Config::default().batch_max(1));
    tell(&mut node, PEER, &beat(5, 0));
    obey(&mut node);
    node.handle_event(secs(0), Event::Down);
    node.handle_event(secs(0), Event::Up);
    for _ in 0..2 {
        let Some(Work::Subscribe(channels)) = node.poll_work(secs(0)) else { panic!("it subscribes again") };
        assert!(node.queue.is_empty());
        node.handle_event(secs(0), Event::Subscribed(channels));
    }
    assert_eq!(node.queue.len(), 1, "what was missed");
    obey(&mut node);
    node.subscribe("room:1");
    obey(&mut node);
    assert!(
        matches!(node.subscribe("room:1"), Interest::Confirmed) && node.queue.is_empty(),
        "once for each cut"
    );
}

#[test]
fn a_peer_stands_as_it_was_heard_and_nobody_is_taken_for_gone_too_early() {
    let mut node = up(Config::default().silence_beats(2).peers_max(2));
    assert_eq!(node.standing(ME), Standing::Living);
    assert_eq!(node.standing(PEER), Standing::Unsure);
    tell(&mut node, PEER, &beat(0, 0));
    assert_eq!(node.standing(PEER), Standing::Living);
    tell(&mut node, PEER, &Message::Departed);
    assert_eq!((node.standing(PEER), node.standing(Instance(3))), (Standing::Gone, Standing::Unsure));
    tell(&mut node, ME, &beat(0, 0));
    assert_eq!(node.standing(Instance(3)), Standing::Unsure);
    tell(&mut node, ME, &beat(0, 0));
    assert_eq!(node.standing(Instance(3)), Standing::Gone, "one that lives would have been heard");
    node.handle_event(secs(0), Event::Down);
    assert_eq!(node.standing(Instance(3)), Standing::Unsure);
    node.handle_event(secs(0), Event::Up);
    assert_eq!(node.standing(Instance(3)), Standing::Unsure, "it counts anew");
    // Those that are remembered to be gone are bounded; who is back is not among them.
    let silent = |node: &mut Node| (0..8).for_each(|_| tell(node, ME, &beat(0, 0)));
    for other in 4..6 {
        tell(&mut node, Instance(other), &beat(0, 0));
        silent(&mut node);
    }
    assert_eq!((node.is_gone(PEER), node.gone.len()), (false, 2));
    tell(&mut node, Instance(5), &beat(0, 0));
    assert_eq!((node.standing(Instance(5)), node.gone.len()), (Standing::Living, 1));
}

#[test]
fn what_is_said_about_relays_is_heard_of_the_living_alone() {
    let mut node = up(Config::default());
    let relay = Message::Relay(Bytes::from_static(b"r"));
    tell(&mut node, PEER, &relay);
    assert_eq!(outputs(&mut node), []);
    tell(&mut node, PEER, &beat(0, 0));
    tell(&mut node, PEER, &relay);
    assert_eq!(outputs(&mut node)[1..], [Output::Relay(PEER, Bytes::from_static(b"r"))]);
    let work = node.relay_work(PEER, Bytes::from_static(b"r"));
    let bytes = relay.encode(ME);
    assert_eq!(work, Work::Publish { number: None, channel: Channel::Node(PEER), bytes });
}

#[test]
fn what_is_said_about_moves_is_heard_of_the_living_alone() {
    let mut node = up(Config::default());
    let says = Message::Move(Bytes::from_static(b"m"));
    tell(&mut node, PEER, &says);
    assert_eq!(outputs(&mut node), []);
    tell(&mut node, PEER, &beat(0, 0));
    tell(&mut node, PEER, &says);
    assert_eq!(outputs(&mut node)[1..], [Output::Move(PEER, Bytes::from_static(b"m"))]);
    let work = node.move_work(PEER, Bytes::from_static(b"m"));
    assert_eq!(work, Work::Publish { number: None, channel: Channel::Node(PEER), bytes: says.encode(ME) });
}

#[test]
fn of_what_comes_back_beats_count_and_what_a_store_has_kept() {
    let mut node = up(Config::default());
    tell(&mut node, ME, &Message::Departed);
    assert_eq!((node.echoes, outputs(&mut node)), (0, vec![]));
    tell(&mut node, ME, &beat(0, 0));
    assert_eq!(node.echoes, 1);
    let (place, key) = (Place { epoch: 1, number: 1, check: 1 }, Key(7));
    let kept = Kept { place, before: 0, entry: Bytes::from_static(b"entry") };
    let bytes = Message::Kept(kept.clone()).encode(ME);
    let come = |node: &mut Node, channel, bytes: &Bytes| {
        node.handle_event(secs(0), Event::Message { channel, bytes: bytes.clone() });
        outputs(node)
    };
    assert_eq!(come(&mut node, Channel::Topics(key), &bytes), [Output::Kept { key, kept }]);
    assert_eq!(come(&mut node, Channel::Control, &bytes), []);
    assert_eq!(node.unreadable(), 1);
    let echo = beat(0, 0).encode(ME);
    assert_eq!(
        (come(&mut node, Channel::Node(ME), &echo), node.echoes),
        (vec![], 1),
        "by its own channel alone"
    );
}

#[test]
fn what_another_has_published_is_not_read_from_an_answer() {
    let mut node = up(Config::default());
    let (number, prev, kind, slow, payload) = (1, 0, PayloadKind::Json, None, Bytes::from_static(b"{}"));
    let publish = Publish { number, prev, topic: "t".into(), event: "e".into(), kind, slow, payload };
    for (from, unreadable) in [(PEER, 0), (Instance(9), 1)] {
        let publishes = vec![Message::Publish(publish.clone()).encode(from)];
        let repair = Repair { key: Key(7), after: 0, upto: 1, is_complete: true, publishes };
        tell(&mut node, PEER, &Message::Repair(repair));
        assert_eq!(node.unreadable(), unreadable);
    }
}

#[test]
fn a_publisher_that_was_not_met_yet_is_not_one_that_is_gone() {
    let mut node = up(Config::default());
    let heard = |number| [(ME, Some(9)), (PEER, Some(number))];
    assert!(node.has_settled("room:1", &heard(0)), "there is nothing to hear of it");
    assert!(!node.has_settled("room:1", &heard(3)), "what it has said may be on its way");
    tell(&mut node, PEER, &beat(3, 0));
    assert!(node.has_settled("room:1", &heard(3)) && !node.has_settled("room:1", &heard(4)));
    tell(&mut node, PEER, &Message::Departed);
    assert!(node.has_settled("room:1", &heard(4)), "it says no more");
}

/// An order is carried out once, however much else is asked before it is asked again.
#[test]
fn what_is_asked_again_is_answered_again_and_told_once() {
    let mut node = up(Config::default());
    let ask = |node: &mut Node, at, from, id| {
        let bytes = Message::Call { id, body: Bytes::from_static(b"?") }.encode(from);
        node.handle_event(at, Event::Message { channel: Channel::Node(ME), bytes });
        outputs(node).iter().any(|output| matches!(output, Output::Call(..)))
    };
    let at = Duration::from_millis;
    assert!(ask(&mut node, at(0), PEER, 1));
    node.answer(PEER, 1, Bytes::from_static(b"an order"));
    for id in 1..=10_000 {
        assert!(ask(&mut node, at(id / 20), Instance(3), id));
        node.answer(Instance(3), id, Bytes::from_static(b"another"));
        obey(&mut node);
    }
    assert!(!ask(&mut node, at(500), PEER, 1), "its answer was lost");
    assert_eq!(obey(&mut node), 1, "it is answered again");
}
