//! Phoenix's long-poll dialect: a GET without a session creates one, a GET with its token waits for frames, a
//! POST carries messages in.
//!
//! ```text
//!   client                                  server
//!     │ GET                                   │  connect
//!     │◀───────────── 410, token ─────────────│
//!     │ GET token          (waits)            │
//!     │                     POST token, lines │  received, line by line
//!     │◀───────────── 200 ────────────────────│
//!     │◀───────────── 200, token', messages ──│  first frame, or 204 after the window
//!     │ GET token'    (proves receipt)        │
//! ```

mod bodies;
mod carrying;
pub(crate) mod held;
pub mod ndjson;
mod reply;
pub(crate) mod token;

use std::{
    sync::{Arc, atomic::Ordering},
    task::Poll,
};

use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{ACCESS_CONTROL_REQUEST_HEADERS, CONTENT_TYPE},
    request::Parts,
};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use self::{
    bodies::Bodies,
    carrying::{carry_poll, carry_post},
    ndjson::Line,
    reply::Status,
    token::Token,
};
use crate::{
    bodies::{
        inbound::{Held, Inbound, InboundLimits, Unread},
        pieces::Form,
        writing::{Around, Layout, Span, Writing},
    },
    close::CloseReason,
    connect::Transport,
    elsewhere::{Carried, Kind as TokenKind, TOKEN_BYTES_MAX, Whose},
    forms::Forms,
    frame::Message,
    handler::Handler,
    http::{
        body::{Body, RequestBody, ResponseFuture, ready},
        encoding::Encoding,
    },
    live::{Kind, LiveSession, poller::Poller, waking::Core},
    manager::{Manager, dice},
    options::LongpollOptions,
    session::{Attachment, Seq},
};

/// A session that a token led to.
type Found<H> = (Arc<LiveSession<<H as Handler>::State>>, Token);

/// Frames as the messages of an answer.
const MESSAGES: Layout = Layout { form: Form::of_json, separator: b',', is_terminator: false };

/// What woke a waiting poll.
enum Woken {
    Frames(Span),
    Closed(CloseReason),
    Superseded,
}

/// Answers a request of the long-poll transport.
pub(crate) fn respond<H: Handler, B: RequestBody>(
    manager: &Arc<Manager<H>>,
    request: Request<B>,
) -> ResponseFuture {
    let (parts, body) = request.into_parts();
    if !manager.allows_origin(&parts) {
        return ready(reply::status(Status::Forbidden, None));
    }
    // A browser asks so with the session's token: any node can tell.
    if parts.method == Method::OPTIONS {
        return ready(reply::preflight(parts.headers.get(ACCESS_CONTROL_REQUEST_HEADERS)));
    }
    if let Some(owner) = token_of(&parts).and_then(|token| manager.owner(TokenKind::Polled, token, &parts)) {
        return match parts.method {
            Method::GET => later(carry_poll(manager.clone(), owner, parts)),
            Method::POST => later(carry_post(manager.clone(), owner, parts, body)),
            _ => ready(reply::unknown_method()),
        };
    }
    match parts.method {
        Method::GET => match find_session(manager, &parts) {
            Some(found) => {
                let encoding = Encoding::agree(manager.longpoll_options().gzips(), &parts.headers);
                match parts.extensions.get::<Carried>().and_then(|_| with_cursor(manager, &found)) {
                    Some(token) => {
                        ready(encoding.said(false, reply::no_messages(Status::NoMessages, &token)))
                    }
                    None => later(poll_session(manager.clone(), found, encoding)),
                }
            }
            None => later(create_session(manager.clone(), parts)),
        },
        Method::POST => match find_session(manager, &parts) {
            Some(found) => later(publish(manager.clone(), found, parts.headers, body)),
            None => ready(reply::status(Status::Gone, None)),
        },
        _ => ready(reply::unknown_method()),
    }
}

/// The request's token. The header wins over the query.
fn token_of(parts: &Parts) -> Option<&str> {
    let header = parts.headers.get("x-phoenix-longpoll-token").and_then(|value| value.to_str().ok());
    header.or_else(|| token_in_query(parts.uri.query()?))
}

/// The live session that the request's token leads to.
fn find_session<H: Handler>(manager: &Manager<H>, parts: &Parts) -> Option<Found<H>> {
    let mut bytes = [0; TOKEN_BYTES_MAX + 2];
    let (Whose::Here, says) = manager.marks.read(TokenKind::Polled, token_of(parts)?, &mut bytes)? else {
        return None;
    };
    let token = Token::of_bytes(says)?;
    let session = manager.registry.get(token.slot)?;
    let live = session.poller()?.secret.matches(&token.secret) && !is_over(&session);
    live.then_some((session, token))
}

/// Makes a response's future of one that cannot fail.
fn later(response: impl Future<Output = Response<Body>> + Send + 'static) -> ResponseFuture {
    Box::pin(async move { Ok(response.await) })
}

async fn create_session<H: Handler>(manager: Arc<Manager<H>>, parts: Parts) -> Response<Body> {
    let auth_token = manager.auth_token(&parts);
    // What the first messages are compressed for: its polls will accept the same.
    let forms = Encoding::agree(manager.longpoll_options().gzips(), &parts.headers).forms(Forms::STRINGS);
    // A balancer asks another server then; a stock client takes it for an error, and tries again.
    if manager.check_open().is_err() {
        return reply::later();
    }
    let state = match manager.connect(Transport::Longpoll, false, parts, auth_token).await {
        Ok(state) => state,
        // Stock clients understand no other refusal.
        Err(refusal) => {
            let reason = (!refusal.body.is_empty()).then(|| refusal.line());
            return reply::status(Status::Forbidden, reason);
        }
    };
    let Some(secret) = dice::secret() else {
        return reply::refused(StatusCode::INTERNAL_SERVER_ERROR, "the server could draw no secret");
    };
    let kind = Kind::Polled(Box::new(Poller::new(secret)));
    let session = LiveSession::new(manager.common.clone(), Transport::Longpoll, kind, state);
    let Some(session) = manager.enter(session) else {
        return reply::later();
    };
    session.set_forms(forms);
    manager.opened(&session);
    let token = Token { slot: session.slot.get(), secret, cursor: None };
    // A session of which its client never heard ends at once.
    let token = manager.marks.write(TokenKind::Polled, &token.bytes());
    let Around { mut head, tail } = reply::around(Status::Gone, &token);
    head.extend_from_slice(&tail);
    reply::json(Body::delivered_or(head, move || {
        session.close(CloseReason::Lost);
        manager.end_session(&session, CloseReason::Lost);
    }))
}

/// A token that says what was received, for a client that has none and was given nothing yet: once, as there are clients whose token never changes.
///
/// The first one says nothing of it, and what is handed to the next poll with it counts as received. What is handed to a poll that another node
/// carries can be lost with that node, so that its client gets the token first.
fn with_cursor<H: Handler>(manager: &Manager<H>, (session, token): &Found<H>) -> Option<String> {
    let poller = session.poller()?;
    let is_first = token.cursor.is_none() && poller.handed_out.load(Ordering::Relaxed) == 0;
    if !is_first || poller.has_cursor.swap(true, Ordering::Relaxed) {
        return None;
    }
    session.touch();
    let token = Token { cursor: Some(Seq(0)), ..*token };
    Some(manager.marks.write(TokenKind::Polled, &token.bytes()))
}

/// Waits for frames. Cancel safe: what is not proven received stays in the session.
async fn poll_session<H: Handler>(
    manager: Arc<Manager<H>>,
    found: Found<H>,
    encoding: Encoding,
) -> Response<Body> {
    let (session, mut token) = found;
    session.touch();
    let attachment = attach(&session, &token);
    session.set_forms_of(attachment, encoding.forms(Forms::STRINGS));
    let options = manager.longpoll_options();
    let text = |token: &Token| manager.marks.write(TokenKind::Polled, &token.bytes());
    let woken = timeout(options.window, next_frames(&session, attachment, options.answer_bytes_max)).await;
    session.touch();
    match woken {
        Ok(Woken::Frames(span)) => {
            if let Some(poller) = session.poller() {
                poller.handed_out.store(span.last.0, Ordering::Relaxed);
            }
            token.cursor = Some(span.last);
            let around = reply::around(Status::Ok, &text(&token));
            Writing::answer((session, attachment), (MESSAGES, span), around, (), (encoding, reply::json))
        }
        Ok(Woken::Closed(reason)) => {
            manager.end_session(&session, reason);
            let words = session.last_words(reason);
            match reason {
                // After "gone" a stock client opens another session with the token that it has.
                CloseReason::LoginExpired | CloseReason::Dismissed => {
                    let words = reason.plain_words(words.as_deref());
                    reply::status(Status::Forbidden, Some(words.to_owned()))
                }
                _ => encoding.said(false, reply::no_messages(Status::Gone, &text(&token))),
            }
        }
        Ok(Woken::Superseded) | Err(_) => {
            encoding.said(false, reply::no_messages(Status::NoMessages, &text(&token)))
        }
    }
}

async fn publish<H: Handler, B: RequestBody>(
    manager: Arc<Manager<H>>,
    (session, _): Found<H>,
    headers: HeaderMap,
    body: B,
) -> Response<Body> {
    let options = manager.longpoll_options();
    // A client that sends is there, even if a long message keeps it from polling.
    session.touch();
    let mut held = Held::new(session.clone());
    let Some(poller) = session.poller() else { return reply::status(Status::Gone, None) };
    let mut bodies = Bodies::new(poller, options.body_bytes_max);
    let body = match read_body(body, &manager, &mut held, &mut bodies).await {
        Ok(body) => body,
        Err(unread) => return reply::unread(unread),
    };
    let lines = match read_lines(&headers, &body, options) {
        Ok(lines) => lines,
        Err(ndjson::NdjsonError::TooManyLines { .. }) => {
            // Nothing was applied and the session lives: the client may send the lines in two.
            let reason = format!("at most {} messages in one request", options.batch_max);
            return reply::status(Status::TooLarge, Some(reason));
        }
        Err(error) => {
            session.close(CloseReason::BadMessage);
            manager.end_session(&session, CloseReason::BadMessage);
            return reply::status(Status::BadMessage, Some(error.to_string()));
        }
    };
    // Bytes were decoded from text; they take at most as much again.
    if held.resize(2 * body.capacity()).is_err() {
        return reply::later();
    }
    session.touch();
    // One limit for the whole body, the time behind other bodies included.
    let end = Instant::now() + options.window;
    let Ok(_receiving) = timeout_at(end, poller.receiving.lock()).await else {
        return reply::status(Status::TimedOut, None);
    };
    for line in &lines {
        let in_time = timeout_at(end, manager.until_ready(&session)).await;
        if in_time.is_err() {
            return reply::status(Status::TimedOut, None);
        }
        if let Some(refusal) = hand_on(&manager, &session, line.message()) {
            return refusal;
        }
        // A body has thousands of messages; other tasks get their turn between them.
        tokio::task::coop::consume_budget().await;
    }
    reply::status(Status::Ok, None)
}

/// Hands on a message; the answer, if it is the last one.
fn hand_on<H: Handler>(
    manager: &Manager<H>,
    session: &Arc<LiveSession<H::State>>,
    message: Message<'_>,
) -> Option<Response<Body>> {
    let mut core = session.core();
    if core.calls().is_over() || has_ended(&core) {
        return Some(reply::status(Status::Gone, None));
    }
    let reason = manager.hand_on(session, core, message).err()?;
    manager.end_session(session, reason);
    Some(reply::status(Status::BadMessage, Some("the message could not be decoded".into())))
}

/// A session is over once it is closed and nothing is left that a poll could still fetch.
fn is_over<S>(session: &LiveSession<S>) -> bool {
    has_ended(&session.core())
}

fn has_ended(core: &Core) -> bool {
    core.session.closed().is_some_and(|reason| is_lossy(reason) || core.session.is_drained())
}

/// Whether frames were dropped at the end, so that those that are left are worth nothing.
fn is_lossy(reason: CloseReason) -> bool {
    matches!(reason, CloseReason::TooSlow | CloseReason::OverBudget)
}

/// Takes over from an older poll, and learns from the token what has been received.
fn attach<S>(session: &LiveSession<S>, token: &Token) -> Attachment {
    let handed_out = session.poller().map_or(0, |poller| poller.handed_out.load(Ordering::Relaxed));
    let received = token.cursor.unwrap_or(Seq(handed_out));
    let mut core = session.core();
    core.session.handle_receipt(received);
    core.note_room(&session.common.outbox);
    let attachment = core.session.attach();
    core.attached(Transport::Longpoll);
    attachment
}

/// Waits for something to tell the poll. Cancel safe: frames stay in the session until a later poll proves
/// that they were received.
async fn next_frames<S>(session: &LiveSession<S>, attachment: Attachment, bytes_max: usize) -> Woken {
    std::future::poll_fn(|cx| {
        let mut core = session.core();
        if !core.session.is_current(attachment) {
            return Poll::Ready(Woken::Superseded);
        }
        match core.session.closed() {
            Some(reason) if is_lossy(reason) || core.session.is_drained() => {
                return Poll::Ready(Woken::Closed(reason));
            }
            _ => {}
        }
        if core.session.is_drained() {
            core.park(cx);
            return Poll::Pending;
        }
        let received = core.session.last_received();
        Poll::Ready(Woken::Frames(MESSAGES.span(&mut core, &session.common.outbox, received, bytes_max)))
    })
    .await
}

/// Reads a body, which is counted as the session's. All bodies of a session together have a bound, too: its POSTs are handled
/// one after the other, and those that wait hold theirs.
async fn read_body<H: Handler, B: RequestBody>(
    body: B,
    manager: &Manager<H>,
    held: &mut Held<H::State>,
    bodies: &mut Bodies<'_>,
) -> Result<Vec<u8>, Unread> {
    let options = manager.longpoll_options();
    let limits = InboundLimits { bytes_max: options.body_bytes_max, timeout: options.body_timeout };
    let mut body = Inbound::new(body, limits, &manager.common.clock);
    let read = body.all(|capacity| bodies.resize(capacity).and_then(|()| held.resize(capacity))).await;
    if let Err(unread) = read {
        debug!(?unread, "long-poll POST refused: its body could not be read");
    }
    read
}

/// The messages of a POST: NDJSON has one in each line, anything else is one text.
fn read_lines<'a>(
    headers: &HeaderMap,
    body: &'a [u8],
    options: &LongpollOptions,
) -> Result<Vec<Line<'a>>, ndjson::NdjsonError> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/x-ndjson") {
        ndjson::split(body, options.batch_max)
    } else {
        ndjson::single(body).map(|line| vec![line])
    }
}

fn token_in_query(query: &str) -> Option<&str> {
    // The token's alphabet needs no percent-encoding; a token that has any is not one of ours.
    query.split('&').rev().find_map(|pair| pair.strip_prefix("token="))
}

impl<'a> Line<'a> {
    fn message(&'a self) -> Message<'a> {
        match self {
            Line::Text(text) => Message::Text(text),
            Line::Binary(bytes) => Message::Binary(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        frame::Frame,
        live::Common,
        policy::{Few, Key, Policy, Told},
        session::{Pushed, life::Tick},
    };

    fn one_of_two(text: &str) -> Frame {
        let tell = |dropped: u64| Some(Told { is_text: true, payload: dropped.to_string().into() });
        Frame::text(text).with_policy(Policy::Few(Few::new(Key::new("k"), 2, tell).into()))
    }

    /// Its answer is on the way, and not proven: only the next sweep can tell whether it is late again.
    #[tokio::test]
    async fn a_client_whose_poll_comes_behind_the_sweep_is_late_no_more() {
        let secret = dice::secret().unwrap();
        let kind = Kind::Polled(Box::new(Poller::new(secret)));
        let session = LiveSession::new(Common::boundless(), Transport::Longpoll, kind, ());
        session.push(Frame::text("old"));
        (0..2).for_each(|seconds| session.core().note_waiting(Tick(1000 * (seconds + 1))));
        assert_eq!(
            (0..3).map(|n| session.push(one_of_two(&n.to_string()))).last(),
            Some(Pushed::Displaced(1))
        );

        let attachment = attach(&session, &Token { slot: 0, secret, cursor: None });
        let Woken::Frames(span) = next_frames(&session, attachment, usize::MAX).await else {
            panic!("no frames")
        };
        assert_eq!(span.last, session.core().session.last_pushed());
        let burst: Vec<_> = (0..5).map(|n| session.push(one_of_two(&n.to_string()))).collect();
        assert_eq!(burst, [Pushed::Queued; 5]);
    }
}
