//! The session dialect over HTTP: what a request is for, and who answers it.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::ACCESS_CONTROL_REQUEST_HEADERS, request::Parts};

use super::{
    VERSION, VERSION_PARAM, answer,
    lines::{CONTROL_BYTES_MAX, ClientControl, ClientLine, Refused, ServerControl},
    poll::Held,
    post,
};
use crate::{
    body::{Body, RequestBody, ResponseFuture, ready},
    connect::Transport,
    handler::Handler,
    manager::Manager,
    sse,
};

/// What becomes of a request.
enum Answer<H: Handler> {
    Now(Response<Body>),
    Poll(Held<H>, bool),
}

/// Whether a request is in this dialect.
pub(crate) fn is_spoken<B>(request: &Request<B>) -> bool {
    parameter(request.uri().query(), VERSION_PARAM).is_some()
}

/// Answers a request of the SSE or the long-poll wire. While it waits in a poll, the future holds neither the request
/// nor its body.
pub(crate) fn respond<H: Handler, B: RequestBody>(
    manager: Arc<Manager<H>>,
    wire: Transport,
    request: Request<B>,
) -> ResponseFuture {
    let (parts, body) = request.into_parts();
    if !manager.allows_origin(&parts) {
        return ready(answer::status(StatusCode::FORBIDDEN, "this origin may not connect"));
    }
    if parts.method == Method::OPTIONS {
        return ready(answer::preflight(parts.headers.get(ACCESS_CONTROL_REQUEST_HEADERS)));
    }
    if parameter(parts.uri.query(), VERSION_PARAM) != Some(VERSION) {
        return ready(answer::status(
            StatusCode::BAD_REQUEST,
            "lapwing=1 is the version that is spoken here",
        ));
    }
    Box::pin(async move {
        let answered = match parts.method {
            Method::POST => Box::pin(on_post(&manager, wire, parts, body)).await,
            Method::GET if wire == Transport::Sse => Box::pin(on_get(&manager, parts)).await,
            _ if wire == Transport::Sse => Ok(Answer::Now(answer::not_allowed("GET, POST, OPTIONS"))),
            _ => Ok(Answer::Now(answer::not_allowed("POST, OPTIONS"))),
        };
        Ok(match answered {
            Ok(Answer::Now(response)) => response,
            Ok(Answer::Poll(held, waits)) => held.answer(waits).await,
            Err((status, reason)) => answer::status(status, &reason),
        })
    })
}

async fn on_post<H: Handler, B: RequestBody>(
    manager: &Arc<Manager<H>>,
    wire: Transport,
    parts: Parts,
    body: B,
) -> Result<Answer<H>, post::Refusal> {
    let options = manager.resume_options();
    let body = post::read(body, options, &manager.common.clock).await?;
    let (first, rest) = post::parse(&body, options)?;
    match first {
        ClientControl::Ticket if wire == Transport::Sse => {
            let ticket = manager.tickets.issue(parts, ticket_line(&body, &rest)?);
            let Some(ticket) = ticket else { return Ok(refused(Refused::Full)) };
            Ok(Answer::Now(answer::line(ServerControl::Ticket(&ticket))))
        }
        ClientControl::Send { token } => {
            post::check(&rest)?;
            let session = match manager.find(token) {
                Ok(session) => session,
                Err(reason) => return Ok(refused(reason)),
            };
            post::apply(manager, &session, &rest).await;
            let taken = session.core().session.last_taken();
            Ok(Answer::Now(answer::line(ServerControl::Ack(taken))))
        }
        first => attach(manager, wire, parts, first, &rest).await,
    }
}

/// The line that a ticket is for, as a copy: ten thousand tickets may wait, so that none may keep a body.
fn ticket_line(body: &Bytes, rest: &[ClientLine<'_>]) -> Result<Bytes, post::Refusal> {
    let line =
        body.iter().position(|byte| *byte == b'\n').map_or(&[][..], |end| body[end + 1..].trim_ascii());
    let begins =
        matches!(rest, [ClientLine::Control(ClientControl::Open { .. } | ClientControl::Resume { .. })]);
    if !begins || line.len() > CONTROL_BYTES_MAX {
        return Err((StatusCode::BAD_REQUEST, "one line follows !ticket: !open or !resume".into()));
    }
    Ok(Bytes::copy_from_slice(line))
}

/// An `EventSource` comes with its ticket.
async fn on_get<H: Handler>(manager: &Arc<Manager<H>>, parts: Parts) -> Result<Answer<H>, post::Refusal> {
    let ticket = parameter(parts.uri.query(), "ticket").unwrap_or_default();
    let Some((parts, body)) = manager.tickets.redeem(ticket) else {
        return Err((StatusCode::BAD_REQUEST, "this ticket is not good, or not any more".into()));
    };
    let (first, rest) = post::parse(&body, manager.resume_options())?;
    attach(manager, Transport::Sse, parts, first, &rest).await
}

/// Begins a session or carries one on.
async fn attach<H: Handler>(
    manager: &Arc<Manager<H>>,
    wire: Transport,
    parts: Parts,
    first: ClientControl<'_>,
    rest: &[ClientLine<'_>],
) -> Result<Answer<H>, post::Refusal> {
    let (attached, waits) = match first {
        ClientControl::Open { beat } => {
            if !rest.is_empty() {
                return Err((StatusCode::BAD_REQUEST, "nothing may follow !open here".into()));
            }
            let token = parts.headers.get("x-phoenix-authtoken").and_then(|value| value.to_str().ok());
            let token = token.filter(|_| manager.options.auth_token).map(str::to_owned);
            (manager.open(wire, parts, token, beat).await, None)
        }
        ClientControl::Resume { token, received, beat } => {
            post::check(rest)?;
            (manager.resume(wire, token, received, beat), Some(beat > 0))
        }
        _ => return Err((StatusCode::BAD_REQUEST, "the first line has no meaning here".into())),
    };
    let attached = match attached {
        Ok(attached) => attached,
        Err(reason) => return Ok(refused(reason)),
    };
    let session = attached.session.clone();
    // What carries the session is there before the frames are applied: the client may hang up while they wait.
    let answer = match (wire, waits) {
        (Transport::Sse, _) => Answer::Now(sse::stream(manager.clone(), attached)),
        (_, Some(waits)) => Answer::Poll(Held::new(manager.clone(), attached), waits),
        (_, None) => {
            let greeting = format!("{}\n", attached.greeting);
            manager.detach(&attached.session, attached.attachment);
            Answer::Now(answer::lines(greeting.into_bytes()))
        }
    };
    post::apply(manager, &session, rest).await;
    Ok(answer)
}

fn refused<H: Handler>(reason: Refused) -> Answer<H> {
    Answer::Now(answer::line(ServerControl::Refused(reason)))
}

/// A parameter of the query whose value needs no decoding.
fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    query?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}
