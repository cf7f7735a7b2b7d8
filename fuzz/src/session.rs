//! A server with low limits, and a client that does with its sessions what an input says.

use std::{
    collections::VecDeque,
    future::Future,
    pin::{Pin, pin},
    task::{self, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use lapwing::{
    Channel, Context, Failure, Handled, Joining, Lapwing, LapwingService, LeaveReason, LongpollOptions,
    MailboxLimits, Mount, OutboxLimits, Payload, ResumeOptions, Topic, WebsocketOptions, noreply, reply,
    transports::body::Body,
};
use tower_service::Service as _;

/// Low, so that an input of a few bytes reaches them.
pub const JOINS_MAX: usize = 4;
pub const SESSIONS_MAX: usize = 3;
pub const BODY_BYTES_MAX: usize = 16 * 1024;
pub const LINES_MAX: usize = 32;
const FRAMES_MAX: usize = 100;
const FRAMES_BYTES_MAX: usize = 16 * 1024;
pub const OUTBOX: OutboxLimits = OutboxLimits::new()
    .frames_max(FRAMES_MAX)
    .bytes_max(FRAMES_BYTES_MAX)
    .unacknowledged_frames_max(FRAMES_MAX)
    .unacknowledged_bytes_max(FRAMES_BYTES_MAX);
pub const MAILBOX_BYTES_MAX: usize = 4 * 1024;
/// Polls that a client leaves unread at a time.
pub const UNREAD_MAX: usize = 8;

/// What each part may hold beside what is counted above: a session, a join with its channel and topic, a frame.
const SESSION_BYTES: usize = 8 * 1024;
const JOIN_BYTES: usize = 6 * 1024;
const FRAME_BYTES: usize = 256;

/// What a server may hold for its clients at these limits. One message more than the limit says may wait in each outbox
/// and mailbox, so that none is too large to be delivered at all; a request is held with its answer.
/// Of each session one more message is read while a mailbox is full, for the heartbeats before it.
pub const HELD_BYTES_MAX: usize = SESSIONS_MAX
    * (SESSION_BYTES + OUTBOX_BYTES + BODY_BYTES_MAX + JOINS_MAX * MAILBOX_BYTES)
    + UNREAD_MAX * 3 * BODY_BYTES_MAX
    + 2 * BUDGET_BYTES;
/// What the mount counts, beyond what its live sessions may hold: what clients sent whose sessions are over, and which their
/// channels still take their time with. Counted are the messages; tasks and tables come to as much at most.
pub const BUDGET_BYTES: usize = 512 * 1024;
/// What waits to be sent, and as much that is not acknowledged.
const OUTBOX_BYTES: usize = 2 * (FRAMES_BYTES_MAX + BODY_BYTES_MAX + FRAMES_MAX * FRAME_BYTES);
const MAILBOX_BYTES: usize = JOIN_BYTES + MAILBOX_BYTES_MAX + BODY_BYTES_MAX;

/// Allocations that a line of a body and a request may make, whatever they say.
pub const ALLOCATIONS_PER_LINE: usize = 64;
pub const ALLOCATIONS_PER_REQUEST: usize = 256;
/// And a second in which nothing comes: the sweep looks at each session, and says that a busy one is.
pub const ALLOCATIONS_PER_SECOND: usize = 32;

/// Answers at once.
struct Echo;

impl Channel for Echo {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_in(&mut self, _: &str, payload: Payload, _: &Context<Self>) -> Handled {
        Ok(reply("ok", payload))
    }
}

/// Takes its time for everything, its end among it.
struct Slow;

impl Channel for Slow {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        tokio::time::sleep(Duration::from_millis(500)).await;
        // Names that the protocol keeps for itself are refused.
        let _ = cx.broadcast(event, payload);
        Ok(noreply())
    }

    async fn leave(&mut self, _: LeaveReason, _: &Context<Self>) -> Result<(), Failure> {
        tokio::time::sleep(Duration::from_millis(2_000)).await;
        Ok(())
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, std::convert::Infallible>> + Send>>;

/// What a client has asked for and not read.
enum Unread {
    Asked(Answer),
    Answered(Response<Body>),
}

struct Session {
    token: String,
    /// The next frame of the client, and the last of the server that it has.
    next: u64,
    received: u64,
}

/// The server and its clients.
pub struct World {
    lapwing: Lapwing,
    service: LapwingService,
    sessions: Vec<Session>,
    unread: VecDeque<Unread>,
    /// Lines and requests so far.
    pub lines: usize,
    pub requests: usize,
}

impl World {
    pub fn new() -> Self {
        let mount = Mount::new()
            .channel::<Echo>("echo:*", ())
            .channel::<Slow>("slow:*", ())
            .joins_max(JOINS_MAX)
            .mailbox(MailboxLimits::new().messages_max(16).bytes_max(MAILBOX_BYTES_MAX))
            .budget(BUDGET_BYTES)
            .outbox(OUTBOX)
            .websocket(WebsocketOptions::default().message_bytes_max(BODY_BYTES_MAX))
            .longpoll(LongpollOptions::default().body_bytes_max(BODY_BYTES_MAX))
            .sessions_max(SESSIONS_MAX)
            .without_drain()
            .resume(
                ResumeOptions::default().body_bytes_max(BODY_BYTES_MAX).lines_max(LINES_MAX).ended_max(4),
            );
        let lapwing = Lapwing::builder().mount("/socket", mount).build().expect("the mount is sound");
        let service = lapwing.service();
        Self { lapwing, service, sessions: Vec::new(), unread: VecDeque::new(), lines: 0, requests: 0 }
    }

    /// Whether the client has no session, because it asked for none or because the server has ended them.
    pub fn has_none(&self) -> bool {
        self.sessions.is_empty()
    }

    /// How many sessions are live.
    pub fn sessions(&self) -> usize {
        self.lapwing.stats().sessions
    }

    pub async fn open(&mut self) {
        let answer = self.ask(b"!open 30".to_vec().into(), usize::MAX);
        let line = text(answer).await;
        let mut words = line.split_whitespace();
        if words.next() == Some("!opened") {
            let token = words.next().expect("an opened session has a token").to_owned();
            self.sessions.push(Session { token, next: 1, received: 0 });
        } else {
            assert!(line.starts_with("!refused"), "{line}");
        }
    }

    /// Sends lines in a body that comes in pieces of so many bytes.
    pub async fn send(&mut self, place: usize, lines: &[String], piece_bytes: usize) {
        self.lines += lines.len() + 2;
        let Some(session) = pick(&self.sessions, place) else { return };
        let mut body =
            format!("!send {}\n!from {}\n", self.sessions[session].token, self.sessions[session].next);
        body.push_str(&lines.join("\n"));
        let answer = self.ask(body.into(), piece_bytes);
        // A client that is not read from waits; this one gives up and asks again.
        let Some(line) = soon(text(answer)).await else { return };
        if let Some(taken) = line.strip_prefix("!ack ").and_then(|taken| taken.trim().parse::<u64>().ok()) {
            assert!(taken < self.sessions[session].next + lines.len() as u64);
            self.sessions[session].next = taken + 1;
        }
        if line.starts_with("!refused") {
            self.sessions.remove(session);
        }
    }

    /// Polls, and leaves the answer unread.
    pub async fn poll(&mut self, place: usize) {
        let Some(session) = pick(&self.sessions, place).map(|place| &self.sessions[place]) else { return };
        let body = format!("!resume {} {} 1", session.token, session.received);
        let answer = self.ask(body.into(), usize::MAX);
        self.keep(Unread::Asked(answer)).await;
    }

    /// Begins a body that does not end.
    pub async fn stall(&mut self, place: usize, bytes: usize, piece_bytes: usize) {
        let Some(session) = pick(&self.sessions, place).map(|place| &self.sessions[place]) else { return };
        let mut body = format!("!send {}\n!from {}\n", session.token, session.next);
        body.push_str(&"x".repeat(bytes.min(BODY_BYTES_MAX - body.len())));
        let body = Pieces { rest: body.into(), piece_bytes, ends: false };
        let answer = self.call(body);
        self.keep(Unread::Asked(answer)).await;
    }

    /// Reads the oldest answer, if there is one.
    pub async fn read(&mut self) {
        let body = match self.unread.pop_front() {
            None => return,
            Some(Unread::Asked(answer)) => soon(text(answer)).await,
            Some(Unread::Answered(response)) => soon(text(async { Ok(response) })).await,
        };
        let Some(body) = body else { return };
        let mut lines = body.lines();
        let Some(first) = lines.next() else { return };
        if first.starts_with("!resumed") {
            // Which session it was does not matter: too high a number is refused, and that is tried as well.
            let frames = lines.filter(|line| !line.starts_with('!')).count() as u64;
            if let Some(session) = self.sessions.first_mut() {
                session.received += frames;
            }
        }
    }

    /// Ends all that the clients hold, and the server, and waits until its tasks have noticed.
    pub async fn end(mut self) {
        self.unread.clear();
        for place in 0..self.sessions.len() {
            let body = format!("!send {}\n!close", self.sessions[place].token);
            let answer = self.ask(body.into(), usize::MAX);
            soon(text(answer)).await;
        }
        drop(self);
        wait(Duration::from_secs(10)).await;
    }

    fn ask(&mut self, body: Bytes, piece_bytes: usize) -> Answer {
        self.call(Pieces { rest: body, piece_bytes, ends: true })
    }

    fn call(&mut self, body: Pieces) -> Answer {
        self.requests += 1;
        // Over HTTP/1.1 the rest of a body that is refused is read into the void, for as long as it comes: here it would be
        // the client's bytes that are counted.
        let request =
            Request::post("/socket/longpoll?lapwing=1&vsn=2.0.0").version(Version::HTTP_2).body(body);
        Box::pin(self.service.call(request.expect("it is a request")))
    }

    /// Keeps what is not read, and lets the server come as far as it can with it.
    async fn keep(&mut self, unread: Unread) {
        if self.unread.len() == UNREAD_MAX {
            self.unread.pop_front();
        }
        self.unread.push_back(unread);
        for unread in &mut self.unread {
            if let Unread::Asked(answer) = unread
                && let Poll::Ready(Ok(response)) =
                    answer.as_mut().poll(&mut task::Context::from_waker(Waker::noop()))
            {
                *unread = Unread::Answered(response);
            }
        }
        tokio::task::yield_now().await;
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// Lets time pass, of which there is as much as anybody wants.
pub async fn wait(time: Duration) {
    tokio::time::sleep(time).await;
}

fn pick(sessions: &[Session], place: usize) -> Option<usize> {
    (!sessions.is_empty()).then(|| place % sessions.len())
}

/// What comes of something within a moment, if it does.
async fn soon<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_millis(1), pin!(future)).await.ok()
}

async fn text(answer: impl Future<Output = Result<Response<Body>, std::convert::Infallible>>) -> String {
    let Ok(response) = answer.await;
    let body = response.into_body();
    assert!(!body.is_end_stream() || body.size_hint().exact() == Some(0));
    // An answer that a newer one overtook is cut off; the client asks again.
    let Ok(body) = body.collect().await else { return String::new() };
    String::from_utf8(body.to_bytes().to_vec()).expect("an answer is text")
}

/// A body that comes in pieces, as on a slow network or from somebody who wants it so.
struct Pieces {
    rest: Bytes,
    piece_bytes: usize,
    ends: bool,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return if self.ends { Poll::Ready(None) } else { Poll::Pending };
        }
        let bytes = self.piece_bytes.clamp(1, self.rest.len());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(bytes)))))
    }
}
