use proptest::prelude::*;

use super::*;
use crate::protocol::Payload;

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
    let next = histories.append(0, broadcast(&topic, 2, 0), 3 * AGE).position.unwrap();
    assert_eq!(next, Position { offset: Offset(2), ..heard }, "what a client that stayed hears");
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
