//! The real connection, over a wire in memory, in interleavings that a checker chooses. See [`crate::models`].

use std::{future::poll_fn, sync::Arc, time::Duration};

use shuttle::{
    future,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::check;
use crate::{
    close::CloseReason,
    connect::{ConnectRequest, Refusal, Transport},
    dialect::{server::Refused, token::Token},
    elsewhere::Kind as TokenKind,
    frame::{Frame, Message},
    handler::Handler,
    live::{Kind, LiveSession, resumable::Resumable},
    manager::{
        Manager,
        admission::{Attached, Denied},
        dice,
    },
    options::TransportOptions,
    policy::{Key, Policy},
    session::{
        Pushed, Seq,
        life::{Patience, Tick},
        outbox::OutboxLimits,
    },
    websocket::connection::Connection,
};

type Session = Arc<LiveSession<()>>;

/// A handler that is ready once it is told so.
struct Gate {
    is_ready: AtomicBool,
    received: AtomicUsize,
}

impl Handler for Gate {
    type State = ();

    async fn connect(&self, _: ConnectRequest) -> Result<(), Refusal> {
        Ok(())
    }

    fn received(&self, session: &Session, message: Message<'_>) -> Result<(), CloseReason> {
        assert!(self.is_ready(session), "read while nothing was to be read");
        let number = self.received.fetch_add(1, Ordering::Relaxed);
        assert_eq!(message, Message::Text(&number.to_string()));
        session.push(Frame::text(format!("r{number}")));
        Ok(())
    }

    fn is_ready(&self, _: &LiveSession<()>) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }
}

fn manager(is_ready: bool) -> Arc<Manager<Gate>> {
    let gate = Gate { is_ready: AtomicBool::new(is_ready), received: AtomicUsize::new(0) };
    Arc::new(Manager::new(gate, TransportOptions::default()))
}

/// With an outbox for two frames.
fn narrow_manager() -> Arc<Manager<Gate>> {
    let gate = Gate { is_ready: AtomicBool::new(true), received: AtomicUsize::new(0) };
    let options = TransportOptions::default().outbox(OutboxLimits::new().frames_max(2));
    Arc::new(Manager::new(gate, options))
}

/// Pushes frames as there is room for them.
async fn push_when_ready(session: Session, count: usize) {
    for number in 0..count {
        loop {
            assert!(poll_fn(|cx| session.poll_ready(cx)).await, "the session is open");
            if session.try_push(Frame::text(format!("b{number}")), None) == Pushed::Queued {
                break;
            }
        }
    }
}

fn resumable(manager: &Manager<Gate>) -> Session {
    let resumable = Resumable::new(1, dice::secret().unwrap());
    let session =
        LiveSession::new(manager.common.clone(), Transport::Websocket, Kind::Resumable(resumable), ());
    let session = manager.enter(session).unwrap();
    manager.opened(&session);
    session
}

/// Starts the connection of a plain session, with room for `room` bytes on the way to the client.
fn connect(manager: &Arc<Manager<Gate>>, room: usize) -> (Session, DuplexStream, future::JoinHandle<()>) {
    let session = LiveSession::new(manager.common.clone(), Transport::Websocket, Kind::Plain, ());
    let session = manager.enter(session).unwrap();
    let (client, server) = tokio::io::duplex(room);
    let connection = Connection::new(server, manager.clone(), session.clone(), Vec::new());
    let connection = future::spawn(async move { drop(connection.await) });
    (session, client, connection)
}

/// Reads frames of two bytes of text, as they are here, until there are `count`.
async fn read(client: &mut DuplexStream, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let mut frame = [0; 4];
        client.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame[..2], [0x81, 2], "a text frame of two bytes");
        texts.push(String::from_utf8(frame[2..].to_vec()).unwrap());
    }
    texts
}

/// The client's text frame of one byte, masked with zeros.
const MESSAGE: [u8; 7] = [0x81, 0x81, 0, 0, 0, 0, b'0'];

#[test]
fn all_that_is_pushed_is_written_to_a_slow_client_and_all_that_it_says_is_read() {
    check(|| {
        let manager = manager(false);
        let (session, mut client, connection) = connect(&manager, 6);
        let flusher = future::spawn({
            let common = manager.common.clone();
            async move { common.flusher.run().await }
        });
        let pusher = thread::spawn({
            let session = session.clone();
            move || {
                for number in 0..3 {
                    session.push_in_turn(Frame::text(format!("b{number}")));
                }
            }
        });
        let opener = thread::spawn({
            let (manager, session) = (manager.clone(), session.clone());
            move || {
                manager.handler.is_ready.store(true, Ordering::Release);
                session.resume_reading();
            }
        });
        let texts = future::block_on(async {
            client.write_all(&MESSAGE[..6]).await.unwrap();
            client.write_all(&MESSAGE[6..]).await.unwrap();
            read(&mut client, 4).await
        });
        let of = |name| texts.iter().filter(|text| text.starts_with(name)).cloned().collect::<Vec<_>>();
        assert_eq!(of('b'), ["b0", "b1", "b2"]);
        assert_eq!(of('r'), ["r0"]);
        pusher.join().unwrap();
        opener.join().unwrap();
        drop(client);
        future::block_on(connection).unwrap();
        assert_eq!(session.closed(), Some(CloseReason::Lost));
        flusher.abort();
    });
}

#[test]
fn a_connection_ends_whoever_ends_it_while_a_sweep_goes_on() {
    const PATIENCE: Patience = Patience {
        idle: Duration::ZERO,
        linger: Duration::ZERO,
        abandoned: Duration::MAX,
        window: Duration::MAX,
        unproven: Duration::MAX,
        away: Duration::MAX,
        period: Duration::ZERO,
    };
    check(|| {
        let manager = manager(true);
        let (session, client, connection) = connect(&manager, 6);
        let pusher = thread::spawn({
            let session = session.clone();
            move || {
                session.push(Frame::text("b0"));
                session.push(Frame::text("b1"));
            }
        });
        let closer = thread::spawn({
            let session = session.clone();
            move || session.close(CloseReason::Disconnected)
        });
        // The first finds the session idle, the next ones that it lingers: nobody reads at the other end.
        for now in 1..4 {
            manager.registry.sweep(Tick(now), PATIENCE, None);
        }
        future::block_on(connection).unwrap();
        pusher.join().unwrap();
        closer.join().unwrap();
        assert_eq!(manager.registry.len(), 0);
        drop(client);
    });
}

#[test]
fn who_waits_for_room_is_woken_by_the_connection_of_a_plain_session() {
    check(|| {
        let manager = narrow_manager();
        let (session, mut client, connection) = connect(&manager, 6);
        let pusher = future::spawn(push_when_ready(session.clone(), 4));
        let texts = future::block_on(read(&mut client, 4));
        assert_eq!(texts, ["b0", "b1", "b2", "b3"]);
        future::block_on(pusher).unwrap();
        drop(client);
        future::block_on(connection).unwrap();
    });
}

#[test]
fn who_waits_for_room_is_woken_by_the_connection_of_a_resumable_session() {
    check(|| {
        let manager = narrow_manager();
        let session = resumable(&manager);
        let attachment = session.core().session.attach();
        let greeting = "!opened".to_owned();
        let attached =
            Attached { session: session.clone(), attachment, sent: Seq(0), taken: Seq(0), greeting };
        let (mut client, server) = tokio::io::duplex(6);
        let connection = Connection::attached(server, manager.clone(), attached, Vec::new());
        let connection = future::spawn(async move { drop(connection.await) });
        let pusher = future::spawn(push_when_ready(session.clone(), 4));
        let texts = future::block_on(async {
            client.read_exact(&mut [0; 9]).await.unwrap();
            read(&mut client, 4).await
        });
        assert_eq!(texts, ["b0", "b1", "b2", "b3"]);
        future::block_on(pusher).unwrap();
        drop(client);
        future::block_on(connection).unwrap();
    });
}

/// Pushes the states of one thing, and reads until the newest has come.
fn tell_states(session: &Session, client: &mut DuplexStream) {
    const STATES: usize = 4;
    let pusher = thread::spawn({
        let session = session.clone();
        move || {
            for number in 0..STATES {
                let policy = Policy::Latest(Key::new("a"));
                session.push(Frame::text(format!("b{number}")).with_policy(policy));
            }
        }
    });
    let newest = format!("b{}", STATES - 1);
    let mut last = String::new();
    while last != newest {
        let state = future::block_on(read(client, 1)).remove(0);
        assert!(last < state, "{state} came behind {last}");
        last = state;
    }
    pusher.join().unwrap();
}

/// A state that is being written stays what it is, and the newer one waits behind it.
#[test]
fn the_newest_state_comes_though_an_older_one_is_being_written_of_a_plain_session() {
    check(|| {
        let manager = manager(true);
        let (session, mut client, connection) = connect(&manager, 6);
        tell_states(&session, &mut client);
        drop(client);
        future::block_on(connection).unwrap();
    });
}

#[test]
fn the_newest_state_comes_though_an_older_one_is_being_written_of_a_resumable_session() {
    check(|| {
        let manager = manager(true);
        let session = resumable(&manager);
        let attachment = session.core().session.attach();
        let greeting = "!opened".to_owned();
        let attached =
            Attached { session: session.clone(), attachment, sent: Seq(0), taken: Seq(0), greeting };
        let (mut client, server) = tokio::io::duplex(6);
        let connection = Connection::attached(server, manager.clone(), attached, Vec::new());
        let connection = future::spawn(async move { drop(connection.await) });
        future::block_on(client.read_exact(&mut [0; 9])).unwrap();
        tell_states(&session, &mut client);
        drop(client);
        future::block_on(connection).unwrap();
    });
}

/// The session ends before there is room.
#[test]
fn who_waits_for_room_learns_that_there_will_be_none() {
    check(|| {
        let manager = narrow_manager();
        let (session, client, connection) = connect(&manager, 6);
        let waiter = future::spawn({
            let session = session.clone();
            async move {
                while poll_fn(|cx| session.poll_ready(cx)).await {
                    let _ = session.try_push(Frame::text("b0"), None);
                }
            }
        });
        let closer = thread::spawn({
            let session = session.clone();
            move || session.close(CloseReason::Disconnected)
        });
        future::block_on(waiter).unwrap();
        closer.join().unwrap();
        drop(client);
        future::block_on(connection).unwrap();
    });
}

#[test]
fn a_connection_learns_that_another_carries_the_session_though_nobody_reads_it() {
    check(|| {
        let manager = manager(true);
        let session = resumable(&manager);
        let attachment = session.core().session.attach();
        let attached = Attached {
            session: session.clone(),
            attachment,
            sent: Seq(0),
            taken: Seq(0),
            greeting: "!opened".to_owned(),
        };
        let (client, server) = tokio::io::duplex(6);
        let connection = Connection::attached(server, manager.clone(), attached, Vec::new());
        let connection = future::spawn(async move { drop(connection.await) });
        let pusher = thread::spawn({
            let session = session.clone();
            move || session.push(Frame::text("b0"))
        });
        // The client comes back by another way, as `Manager::resume` has it.
        {
            let mut core = session.core();
            core.session.resume(Seq(0)).unwrap();
            core.attached(Transport::Sse);
        }
        future::block_on(connection).unwrap();
        pusher.join().unwrap();
        assert!(session.closed().is_none(), "it goes on elsewhere");
        drop(client);
    });
}

#[test]
fn a_frame_that_two_connections_bring_is_taken_once_and_in_its_turn() {
    check(|| {
        let manager = manager(true);
        let session = resumable(&manager);
        let connections = ["a socket", "a post"].map(|_| {
            let (manager, session) = (manager.clone(), session.clone());
            thread::spawn(move || {
                for number in 0..3_u64 {
                    let message = number.to_string();
                    manager.take(&session, Seq(number + 1), Message::Text(&message)).unwrap();
                }
            })
        });
        for connection in connections {
            connection.join().unwrap();
        }
        assert_eq!(manager.handler.received.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn a_post_that_waits_for_the_handler_goes_on() {
    check(|| {
        let manager = manager(false);
        let session = LiveSession::new(manager.common.clone(), Transport::Longpoll, Kind::Plain, ());
        let session = manager.enter(session).unwrap();
        let post = future::spawn({
            let (manager, session) = (manager.clone(), session.clone());
            async move { manager.until_ready(&session).await }
        });
        let attachment = thread::spawn({
            let session = session.clone();
            move || session.core().detach(Tick(1))
        });
        manager.handler.is_ready.store(true, Ordering::Release);
        session.resume_reading();
        future::block_on(post).unwrap();
        attachment.join().unwrap();
    });
}

/// The sweeper and the connection end the session; its client comes back meanwhile.
#[test]
fn a_client_that_comes_back_to_a_session_as_it_ends_is_told_why() {
    check(|| {
        let manager = manager(true);
        let session = resumable(&manager);
        let attachment = session.core().session.attach();
        let Resumable { serial, secret, .. } = *session.resumable().unwrap();
        let token = Token { slot: session.slot.get(), serial, secret };
        let token = manager.marks.write(TokenKind::Session, &token.bytes());
        session.close(CloseReason::Disconnected);
        let enders: [Box<dyn FnOnce() + Send>; 2] = {
            let (sweeper, connection) = (manager.clone(), manager.clone());
            let (swept, carried) = (session.clone(), session.clone());
            [
                Box::new(move || sweeper.end_resumable(&swept)),
                Box::new(move || connection.detach(&carried, attachment)),
            ]
        };
        let enders = enders.map(thread::spawn);
        for _ in 0..3 {
            let Err(Denied::Refused(rejection)) = manager.find(&token) else { panic!("it is closed") };
            assert_eq!(rejection.word, Refused::Closed);
            thread::yield_now();
        }
        for ender in enders {
            ender.join().unwrap();
        }
    });
}

/// A session is frozen, and goes to another node or is taken back, while frames come both ways: what carries it ends, what was taken was handed on,
/// and what was queued is there.
#[test]
fn whatever_happens_as_a_session_is_frozen_its_connection_ends_and_each_frame_is_somewhere() {
    check(|| {
        let manager = manager(true);
        let session = resumable(&manager);
        let attachment = session.core().session.attach();
        let greeting = "!opened".to_owned();
        let attached =
            Attached { session: session.clone(), attachment, sent: Seq(0), taken: Seq(0), greeting };
        let (mut client, server) = tokio::io::duplex(16);
        let connection = Connection::attached(server, manager.clone(), attached, Vec::new());
        let connection = future::spawn(async move { drop(connection.await) });
        let pusher = thread::spawn({
            let session = session.clone();
            move || (0..2).filter(|_| session.push(Frame::text("b0")) == Pushed::Queued).count()
        });
        let sweeper = thread::spawn({
            let manager = manager.clone();
            move || {
                let patience = Patience {
                    idle: Duration::MAX,
                    linger: Duration::ZERO,
                    abandoned: Duration::MAX,
                    window: Duration::from_secs(1_000),
                    unproven: Duration::from_secs(1_000),
                    away: Duration::from_secs(1_000),
                    period: Duration::ZERO,
                };
                for now in 1..3 {
                    manager.registry.sweep(Tick(now), patience, None);
                }
            }
        });
        future::block_on(client.write_all(&MESSAGE)).unwrap();
        assert!(session.hold_still());
        future::block_on(session.settled());
        let taken = session.core().session.last_taken();
        session.freeze().unwrap();
        let received = manager.handler.received.load(Ordering::Relaxed);
        assert_eq!(taken, Seq(received as u64), "all that was counted was handed on");
        let goes = shuttle::rand::Rng::gen_bool(&mut shuttle::rand::thread_rng(), 0.5);
        if goes {
            assert_eq!(session.release_frozen(), Some(None));
        } else {
            assert!(session.take_back());
        }
        future::block_on(connection).unwrap();
        let (queued, since) = (pusher.join().unwrap(), manager.handler.received.load(Ordering::Relaxed));
        if goes {
            assert_eq!(since, received, "nothing is taken since");
        } else {
            // What it had read may still come by the connection that was cut.
            assert_eq!(session.core().session.last_taken(), Seq(since as u64));
            assert_eq!(session.core().session.last_pushed(), Seq((queued + since) as u64));
        }
        sweeper.join().unwrap();
        drop(client);
    });
}
