//! A join between rest and task, and a topic between its members, in interleavings that a checker chooses.
//! `scripts/interleavings` runs this.
//!
//! The code is the real one, from `task` to `topics`; only its locks and atomics are the checker's ([`crate::sync`]), which
//! may switch to another task at each of them. A message or an end that nobody is woken for is a deadlock, and so are locks
//! in two orders: the checker reports it with the schedule that led to it.

use std::{
    sync::Arc,
    task::{Poll, Waker},
};

use lapwing_transports::frame::Frame;
use shuttle::{
    Config, Runner, future,
    scheduler::{PctScheduler, RandomScheduler},
    thread,
};

use crate::{
    channel::{
        Channel, Receive,
        context::{Context, Joining},
        failure::Failure,
        outcome::{Handled, noreply},
        sender::Sender,
    },
    join::{
        Join,
        leave_reason::LeaveReason,
        mailbox::{ChannelMailbox, MailboxLimits},
    },
    node::Node,
    protocol::{NameLimits, Payload, Ref, SerializerList, make_msg},
    pubsub::LocalPubSub,
    session::{
        handler::{Hub, Limits},
        login::Callbacks,
        rates::Rates,
        router::{ChannelRoute, Router},
    },
    testing::session::{Heard, TestSession},
    topic::Topic,
    topics::{
        Lane as _, Member, Topics,
        broadcast::{Broadcast, ChannelId},
        meter::Source,
    },
};

/// How many interleavings of a model are run, of either kind.
const INTERLEAVINGS: usize = 10_000;

/// Runs a model in interleavings that are chosen at random, and in such that have few switches in rare places.
fn check(model: fn()) {
    // For what asks for one: the tasks are run by the checker, and time stands still.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let mut config = Config::new();
    config.stack_size = 256 * 1024;
    Runner::new(RandomScheduler::new(INTERLEAVINGS), config.clone()).run(model);
    Runner::new(PctScheduler::new(3, INTERLEAVINGS), config).run(model);
}

/// What the channels of a node did.
#[derive(Default)]
struct Log(std::sync::Mutex<Entries>);

#[derive(Default)]
struct Entries {
    lines: Vec<String>,
    /// Who waits for lines.
    waker: Option<Waker>,
}

impl Log {
    fn write(&self, line: impl Into<String>) {
        let mut entries = self.0.lock().unwrap();
        entries.lines.push(line.into());
        if let Some(waker) = entries.waker.take() {
            waker.wake();
        }
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().lines.clone()
    }

    /// How many lines begin so.
    fn count(&self, start: &str) -> usize {
        self.0.lock().unwrap().lines.iter().filter(|line| line.starts_with(start)).count()
    }

    async fn until(&self, is_enough: impl Fn(&Log) -> bool) {
        std::future::poll_fn(|cx| {
            self.0.lock().unwrap().waker = Some(cx.waker().clone());
            if is_enough(self) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Writes down what it is asked to do, and that it is dropped.
struct Room {
    log: Arc<Log>,
    is_busy: bool,
}

impl Room {
    /// What takes a while; nobody else may have the channel meanwhile.
    async fn work(&mut self, line: String) -> Handled {
        assert!(!std::mem::replace(&mut self.is_busy, true), "two have the channel");
        future::yield_now().await;
        self.log.write(line);
        self.is_busy = false;
        Ok(noreply())
    }
}

impl Channel for Room {
    type State = Arc<Log>;

    const INTERCEPT: &'static [&'static str] = &["cast"];

    async fn join(_: &Topic, _: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        let log = joining.state().clone();
        future::yield_now().await;
        log.write("join");
        Ok(Self { log, is_busy: false })
    }

    async fn handle_in(&mut self, event: &str, _: Payload, _: &Context<Self>) -> Handled {
        if event == "hang" {
            std::future::pending::<()>().await;
        }
        self.work(event.to_owned()).await
    }

    async fn handle_out(&mut self, event: &str, _: Payload, _: &Context<Self>) -> Handled {
        self.work(event.to_owned()).await
    }

    async fn leave(&mut self, _: LeaveReason, _: &Context<Self>) -> Result<(), Failure> {
        self.log.write("leave");
        Ok(())
    }
}

impl Receive<u32> for Room {
    async fn handle_info(&mut self, number: u32, _: &Context<Self>) -> Handled {
        self.work(format!("info{number}")).await
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.log.write("dropped");
    }
}

/// What a client does, in the session that the test kit gives it: the mount's handler serves it as it serves any other.
trait Client {
    fn join(&self) -> Option<Arc<Join>>;

    /// How many joins of it there are, those included that are ending.
    fn joins(&self) -> usize;

    fn ask(&self, join_ref: Option<&str>, event: &str);

    /// What it was sent.
    fn sent(&self) -> Vec<String>;

    /// Waits until it has its first answer.
    fn answered(&self);

    /// Waits until it is read from.
    fn ready(&self);
}

impl Client for Arc<TestSession> {
    fn join(&self) -> Option<Arc<Join>> {
        self.client().state().joins.get("room").cloned()
    }

    fn joins(&self) -> usize {
        let state = self.client().state();
        state.joins.len() + state.ending()
    }

    fn ask(&self, join_ref: Option<&str>, event: &str) {
        let reference = join_ref.map(Ref::from);
        self.send(make_msg(reference.clone(), reference, "room", event, Payload::empty()));
    }

    fn sent(&self) -> Vec<String> {
        let text = |heard: &Heard| String::from_utf8(heard.frame.payload().to_vec()).unwrap();
        self.state().heard.iter().map(text).collect()
    }

    fn answered(&self) {
        future::block_on(self.wait(|state| (state.heard.len() == 1).then_some(())));
    }

    fn ready(&self) {
        future::block_on(self.wait(|_| self.client().is_ready().then_some(())));
    }
}

/// A node with one mount, which has one route.
#[derive(Clone)]
struct Server {
    node: Arc<Node>,
    hub: Arc<Hub>,
    log: Arc<Log>,
}

impl Server {
    fn new(messages_max: usize) -> Self {
        let log = Arc::new(Log::default());
        let node = Arc::new(Node::new(Arc::new(LocalPubSub), Default::default(), None, Topics::new()));
        let limits = MailboxLimits::new().messages_max(messages_max);
        let route = ChannelRoute::new::<Room>("room", log.clone()).unwrap();
        let router = Router::new(vec![route], &node, limits, None);
        let limits =
            Limits { joins_max: 8, names: NameLimits::default(), rates: Rates::none().limiter().unwrap() };
        let hub = Hub::new(node.clone(), router, Callbacks::default(), SerializerList::default(), limits);
        Self { node, hub: Arc::new(hub), log }
    }

    fn connect(&self) -> Arc<TestSession> {
        TestSession::anonymous(self.hub.clone(), self.node.next_transport_id())
    }

    /// A client that has joined, or is about to.
    fn joined(messages_max: usize) -> (Self, Arc<TestSession>, Arc<Join>) {
        let server = Self::new(messages_max);
        let client = server.connect();
        client.ask(Some("1"), "phx_join");
        let join = client.join().unwrap();
        (server, client, join)
    }

    fn broadcast(&self, event: &str) {
        self.node.publish(Broadcast::new("room", event, Payload::empty())).unwrap();
    }

    /// Waits until no join is left, and looks whether everything went as it must.
    fn end(&self, joins: usize) {
        future::block_on(self.node.joins_ended());
        future::block_on(self.log.until(|log| log.count("dropped") == joins));
        assert_eq!((self.node.joins(), self.node.topics.len()), (0, 0));
    }
}

#[test]
fn all_that_comes_is_handled_once_and_in_order_however_the_channel_rests() {
    check(|| {
        let (server, client, join) = Server::joined(100);
        client.answered();
        let poster = thread::spawn({
            let client = client.clone();
            move || ["in1", "in2"].map(|event| client.ask(None, event))
        });
        let sender = thread::spawn(move || {
            [1, 2].map(|number| Sender::<Room>::new(join.clone()).send(number as u32).unwrap())
        });
        let caster = thread::spawn({
            let server = server.clone();
            move || server.broadcast("cast")
        });
        // Nothing else comes: a message that lies in the mailbox of a channel at rest stays there.
        future::block_on(server.log.until(|log| log.lines().len() == 6));
        let lines = server.log.lines();
        let position = |line: &str| lines.iter().position(|other| other == line);
        assert!(position("join") == Some(0) && position("cast").is_some(), "{lines:?}");
        assert!(position("in1") < position("in2") && position("info1") < position("info2"), "{lines:?}");
        assert!(position("in1").is_some() && position("info1").is_some(), "{lines:?}");
        poster.join().unwrap();
        sender.join().unwrap();
        caster.join().unwrap();
        client.ask(None, "phx_leave");
        server.end(1);
        assert_eq!(server.log.lines()[6..], ["leave", "dropped"]);
    });
}

#[test]
fn an_end_is_never_missed_whoever_makes_it_and_whatever_comes_meanwhile() {
    check(|| {
        let (server, client, join) = Server::joined(100);
        let killer = thread::spawn({
            let join = join.clone();
            move || join.kill()
        });
        let leaver = thread::spawn({
            let client = client.clone();
            move || {
                client.ask(None, "in1");
                client.ask(None, "phx_leave");
            }
        });
        let sender = thread::spawn({
            let (server, join) = (server.clone(), join.clone());
            move || {
                let _ = Sender::<Room>::new(join.clone()).send(1_u32);
                server.broadcast("cast");
                join.post_later(ChannelMailbox::Away);
            }
        });
        // As the join that replaces it would.
        future::block_on(join.cleared());
        for thread in [killer, leaver, sender] {
            thread.join().unwrap();
        }
        // A join that is killed before its channel was made has none to drop.
        server.end(server.log.count("join"));
        assert!(join.is_ended() && client.join().is_none());
        assert!(join.take_left().is_none(), "something was posted after the end");
        assert!(server.log.count("leave") <= 1);
    });
}

#[test]
fn a_join_is_killed_while_its_channel_goes_to_rest() {
    check(|| {
        let (server, client, join) = Server::joined(100);
        let poster = thread::spawn({
            let client = client.clone();
            move || client.ask(None, "in1")
        });
        future::block_on(server.log.until(|log| log.count("in1") == 1));
        join.kill();
        future::block_on(join.cleared());
        poster.join().unwrap();
        server.end(1);
        assert_eq!(server.log.count("leave"), 0);
    });
}

#[test]
fn a_callback_that_never_ends_is_killed() {
    check(|| {
        let (server, client, join) = Server::joined(100);
        let poster = thread::spawn({
            let client = client.clone();
            move || client.ask(None, "hang")
        });
        client.answered();
        join.kill();
        future::block_on(join.cleared());
        poster.join().unwrap();
        server.end(1);
        assert_eq!(server.log.count("hang"), 0);
    });
}

#[test]
fn a_join_that_replaces_another_begins_when_that_has_ended() {
    check(|| {
        let (server, client, _) = Server::joined(100);
        let caster = thread::spawn({
            let server = server.clone();
            move || server.broadcast("cast")
        });
        client.ask(None, "in1");
        client.ask(Some("2"), "phx_join");
        client.ask(None, "in2");
        future::block_on(server.log.until(|log| log.count("in2") == 1));
        caster.join().unwrap();
        client.ask(None, "phx_leave");
        server.end(2);
        let mut lines = server.log.lines();
        lines.retain(|line| line != "cast");
        let expected = ["join", "in1", "leave", "dropped", "join", "in2", "leave", "dropped"];
        assert_eq!(lines, expected);
        let sent = client.sent();
        let of = |start: &str| sent.iter().position(|frame| frame.starts_with(start));
        let (reply, close) = (of(r#"["2","2","room","phx_reply""#), of(r#"["1","1","room","phx_close""#));
        assert!(reply.is_some() && close.is_some() && reply < close, "{sent:?}");
    });
}

#[test]
fn one_join_waits_however_often_a_topic_is_joined_and_the_last_one_begins() {
    check(|| {
        let (server, client, _) = Server::joined(100);
        let joiner = thread::spawn({
            let client = client.clone();
            move || {
                for join_ref in ["2", "3", "4"] {
                    client.ask(Some(join_ref), "phx_join");
                    // The one that ends, the one that is in the table, and none besides.
                    let joins = client.joins();
                    assert!(joins <= 3, "{joins} joins of one topic");
                    client.ask(None, &format!("in{join_ref}"));
                }
            }
        });
        joiner.join().unwrap();
        future::block_on(server.log.until(|log| log.count("in4") == 1));
        client.ask(None, "phx_leave");
        future::block_on(server.node.joins_ended());
        let began = server.log.count("join");
        server.end(began);
        let (log, sent) = (server.log.lines(), client.sent());
        assert_eq!(client.joins(), 0);
        let mut lines = log.iter().filter(|line| !line.starts_with("in"));
        for _ in 0..began {
            let turn: Vec<_> = lines.by_ref().take(3).collect();
            assert_eq!(turn, ["join", "leave", "dropped"], "one after the other: {log:?}");
        }
        // Each join is answered once, the last with ok.
        let answers = |join_ref: &str, status: &str| {
            let start = format!(r#"["{join_ref}","{join_ref}","room","phx_reply""#);
            sent.iter().filter(|frame| frame.starts_with(&start) && frame.contains(status)).count()
        };
        for join_ref in ["1", "2", "3", "4"] {
            assert_eq!(answers(join_ref, ""), 1, "{join_ref}: {sent:?}");
        }
        assert_eq!(answers("4", r#""ok""#), 1, "{sent:?}");
    });
}

#[test]
fn a_client_that_floods_is_read_from_again_when_there_is_room() {
    check(|| {
        let (server, client, _) = Server::joined(2);
        let flood = thread::spawn({
            let client = client.clone();
            move || {
                for number in 0..4 {
                    client.ready();
                    client.ask(None, &format!("in{number}"));
                }
            }
        });
        future::block_on(server.log.until(|log| log.count("in") == 4));
        flood.join().unwrap();
        assert_eq!(server.log.lines()[1..], ["in0", "in1", "in2", "in3"]);
        client.ask(None, "phx_leave");
        server.end(1);
        assert!(client.client().is_ready());
    });
}

#[test]
fn a_broadcast_that_has_no_room_ends_the_join_and_is_not_passed_over() {
    check(|| {
        // A mailbox without any room is full while it is empty.
        let (server, client, join) = Server::joined(0);
        client.answered();
        let casters = [(); 3].map(|()| {
            let server = server.clone();
            thread::spawn(move || server.broadcast("cast"))
        });
        for caster in casters {
            caster.join().unwrap();
        }
        future::block_on(server.log.until(|log| log.count("cast") == 3 || log.count("leave") == 1));
        if server.log.count("cast") < 3 {
            future::block_on(join.cleared());
            assert_eq!(client.sent().iter().filter(|frame| frame.contains("phx_error")).count(), 1);
        }
        client.ask(None, "phx_leave");
        server.end(1);
    });
}

#[test]
fn a_topic_that_becomes_empty_loses_no_member_and_keeps_its_order() {
    const FIRST: &str = r#"[null,null,"room","first",{}]"#;
    check(|| {
        let topics = Arc::new(Topics::new());
        let topic = Topic::from("room");
        let members = ["a", "b"].map(|name| {
            let (topics, topic) = (topics.clone(), topic.clone());
            thread::spawn(move || {
                let client = Server::new(1).connect();
                let member = Member::Lane { lane: client.clone(), channel: ChannelId(1) };
                let subscribed = topics.subscribe(&topic, member, || client.push_frame(Frame::text(FIRST)));
                topics.dispatch(Source::Program, &Broadcast::new("room", name, Payload::empty())).unwrap();
                topics.unsubscribe(&topic, subscribed);
                let sent = client.sent();
                topics.dispatch(Source::Program, &Broadcast::new("room", "late", Payload::empty())).unwrap();
                assert_eq!(client.sent(), sent, "it was told after its end");
                assert_eq!(sent[0], FIRST);
                let own = format!(r#"[null,null,"room","{name}",{{}}]"#);
                assert_eq!(sent.iter().filter(|frame| **frame == own).count(), 1, "{sent:?}");
                sent.into_iter().skip(1).collect::<Vec<_>>()
            })
        });
        let [first, second] = members.map(|member| member.join().unwrap());
        let of_both: Vec<_> = first.iter().filter(|frame| second.contains(frame)).collect();
        let of_both_again: Vec<_> = second.iter().filter(|frame| first.contains(frame)).collect();
        assert_eq!(of_both, of_both_again, "two orders of one topic's broadcasts");
        assert_eq!(topics.len(), 0);
    });
}
