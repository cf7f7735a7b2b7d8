//! Single cases, each named for what it shows.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use lapwing_cluster::{
    Instance,
    relay::{
        NotOpened, NotSent, RelayConfig, RelayEnd, RelayKey, RelayOutput, Relays,
        wire::{Item, Why, items},
    },
};

const CARRIER: Instance = Instance(1);
const OWNER: Instance = Instance(2);

fn up(config: RelayConfig) -> Relays {
    let mut relays = Relays::new(config);
    relays.handle_up();
    relays
}

/// Hands over all that either has to say, until nothing is left. Returns how many messages the owner sent.
fn exchange(carrier: &mut Relays, owner: &mut Relays) -> usize {
    let mut count = 0;
    loop {
        let mut is_idle = true;
        while let Some((to, message)) = carrier.poll_message() {
            assert_eq!(to, OWNER);
            owner.handle_message(CARRIER, &message);
            is_idle = false;
        }
        while let Some((to, message)) = owner.poll_message() {
            assert_eq!(to, CARRIER);
            carrier.handle_message(OWNER, &message);
            (count, is_idle) = (count + 1, false);
        }
        if is_idle {
            return count;
        }
    }
}

fn outputs(relays: &mut Relays) -> Vec<RelayOutput> {
    std::iter::from_fn(|| relays.poll_output()).collect()
}

/// So many relays, as both sides name them.
fn opened(carrier: &mut Relays, owner: &mut Relays, count: usize) -> Vec<(RelayKey, RelayKey)> {
    let carried: Vec<RelayKey> =
        (0..count).map(|_| carrier.open(OWNER, Bytes::from_static(b"head")).unwrap()).collect();
    exchange(carrier, owner);
    let owned = outputs(owner).into_iter().map(|output| match output {
        RelayOutput::Opened(key, head) => {
            owner.handle_used(key, head.len());
            key
        }
        other => panic!("{other:?}"),
    });
    let owned: Vec<RelayKey> = owned.collect();
    assert_eq!(owned.len(), count);
    // The heads are acknowledged.
    ticks(owner, Duration::ZERO, Duration::from_millis(1_200));
    exchange(carrier, owner);
    carried.into_iter().zip(owned).collect()
}

fn ticks(relays: &mut Relays, from: Duration, time: Duration) -> Duration {
    let until = from + time;
    let mut now = from;
    while now < until {
        now += Duration::from_millis(100);
        relays.handle_tick(now);
    }
    now
}

#[test]
fn a_broadcast_to_all_that_a_peer_carries_is_one_message() {
    let (mut carrier, mut owner) = (up(RelayConfig::default()), up(RelayConfig::default()));
    let relays = opened(&mut carrier, &mut owner, 2_000);
    let said = Bytes::from(vec![b'x'; 500]);
    for (_, key) in &relays {
        owner.send(*key, said.clone()).unwrap();
    }
    let (_, message) = owner.poll_message().unwrap();
    assert!(owner.poll_message().is_none(), "it is one");
    assert!(message.len() < 500 + 2_000 * 6, "{} bytes", message.len());
    carrier.handle_message(OWNER, &message);
    let heard = outputs(&mut carrier);
    let expected: Vec<_> = relays.iter().map(|(key, _)| RelayOutput::Data(*key, said.clone())).collect();
    assert_eq!(heard, expected);
}

#[test]
fn what_is_shared_does_not_overtake_what_a_relay_was_sent_before_it() {
    let (mut carrier, mut owner) = (up(RelayConfig::default()), up(RelayConfig::default()));
    let relays = opened(&mut carrier, &mut owner, 2);
    let [(one, to_one), (two, to_two)] = relays[..] else { panic!() };
    for (key, text) in [(to_one, "a"), (to_one, "b"), (to_two, "b"), (to_two, "a"), (to_one, "a")] {
        owner.send(key, text.into()).unwrap();
    }
    exchange(&mut carrier, &mut owner);
    let mut heard = (String::new(), String::new());
    for output in outputs(&mut carrier) {
        let RelayOutput::Data(key, bytes) = output else { panic!("{output:?}") };
        let heard = if key == one { &mut heard.0 } else { &mut heard.1 };
        assert!(key == one || key == two);
        heard.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    assert_eq!(heard, ("aba".to_owned(), "ba".to_owned()));
}

#[test]
fn at_each_bound_there_is_an_answer() {
    let config = || RelayConfig::default().carried_max(2).owned_max(1).window_bytes(10).piece_bytes_max(8);
    let (mut carrier, mut owner) = (up(config().head_bytes_max(5)), up(config()));
    assert_eq!(carrier.open(OWNER, "longer".into()), Err(NotOpened::TooLarge));
    let kept = carrier.open(OWNER, "head".into()).unwrap();
    let refused = carrier.open(OWNER, "head".into()).unwrap();
    assert_eq!(carrier.open(OWNER, "head".into()), Err(NotOpened::Full));
    exchange(&mut carrier, &mut owner);
    assert_eq!(outputs(&mut carrier), [RelayOutput::Ended(refused, RelayEnd::Cut(Why::Busy))]);
    let Some(RelayOutput::Opened(key, head)) = owner.poll_output() else { panic!() };
    owner.handle_used(key, head.len());
    assert_eq!(carrier.send(kept, "nine char".into()), Err(NotSent::TooLarge));
    carrier.send(kept, "eight by".into()).unwrap();
    assert_eq!(carrier.send(kept, "a".into()), Err(NotSent::Full), "the head and eight bytes are under way");
    exchange(&mut carrier, &mut owner);
    assert_eq!(outputs(&mut carrier), [RelayOutput::Room(kept)], "the head was used");
    carrier.send(kept, "a".into()).unwrap();
    carrier.send(kept, "b".into()).unwrap();
    assert_eq!(carrier.send(kept, "c".into()), Err(NotSent::Full));
    exchange(&mut carrier, &mut owner);
    owner.handle_used(key, 8);
    exchange(&mut carrier, &mut owner);
    assert_eq!(outputs(&mut carrier), [RelayOutput::Room(kept)]);
    assert_eq!(carrier.in_flight(OWNER), 0, "all of it has come there");
    carrier.finish(kept).unwrap();
    assert_eq!(carrier.send(kept, "c".into()), Err(NotSent::Over));
    assert_eq!(carrier.finish(kept), Err(NotSent::Over));
}

#[test]
fn who_waits_behind_all_that_is_under_way_to_a_peer_is_told_when_that_is_cut() {
    let config = RelayConfig::default().peer_bytes_max(10);
    let (mut carrier, mut owner) = (up(config.clone()), up(config));
    let relays = opened(&mut carrier, &mut owner, 2);
    let ((_, large), (_, small)) = (relays[0], relays[1]);
    owner.send(large, "ten bytes.".into()).unwrap();
    assert_eq!(owner.send(small, "a".into()), Err(NotSent::Full));
    assert_eq!(owner.open(CARRIER, "head".into()), Err(NotOpened::Full));
    owner.cut(large);
    ticks(&mut owner, Duration::ZERO, Duration::from_millis(100));
    assert_eq!(outputs(&mut owner), [RelayOutput::Room(small)]);
    owner.send(small, "a".into()).unwrap();
}

/// Sends a relay of the owner as much as it takes.
fn fill(carrier: &mut Relays, owner: &mut Relays, key: RelayKey) {
    while owner.send(key, Bytes::from(vec![b'x'; 16 * 1024])).is_ok() {
        exchange(carrier, owner);
    }
}

#[test]
fn clients_that_do_not_read_stop_no_other() {
    let (mut carrier, mut owner) = (up(RelayConfig::default()), up(RelayConfig::default()));
    let relays = opened(&mut carrier, &mut owner, 2_000);
    let (carried, owned) = relays[0];
    let mut now = Duration::from_millis(1_200);
    let mut given_up = 0;
    for (at, (_, hoarder)) in relays[1..].iter().enumerate() {
        fill(&mut carrier, &mut owner, *hoarder);
        if at % 20 == 0 {
            ticks(&mut carrier, now, Duration::from_millis(100));
            now = ticks(&mut owner, now, Duration::from_millis(100));
        }
        exchange(&mut carrier, &mut owner);
        // One that reads gets what it is sent, at once; and requests for sessions of the carrier go on.
        owner.send(owned, Bytes::from_static(b"said")).unwrap();
        exchange(&mut carrier, &mut owner);
        let mut heard = 0;
        for output in outputs(&mut carrier) {
            match output {
                RelayOutput::Data(key, bytes) if key == carried => {
                    carrier.handle_used(key, bytes.len());
                    heard += bytes.len();
                }
                RelayOutput::Dropped(key) => {
                    assert_ne!(key, carried);
                    carrier.handle_used(key, usize::MAX);
                    given_up += 1;
                }
                RelayOutput::Ended(key, end) => assert!(key != carried && end == RelayEnd::Lost),
                _ => {}
            }
        }
        assert_eq!(heard, 4);
        assert!(carrier.held() <= 64 * 1024 * 1024);
    }
    assert!(given_up > 500, "{given_up} were to go");
    owner.open(CARRIER, "head".into()).unwrap();
}

/// As an HTTP server does that has bytes of a client who does not read.
#[test]
fn what_a_program_still_has_of_dropped_relays_costs_no_other_what_it_has() {
    let config = RelayConfig::default().held_bytes_max(200_000);
    let (mut carrier, mut owner) = (up(config.clone()), up(config));
    let relays = opened(&mut carrier, &mut owner, 60);
    let (carried, owned) = relays[0];
    let mut came = BTreeMap::<RelayKey, usize>::new();
    for (_, hoarder) in &relays[1..] {
        // One that reads has something at each moment, and not for long.
        owner.send(*hoarder, Bytes::from_static(b"more for one that does not")).unwrap();
        owner.send(owned, Bytes::from_static(b"said")).unwrap();
        fill(&mut carrier, &mut owner, *hoarder);
        exchange(&mut carrier, &mut owner);
        for output in outputs(&mut carrier) {
            match output {
                RelayOutput::Data(key, bytes) => *came.entry(key).or_default() += bytes.len(),
                RelayOutput::Dropped(key) => carrier.handle_used(key, came[&key].saturating_sub(8 * 1024)),
                RelayOutput::Ended(key, end) => assert!(key != carried && end == RelayEnd::Lost),
                _ => {}
            }
        }
        carrier.handle_used(carried, 4);
    }
    assert!((180_000..=200_000).contains(&carrier.held()), "{}", carrier.held());
    assert_eq!(came[&carried], 4 * 59, "it has all of its own");
}

/// As a page of phoenix.js that says much at once, to a node whose handlers take their time.
#[test]
fn who_waits_for_an_owner_waits_for_as_long_as_it_takes() {
    let (mut carrier, mut owner) = (up(RelayConfig::default()), up(RelayConfig::default()));
    let (carried, owned) = opened(&mut carrier, &mut owner, 1)[0];
    while carrier.send(carried, Bytes::from(vec![b'x'; 16 * 1024])).is_ok() {
        exchange(&mut carrier, &mut owner);
    }
    let mut now = Duration::from_millis(1_200);
    for _ in 0..120 {
        ticks(&mut carrier, now, Duration::from_secs(1));
        now = ticks(&mut owner, now, Duration::from_secs(1));
        exchange(&mut carrier, &mut owner);
        assert_eq!(outputs(&mut carrier), []);
    }
    owner.handle_used(owned, usize::MAX);
    exchange(&mut carrier, &mut owner);
    assert_eq!(outputs(&mut carrier), [RelayOutput::Room(carried)]);
}

#[test]
fn what_has_just_ended_keeps_its_place_for_a_second() {
    let config = RelayConfig::default().carried_max(1);
    let (mut carrier, mut owner) = (up(config.clone()), up(config));
    let (carried, owned) = opened(&mut carrier, &mut owner, 1)[0];
    owner.send(owned, "answer".into()).unwrap();
    owner.finish(owned).unwrap();
    let now = Duration::from_millis(1_200);
    ticks(&mut carrier, Duration::ZERO, now);
    exchange(&mut carrier, &mut owner);
    outputs(&mut carrier);
    assert_eq!(
        carrier.open(OWNER, "head".into()),
        Err(NotOpened::Full),
        "its client may be about to read it"
    );
    ticks(&mut carrier, now, Duration::from_secs(1));
    assert!(carrier.open(OWNER, "head".into()).is_ok());
    assert_eq!(outputs(&mut carrier), [RelayOutput::Dropped(carried)]);
}

#[test]
fn who_waits_for_room_and_whose_other_side_uses_nothing_is_told_after_half_a_minute() {
    let (mut carrier, mut owner) = (up(RelayConfig::default()), up(RelayConfig::default()));
    let (carried, owned) = opened(&mut carrier, &mut owner, 1)[0];
    fill(&mut carrier, &mut owner, owned);
    let mut now = Duration::from_millis(1_200);
    for second in 0..30 {
        assert!(outputs(&mut owner).is_empty(), "{second}");
        // Both sides say all the time that they live.
        ticks(&mut carrier, now, Duration::from_secs(1));
        now = ticks(&mut owner, now, Duration::from_secs(1));
        exchange(&mut carrier, &mut owner);
    }
    now = ticks(&mut owner, now, Duration::from_secs(1));
    assert_eq!(outputs(&mut owner), [RelayOutput::Ended(owned, RelayEnd::Lost)], "{now:?}");
    exchange(&mut carrier, &mut owner);
    assert_eq!(outputs(&mut carrier).last(), Some(&RelayOutput::Ended(carried, RelayEnd::Cut(Why::Lost))));
    assert!(carrier.held() >= 64 * 1024 && carrier.carried() == 1, "what came is still had");
    carrier.cut(carried);
    assert!(carrier.held() == 0 && carrier.carried() == 0 && carrier.is_empty());
}

#[test]
fn an_answer_that_came_whole_counts_until_it_is_used() {
    let config = RelayConfig::default().carried_max(3);
    let (mut carrier, mut owner) = (up(config.clone()), up(config));
    let relays = opened(&mut carrier, &mut owner, 3);
    for (_, owned) in &relays {
        owner.send(*owned, Bytes::from(vec![b'x'; 1_000])).unwrap();
        owner.finish(*owned).unwrap();
    }
    exchange(&mut carrier, &mut owner);
    let done = outputs(&mut carrier)
        .into_iter()
        .filter(|output| matches!(output, RelayOutput::Ended(_, RelayEnd::Done)));
    assert_eq!((done.count(), owner.is_empty()), (3, true));
    assert_eq!((carrier.held(), carrier.carried(), carrier.is_empty()), (3_000, 3, false));
    carrier.handle_used(relays[0].0, 400);
    carrier.handle_used(relays[0].0, 600);
    assert_eq!((carrier.held(), carrier.carried()), (2_000, 2), "all of it is used");
    carrier.cut(relays[1].0);
    assert_eq!((carrier.held(), carrier.carried()), (1_000, 1), "nobody wants it any more");
    assert_eq!(carrier.poll_message(), None, "and its owner is not to hear so");
    carrier.open(OWNER, "head".into()).unwrap();
    carrier.open(OWNER, "head".into()).unwrap();
    // At the bound one that has been over for a while goes before one that comes is refused.
    ticks(&mut carrier, Duration::ZERO, Duration::from_secs(2));
    carrier.open(OWNER, "head".into()).unwrap();
    assert_eq!(outputs(&mut carrier), [RelayOutput::Dropped(relays[2].0)]);
    assert_eq!((carrier.carried(), carrier.held()), (3, 1_000), "until its program has dropped it");
    assert_eq!(carrier.open(OWNER, "head".into()), Err(NotOpened::Full));
    carrier.handle_used(relays[2].0, 1_000);
    assert_eq!((carrier.carried(), carrier.held()), (3, 0));
}

#[test]
fn an_outage_ends_only_what_lost_something() {
    let (mut carrier, mut owner) = (up(RelayConfig::default()), up(RelayConfig::default()));
    let relays = opened(&mut carrier, &mut owner, 2);
    let ((idle, to_idle), (busy, to_busy)) = (relays[0], relays[1]);
    owner.send(to_busy, "lost".into()).unwrap();
    assert!(owner.poll_message().is_some());
    for side in [&mut carrier, &mut owner] {
        side.handle_down();
        assert!(side.poll_message().is_none());
    }
    assert_eq!(carrier.open(OWNER, "head".into()), Err(NotOpened::Away));
    owner.send(to_busy, "behind it".into()).unwrap();
    owner.send(to_idle, "kept".into()).unwrap();
    for side in [&mut carrier, &mut owner] {
        ticks(side, Duration::ZERO, Duration::from_secs(60));
        assert_eq!(outputs(side), [], "nobody is judged meanwhile");
        side.handle_up();
    }
    exchange(&mut carrier, &mut owner);
    let heard = [RelayOutput::Ended(busy, RelayEnd::Lost), RelayOutput::Data(idle, "kept".into())];
    assert_eq!(outputs(&mut carrier), heard);
    assert_eq!(outputs(&mut owner), [RelayOutput::Ended(to_busy, RelayEnd::Cut(Why::Lost))]);
}

#[test]
fn a_lost_last_piece_is_found_by_its_sender() {
    let (mut carrier, mut owner) = (up(RelayConfig::default()), up(RelayConfig::default()));
    let (carried, owned) = opened(&mut carrier, &mut owner, 1)[0];
    owner.send(owned, "lost".into()).unwrap();
    assert!(owner.poll_message().is_some());
    let now = ticks(&mut owner, Duration::ZERO, Duration::from_millis(4_900));
    assert_eq!(outputs(&mut owner), []);
    ticks(&mut owner, now, Duration::from_millis(200));
    assert_eq!(outputs(&mut owner), [RelayOutput::Ended(owned, RelayEnd::Lost)]);
    exchange(&mut carrier, &mut owner);
    assert_eq!(outputs(&mut carrier), [RelayOutput::Ended(carried, RelayEnd::Cut(Why::Lost))]);
}

#[test]
fn a_side_whose_other_side_forgot_the_relay_hears_so() {
    let (mut carrier, mut owner) = (up(RelayConfig::default()), up(RelayConfig::default()));
    let (carried, owned) = opened(&mut carrier, &mut owner, 1)[0];
    owner.cut(owned);
    // The cut is lost.
    assert!(owner.poll_message().is_some());
    ticks(&mut carrier, Duration::ZERO, Duration::from_millis(5_100));
    exchange(&mut carrier, &mut owner);
    assert_eq!(outputs(&mut carrier), [RelayOutput::Ended(carried, RelayEnd::Cut(Why::Lost))]);
}

#[test]
fn silence_ends_a_relay_and_a_pause_of_the_whole_program_does_not() {
    let (mut carrier, mut owner) = (up(RelayConfig::default()), up(RelayConfig::default()));
    let (carried, _) = opened(&mut carrier, &mut owner, 1)[0];
    carrier.handle_tick(Duration::ZERO);
    let hour = Duration::from_secs(3_600);
    carrier.handle_tick(hour);
    assert_eq!(outputs(&mut carrier), []);
    ticks(&mut carrier, hour, Duration::from_secs(13));
    assert_eq!(outputs(&mut carrier), []);
    ticks(&mut carrier, hour + Duration::from_secs(13), Duration::from_secs(2));
    assert_eq!(outputs(&mut carrier), [RelayOutput::Ended(carried, RelayEnd::Lost)]);
}

#[test]
fn relays_end_with_their_peer_at_once() {
    let (mut carrier, mut owner) = (up(RelayConfig::default()), up(RelayConfig::default()));
    let (carried, _) = opened(&mut carrier, &mut owner, 1)[0];
    carrier.send(carried, "more".into()).unwrap();
    carrier.handle_gone(OWNER);
    assert_eq!(outputs(&mut carrier), [RelayOutput::Ended(carried, RelayEnd::Gone)]);
    assert!(carrier.poll_message().is_none() && carrier.in_flight(OWNER) == 0 && carrier.is_empty());
}

#[test]
fn a_relay_that_was_overtaken_does_not_begin() {
    let (mut carrier, mut owner) = (up(RelayConfig::default()), up(RelayConfig::default()));
    carrier.open(OWNER, "first".into()).unwrap();
    let (_, first) = carrier.poll_message().unwrap();
    let second = carrier.open(OWNER, "second".into()).unwrap();
    exchange(&mut carrier, &mut owner);
    owner.handle_message(CARRIER, &first);
    let heads: Vec<_> = outputs(&mut owner);
    assert!(
        matches!(&heads[..], [RelayOutput::Opened(key, head)] if head == "second" && key.relay == second.relay)
    );
    let (_, answer) = owner.poll_message().unwrap();
    let said: Vec<_> = items(&answer).map(Result::unwrap).collect();
    assert!(said.iter().any(|item| matches!(item, Item::Cut { why: Why::Lost, .. })), "{said:?}");
}
