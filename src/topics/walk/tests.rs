//! Laws of walks by several threads: who gets what, in which order, and what of it is done once.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use lapwing_transports::frame::{Frame, Message};

use super::*;
use crate::{
    protocol::{ChannelMsg, DecodeError, EncodeError, Outgoing, Payload, Serializer, V2},
    topic::Topic,
    topics::{
        Inbox, Lane, Subscribed, Topics,
        broadcast::{Broadcast, ChannelId, TransportId},
        meter::Source,
        position::Position,
    },
};

/// A little more than what is walked by several threads, and no whole number of parts.
const MEMBERS: usize = SHARED_MIN + PART / 2;

/// Keeps other tests from walking large topics: whoever walks has all the helpers.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static WALKS: Mutex<()> = Mutex::new(());
    WALKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many members each thread has given something.
type Givers = Arc<Mutex<HashMap<thread::ThreadId, usize>>>;

/// A client that remembers what it gets, and who gave it.
struct Client {
    serializer: Arc<dyn Serializer>,
    got: Mutex<Vec<Frame>>,
    givers: Givers,
}

impl Lane for Client {
    fn push_frame(&self, frame: Frame) {
        self.got.lock().unwrap().push(frame);
    }

    fn push_broadcast(&self, frame: Frame) {
        self.push_frame(frame);
        *self.givers.lock().unwrap().entry(thread::current().id()).or_default() += 1;
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

impl Client {
    fn texts(&self) -> Vec<String> {
        let got = self.got.lock().unwrap();
        got.iter().map(|frame| String::from_utf8(frame.payload().to_vec()).unwrap()).collect()
    }
}

/// A topic with so many clients, in turns with these serializers.
struct Crowd {
    topics: Topics,
    topic: Topic,
    clients: Vec<Arc<Client>>,
    places: Vec<Subscribed>,
    givers: Givers,
    _alone: MutexGuard<'static, ()>,
}

impl Crowd {
    fn new(count: usize, serializers: &[Arc<dyn Serializer>]) -> Self {
        let (topics, topic, givers) = (Topics::new(), Topic::from("large"), Arc::default());
        let (clients, places, _alone) = (Vec::new(), Vec::new(), alone());
        let mut crowd = Self { topics, topic, clients, places, givers, _alone };
        for number in 0..count {
            let serializer = serializers[number % serializers.len()].clone();
            let client = Client { serializer, got: Mutex::default(), givers: crowd.givers.clone() };
            let client = Arc::new(client);
            crowd.clients.push(client.clone());
            crowd.subscribe(Member::Lane { lane: client, channel: ChannelId(number as u64) });
        }
        crowd
    }

    fn of_v2(count: usize) -> Self {
        Self::new(count, &[Arc::new(V2)])
    }

    fn subscribe(&mut self, member: Member) {
        let place = self.topics.subscribe(&self.topic, member, || {});
        self.places.push(place);
    }

    /// Has a member of the first part, in the place of the first client, wait until several threads walk.
    fn meet(&mut self) {
        self.topics.unsubscribe(&self.topic, self.places[0].clone());
        self.subscribe(Member::Inbox(Arc::new(Meeting(self.givers.clone()))));
    }

    fn said(&self, event: &str) -> Broadcast {
        Broadcast::new(&self.topic, event, Payload::empty())
    }

    fn say(&self, broadcast: &Broadcast) -> Result<Option<Position>, EncodeError> {
        self.topics.dispatch(Source::Program, broadcast)
    }

    fn failures(&self) -> u64 {
        self.topics.meter.failed.iter().map(|(_, count)| count).sum()
    }
}

/// V2, but for what it does first.
struct First<F>(F);

impl<F: Fn(&Outgoing<'_>) -> Result<(), EncodeError> + Send + Sync + 'static> Serializer for First<F> {
    fn decode(&self, message: Message<'_>) -> Result<ChannelMsg, DecodeError> {
        V2.decode(message)
    }

    fn encode(&self, outgoing: Outgoing<'_>) -> Result<Frame, EncodeError> {
        (self.0)(&outgoing)?;
        V2.encode(outgoing)
    }
}

/// Has a member's turn last until another thread has given something, so that a walk is one of several threads however busy they are.
struct Meeting(Givers);

impl Inbox for Meeting {
    fn deliver(self: Arc<Self>, _: &mut Delivery<'_>) {
        let me = thread::current().id();
        for _ in 0..20_000 {
            if self.0.lock().unwrap().keys().any(|giver| *giver != me) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("nobody helps");
    }
}

#[test]
fn each_member_of_a_large_topic_gets_it_once_from_several_threads_and_the_same_bytes() {
    let mut crowd = Crowd::of_v2(MEMBERS);
    crowd.meet();
    // Places that nobody has are passed by.
    for place in [PART - 1, PART, MEMBERS - 1] {
        crowd.topics.unsubscribe(&crowd.topic, crowd.places[place].clone());
    }
    crowd.say(&crowd.said("e").except(ChannelId(5))).unwrap();
    let mut bytes = Vec::new();
    for (number, client) in crowd.clients.iter().enumerate() {
        let got = client.got.lock().unwrap();
        let has_gone = [0, 5, PART - 1, PART, MEMBERS - 1].contains(&number);
        assert_eq!(got.len(), usize::from(!has_gone), "{number}");
        bytes.extend(got.iter().map(|frame| frame.payload().as_ptr()));
    }
    bytes.dedup();
    assert_eq!(bytes.len(), 1, "it is encoded once");
    assert!(crowd.givers.lock().unwrap().len() > 1);
}

#[test]
fn a_topic_below_the_bound_is_walked_by_who_publishes() {
    let crowd = Crowd::of_v2(SHARED_MIN - 1);
    crowd.say(&crowd.said("e")).unwrap();
    let me = (thread::current().id(), SHARED_MIN - 1);
    assert_eq!(*crowd.givers.lock().unwrap(), HashMap::from([me]));
}

#[test]
fn all_members_get_what_several_publishers_say_in_one_order() {
    const EACH: usize = 8;
    let crowd = Crowd::of_v2(MEMBERS);
    thread::scope(|scope| {
        for publisher in ["a", "b", "c"] {
            let crowd = &crowd;
            scope.spawn(move || {
                for number in 0..EACH {
                    crowd.say(&crowd.said(&format!("{publisher}{number}"))).unwrap();
                }
            });
        }
    });
    let first = crowd.clients[0].texts();
    assert_eq!(first.len(), 3 * EACH);
    for publisher in ["a", "b", "c"] {
        let places = (0..EACH).map(|number| {
            first.iter().position(|text| text.contains(&format!("\"{publisher}{number}\""))).unwrap()
        });
        assert!(places.is_sorted_by(|one, next| one < next), "{publisher}: {first:?}");
    }
    for client in &crowd.clients {
        assert_eq!(client.texts(), first);
    }
}

#[test]
fn who_has_left_gets_nothing_more_whoever_walks() {
    let crowd = Crowd::of_v2(MEMBERS + 2_000);
    let (is_over, begun) = (AtomicBool::new(false), mpsc::channel());
    let left: Vec<_> = thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                crowd.say(&crowd.said("e")).unwrap();
                count += 1;
                let _ = begun.0.send(());
            }
            count
        });
        begun.1.recv().unwrap();
        // From all over the topic.
        let left = (0..2_000).map(|number| {
            let number = number * 7_919 % MEMBERS;
            crowd.topics.unsubscribe(&crowd.topic, crowd.places[number].clone());
            (number, crowd.clients[number].got.lock().unwrap().len())
        });
        let left: Vec<_> = left.collect();
        is_over.store(true, Ordering::Relaxed);
        let count = publisher.join().unwrap();
        let gone: std::collections::HashSet<_> = left.iter().map(|(number, _)| *number).collect();
        for (number, client) in crowd.clients.iter().enumerate().filter(|(number, _)| !gone.contains(number))
        {
            assert_eq!(client.got.lock().unwrap().len(), count, "{number} has stayed");
        }
        left
    });
    for (number, got) in left {
        assert_eq!(crowd.clients[number].got.lock().unwrap().len(), got, "{number} has left");
    }
}

#[test]
fn what_fails_fails_once_and_nothing_is_encoded_twice() {
    let encoded = Arc::new(AtomicUsize::new(0));
    let counting = || -> Arc<dyn Serializer> {
        let encoded = encoded.clone();
        Arc::new(First(move |_: &Outgoing<'_>| {
            encoded.fetch_add(1, Ordering::Relaxed);
            // Others come for the same meanwhile.
            thread::sleep(Duration::from_millis(5));
            Ok(())
        }))
    };
    let failing: Arc<dyn Serializer> = Arc::new(First(|_: &Outgoing<'_>| {
        thread::sleep(Duration::from_millis(5));
        Err(EncodeError::Custom("it cannot".into()))
    }));
    let serializers = [counting(), failing, counting()];
    let mut crowd = Crowd::new(MEMBERS, &serializers);
    crowd.meet();
    for round in 1..=3 {
        crowd.givers.lock().unwrap().clear();
        assert!(crowd.say(&crowd.said("e")).is_err());
        assert_eq!((encoded.load(Ordering::Relaxed), crowd.failures()), (2 * round, round as u64));
    }
    for (number, client) in crowd.clients.iter().enumerate().skip(1) {
        assert_eq!(client.got.lock().unwrap().len(), if number % 3 == 1 { 0 } else { 3 });
    }
}

/// Panics at every broadcast with this event.
struct Panicking;

impl Inbox for Panicking {
    fn deliver(self: Arc<Self>, delivery: &mut Delivery<'_>) {
        assert_ne!(delivery.broadcast.event, "bad", "as it was planted");
    }
}

#[test]
fn a_panic_is_the_publishers_and_costs_the_rest_of_one_part() {
    let mut crowd = Crowd::of_v2(MEMBERS);
    // In the middle of parts, of more than there are threads, each in the place of a client that has left.
    let bad: Vec<_> = (1..10).map(|part| part * PART + 100 * part).collect();
    for place in bad.iter().copied() {
        crowd.topics.unsubscribe(&crowd.topic, crowd.places[place].clone());
        crowd.subscribe(Member::Inbox(Arc::new(Panicking)));
    }
    let panicked = catch_unwind(AssertUnwindSafe(|| crowd.say(&crowd.said("bad"))));
    assert!(panicked.is_err());
    let misses = |number: &usize| bad.iter().any(|bad| (*bad..bad.next_multiple_of(PART)).contains(number));
    for number in 0..MEMBERS {
        let expected = usize::from(!misses(&number));
        assert_eq!(crowd.clients[number].got.lock().unwrap().len(), expected, "{number}");
    }
    // The topic and the helpers are as before.
    crowd.say(&crowd.said("good")).unwrap();
    for number in (0..MEMBERS).filter(|number| !bad.contains(number)) {
        assert!(crowd.clients[number].texts().last().unwrap().contains("good"), "{number}");
    }
}

/// Publishers that are rayon's own threads, all at once, and one that is not.
#[test]
fn publishers_on_threads_of_rayons_wait_for_nobody_but_each_other() {
    const EACH: usize = 4;
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let crowd = Crowd::of_v2(MEMBERS);
        let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| (0..EACH).for_each(|_| drop(crowd.say(&crowd.said("e")))));
            pool.scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|_| (0..EACH).for_each(|_| drop(crowd.say(&crowd.said("e")))));
                }
            });
        });
        let got = |client: &Arc<Client>| client.got.lock().unwrap().len();
        done.send(crowd.clients.iter().all(|client| got(client) == 5 * EACH)).unwrap();
    });
    assert!(is_done.recv_timeout(Duration::from_secs(60)).expect("nobody waits for ever"));
}

/// Has another topic walked while it is a member's turn.
struct Nested(Mutex<Option<mpsc::Sender<Givers>>>);

impl Inbox for Nested {
    fn deliver(self: Arc<Self>, _: &mut Delivery<'_>) {
        let other = thread::spawn(|| {
            let (topics, topic, givers) = (Topics::new(), Topic::from("other"), Givers::default());
            for number in 0..MEMBERS as u64 {
                let client =
                    Client { serializer: Arc::new(V2), got: Mutex::default(), givers: givers.clone() };
                let member = Member::Lane { lane: Arc::new(client), channel: ChannelId(number) };
                topics.subscribe(&topic, member, || {});
            }
            topics.dispatch(Source::Program, &Broadcast::new(&topic, "e", Payload::empty())).unwrap();
            givers
        });
        let done = self.0.lock().unwrap().take().unwrap();
        done.send(other.join().unwrap()).unwrap();
    }
}

#[test]
fn a_topic_does_not_wait_for_helpers_that_are_at_another() {
    let mut crowd = Crowd::of_v2(MEMBERS);
    let (done, is_done) = mpsc::channel();
    crowd.subscribe(Member::Inbox(Arc::new(Nested(Mutex::new(Some(done))))));
    crowd.say(&crowd.said("e")).unwrap();
    let givers = is_done.recv().unwrap();
    assert_eq!(givers.lock().unwrap().values().copied().collect::<Vec<_>>(), [MEMBERS]);
}

/// Starts a task, as joins do that were at rest.
struct Starting {
    started: mpsc::Sender<()>,
    givers: Givers,
}

impl Inbox for Starting {
    fn deliver(self: Arc<Self>, _: &mut Delivery<'_>) {
        *self.givers.lock().unwrap().entry(thread::current().id()).or_default() += 1;
        let started = self.started.clone();
        Handle::current().spawn(async move { started.send(()) });
    }
}

#[tokio::test]
async fn members_start_their_tasks_on_the_publishers_runtime() {
    let mut crowd = Crowd::of_v2(0);
    let (started, has_started) = mpsc::channel();
    let starting = Arc::new(Starting { started, givers: crowd.givers.clone() });
    crowd.subscribe(Member::Inbox(Arc::new(Meeting(crowd.givers.clone()))));
    (0..MEMBERS).for_each(|_| crowd.subscribe(Member::Inbox(starting.clone())));
    crowd.say(&crowd.said("e")).unwrap();
    assert!(crowd.givers.lock().unwrap().len() > 1);
    for _ in 0..MEMBERS {
        while has_started.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
    }
}
