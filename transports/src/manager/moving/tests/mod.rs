//! What becomes of sessions that go from node to node, call by call. `tests/moving/` has the same with clients.

mod staying;

use std::sync::Mutex;

use http::{Request, request::Parts};

use super::*;
use crate::{
    connect::{ConnectRequest, Refusal},
    dialect::{rejection::Rejection, server::Refused},
    elsewhere::{
        Carried, CarriedBody, CarriedSocket, Carrying, CarryingSocket, Elsewhere, Marks, NotCarried,
        TAG_BYTES,
    },
    frame::{Frame, Message},
    manager::{admission::Attached, taking::Rejected},
    options::{ResumeOptions, TransportOptions},
    session::{Pushed, Seq, life::Tick, outbox::OutboxLimits},
};

/// Notes its calls.
#[derive(Default)]
struct Diary(Mutex<Vec<String>>);

impl Diary {
    fn note(&self, note: impl Into<String>) {
        self.0.lock().unwrap().push(note.into());
    }

    fn notes(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Handler for Diary {
    type State = ();

    async fn connect(&self, _: ConnectRequest) -> Result<(), Refusal> {
        Ok(())
    }

    fn received(&self, _: &Arc<LiveSession<()>>, message: Message<'_>) -> Result<(), CloseReason> {
        if let Message::Text(text) = message {
            self.note(text);
        }
        Ok(())
    }

    fn away(&self, _: &Arc<LiveSession<()>>) {
        self.note("away");
    }

    fn back(&self, _: &Arc<LiveSession<()>>) {
        self.note("back");
    }

    fn closed(&self, _: &Arc<LiveSession<()>>, reason: CloseReason) {
        self.note(format!("closed: {}", reason.word()));
    }
}

struct Node(u64);

const FOLLOW_AFTER: Duration = Duration::from_secs(60);

impl Elsewhere for Node {
    fn here(&self) -> u64 {
        self.0
    }

    fn tag(&self, _: &[u8]) -> [u8; TAG_BYTES] {
        [7; TAG_BYTES]
    }

    fn is_reachable(&self) -> bool {
        true
    }

    fn follow_after(&self) -> Option<Duration> {
        Some(FOLLOW_AFTER)
    }

    fn carry(&self, _: u64, _: Transport, _: Request<CarriedBody>) -> Carrying {
        Box::pin(async { Err(NotCarried::Later) })
    }

    fn carry_socket(&self, _: u64, socket: CarriedSocket) -> CarryingSocket {
        Box::pin(async { Err((NotCarried::Later, socket.io)) })
    }
}

type Shared = Arc<Manager<Diary>>;

fn node_with(number: u64, options: TransportOptions) -> Shared {
    Arc::new(Manager::among(Diary::default(), options, Marks::new(Some(Arc::new(Node(number))))))
}

fn node(number: u64) -> Shared {
    node_with(number, TransportOptions::default().resume(ResumeOptions::default()))
}

fn parts() -> Parts {
    Request::get("/").body(()).unwrap().into_parts().0
}

/// A session with its token, opened at a node by a WebSocket.
async fn open(manager: &Shared) -> (Attached<Diary>, String) {
    let attached = manager.open(Transport::Websocket, parts(), None, 30_000).await.unwrap();
    let token = attached.greeting.split(' ').nth(1).unwrap().to_owned();
    (attached, token)
}

async fn resume(manager: &Shared, token: &str, received: u64) -> Result<Attached<Diary>, Denied> {
    manager.resume(Transport::Websocket, (parts(), None), token, Seq(received), 30_000).await
}

/// Takes it from one node to another.
fn moved(from: &Shared, session: &Session<Diary>, to: &Shared) -> Session<Diary> {
    assert!(session.hold_still());
    let bytes = from.freeze(session).unwrap();
    let reserved = to.reserve(()).unwrap();
    to.thaw(&reserved, &bytes, &|_, _| None).unwrap();
    assert_eq!(from.release(session, to.marks.here()), None);
    assert!(to.adopt(&reserved));
    reserved
}

/// The token that a client is given with a resume.
fn given(attached: &Attached<Diary>) -> Option<String> {
    let line = attached.greeting.lines().nth(1)?;
    Some(line.strip_prefix("!token ").unwrap().to_owned())
}

fn word(denied: Denied) -> Refused {
    match denied {
        Denied::Refused(rejection) => rejection.word,
        Denied::Later => panic!("it is told to come later"),
    }
}

fn waiting(session: &Session<Diary>) -> Vec<String> {
    let core = session.core();
    core.session.waiting().map(|frame| String::from_utf8(frame.payload().to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn a_session_that_is_held_still_takes_no_frame_until_it_goes_on() {
    let one = node(1);
    let (Attached { session, .. }, _) = open(&one).await;
    one.take(&session, Seq(1), Message::Text("a")).unwrap();
    assert!(session.hold_still());
    assert!(!session.hold_still(), "one at a time takes it away");
    assert!(!one.is_ready(&session));
    assert_eq!(one.take(&session, Seq(2), Message::Text("b")), Err(Rejected::Still));
    assert_eq!(session.core().session.last_taken(), Seq(1), "it is not counted");
    assert_eq!(session.push(Frame::text("down")), Pushed::Queued, "frames to the client flow");
    session.go_on();
    assert!(one.is_ready(&session));
    one.take(&session, Seq(2), Message::Text("b")).unwrap();
    assert_eq!(one.handler.notes(), ["a", "b"]);
    assert!(session.core().moving_is_none(), "nothing of it is left");
}

#[tokio::test]
async fn a_session_goes_to_another_node_with_all_that_waits_and_leaves_nothing_behind() {
    let (one, two) = (node(1), node(2));
    let (Attached { session, attachment, .. }, token) = open(&one).await;
    one.take(&session, Seq(1), Message::Text("up 1")).unwrap();
    for frame in ["down 1", "down 2"] {
        session.push(Frame::text(frame));
    }
    session.hold_still();
    let bytes = one.freeze(&session).unwrap();
    assert_eq!(session.push(Frame::text("for a session that stays")), Pushed::Queued);
    assert_eq!(one.take(&session, Seq(2), Message::Text("up 2")), Err(Rejected::Still));
    assert_eq!((session.closed(), session.is_attached()), (None, false));
    let reserved = two.reserve(()).unwrap();
    assert_eq!(reserved.push(Frame::text("down 3")), Pushed::Queued);
    two.thaw(&reserved, &bytes, &|_, _| None).unwrap();
    assert_eq!(waiting(&reserved), ["down 1", "down 2", "down 3"]);
    assert!(two.thaw(&reserved, &bytes, &|_, _| None).is_err(), "it comes once");
    assert!(matches!(two.find(&token), Err(Denied::Later)), "it is not here yet, and is not unknown");
    assert_eq!(one.release(&session, 2), None);
    assert!(two.adopt(&reserved));
    assert_eq!((one.registry.len(), two.registry.len()), (0, 1));
    assert_eq!((one.common.counters.gone_elsewhere(), two.common.counters.come_from_elsewhere()), (1, 1));
    // Those who had it hear nothing, whatever they do with it.
    session.close(CloseReason::Disconnected);
    one.end_session(&session, CloseReason::Disconnected);
    one.detach(&session, attachment);
    assert_eq!(one.handler.notes(), ["up 1"]);
    assert_eq!(one.take(&session, Seq(2), Message::Text("up 2")), Err(Rejected::Gone));
    let attached = resume(&two, &token, 1).await.unwrap();
    assert_eq!(attached.taken, Seq(1));
    assert_eq!(waiting(&reserved), ["down 2", "down 3"]);
    two.take(&reserved, Seq(1), Message::Text("up 1")).unwrap();
    two.take(&reserved, Seq(2), Message::Text("up 2")).unwrap();
    assert_eq!(two.handler.notes(), ["up 2"]);
}

#[tokio::test]
async fn a_session_that_is_taken_back_goes_on_as_if_its_connection_was_cut() {
    let one = node(1);
    let (Attached { session, attachment, .. }, token) = open(&one).await;
    session.push(Frame::text("down 1"));
    session.hold_still();
    one.freeze(&session).unwrap();
    let waits = tokio::spawn({
        let (one, token) = (one.clone(), token.clone());
        async move {
            one.until_decided(&token).await.unwrap();
            resume(&one, &token, 0).await.map(|attached| attached.greeting)
        }
    });
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    assert!(session.core().is_suspended(attachment));
    one.take_back(&session);
    assert!(session.core().is_cut(attachment) || waits.is_finished());
    assert_eq!(waits.await.unwrap().unwrap(), "!resumed 0");
    assert!(!session.core().is_cut(attachment), "another attachment carries it now");
    assert_eq!(session.push(Frame::text("down 2")), Pushed::Queued);
    assert_eq!(waiting(&session), ["down 1", "down 2"]);
    assert_eq!((one.registry.len(), one.handler.notes().len()), (1, 0));
}

#[tokio::test]
async fn what_is_pushed_while_a_session_is_frozen_it_has_if_it_stays() {
    let limits = OutboxLimits::default().frames_max(3);
    let one = node_with(1, TransportOptions::default().resume(ResumeOptions::default()).outbox(limits));
    let (Attached { session, .. }, token) = open(&one).await;
    session.push(Frame::text("down 1"));
    one.freeze(&session).unwrap();
    assert_eq!(session.push(Frame::text("down 2")), Pushed::Queued);
    assert_eq!(session.try_push(Frame::text("down 3"), None), Pushed::Queued);
    assert_eq!(session.try_push(Frame::text("no room"), None), Pushed::Full);
    one.take_back(&session);
    assert_eq!(waiting(&session), ["down 1", "down 2", "down 3"]);
    resume(&one, &token, 1).await.unwrap();
    assert_eq!(waiting(&session), ["down 2", "down 3"]);

    // More than may wait, as ever.
    one.freeze(&session).unwrap();
    assert_eq!(session.push(Frame::text("down 4")), Pushed::Queued);
    assert_eq!((session.push(Frame::text("no room")), session.closed()), (Pushed::Closed, None));
    one.take_back(&session);
    assert_eq!(session.closed(), Some(CloseReason::TooSlow));
    let held = one.common.budget.held();
    drop(session);
    assert!(one.common.budget.held() <= held);
}

#[tokio::test]
async fn a_session_that_is_closed_while_it_is_frozen_is_closed_where_it_goes_on() {
    let (one, two) = (node(1), node(2));
    let (Attached { session, .. }, _) = open(&one).await;
    one.freeze(&session).unwrap();
    session.close_with(CloseReason::Dismissed, "for good");
    session.close(CloseReason::Disconnected);
    assert_eq!(session.closed(), None);
    one.take_back(&session);
    assert_eq!(session.closed(), Some(CloseReason::Dismissed), "the first reason counts");
    assert_eq!(session.last_words(CloseReason::Dismissed).as_deref(), Some("for good"));
    assert_eq!(one.freeze(&session), Err(NotFrozen::Over));

    // Words for a session that is over already are for nobody.
    session.close_with(CloseReason::Disconnected, "too late");
    assert_eq!(session.last_words(CloseReason::Disconnected), None);

    let (Attached { session, .. }, _) = open(&one).await;
    one.freeze(&session).unwrap();
    session.close_with(CloseReason::Disconnected, "the password has changed");
    assert_eq!(one.release(&session, two.marks.here()), Some(CloseReason::Disconnected));
}

/// What is to be said to the client of a session is known by where that lies, and another may lie there next.
#[tokio::test]
async fn what_is_said_to_the_client_of_one_session_is_said_to_no_other() {
    let one = node(1);
    for _ in 0..100 {
        let (Attached { session, .. }, _) = open(&one).await;
        one.freeze(&session).unwrap();
        session.close_with(CloseReason::Disconnected, "the password has changed");
        one.release(&session, 2);
        drop(session);
        let (Attached { session, .. }, _) = open(&one).await;
        session.close_with(CloseReason::Disconnected, "");
        assert_eq!(session.last_words(CloseReason::Disconnected), None);
    }
}

/// Whoever waited at the other node is carried here as soon as that knows that the session is taken, and may be faster than what takes it in.
#[tokio::test]
async fn who_looks_for_a_session_that_is_about_to_be_taken_in_comes_later() {
    let (one, two) = (node(1), node(2));
    let (Attached { session, .. }, token) = open(&one).await;
    let bytes = one.freeze(&session).unwrap();
    let reserve = || {
        let reserved = two.reserve(()).unwrap();
        two.thaw(&reserved, &bytes, &|_, _| None).unwrap();
        reserved
    };
    let given_up = reserve();
    assert!(matches!(resume(&two, &token, 0).await, Err(Denied::Later)));
    let reserved = reserve();
    two.discard(&given_up);
    assert!(matches!(resume(&two, &token, 0).await, Err(Denied::Later)), "it comes with another offer");
    two.discard(&reserved);
    assert_eq!(word(two.find(&token).err().unwrap()), Refused::Unknown, "it does not come");
    let reserved = reserve();
    one.release(&session, 2);
    assert!(two.adopt(&reserved) && resume(&two, &token, 0).await.is_ok());
    reserved.close(CloseReason::Disconnected);
    two.end_session(&reserved, CloseReason::Disconnected);
    assert_eq!(word(two.find(&token).err().unwrap()), Refused::Closed);
}

#[tokio::test]
async fn who_is_sent_away_while_their_session_comes_is_told_so() {
    let (one, two) = (node(1), node(2));
    let (Attached { session, .. }, token) = open(&one).await;
    let bytes = one.freeze(&session).unwrap();
    let reserved = two.reserve(()).unwrap();
    reserved.close_with(CloseReason::Dismissed, "for good");
    two.thaw(&reserved, &bytes, &|_, _| None).unwrap();
    one.release(&session, 2);
    assert!(!two.adopt(&reserved));
    let Err(Denied::Refused(told)) = two.find(&token).map(drop) else { panic!("it is not there") };
    assert_eq!(told, Rejection::of_ended(CloseReason::Dismissed, Some("for good")));
    assert_eq!((two.registry.len(), two.foreign.count()), (0, 0));
}

#[tokio::test]
async fn a_session_is_found_by_the_tokens_of_all_nodes_that_had_it() {
    let (one, two, three) = (node(1), node(2), node(3));
    let (Attached { session, .. }, first) = open(&one).await;
    let at_two = moved(&one, &session, &two);
    let attached = resume(&two, &first, 0).await.unwrap();
    let second = given(&attached).unwrap();
    assert_eq!(given(&resume(&two, &second, 0).await.unwrap()), None, "it has that token");
    let at_three = moved(&two, &at_two, &three);
    let third = given(&resume(&three, &first, 0).await.unwrap()).unwrap();
    assert_eq!(given(&resume(&three, &second, 0).await.unwrap()).as_ref(), Some(&third));
    // Each node leads there that it knows of.
    assert_eq!(one.owner(TokenKind::Session, &first, &parts()), Some(2));
    assert_eq!(two.owner(TokenKind::Session, &first, &parts()), Some(3));
    assert_eq!(two.owner(TokenKind::Session, &second, &parts()), Some(3));
    assert_eq!(three.owner(TokenKind::Session, &first, &parts()), None);
    // It comes back to the first one.
    let at_one = moved(&three, &at_three, &one);
    for token in [&first, &second, &third] {
        assert_eq!(one.owner(TokenKind::Session, token, &parts()), None);
        assert!(Arc::ptr_eq(&one.find(token).unwrap(), &at_one));
    }
    assert!(given(&resume(&one, &first, 0).await.unwrap()).is_some(), "its number is another now");
    // It ends, and whoever comes late is told so.
    at_one.close(CloseReason::Disconnected);
    one.end_session(&at_one, CloseReason::Disconnected);
    for token in [&first, &second, &third] {
        assert_eq!(word(one.find(token).err().unwrap()), Refused::Closed);
    }
    assert_eq!(one.foreign.count(), 0);
}

#[tokio::test]
async fn what_was_carried_here_for_a_session_that_has_gone_comes_later_and_goes_no_further() {
    let (one, two) = (node(1), node(2));
    let (Attached { session, .. }, token) = open(&one).await;
    moved(&one, &session, &two);
    let mut carried = parts();
    carried.extensions.insert(Carried { by: 2 });
    assert_eq!(one.owner(TokenKind::Session, &token, &carried), None);
    assert!(matches!(one.find(&token), Err(Denied::Later)));
    assert!(matches!(resume(&one, &token, 0).await, Err(Denied::Later)));
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_a_session_is_frozen_waits_for_a_while_and_so_many_do() {
    let one = node(1);
    let (Attached { session, .. }, token) = open(&one).await;
    one.freeze(&session).unwrap();
    let waiting: Vec<_> = (0..30)
        .map(|_| {
            let (one, token) = (one.clone(), token.clone());
            tokio::spawn(async move {
                let start = tokio::time::Instant::now();
                let later = one.until_decided(&token).await;
                assert!(matches!(later, Err(Denied::Later)));
                start.elapsed()
            })
        })
        .collect();
    let mut at_once = 0;
    for waited in waiting {
        at_once += usize::from(waited.await.unwrap() < DECISION_TIMEOUT);
    }
    assert_eq!(at_once, 30 - 16);
    assert!(matches!(resume(&one, &token, 0).await, Err(Denied::Later)), "and not unknown");
}

#[tokio::test]
async fn the_time_under_way_is_nobodys_silence() {
    let (one, two) = (node(1), node(2));
    let (Attached { session, attachment, .. }, token) = open(&one).await;
    session.core().session.handle_proof();
    one.detach(&session, attachment);
    let sweep = |manager: &Shared, seconds: u32| {
        manager.common.clock.set(Tick(seconds * 1_000));
        manager.sweep(Tick(seconds * 1_000), manager.patience());
    };
    sweep(&one, 50);
    let bytes = one.freeze(&session).unwrap();
    // Long enough for what was closed to be over.
    for seconds in [1_000, 1_010, 1_020] {
        sweep(&one, seconds);
    }
    assert_eq!((session.closed(), one.registry.len()), (None, 1), "a frozen session has no time");
    one.take_back(&session);
    sweep(&one, 1_029);
    assert_eq!(session.closed(), None);
    sweep(&one, 1_033);
    assert_eq!(session.closed(), Some(CloseReason::Expired));

    sweep(&two, 7_000);
    let reserved = two.reserve(()).unwrap();
    two.thaw(&reserved, &bytes, &|_, _| None).unwrap();
    sweep(&two, 8_000);
    assert!(two.adopt(&reserved));
    sweep(&two, 8_009);
    assert_eq!(reserved.closed(), None);
    sweep(&two, 8_013);
    assert_eq!(reserved.closed(), Some(CloseReason::Expired));
    assert_eq!(word(two.find(&token).err().unwrap()), Refused::Expired);
}

#[tokio::test]
async fn a_client_that_is_away_is_so_on_the_other_node() {
    let options = || {
        let resume = ResumeOptions::default().away_after(Duration::from_secs(5));
        TransportOptions::default().resume(resume)
    };
    let (one, two) = (node_with(1, options()), node_with(2, options()));
    let (Attached { session, attachment, .. }, token) = open(&one).await;
    session.core().session.handle_proof();
    one.detach(&session, attachment);
    one.common.clock.set(Tick(30_000));
    one.sweep(Tick(30_000), one.patience());
    let at_two = moved(&one, &session, &two);
    assert_eq!(one.handler.notes(), ["away"]);
    assert_eq!(two.handler.notes(), ["away"]);
    drop(at_two);
    resume(&two, &token, 0).await.unwrap();
    assert_eq!(two.handler.notes(), ["away", "back"]);
}

#[tokio::test]
async fn a_session_for_which_there_is_no_room_is_discarded_and_its_handler_told() {
    let (one, full) = (node(1), node_with(2, TransportOptions::default().sessions_max(1)));
    let (Attached { session, .. }, _) = open(&one).await;
    let bytes = one.freeze(&session).unwrap();
    let reserved = full.reserve(()).unwrap();
    full.thaw(&reserved, &bytes, &|_, _| None).unwrap();
    assert!(full.reserve(()).is_none(), "it has the last place");
    full.discard(&reserved);
    assert!(!full.adopt(&reserved) && !full.adopt(&reserved));
    assert_eq!(full.handler.notes(), ["closed: draining"], "once");
    assert_eq!((reserved.push(Frame::text("a")), full.registry.len()), (Pushed::Closed, 0));

    let two = node(2);
    let bytes = {
        one.take_back(&session);
        one.freeze(&session).unwrap()
    };
    two.parting.cancel();
    let reserved = two.reserve(()).unwrap();
    assert!(!two.adopt(&reserved), "nothing has come");
    let reserved = two.reserve(()).unwrap();
    two.thaw(&reserved, &bytes, &|_, _| None).unwrap();
    assert!(!two.adopt(&reserved), "it has gone down");
    assert_eq!(two.handler.notes(), ["closed: draining", "closed: draining"]);
    assert_eq!((two.foreign.count(), two.common.counters.come_from_elsewhere()), (0, 0));
}

#[tokio::test]
async fn sessions_that_are_frozen_as_their_mount_ends_end_with_it() {
    let one = node(1);
    let (Attached { session, .. }, _) = open(&one).await;
    one.freeze(&session).unwrap();
    one.end_all();
    assert_eq!(one.handler.notes(), ["closed: draining"]);
    assert_eq!((one.registry.len(), session.closed()), (0, Some(CloseReason::Draining)));
}

#[tokio::test]
async fn what_a_frozen_session_holds_is_given_back_when_it_has_gone() {
    let (one, two) = (node(1), node(2));
    let (Attached { session, .. }, _) = open(&one).await;
    for _ in 0..100 {
        session.push(Frame::binary(vec![0; 2_000]));
    }
    session.hold(5_000).unwrap();
    assert!(one.common.budget.held() > 200_000);
    let reserved = moved(&one, &session, &two);
    drop(session);
    assert_eq!(one.common.budget.held(), 0);
    assert_eq!(waiting_count(&reserved), 100);
    assert!(two.common.budget.held() > 200_000, "and is held where it is now");
    reserved.close(CloseReason::Client);
    two.end_session(&reserved, CloseReason::Client);
    drop(reserved);
    assert_eq!(two.common.budget.held(), 0);
}

#[tokio::test]
async fn a_node_that_holds_as_much_as_it_may_takes_no_session() {
    let resume = ResumeOptions::default();
    let two = node_with(2, TransportOptions::default().resume(resume).budget_bytes_max(100_000));
    assert!(two.reserve(()).is_some());
    let charge = two.common.budget.charge(90_000);
    assert!(two.reserve(()).is_none());
    drop(charge);
    assert!(two.reserve(()).is_some());
}

fn waiting_count(session: &Session<Diary>) -> usize {
    session.core().session.waiting().count()
}

#[tokio::test]
async fn only_what_is_open_and_resumable_moves_and_only_among_nodes() {
    let one = node(1);
    let (Attached { session, .. }, _) = open(&one).await;
    let (Attached { session: closed, .. }, _) = open(&one).await;
    closed.close(CloseReason::Client);
    let plain = LiveSession::new(one.common.clone(), Transport::Websocket, Kind::Plain, ());
    let plain = one.enter(plain).unwrap();
    let movable = one.movable();
    assert!(movable.len() == 1 && Arc::ptr_eq(&movable[0], &session));
    for session in [&closed, &plain] {
        assert!(!session.hold_still());
        assert_eq!(one.freeze(session), Err(NotFrozen::Over));
    }
    let alone = Arc::new(Manager::new(
        Diary::default(),
        TransportOptions::default().resume(ResumeOptions::default()),
    ));
    let (Attached { session, .. }, _) = open(&alone).await;
    assert!(alone.movable().is_empty());
    assert_eq!(alone.freeze(&session), Err(NotFrozen::Over));
}

#[tokio::test]
async fn a_request_for_a_session_that_has_gone_on_before_its_node_died_comes_later() {
    let (one, two) = (node(1), node(2));
    let (Attached { session, .. }, token) = open(&one).await;
    assert_eq!(two.not_carried(NotCarried::Gone, 1, &token), NotCarried::Gone);
    moved(&one, &session, &two);
    assert_eq!(two.not_carried(NotCarried::Gone, 1, &token), NotCarried::Later, "it is here");
    assert_eq!(one.not_carried(NotCarried::Gone, 3, &token), NotCarried::Later, "it is elsewhere");
    assert_eq!(one.not_carried(NotCarried::Gone, 2, &token), NotCarried::Gone);
}

#[tokio::test]
async fn a_session_that_is_let_in_has_its_place() {
    let (one, two) = (node(1), node_with(2, TransportOptions::default().sessions_max(1)));
    let (Attached { session, .. }, _) = open(&one).await;
    let reserved = two.reserve(()).unwrap();
    assert!(two.reserve(()).is_none(), "another one would find no place when it comes");
    assert!(two.open(Transport::Websocket, parts(), None, 30_000).await.is_err(), "nor who is new");
    two.discard(&reserved);
    moved(&one, &session, &two);
    assert!(two.reserve(()).is_none());
    assert_eq!(two.registry.len(), 1);
}

/// Its node has promised to take it, and the other one has let go of it.
#[tokio::test]
async fn a_session_that_comes_as_its_node_begins_to_go_down_goes_on_from_there() {
    let (one, two, three) = (node(1), node(2), node(3));
    let (Attached { session, .. }, token) = open(&one).await;
    let reserved = two.reserve(()).unwrap();
    let bytes = one.freeze(&session).unwrap();
    two.thaw(&reserved, &bytes, &|_, _| None).unwrap();
    one.release(&session, two.marks.here());
    two.draining.cancel();
    assert!(two.adopt(&reserved) && reserved.closed().is_none());
    moved(&two, &reserved, &three);
    assert!(resume(&three, &token, 0).await.is_ok());
}
