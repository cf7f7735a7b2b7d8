//! Reading the body of a POST, and doing what its lines say.

use std::{sync::Arc, task::Poll};

use http::StatusCode;
use tokio::time::{Instant, timeout_at};

use crate::{
    bodies::inbound::{Held, Inbound, InboundLimits, Unread},
    close::CloseReason,
    dialect::{
        client::{ClientControl, ClientLine},
        post::{PostError, lines},
    },
    handler::Handler,
    http::body::RequestBody,
    live::{LiveSession, clock::Clock, resumable::Turns, waking::Due},
    manager::{Manager, taking::Rejected},
    options::ResumeOptions,
    session::Seq,
};

/// Bytes of a body that make it large: a session has one such at a time.
const LARGE_BYTES: usize = 64 * 1024;

/// A request that cannot be taken: the status of its answer, and why.
pub(super) struct RequestError {
    pub(super) status: StatusCode,
    pub(super) reason: String,
}

/// Begins to read a body within its bounds.
pub(super) fn begin<'a, B: RequestBody>(
    body: B,
    options: &ResumeOptions,
    clock: &'a Clock,
) -> Inbound<'a, B> {
    let limits = InboundLimits { bytes_max: options.body_bytes_max, timeout: options.body_timeout };
    Inbound::new(body, limits, clock)
}

/// Reads a session's body, which is counted as the session's. `None` if a newer one took its place, or the session is over.
pub(super) async fn read<H: Handler, B: RequestBody>(
    body: &mut Inbound<'_, B>,
    session: &Arc<LiveSession<H::State>>,
    options: &ResumeOptions,
) -> Result<Option<(Vec<u8>, Held<H::State>)>, RequestError> {
    let mut held = Held::new(session.clone());
    let turns = session.resumable().map(|resumable| &resumable.large_body);
    let mut turn = None;
    let read = body.all(|capacity| {
        if let Some(turns) = turns.filter(|_| capacity > LARGE_BYTES) {
            let turn = *turn.get_or_insert_with(|| turns.take());
            if !turns.is_newest(turn) {
                return Err(Unread::Unwanted);
            }
        }
        held.resize(capacity)
    });
    match read.await {
        Ok(body) => Ok(Some((body, held))),
        Err(Unread::Unwanted) => Ok(None),
        Err(unread) => Err(RequestError::unread(unread, options)),
    }
}

/// Whether all was done that the lines of a POST say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// All, or as much as the session's count says.
    Done,
    /// The handler takes nothing for now.
    Busy,
}

/// Does what checked lines say. Frames are taken until one is missing, the handler takes no more for a while, or the session is
/// over; the session's count then says how far it went. Cancel safe: frames are taken one by one.
///
/// One POST of a session waits for the handler, the newest: the client has given up those before, whose answers it may never have
/// got.
pub(super) async fn apply<H: Handler>(
    manager: &Manager<H>,
    session: &Arc<LiveSession<H::State>>,
    text: &str,
) -> Applied {
    session.touch();
    let until = Instant::now() + manager.resume_options().ready_timeout;
    let mut turn = None;
    let mut next = Seq(0);
    for line in lines(text) {
        // They were checked, so that none is missing.
        let Ok(line) = line else { break };
        match line {
            ClientLine::Control(ClientControl::From(first)) => next = first,
            ClientLine::Control(ClientControl::Ack(received)) => session.acknowledge(received),
            ClientLine::Control(ClientControl::Ping) => {
                let mut core = session.core();
                core.due.set(Due::PONG);
                core.wake();
            }
            ClientLine::Control(ClientControl::Close) => session.close(CloseReason::Client),
            ClientLine::Control(ClientControl::Path { round_trip, failures }) => {
                session.set_path(round_trip, failures);
            }
            _ => {
                let Some(message) = line.message() else { continue };
                // One that is held still just now waits for its turn again.
                let taken = loop {
                    if !until_ready(manager, session, &mut turn, until).await {
                        return Applied::Busy;
                    }
                    match manager.take(session, next, message) {
                        Err(Rejected::Still) => {}
                        taken => break taken,
                    }
                };
                if taken.is_err() {
                    break;
                }
                next.0 += 1;
                // A body has thousands of lines; other tasks get their turn between them.
                tokio::task::coop::consume_budget().await;
            }
        }
    }
    Applied::Done
}

/// Does what checked lines say, from `from` on in a body, behind the answer, which then says how far that went.
pub(super) async fn apply_behind<H: Handler>(
    manager: Arc<Manager<H>>,
    session: Arc<LiveSession<H::State>>,
    (body, _held): (Vec<u8>, Held<H::State>),
    from: usize,
) {
    let Ok(text) = std::str::from_utf8(&body[from..]) else { return };
    let applied = apply(&manager, &session, text).await;
    let mut core = session.core();
    core.due.set(if applied == Applied::Busy { Due::BUSY } else { Due::ACK });
    core.wake();
}

/// Waits until the handler takes another message. False when it takes too long, or a newer POST waits.
async fn until_ready<H: Handler>(
    manager: &Manager<H>,
    session: &Arc<LiveSession<H::State>>,
    turn: &mut Option<u32>,
    until: Instant,
) -> bool {
    if session.closed().is_some() || manager.is_ready(session) {
        return true;
    }
    let Some(turns) = session.resumable().map(|resumable| &resumable.waiting_post) else {
        return true;
    };
    let turn = *turn.get_or_insert_with(|| turns.take());
    timeout_at(until, wait_in_turn(manager, session, turns, turn)).await.unwrap_or(false)
}

async fn wait_in_turn<H: Handler>(
    manager: &Manager<H>,
    session: &LiveSession<H::State>,
    turns: &Turns,
    turn: u32,
) -> bool {
    std::future::poll_fn(|cx| {
        if !turns.is_newest(turn) {
            return Poll::Ready(false);
        }
        // The waker is left first, so that a change between the two lines is not missed.
        session.core().wait_to_read(cx);
        if session.closed().is_none() && !manager.is_ready(session) {
            return Poll::Pending;
        }
        // Left there, it would say that somebody waits.
        session.core().stop_waiting_to_read();
        Poll::Ready(true)
    })
    .await
}

impl RequestError {
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    /// Says why a body was not read.
    pub(super) fn unread(unread: Unread, options: &ResumeOptions) -> Self {
        match unread {
            Unread::TooLarge => {
                let reason = format!("at most {} bytes", options.body_bytes_max);
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, reason)
            }
            Unread::LineTooLong => bad("too long for who has no session"),
            Unread::TooLate => Self::new(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
            Unread::OverBudget => Self::new(StatusCode::SERVICE_UNAVAILABLE, "too much is held for clients"),
            Unread::Cut | Unread::Unwanted => bad("the body ended early"),
        }
    }
}

impl From<PostError> for RequestError {
    fn from(error: PostError) -> Self {
        let status = match error {
            PostError::TooManyLines(_) => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

/// A request that the dialect does not allow.
pub(super) fn bad(reason: &str) -> RequestError {
    RequestError::new(StatusCode::BAD_REQUEST, reason)
}
