use proptest::prelude::*;

use super::*;
use crate::protocol::{Payload, V2};

const AGE: Duration = Duration::from_secs(10);

fn keep() -> Keep {
    Keep::last(6).for_at_most(AGE).bytes_max(2_000).replay_max(5).replay_bytes_max(1_000)
}

fn histories(bytes_max: usize, seed: u64) -> Histories {
    Histories::new([(TopicPattern::new("*").unwrap(), keep())].into(), Room::new(bytes_max).into(), seed)
}

fn broadcast(topic: &Topic, number: usize, bytes: usize) -> Broadcast {
    let mut payload = number.to_string().into_bytes();
    payload.resize(payload.len().max(bytes), b' ');
    Broadcast::new(topic, "said", payload)
}

#[test]
fn what_a_client_asks_is_read_or_said_to_be_unreadable() {
    assert_eq!(Since::read(""), Since::Now);
    assert_eq!(Since::read("-20"), Since::Last(20));
    assert_eq!(Since::read("1z:7"), Since::After(Position { epoch: 71, offset: Offset(7) }));
    for text in ["-", "-+1", "--1", "7", "1z:", "-99999999999999999999999", "\u{1f600}"] {
        assert_eq!(Since::read(text), Since::Unreadable, "{text:?}");
    }
}

#[test]
fn a_client_gets_what_it_missed_and_is_told_where_that_begins() {
    let (topic, mut histories) = (Topic::from("t"), histories(100_000, 1 << 40));
    let nowhere = histories.position(&topic);
    for number in 1..=4 {
        histories.append(0, broadcast(&topic, number, 0), Duration::ZERO);
    }
    let here = histories.position(&topic);
    let answer =
        |histories: &mut Histories, since| histories.answer(&topic, since, &keep().cap, Duration::ZERO);
    let at = |offset| Position { offset: Offset(offset), ..here };
    let good = |at, replay| Answer { at, replay, refused: None };
    assert_eq!(answer(&mut histories, Since::Now), good(here, 5..5));
    assert_eq!(answer(&mut histories, Since::Last(3)), good(at(1), 2..5));
    assert_eq!(answer(&mut histories, Since::Last(30)), good(at(0), 1..5));
    assert_eq!(answer(&mut histories, Since::After(at(3))), good(at(3), 4..5));
    assert_eq!(answer(&mut histories, Since::After(nowhere)), good(at(0), 1..5));
    let refused = |why| Answer { at: here, replay: 0..0, refused: Some(why) };
    for ahead in [5, u64::MAX] {
        assert_eq!(answer(&mut histories, Since::After(at(ahead))), refused(NotRecovered::Epoch));
    }
    let other = Position { epoch: here.epoch + 7, ..here };
    assert_eq!(answer(&mut histories, Since::After(other)), refused(NotRecovered::Epoch));
    assert_eq!(answer(&mut histories, Since::Unreadable), refused(NotRecovered::Unreadable));
}

#[test]
fn a_topic_of_which_nothing_is_left_is_forgotten_and_goes_on_where_it_ended() {
    let (topic, mut histories) = (Topic::from("t"), histories(100_000, 1));
    let nowhere = histories.position(&topic);
    let heard = histories.append(0, broadcast(&topic, 1, 0), Duration::ZERO).position.unwrap();
    histories.sweep(2 * AGE);
    assert_eq!(histories.held().2, 1, "for as long again it is known what was trimmed");
    histories.sweep(2 * AGE + Duration::from_millis(1));
    assert_eq!(histories.held(), (0, 0, 0));
    let mut refused = |since| histories.answer(&topic, Since::After(since), &keep().cap, 3 * AGE).refused;
    assert_eq!(refused(heard), None, "it missed nothing");
    assert_eq!(refused(nowhere), Some(NotRecovered::Trimmed));
    assert_eq!(histories.span(&topic), (2, 1));
    let next = histories.append(0, broadcast(&topic, 2, 0), 3 * AGE).position.unwrap();
    assert_eq!(next, Position { offset: Offset(2), ..heard }, "what a client that stayed hears");
}

/// The numbers of the messages that a program reads.
fn read(
    histories: &mut Histories,
    topic: &Topic,
    read: Read,
    limit: usize,
) -> Result<Vec<u64>, NotRecovered> {
    let messages = histories.read(topic, read, limit, Duration::ZERO)?;
    Ok(messages.iter().map(|message| message.position.unwrap().offset.0).collect())
}

#[test]
fn a_program_reads_behind_a_position_or_before_it_or_the_end() {
    let (topic, mut histories) = (Topic::from("t"), histories(100_000, 1));
    assert_eq!(read(&mut histories, &topic, Read::Last, 9), Ok(vec![]));
    (1..=8).for_each(|number| drop(histories.append(0, broadcast(&topic, number, 0), Duration::ZERO)));
    let at = |offset| Position { epoch: 1, offset: Offset(offset) };
    for (part, limit, numbers) in [
        (Read::Last, 2, 7..9),
        (Read::Last, 0, 9..9),
        (Read::Last, usize::MAX, 3..9),
        (Read::After(at(5)), 2, 6..8),
        (Read::After(at(5)), 0, 6..6),
        (Read::After(at(2)), usize::MAX, 3..9),
        (Read::After(at(8)), 9, 9..9),
        (Read::Before(at(5)), 2, 4..6),
        (Read::Before(at(5)), 0, 6..6),
        (Read::Before(at(8)), usize::MAX, 3..9),
    ] {
        let numbers: Vec<u64> = numbers.collect();
        assert_eq!(read(&mut histories, &topic, part, limit), Ok(numbers), "{part:?}, {limit} at most");
    }
    let other = Position { epoch: 2, ..at(5) };
    for (part, why) in [
        (Read::After(at(1)), NotRecovered::Trimmed),
        (Read::After(at(9)), NotRecovered::Epoch),
        (Read::After(other), NotRecovered::Epoch),
        (Read::Before(at(9)), NotRecovered::Epoch),
        (Read::Before(other), NotRecovered::Epoch),
    ] {
        assert_eq!(read(&mut histories, &topic, part, 9), Err(why), "{part:?}");
    }
    let late = histories.read(&topic, Read::Last, 9, AGE + Duration::from_millis(1));
    assert_eq!(late.unwrap().len(), 0, "what is too old is not read");
}

/// A place of a store: the number of a message, and its check.
fn stored(number: u64, check: u64) -> Position {
    Position { epoch: 7, offset: Offset(number << CHECK_BITS | check) }
}

/// A copy of a store's topic of which 41 and 42 were heard.
fn copy(topic: &Topic) -> Histories {
    let rules = [(TopicPattern::new("*").unwrap(), keep())].into();
    let mut histories = Histories::of_store(rules, Room::new(100_000).into());
    histories.restart(0, topic, stored(40, 0xab_cdef), Duration::ZERO);
    for (before, position) in [(0xab_cdef, stored(41, 0x12)), (0x12, stored(42, 0xff_fff2))] {
        let broadcast = Broadcast { position: Some(position), ..broadcast(topic, 1, 10) };
        assert_eq!(histories.append_stored(broadcast, before, Duration::ZERO).position, Some(position));
    }
    histories
}

#[test]
fn a_place_of_a_store_is_known_by_its_check_as_far_as_it_is_remembered() {
    let topic = Topic::from("t");
    let mut histories = copy(&topic);
    assert_eq!(histories.position_of_history(&topic), Some(stored(42, 0xff_fff2)));
    let checks = [39, 40, 41, 42, 43, u64::MAX].map(|number| histories.check_at(&topic, number));
    assert_eq!(checks, [None, Some(0xab_cdef), Some(0x12), Some(0xff_fff2), None, None]);
    let known = [stored(39, 5), stored(40, 0xab_cdef), stored(41, 0x12), stored(42, 0xff_fff2)];
    let others = [stored(40, 5), stored(41, 0x13), stored(42, 0), stored(43, 1)];
    assert!(known.iter().all(|position| histories.knows(&topic, *position)));
    assert!(!others.iter().any(|position| histories.knows(&topic, *position)));
    assert!(!histories.knows(&topic, Position { epoch: 8, ..known[1] }));
    let mut answer = |since| {
        let answer = histories.answer(&topic, since, &keep().cap, Duration::ZERO);
        (answer.at, answer.replay, answer.refused)
    };
    assert_eq!(answer(Since::Now), (known[3], 43..43, None));
    assert_eq!(answer(Since::Last(5)), (known[1], 41..43, None));
    assert_eq!(answer(Since::After(known[2])), (known[2], 42..43, None));
    assert_eq!(answer(Since::After(others[1])), (known[3], 0..0, Some(NotRecovered::Epoch)));
    assert_eq!(answer(Since::After(known[0])), (known[3], 0..0, Some(NotRecovered::Trimmed)));
    let before = histories.read(&topic, Read::Before(known[2]), 9, Duration::ZERO).unwrap();
    assert_eq!(before.iter().map(|it| it.position).collect::<Vec<_>>(), [Some(known[2])]);
}

#[test]
fn a_copy_holds_what_its_messages_take_until_it_is_forgotten_and_stands_where_it_stood_until_then() {
    let topic = Topic::from("topic");
    let mut histories = copy(&topic);
    let fixed = HISTORY_BYTES + topic.len();
    let each = MESSAGE_BYTES + topic.len() + "said".len() + 10;
    assert_eq!((histories.held(), histories.room.taken()), ((fixed + 2 * each, 2, 1), fixed + 2 * each));
    histories.sweep(100 * AGE);
    assert_eq!((histories.held(), histories.room.taken()), ((fixed, 0, 1), fixed));
    assert_eq!((histories.position(&topic), histories.span(&topic)), (stored(42, 0xff_fff2), (43, 42)));
    histories.restart(0, &topic, stored(90, 1), AGE);
    assert_eq!((histories.held(), histories.position(&topic)), ((fixed, 0, 1), stored(90, 1)));
    histories.forget(&topic);
    assert_eq!((histories.held(), histories.room.taken()), ((0, 0, 0), 0));
    let late = Broadcast { position: Some(stored(91, 2)), ..broadcast(&topic, 1, 10) };
    histories.append_stored(late, 1, AGE);
    assert_eq!((histories.position_of_history(&topic), histories.held()), (None, (0, 0, 0)));
}

#[test]
fn what_a_message_grows_by_is_held_and_counted_for_whoever_missed_it() {
    let (topic, mut histories) = (Topic::from("t"), histories(100_000, 1));
    let before = histories.position(&topic);
    (1..=3).for_each(|number| drop(histories.append(0, broadcast(&topic, number, 0), Duration::ZERO)));
    let (held, ..) = histories.held();
    histories.grow(&topic, 2, 700);
    histories.grow(&Topic::from("other"), 1, 700);
    assert_eq!((histories.held(), histories.room.taken()), ((held + 700, 3, 1), held + 700));
    let mut refused = |since| histories.answer(&topic, since, &keep().cap, Duration::ZERO).refused;
    assert_eq!(refused(Since::After(before)), Some(NotRecovered::TooMany));
    assert_eq!(refused(Since::After(Position { offset: Offset(2), ..before })), None);
    histories.sweep(3 * AGE);
    assert_eq!((histories.held(), histories.room.taken()), ((0, 0, 0), 0));
}

#[test]
fn the_frames_of_a_message_are_made_once_for_all_who_come_back() {
    let (topic, mut histories) = (Topic::from("t"), histories(100_000, 1));
    let json = Broadcast::new(&topic, "said", Payload::empty());
    histories.append(0, json, Duration::ZERO);
    histories.append(0, broadcast(&topic, 2, 10), Duration::ZERO);
    let answer = histories.answer(&topic, Since::Last(2), &keep().cap, Duration::ZERO);
    assert_eq!(histories.frames(&topic, &answer), 3, "what is bytes takes two");
    let serializer: Arc<dyn Serializer> = Arc::new(V2);
    for offset in [1, 2] {
        let recorded = histories.get_mut(&topic, offset).unwrap();
        assert_eq!(recorded.frame_bytes(), 0);
        let first = recorded.frames(&serializer).unwrap();
        assert_eq!((recorded.frame_bytes(), first.bytes() > 160), (first.bytes(), true));
        let again = recorded.frames(&serializer).unwrap();
        assert_eq!(recorded.frame_bytes(), first.bytes());
        let bytes = |frames: RecordedFrames| frames.into_parts().0.payload().as_ptr();
        assert_eq!(bytes(first), bytes(again));
        assert!(format!("{recorded:?}").contains("said"));
    }
}

#[test]
fn topics_are_spread_over_the_parts_and_those_of_a_part_over_its_floors() {
    let (mut parts, mut floors) = ([0; PARTS], [0; FLOORS]);
    for number in 0..64 * PARTS * FLOORS / 10 {
        let topic = format!("room:{number}");
        parts[part(&topic)] += 1;
        if part(&topic) == 5 {
            floors[bucket(&topic)] += 1;
        }
    }
    let each = 64 * FLOORS / 10;
    assert!(parts.iter().all(|count| (each * 3 / 4..each * 5 / 4).contains(count)), "{parts:?}");
    assert!(floors.iter().filter(|count| **count > 0).count() > FLOORS * 9 / 10, "{floors:?}");
}

#[test]
fn room_for_topics_is_given_back_when_less_than_an_eighth_of_it_is_used() {
    for (left, is_kept) in [(56, true), (20, false)] {
        let mut histories = histories(usize::MAX, 1);
        for number in 0..300 {
            let at = if number < left { 3 * AGE } else { Duration::ZERO };
            histories.append(0, broadcast(&Topic::from(number.to_string()), 1, 0), at);
        }
        assert_eq!(histories.topics.capacity(), 448);
        histories.sweep(3 * AGE);
        let capacity = histories.topics.capacity();
        assert_eq!((histories.topics.len(), capacity > 224), (left, is_kept));
        assert!(capacity >= 2 * left, "{capacity} for {left}");
    }
}

#[test]
fn who_asks_is_told_why_there_is_nothing() {
    let reasons = [
        (NotRecovered::Epoch, "epoch", "another history"),
        (NotRecovered::Trimmed, "trimmed", "no longer remembered"),
        (NotRecovered::TooMany, "too_many", "more was missed"),
        (NotRecovered::Unreadable, "unreadable", "not a position"),
    ];
    for (why, word, text) in reasons {
        assert!(why.word() == word && why.to_string().contains(text), "{why:?}");
        let error = HistoryError::NotRecovered(why);
        let source = error::Error::source(&error).unwrap();
        assert_eq!((source.to_string(), error.to_string()), (why.to_string(), why.to_string()));
    }
    for (error, text) in [
        (HistoryError::NotKept, "not kept"),
        (HistoryError::NotHere, "`fetch_history`"),
        (HistoryError::Away, "cannot be reached"),
    ] {
        assert!(error.to_string().contains(text) && error::Error::source(&error).is_none());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Publish { topic: usize, bytes: usize },
    Join { client: usize },
    Hear { client: usize },
    Wait(u64),
    Sweep,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3usize, prop_oneof![3 => 0..100usize, 1 => 0..1_500usize])
            .prop_map(|(topic, bytes)| Step::Publish { topic, bytes }),
        6 => (0..4usize).prop_map(|client| Step::Join { client }),
        4 => (0..4usize).prop_map(|client| Step::Hear { client }),
        2 => (0..12u64).prop_map(Step::Wait),
        2 => Just(Step::Sweep),
        1 => Just(Step::Restart),
    ]
}

/// A client of one topic: what it has of all that was ever published there, and its position.
struct Client {
    topic: usize,
    has: usize,
    position: Option<Position>,
    /// Whether positions of the time are good for today's process.
    run: usize,
}

/// All that was ever published on a topic: the number, the bytes, when, and by which run of the process.
type Published = Vec<(usize, usize, Duration, usize)>;

struct World {
    histories: Histories,
    published: [Published; 3],
    clients: Vec<Client>,
    now: Duration,
    run: usize,
    seed: u64,
    bytes_max: usize,
}

impl World {
    fn new(bytes_max: usize, seed: u64) -> Self {
        let clients = (0..4).map(|client| Client { topic: client % 3, has: 0, position: None, run: 0 });
        Self {
            histories: histories(bytes_max, seed),
            published: Default::default(),
            clients: clients.collect(),
            now: Duration::ZERO,
            run: 0,
            seed,
            bytes_max,
        }
    }

    fn topic(number: usize) -> Topic {
        Topic::from(["a", "b", "c"][number])
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Publish { topic, bytes } => {
                let number = self.published[topic].len();
                let message = broadcast(&Self::topic(topic), number, bytes);
                let size = MESSAGE_BYTES + 1 + 4 + message.payload.size();
                self.histories.append(0, message, self.now);
                self.published[topic].push((number, size, self.now, self.run));
            }
            Step::Join { client } => self.join(client),
            Step::Hear { client } => self.hear(client),
            Step::Wait(seconds) => self.now += Duration::from_secs(seconds),
            Step::Sweep => self.histories.sweep(self.now),
            Step::Restart => {
                self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                self.histories = histories(self.bytes_max, self.seed);
                self.run += 1;
            }
        }
        assert!(self.histories.held().0 <= self.bytes_max, "more is held than may be");
        assert_eq!(self.histories.room.taken(), self.histories.held().0, "what is taken is what is held");
    }

    /// A client that is joined hears what is published: it is at the top.
    fn hear(&mut self, client: usize) {
        let client = &mut self.clients[client];
        if client.position.is_some() && client.run == self.run {
            client.has = self.published[client.topic].len();
            // What it hears says an offset, and nothing of the epoch.
            let heard = self.histories.position(&Self::topic(client.topic)).offset;
            client.position = client.position.map(|position| Position { offset: heard, ..position });
        }
    }

    fn join(&mut self, number: usize) {
        let client = &self.clients[number];
        let topic = Self::topic(client.topic);
        let since = client.position.map_or(Since::Now, Since::After);
        let answer = self.histories.answer(&topic, since, &keep().cap, self.now);
        let published = &self.published[client.topic];
        let missed = &published[client.has..];
        let got: Vec<_> = (answer.replay.clone())
            .map(|offset| {
                let recorded = self.histories.get(&topic, offset).expect("what is promised is there");
                let Payload::Binary(bytes) = &recorded.broadcast.payload else {
                    panic!("bytes were published")
                };
                let text = std::str::from_utf8(bytes).unwrap();
                text.trim().parse::<usize>().unwrap()
            })
            .collect();
        let bytes: usize = missed.iter().map(|(_, bytes, ..)| bytes).sum();
        let is_old = |at: Duration| self.now.saturating_sub(at) > AGE;
        match (since, answer.refused) {
            (Since::Now, refused) => assert!(refused.is_none() && got.is_empty()),
            (_, None) => {
                let missed: Vec<_> = missed.iter().map(|(number, ..)| *number).collect();
                assert_eq!(got, missed, "recovered: all that it missed, once and in order");
                assert!(got.len() <= keep().cap.messages && bytes <= keep().cap.bytes);
            }
            (_, Some(NotRecovered::Epoch)) => {
                assert_ne!(client.run, self.run, "the epoch is the client's");
            }
            (_, Some(NotRecovered::TooMany)) => {
                assert!(missed.len() > keep().cap.messages || bytes > keep().cap.bytes);
            }
            (_, Some(NotRecovered::Trimmed)) => {
                let all: usize = published.iter().rev().take(missed.len()).map(|(_, bytes, ..)| bytes).sum();
                let oldest_is_gone = missed.first().is_some_and(|(_, _, at, _)| is_old(*at));
                let no_room = self.bytes_max < 10_000;
                let over = missed.len() > keep().bounds.messages || all > keep().bounds.bytes;
                // One that was too large alone took all before it with it.
                let one_over = missed.iter().any(|(_, bytes, ..)| *bytes > keep().bounds.bytes);
                assert!(!missed.is_empty(), "it missed nothing");
                assert!(oldest_is_gone || over || no_room || one_over, "all of it is remembered");
            }
            (_, Some(NotRecovered::Unreadable)) => panic!("a position of ours is readable"),
        }
        let run = self.run;
        let client = &mut self.clients[number];
        client.has = self.published[client.topic].len();
        client.position =
            Some(Position { offset: Offset(answer.replay.end.max(answer.at.offset.0 + 1) - 1), ..answer.at });
        client.run = run;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// A client is told that it has recovered when, and only when, it has: whatever is published, forgotten and restarted.
    #[test]
    fn recovered_is_true_exactly_when_there_is_no_gap(
        steps in proptest::collection::vec(step(), 1..60),
        few: bool,
        seed: u64,
    ) {
        let mut world = World::new(if few { 3_000 } else { 100_000 }, seed);
        for step in &steps {
            world.step(step);
        }
    }
}
