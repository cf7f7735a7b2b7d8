use std::{
    sync::{Mutex as StdMutex, mpsc},
    time::Duration,
};

use super::*;
use crate::{
    protocol::{Payload, V2},
    topics::meter::Source,
};

/// Counts what it gets.
struct Counter {
    serializer: Arc<dyn Serializer>,
    frames: AtomicUsize,
}

impl Lane for Counter {
    fn push_frame(&self, _: Frame) {
        self.frames.fetch_add(1, Ordering::Relaxed);
    }

    fn push_broadcast(&self, frame: Frame) {
        self.push_frame(frame);
    }

    fn serializer(&self) -> &Arc<dyn Serializer> {
        &self.serializer
    }

    fn transport_id(&self) -> TransportId {
        TransportId(1)
    }

    fn socket_id(&self) -> Option<&str> {
        None
    }
}

fn counter() -> Arc<Counter> {
    Arc::new(Counter { serializer: Arc::new(V2), frames: AtomicUsize::new(0) })
}

/// A member that lets a fan-out go on only when others have come and gone meanwhile.
struct Turnstile {
    reached: StdMutex<mpsc::Sender<()>>,
    passed: StdMutex<mpsc::Receiver<()>>,
}

impl Inbox for Turnstile {
    fn deliver(self: Arc<Self>, _: &mut Delivery<'_>) {
        self.reached.lock().unwrap().send(()).unwrap();
        let passed = self.passed.lock().unwrap().recv_timeout(Duration::from_secs(20));
        passed.expect("a neighbour's join does not wait for the fan-out");
    }
}

#[test]
fn a_neighbour_is_joined_and_left_during_a_fan_out_of_a_hundred_thousand() {
    const MEMBERS: usize = 100_000;
    let topics = Arc::new(Topics::new());
    let large = Topic::from("large");
    let lane = counter();
    let subscribe = |_: usize| {
        let member = Member::Lane { lane: lane.clone(), channel: ChannelId(1) };
        topics.subscribe(&large, member, || {})
    };
    let mut subscribed: Vec<_> = (0..MEMBERS / 2).map(subscribe).collect();
    let ((reached, wait_reached), (pass, passed)) = (mpsc::channel(), mpsc::channel());
    let turnstile = Turnstile { reached: StdMutex::new(reached), passed: StdMutex::new(passed) };
    subscribed.push(topics.subscribe(&large, Member::Inbox(Arc::new(turnstile)), || {}));
    subscribed.extend((0..MEMBERS / 2).map(subscribe));

    let shard = topics.shard(&large);
    let names = (0..).map(|number| Topic::from(format!("small:{number}")));
    let neighbour = names.into_iter().find(|topic| std::ptr::eq(topics.shard(topic), shard)).unwrap();
    let visitor = std::thread::spawn({
        let topics = topics.clone();
        move || {
            wait_reached.recv().unwrap();
            // A topic that is made, told something, and forgotten: all that the shard can be locked for.
            let lane = counter();
            let member = Member::Lane { lane: lane.clone(), channel: ChannelId(2) };
            let subscribed = topics.subscribe(&neighbour, member, || {});
            topics.dispatch(Source::Program, &Broadcast::new(&neighbour, "e", Payload::empty())).unwrap();
            topics.unsubscribe(&neighbour, subscribed);
            pass.send(()).unwrap();
            lane.frames.load(Ordering::Relaxed)
        }
    });
    topics.dispatch(Source::Program, &Broadcast::new(&large, "e", Payload::empty())).unwrap();
    assert_eq!(visitor.join().unwrap(), 1);
    assert_eq!(lane.frames.load(Ordering::Relaxed), MEMBERS);
    assert_eq!(topics.len(), 1);
}

#[test]
fn the_tables_are_small_again_after_a_storm() {
    const TOPICS: usize = 100_000;
    let topics = Topics::new();
    let capacity = || topics.shards.iter().map(|shard| shard.read().unwrap().capacity()).sum::<usize>();
    let lane = counter();
    let member = || Member::Lane { lane: lane.clone(), channel: ChannelId(1) };
    for _ in 0..2 {
        let names: Vec<_> = (0..TOPICS).map(|n| Topic::from(format!("topic:{n}"))).collect();
        let subscribed: Vec<_> = names.iter().map(|name| topics.subscribe(name, member(), || {})).collect();
        assert!(capacity() >= TOPICS);
        for (name, subscribed) in names.iter().zip(subscribed) {
            topics.unsubscribe(name, subscribed);
        }
        assert_eq!(topics.len(), 0);
        assert!(capacity() <= 2 * SHARDS * SHARD_CAPACITY_MIN, "room for {} topics", capacity());
    }
    // One large topic that nearly everybody leaves.
    let name = Topic::from("large");
    let mut subscribed: Vec<_> = (0..TOPICS).map(|_| topics.subscribe(&name, member(), || {})).collect();
    for subscribed in subscribed.drain(10..) {
        topics.unsubscribe(&name, subscribed);
    }
    let entry = topics.find(&name).unwrap();
    assert!(entry.members().slab.capacity() <= 2_048, "{}", entry.members().slab.capacity());
    topics.dispatch(Source::Program, &Broadcast::new(&name, "e", Payload::empty())).unwrap();
    assert_eq!(lane.frames.load(Ordering::Relaxed), 10);
}

/// Remembers the places of what it gets.
#[derive(Default)]
struct Recorder(StdMutex<Vec<u64>>);

impl Inbox for Recorder {
    fn deliver(self: Arc<Self>, delivery: &mut Delivery<'_>) {
        self.0.lock().unwrap().push(delivery.origin().unwrap().number);
    }

    fn join(&self) -> Option<ChannelId> {
        Some(ChannelId(1))
    }
}

/// Eight threads say something on a topic while its member is exchanged for another one, again and again.
#[test]
fn what_the_one_member_has_heard_and_what_the_other_one_hears_is_everything_once() {
    const SAID: u64 = 4_000;
    let (topics, name) = (Topics::new(), Topic::from("t"));
    let (last, heard) = (StdMutex::new(0_u64), StdMutex::new(Vec::new()));
    let recorder = Arc::<Recorder>::default();
    let place = topics.subscribe(&name, Member::Inbox(recorder.clone()), || {});
    let number = || {
        let mut last = last.lock().unwrap();
        *last += 1;
        let origin = Origin { node: 7, number: *last };
        drop(last);
        // Whoever does not hold the topic meanwhile is overtaken.
        std::thread::yield_now();
        Some(origin)
    };
    std::thread::scope(|scope| {
        let speakers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..SAID / 8 {
                        let broadcast = Broadcast::new(&name, "e", Payload::empty());
                        topics.dispatch_numbered(Source::Program, &broadcast, number).unwrap();
                    }
                })
            })
            .collect();
        let mut current = recorder;
        let (mut begins, mut rounds) = (0, 0);
        loop {
            let is_over = speakers.iter().all(|speaker| speaker.is_finished());
            let next = Arc::<Recorder>::default();
            let (cut, _) = topics.exchange(&name, &place, ChannelId(1), Member::Inbox(next.clone())).unwrap();
            let got = std::mem::replace(&mut current, next).0.lock().unwrap().clone();
            let ends = got.last().copied().unwrap_or(begins);
            assert!((begins + 1..=ends).eq(got.iter().copied()), "from {begins}: {got:?}");
            assert!(ends == 0 || cut.heard.has(Origin { node: 7, number: ends }));
            assert!(!cut.heard.has(Origin { node: 7, number: ends + 1 }), "what the next one hears");
            heard.lock().unwrap().extend(got);
            (begins, rounds) = (ends, rounds + 1);
            if is_over {
                break;
            }
        }
        assert!(rounds > 2, "{rounds}");
    });
    assert_eq!(heard.into_inner().unwrap().len() as u64, SAID);
    let nobodys = topics.exchange(&name, &place, ChannelId(2), Member::Inbox(Arc::<Recorder>::default()));
    assert!(nobodys.is_none(), "the place of another join is left alone");
}
