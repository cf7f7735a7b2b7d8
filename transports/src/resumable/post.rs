//! The body of a POST: a line that says what it is for, and more that come with it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::timeout;

use super::{
    admission::Rejected,
    lines::{Breach, ClientControl, ClientLine},
};
use crate::{
    body::RequestBody, clock::Clock, close::CloseReason, handler::Handler, live::LiveSession,
    manager::Manager, options::ResumeOptions, session::Seq,
};

/// How long a POST waits for a channel that is busy, before it says how far it came.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

/// A request that cannot be taken: its status, and why.
pub(super) type Refusal = (StatusCode, String);

/// Reads a body within its bounds.
pub(super) async fn read<B: RequestBody>(
    body: B,
    options: &ResumeOptions,
    clock: &Clock,
) -> Result<Bytes, Refusal> {
    let body = std::pin::pin!(Limited::new(body, options.body_bytes_max));
    match clock.timeout(options.body_timeout, body.collect()).await {
        Some(Ok(body)) => Ok(body.to_bytes()),
        Some(Err(error)) if error.is::<LengthLimitError>() => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, format!("at most {} bytes", options.body_bytes_max)))
        }
        Some(Err(_)) => Err((StatusCode::BAD_REQUEST, "the body ended early".into())),
        None => Err((StatusCode::REQUEST_TIMEOUT, "the body took too long".into())),
    }
}

/// The lines of a body: all of them are sound, or none counts.
pub(super) fn parse<'a>(
    body: &'a [u8],
    options: &ResumeOptions,
) -> Result<(ClientControl<'a>, Vec<ClientLine<'a>>), Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| bad("the body is no UTF-8"))?;
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    let ClientLine::Control(first) = ClientLine::parse(first).map_err(breach)? else {
        return Err(bad("the first line does not say what the body is for"));
    };
    let mut rest = Vec::new();
    for line in lines {
        let line = ClientLine::parse(line).map_err(breach)?;
        if line == ClientLine::Nothing {
            continue;
        }
        if rest.len() == options.lines_max {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, format!("at most {} lines", options.lines_max)));
        }
        rest.push(line);
    }
    Ok((first, rest))
}

/// Whether these lines may follow `!send` or `!resume`: frames have numbers, and nothing is begun.
pub(super) fn check(lines: &[ClientLine<'_>]) -> Result<(), Refusal> {
    let mut is_numbered = false;
    for line in lines {
        match line {
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
    Ok(())
}

/// Does what checked lines say. Frames are taken until one is missing, the handler takes no more, or the session is over;
/// the session's count then says how far it went. Cancel safe: frames are taken one by one.
pub(super) async fn apply<H: Handler>(
    manager: &Manager<H>,
    session: &Arc<LiveSession<H::State>>,
    lines: &[ClientLine<'_>],
) {
    session.touch();
    let _posting = match &session.resumable {
        Some(resumable) => Some(resumable.posting.lock().await),
        None => None,
    };
    let mut next = Seq(0);
    for line in lines {
        match line {
            ClientLine::Control(ClientControl::From(first)) => next = *first,
            ClientLine::Control(ClientControl::Ack(received)) => {
                session.core().session.handle_receipt(*received);
            }
            ClientLine::Control(ClientControl::Ping) => {
                let mut core = session.core();
                core.due.pong = true;
                core.wake();
            }
            ClientLine::Control(ClientControl::Close) => session.close(CloseReason::Client),
            _ => {
                let Some(message) = line.message() else { continue };
                if timeout(READY_TIMEOUT, manager.until_ready(session)).await.is_err() {
                    return;
                }
                match manager.take(session, next, message) {
                    Ok(()) => next.0 += 1,
                    Err(Rejected::Early | Rejected::Closed) => return,
                }
            }
        }
    }
}

fn bad(reason: &str) -> Refusal {
    (StatusCode::BAD_REQUEST, reason.to_owned())
}

fn breach(breach: Breach) -> Refusal {
    bad(&breach.to_string())
}
