//! Single cases, each named for what it shows.

use std::time::Duration;

use bytes::Bytes;
use lapwing_cluster::{
    Instance,
    moves::{
        Back, MoveConfig, MoveKey, MoveOutput, Moves, NotOffered, NotSent, Side,
        wire::{Item, Why, begin, items},
    },
};

const SOURCE: Instance = Instance(1);
const TARGET: Instance = Instance(2);

fn up(config: MoveConfig) -> Moves {
    let mut moves = Moves::new(config);
    moves.handle_up();
    moves
}

fn pair() -> (Moves, Moves) {
    (up(MoveConfig::default()), up(MoveConfig::default()))
}

/// Hands over all that either has to say, until nothing is left. Returns how many messages the source sent.
fn exchange(source: &mut Moves, target: &mut Moves) -> usize {
    let mut count = 0;
    loop {
        let mut is_idle = true;
        while let Some((to, message)) = source.poll_message() {
            assert_eq!(to, TARGET);
            target.handle_message(SOURCE, &message);
            (count, is_idle) = (count + 1, false);
        }
        while let Some((to, message)) = target.poll_message() {
            assert_eq!(to, SOURCE);
            source.handle_message(TARGET, &message);
            is_idle = false;
        }
        if is_idle {
            return count;
        }
    }
}

/// What a node has to say gets lost.
fn lose(moves: &mut Moves) -> usize {
    std::iter::from_fn(|| moves.poll_message()).count()
}

fn outputs(moves: &mut Moves) -> Vec<MoveOutput> {
    std::iter::from_fn(|| moves.poll_output()).collect()
}

fn ticks(moves: &mut Moves, from: Duration, time: Duration) -> Duration {
    let until = from + time;
    let mut now = from;
    while now < until {
        now += Duration::from_millis(100);
        moves.handle_tick(now);
    }
    now
}

/// What is said in a message that this node makes.
fn message(items: &[Item]) -> Bytes {
    let mut message = begin();
    items.iter().for_each(|item| item.append(&mut message));
    message.freeze()
}

fn said(moves: &mut Moves) -> Vec<Item> {
    let messages = std::iter::from_fn(|| moves.poll_message());
    messages.flat_map(|(_, message)| items(&message).map(Result::unwrap).collect::<Vec<_>>()).collect()
}

/// A move that the target has accepted, as both name it.
fn accepted(source: &mut Moves, target: &mut Moves) -> (MoveKey, MoveKey) {
    let goes = source.offer(TARGET, "about".into()).unwrap();
    exchange(source, target);
    let comes = MoveKey { peer: SOURCE, side: Side::Target, number: goes.number };
    assert_eq!(outputs(target), [MoveOutput::Offered(comes, "about".into())]);
    assert!(target.accept(comes));
    exchange(source, target);
    assert_eq!(outputs(source), [MoveOutput::Accepted(goes)]);
    (goes, comes)
}

/// A move of which the target has everything, and the source knows that.
fn released(source: &mut Moves, target: &mut Moves) -> (MoveKey, MoveKey) {
    let (goes, comes) = accepted(source, target);
    source.send(goes, "baggage".into()).unwrap();
    exchange(source, target);
    assert_eq!(outputs(target), [MoveOutput::Arrived(comes, "baggage".into())]);
    assert!(target.ready(comes));
    let (_, ready) = target.poll_message().unwrap();
    source.handle_message(TARGET, &ready);
    assert_eq!(outputs(source), [MoveOutput::Released(goes)]);
    (goes, comes)
}

#[test]
fn a_large_session_comes_in_pieces_and_no_faster_than_it_is_taken() {
    let config = || MoveConfig::default().piece_bytes_max(100).window_bytes(1_000).batch_bytes_max(300);
    let (mut source, mut target) = (up(config()), up(config()));
    let (goes, comes) = accepted(&mut source, &mut target);
    let baggage: Bytes = (0..10_050_u32).map(|at| at as u8).collect::<Vec<_>>().into();
    source.send(goes, baggage.clone()).unwrap();
    assert_eq!(source.held(), (10_050, 0));
    let pieces = said(&mut source);
    assert_eq!(pieces.len(), 10, "a window");
    // They were lost, and are sent again.
    let now = ticks(&mut source, Duration::ZERO, Duration::from_millis(700));
    let count = exchange(&mut source, &mut target);
    assert!((30..60).contains(&count), "{count} messages");
    assert_eq!(target.held(), (0, 10_050));
    assert_eq!(outputs(&mut target), [MoveOutput::Arrived(comes, baggage)]);
    assert!(target.ready(comes));
    assert_eq!(target.held(), (0, 0));
    exchange(&mut source, &mut target);
    assert_eq!(outputs(&mut source), [MoveOutput::Released(goes), MoveOutput::Done(goes)]);
    assert_eq!(outputs(&mut target), [MoveOutput::Taken(comes)]);
    assert_eq!((source.held(), source.outgoing(), target.incoming()), ((0, 0), 0, 0));
    ticks(&mut source, now, Duration::from_secs(60));
    assert_eq!((lose(&mut source), outputs(&mut source)), (0, vec![]), "nothing is left of it");
}

#[test]
fn many_moves_are_few_messages() {
    let (mut source, mut target) = pair();
    for _ in 0..200 {
        source.offer(TARGET, "about".into()).unwrap();
    }
    assert_eq!(exchange(&mut source, &mut target), 1);
    for output in outputs(&mut target) {
        let MoveOutput::Offered(key, _) = output else { panic!("{output:?}") };
        target.accept(key);
    }
    exchange(&mut source, &mut target);
    assert_eq!(outputs(&mut source).len(), 200);
    let mut source = up(MoveConfig::default().batch_bytes_max(100));
    for _ in 0..200 {
        source.offer(TARGET, "about".into()).unwrap();
    }
    assert!(lose(&mut source) > 15, "and none is larger than it may be");
}

#[test]
fn at_each_bound_of_a_source_there_is_an_answer() {
    let config = MoveConfig::default().outgoing_max(2).about_bytes_max(5).peers_max(1);
    let config = config.baggage_bytes_max(8).sending_bytes_max(10);
    let (mut source, mut target) = (Moves::new(config), up(MoveConfig::default()));
    assert_eq!(source.offer(TARGET, "about".into()), Err(NotOffered::Away));
    source.handle_up();
    assert_eq!(source.offer(TARGET, "longer".into()), Err(NotOffered::TooLarge));
    let (one, _) = accepted(&mut source, &mut target);
    assert_eq!(source.offer(Instance(3), Bytes::new()), Err(NotOffered::Full), "as many nodes as may be");
    let (two, _) = accepted(&mut source, &mut target);
    assert_eq!(source.offer(TARGET, Bytes::new()), Err(NotOffered::Full));
    assert_eq!(source.send(one, Bytes::new()), Err(NotSent::Size));
    assert_eq!(source.send(one, "nine char".into()), Err(NotSent::Size));
    source.send(one, "eight by".into()).unwrap();
    assert_eq!(source.send(one, "again".into()), Err(NotSent::Over));
    assert_eq!(source.send(two, "abc".into()), Err(NotSent::Full));
    assert!(source.withdraw(one) && !source.withdraw(one));
    assert_eq!(source.send(one, "a".into()), Err(NotSent::Over));
    source.send(two, "abc".into()).unwrap();
    assert_eq!((source.outgoing(), source.held()), (1, (3, 0)));
}

#[test]
fn at_each_bound_of_a_target_there_is_an_answer() {
    let config = MoveConfig::default().incoming_max(3).about_bytes_max(5).peers_max(1);
    let config = config.baggage_bytes_max(8).gathering_bytes_max(10);
    let (mut source, mut target) = (up(MoveConfig::default()), up(config));
    let refused = |source: &mut Moves, why| {
        let outputs = outputs(source);
        assert!(matches!(outputs[..], [MoveOutput::Back(_, Back::Refused(is))] if is == why), "{outputs:?}");
    };
    source.offer(TARGET, "longer".into()).unwrap();
    exchange(&mut source, &mut target);
    refused(&mut source, Why::TooLarge);
    let moves = [(); 3].map(|()| accepted(&mut source, &mut target));
    source.offer(TARGET, "about".into()).unwrap();
    exchange(&mut source, &mut target);
    refused(&mut source, Why::Busy);
    for (at, baggage, why) in [(0, "nine char", Why::TooLarge), (2, "abc", Why::Busy)] {
        if at == 2 {
            source.send(moves[1].0, "eight by".into()).unwrap();
        }
        source.send(moves[at].0, baggage.into()).unwrap();
        exchange(&mut source, &mut target);
        refused(&mut source, why);
        assert!(outputs(&mut target).contains(&MoveOutput::Dropped(moves[at].1)));
    }
    assert_eq!((target.incoming(), target.held()), (1, (0, 8)));
    assert!(target.refuse(moves[1].1));
    assert_eq!(target.held(), (0, 0));
    // A second peer is one too many.
    target.handle_message(Instance(3), &message(&[Item::Offer { number: 1, about: Bytes::new() }]));
    assert_eq!(outputs(&mut target), []);
}

#[test]
fn who_asks_about_what_is_not_known_gets_so_many_answers() {
    let mut target = up(MoveConfig::default().replies_max(3));
    let asks: Vec<Item> = (1..10).map(|number| Item::Released { number }).collect();
    target.handle_message(SOURCE, &message(&asks));
    let answers: Vec<Item> = (1..4).map(|number| Item::Refused { number, why: Why::Unknown }).collect();
    assert_eq!(said(&mut target), answers);
    let asks = [Item::Have { number: 1, bytes: 0 }, Item::Ready { number: 2 }, Item::Taken { number: 3 }];
    target.handle_message(SOURCE, &message(&asks));
    let answers: Vec<Item> = (1..4).map(|number| Item::Gone { number }).collect();
    assert_eq!(said(&mut target), answers);
    // These are answers themselves.
    target.handle_message(
        SOURCE,
        &message(&[Item::Gone { number: 1 }, Item::Refused { number: 1, why: Why::Busy }]),
    );
    assert_eq!((said(&mut target), outputs(&mut target)), (vec![], vec![]));
    target.handle_message(SOURCE, &Bytes::from_static(&[9]));
    assert_eq!(target.unreadable(), 1);
}

#[test]
fn a_target_that_says_nothing_for_too_long_does_not_get_the_session() {
    let (mut source, mut target) = pair();
    let goes = source.offer(TARGET, "about".into()).unwrap();
    let (mut now, mut said) = (Duration::ZERO, 0);
    for _ in 0..99 {
        now = ticks(&mut source, now, Duration::from_millis(100));
        said += lose(&mut source);
    }
    assert!((15..25).contains(&said), "it is offered again and again: {said} times");
    assert_eq!(outputs(&mut source), []);
    ticks(&mut source, now, Duration::from_millis(300));
    assert_eq!(outputs(&mut source), [MoveOutput::Back(goes, Back::Silent)]);

    let (goes, comes) = accepted(&mut source, &mut target);
    source.send(goes, "baggage".into()).unwrap();
    exchange(&mut source, &mut target);
    let now = ticks(&mut source, now, Duration::from_secs(11));
    assert_eq!(outputs(&mut source), [MoveOutput::Back(goes, Back::Silent)]);
    // What it has to say of that is lost; the target hears of it when it says that it is ready.
    lose(&mut source);
    outputs(&mut target);
    assert!(target.ready(comes));
    exchange(&mut source, &mut target);
    assert_eq!(outputs(&mut target), [MoveOutput::Dropped(comes)]);
    ticks(&mut source, now, Duration::from_secs(60));
    assert_eq!(outputs(&mut source), []);
}

#[test]
fn an_outage_and_a_pause_of_the_whole_program_take_nothing_back() {
    let (mut source, mut target) = pair();
    let (goes, comes) = accepted(&mut source, &mut target);
    source.send(goes, "baggage".into()).unwrap();
    source.handle_tick(Duration::ZERO);
    source.handle_tick(Duration::from_secs(3_600));
    for side in [&mut source, &mut target] {
        lose(side);
        side.handle_down();
        ticks(side, Duration::from_secs(3_600), Duration::from_secs(60));
        assert!(side.poll_message().is_none());
        side.handle_up();
    }
    ticks(&mut source, Duration::from_secs(3_660), Duration::from_secs(1));
    exchange(&mut source, &mut target);
    assert_eq!(outputs(&mut source), []);
    assert_eq!(outputs(&mut target), [MoveOutput::Arrived(comes, "baggage".into())]);
}

#[test]
fn what_was_released_is_said_until_it_is_heard() {
    let (mut source, mut target) = pair();
    let (goes, comes) = released(&mut source, &mut target);
    let mut now = Duration::ZERO;
    for _ in 0..100 {
        assert_eq!(lose(&mut source), 1);
        assert!(!source.withdraw(goes), "it is decided");
        now = ticks(&mut source, now, Duration::from_millis(600));
    }
    // The target asks as well, and takes the first answer.
    ticks(&mut target, Duration::ZERO, Duration::from_secs(60));
    assert_eq!(outputs(&mut target), []);
    exchange(&mut source, &mut target);
    assert_eq!(outputs(&mut target), [MoveOutput::Taken(comes)]);
    assert_eq!(outputs(&mut source), [MoveOutput::Done(goes)]);
}

#[test]
fn a_target_forgets_what_it_has_taken_when_the_source_knows_and_not_sooner() {
    let (mut source, mut target) = pair();
    let (goes, comes) = released(&mut source, &mut target);
    let (_, says) = source.poll_message().unwrap();
    for _ in 0..3 {
        target.handle_message(SOURCE, &says);
        // The answer is lost.
        assert_eq!(lose(&mut target), 1);
    }
    assert_eq!((outputs(&mut target), target.incoming()), (vec![MoveOutput::Taken(comes)], 1));
    ticks(&mut target, Duration::ZERO, Duration::from_millis(700));
    exchange(&mut source, &mut target);
    assert_eq!((outputs(&mut source), target.incoming()), (vec![MoveOutput::Done(goes)], 0));
    assert!(!target.refuse(comes) && outputs(&mut target).is_empty());
}

#[test]
fn a_death_before_the_release_leaves_the_session_where_it_was_and_after_it_nowhere() {
    let (mut source, mut target) = pair();
    let (goes, comes) = accepted(&mut source, &mut target);
    source.handle_gone(TARGET);
    target.handle_gone(SOURCE);
    assert_eq!(outputs(&mut source), [MoveOutput::Back(goes, Back::Gone)]);
    assert_eq!(outputs(&mut target), [MoveOutput::Dropped(comes)]);

    let (mut source, mut target) = pair();
    let (goes, comes) = released(&mut source, &mut target);
    target.handle_gone(SOURCE);
    assert_eq!(outputs(&mut target), [MoveOutput::Dropped(comes)]);
    // They were both alive: the source hears that it is not there.
    exchange(&mut source, &mut target);
    assert_eq!(outputs(&mut source), [MoveOutput::Lost(goes)]);

    let (mut source, mut target) = pair();
    let (goes, comes) = released(&mut source, &mut target);
    source.handle_gone(TARGET);
    assert_eq!(outputs(&mut source), [MoveOutput::Lost(goes)]);
    ticks(&mut target, Duration::ZERO, Duration::from_millis(700));
    exchange(&mut source, &mut target);
    assert_eq!(outputs(&mut target), [MoveOutput::Dropped(comes)], "nobody takes what is told to be lost");
}

/// The target takes the source for dead, and then it is not; what it had said comes once more.
#[test]
fn what_a_source_said_before_it_was_taken_for_dead_brings_no_session_back() {
    let (mut source, mut target) = pair();
    let of_source = source.offer(TARGET, "about".into()).unwrap();
    let mut heard = Vec::new();
    let mut tell = |source: &mut Moves, target: &mut Moves| {
        while let Some((_, message)) = source.poll_message() {
            target.handle_message(SOURCE, &message);
            heard.push(message);
        }
        while let Some((_, message)) = target.poll_message() {
            source.handle_message(TARGET, &message);
        }
    };
    tell(&mut source, &mut target);
    let of_target = MoveKey { peer: SOURCE, side: Side::Target, number: of_source.number };
    assert!(target.accept(of_target));
    tell(&mut source, &mut target);
    source.send(of_source, "baggage".into()).unwrap();
    tell(&mut source, &mut target);
    assert!(target.ready(of_target));
    for _ in 0..3 {
        tell(&mut source, &mut target);
    }
    assert!(outputs(&mut target).contains(&MoveOutput::Taken(of_target)));
    target.handle_gone(SOURCE);
    for message in heard {
        target.handle_message(SOURCE, &message);
        target.accept(of_target);
        target.ready(of_target);
    }
    assert_eq!(outputs(&mut target), []);
    let next = source.offer(TARGET, "another".into()).unwrap();
    exchange(&mut source, &mut target);
    let next = MoveKey { peer: SOURCE, side: Side::Target, number: next.number };
    assert_eq!(outputs(&mut target), [MoveOutput::Offered(next, "another".into())]);
}

#[test]
fn an_offer_that_was_overtaken_does_not_begin() {
    let (mut source, mut target) = pair();
    let first = source.offer(TARGET, "first".into()).unwrap();
    let (_, overtaken) = source.poll_message().unwrap();
    source.offer(TARGET, "second".into()).unwrap();
    let (_, message) = source.poll_message().unwrap();
    target.handle_message(SOURCE, &message);
    target.handle_message(SOURCE, &overtaken);
    exchange(&mut source, &mut target);
    assert!(matches!(&outputs(&mut target)[..], [MoveOutput::Offered(_, about)] if about == "second"));
    assert_eq!(outputs(&mut source), [MoveOutput::Back(first, Back::Refused(Why::Unknown))]);
}

#[test]
fn a_target_that_hears_nothing_more_of_a_session_forgets_it() {
    let (mut source, mut target) = pair();
    let (goes, comes) = accepted(&mut source, &mut target);
    let now = ticks(&mut target, Duration::ZERO, Duration::from_millis(29_900));
    assert_eq!(outputs(&mut target), []);
    ticks(&mut target, now, Duration::from_millis(300));
    assert_eq!(outputs(&mut target), [MoveOutput::Dropped(comes)]);
    exchange(&mut source, &mut target);
    assert_eq!(outputs(&mut source), [MoveOutput::Back(goes, Back::Refused(Why::Unknown))]);
}

#[test]
fn what_cannot_be_said_changes_no_owner() {
    let (mut source, mut target) = pair();
    let (goes, comes) = accepted(&mut source, &mut target);
    // Ready for what was never sent; taken what was never released; released what was never gathered.
    source.handle_message(TARGET, &message(&[Item::Taken { number: goes.number }]));
    assert_eq!((outputs(&mut source), source.outgoing()), (vec![], 1));
    source.handle_message(TARGET, &message(&[Item::Ready { number: goes.number }]));
    assert_eq!(outputs(&mut source), [MoveOutput::Back(goes, Back::Refused(Why::Unknown))]);
    target.handle_message(SOURCE, &message(&[Item::Released { number: comes.number }]));
    assert_eq!(outputs(&mut target), [MoveOutput::Dropped(comes)]);
    let (goes, comes) = accepted(&mut source, &mut target);
    source.send(goes, "baggage".into()).unwrap();
    exchange(&mut source, &mut target);
    target.handle_message(SOURCE, &message(&[Item::Released { number: comes.number }]));
    assert_eq!(outputs(&mut target)[1..], [MoveOutput::Dropped(comes)], "it was not ready");
    exchange(&mut source, &mut target);
    outputs(&mut source);
    // Pieces that contradict each other.
    for second in [(8, 3), (7, 5)] {
        let (goes, comes) = accepted(&mut source, &mut target);
        let piece = |total, offset| {
            let bytes = Bytes::from_static(b"abc");
            message(&[Item::Piece { number: goes.number, total, offset, bytes }])
        };
        target.handle_message(SOURCE, &piece(7, 0));
        target.handle_message(SOURCE, &piece(second.0, second.1));
        assert_eq!((outputs(&mut target), target.held()), (vec![MoveOutput::Dropped(comes)], (0, 0)));
        exchange(&mut source, &mut target);
        assert_eq!(outputs(&mut source), [MoveOutput::Back(goes, Back::Refused(Why::Unknown))]);
    }
}
