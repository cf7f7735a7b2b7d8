//! The body of a POST: a line that says what it is for, and more that come with it.

use std::{sync::Arc, task::Poll};

use http::StatusCode;
use tokio::time::{Instant, timeout_at};

use super::{
    Turns,
    admission::Rejected,
    lines::{Breach, ClientControl, ClientLine},
};
use crate::{
    body::RequestBody,
    clock::Clock,
    close::CloseReason,
    handler::Handler,
    inbound::{Held, Inbound, InboundLimits, Unread},
    live::{Due, LiveSession},
    manager::Manager,
    options::ResumeOptions,
    session::Seq,
};

/// Bytes of a body that make it large: a session has one such at a time.
const LARGE_BYTES: usize = 64 * 1024;

/// A request that cannot be taken: its status, and why.
pub(crate) type Refusal = (StatusCode, String);

/// Begins to read a body within its bounds.
pub(super) fn begin<'a, B: RequestBody>(
    body: B,
    options: &ResumeOptions,
    clock: &'a Clock,
) -> Inbound<'a, B> {
    let limits = InboundLimits { bytes_max: options.body_bytes_max, timeout: options.body_timeout };
    Inbound::new(body, limits, clock)
}

/// What a first line says the body is for.
pub(super) fn purpose(first: &[u8]) -> Result<ClientControl<'_>, Refusal> {
    let first = std::str::from_utf8(first).map_err(|_| bad("the body is no UTF-8"))?;
    match ClientLine::parse(without_return(first)).map_err(breach)? {
        ClientLine::Control(first) => Ok(first),
        _ => Err(bad("the first line does not say what the body is for")),
    }
}

/// Reads a session's body, which is counted as the session's. `None` if a newer one took its place, or the session is over.
pub(super) async fn read<H: Handler, B: RequestBody>(
    body: &mut Inbound<'_, B>,
    session: &Arc<LiveSession<H::State>>,
    options: &ResumeOptions,
) -> Result<Option<(Vec<u8>, Held<H::State>)>, Refusal> {
    let mut held = Held::new(session.clone());
    let turns = session.resumable.as_ref().map(|resumable| &resumable.large_body);
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
        Err(unread) => Err(refusal(unread, options)),
    }
}

/// What the first line of a body is for, and the lines after it, of which it is not known whether they are sound.
pub(crate) fn parse(body: &[u8]) -> Result<(ClientControl<'_>, &str), Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| bad("the body is no UTF-8"))?;
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    Ok((purpose(first.as_bytes())?, rest))
}

/// The lines of a text, each read when it is its turn: no more than one of them is decoded at a time.
fn lines(text: &str) -> impl Iterator<Item = Result<ClientLine<'_>, Breach>> {
    let lines = text.split('\n').map(|line| ClientLine::parse(without_return(line)));
    lines.filter(|line| *line != Ok(ClientLine::Nothing))
}

/// The only line of a text, if it is a control line.
pub(super) fn only_line(text: &str) -> Option<ClientControl<'_>> {
    let mut lines = lines(text);
    match (lines.next()?, lines.next()) {
        (Ok(ClientLine::Control(control)), None) => Some(control),
        _ => None,
    }
}

/// How many lines may follow `!send` or `!resume`, if all of them are sound: frames have numbers, and nothing is begun. If one
/// is not, none counts.
pub(crate) fn check(text: &str, options: &ResumeOptions) -> Result<usize, Refusal> {
    let (mut is_numbered, mut count) = (false, 0);
    for line in lines(text) {
        if count == options.lines_max {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, format!("at most {} lines", options.lines_max)));
        }
        count += 1;
        match line.map_err(breach)? {
            ClientLine::Control(ClientControl::From(_)) => is_numbered = true,
            ClientLine::Control(ClientControl::Ack(_) | ClientControl::Ping | ClientControl::Close)
            | ClientLine::Nothing => {}
            ClientLine::Control(_) => return Err(bad("a control line that has no place here")),
            ClientLine::Text(_) | ClientLine::Binary(_) if !is_numbered => {
                return Err(bad("frames without a number"));
            }
            ClientLine::Text(_) | ClientLine::Binary(_) => {}
        }
    }
    Ok(count)
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
            _ => {
                let Some(message) = line.message() else { continue };
                if !until_ready(manager, session, &mut turn, until).await {
                    return Applied::Busy;
                }
                match manager.take(session, next, message) {
                    Ok(()) => next.0 += 1,
                    Err(Rejected::Early | Rejected::Closed) => break,
                }
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
    let Some(turns) = session.resumable.as_ref().map(|resumable| &resumable.waiting_post) else {
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

/// The status that says why a body was not read.
pub(super) fn refusal(unread: Unread, options: &ResumeOptions) -> Refusal {
    match unread {
        Unread::TooLarge => {
            (StatusCode::PAYLOAD_TOO_LARGE, format!("at most {} bytes", options.body_bytes_max))
        }
        Unread::LineTooLong => bad("too long for who has no session"),
        Unread::TooLate => (StatusCode::REQUEST_TIMEOUT, "the body took too long".into()),
        Unread::OverBudget => (StatusCode::SERVICE_UNAVAILABLE, "too much is held for clients".into()),
        Unread::Cut | Unread::Unwanted => bad("the body ended early"),
    }
}

fn without_return(line: &str) -> &str {
    line.strip_suffix('\r').unwrap_or(line)
}

fn bad(reason: &str) -> Refusal {
    (StatusCode::BAD_REQUEST, reason.to_owned())
}

fn breach(breach: Breach) -> Refusal {
    bad(&breach.to_string())
}
