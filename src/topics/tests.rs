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
