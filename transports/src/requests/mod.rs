//! The session dialect over HTTP: what a request is for, and who answers it.

mod upload;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::ACCESS_CONTROL_REQUEST_HEADERS, request::Parts};
use http_body_util::Full;

use self::upload::{Applied, RequestError, bad};
use crate::{
    close::CloseReason,
    connect::Transport,
    dialect::{
        VERSION, VERSION_PARAM,
        client::ClientControl,
        lines::CONTROL_BYTES_MAX,
        post,
        rejection::Rejection,
        server::{Refused, ServerControl},
    },
    elsewhere::{Carried, Kind, NotCarried},
    forms::Forms,
    handler::Handler,
    http::{
        answer,
        body::{Body, RequestBody, ResponseFuture, ready},
        encoding::Encoding,
        head,
    },
    live::{LiveSession, waking::Due},
    longpoll::held::Held,
    manager::{
        Manager,
        admission::{Attached, Denied},
    },
    sse,
};

/// What becomes of a request.
enum Answer<H: Handler> {
    Now(Response<Body>),
    /// A poll, and whether it waits.
    Poll(Held<H>, bool),
}

/// Whether a request is in this dialect.
pub(crate) fn is_spoken<B>(request: &Request<B>) -> bool {
    parameter(request.uri().query(), VERSION_PARAM).is_some()
}

/// Answers a request of the SSE or the long-poll transport. While it waits in a poll, the future holds neither the request
/// nor its body.
pub(crate) fn respond<H: Handler, B: RequestBody>(
    manager: Arc<Manager<H>>,
    transport: Transport,
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
    let encoding = agreed(&manager, transport, &parts);
    Box::pin(async move {
        let answered = match parts.method {
            Method::POST => Box::pin(on_post(&manager, (transport, encoding), parts, body)).await,
            Method::GET if transport == Transport::Sse => Box::pin(on_get(&manager, encoding, parts)).await,
            _ if transport == Transport::Sse => Ok(Answer::Now(answer::not_allowed("GET, POST, OPTIONS"))),
            _ => Ok(Answer::Now(answer::not_allowed("POST, OPTIONS"))),
        };
        Ok(match answered {
            Ok(Answer::Now(response)) => response,
            Ok(Answer::Poll(held, waits)) => held.answer(waits, encoding).await,
            Err(RequestError { status, reason }) => answer::status(status, &reason),
        })
    })
}

/// How the answer to a request is encoded, if it carries a session.
fn agreed<H: Handler>(manager: &Manager<H>, transport: Transport, parts: &Parts) -> Encoding {
    let gzips = match transport {
        Transport::Sse => manager.sse_options().gzips(),
        _ => manager.longpoll_options().gzips(),
    };
    Encoding::agree(gzips, &parts.headers)
}

async fn on_post<H: Handler, B: RequestBody>(
    manager: &Arc<Manager<H>>,
    (transport, encoding): (Transport, Encoding),
    parts: Parts,
    body: B,
) -> Result<Answer<H>, RequestError> {
    let options = manager.resume_options();
    let mut body = upload::begin(body, options, &manager.common.clock);
    let first = body.first_line().await.map_err(|unread| RequestError::unread(unread, options))?;
    let first = post::purpose(first)?;
    if let Some(owner) = owner(manager, &parts, Some(first)).await {
        return Ok(carried(manager, transport, owner, parts, body.into_body()).await);
    }
    match first {
        // Who has no session has little to say.
        ClientControl::Ticket if transport == Transport::Sse => {
            let body = body.all_of_little().await.map_err(|unread| RequestError::unread(unread, options))?;
            let line = ticket_line(post::parse(&body)?.1)?;
            if let Some(owner) = owner(manager, &parts, post::only_line(line)).await {
                return Ok(carried(manager, transport, owner, parts, Full::from(body)).await);
            }
            Ok(Answer::Now(issue(manager, parts, line)?))
        }
        ClientControl::Open { .. } => {
            let body = body.all_of_little().await.map_err(|unread| RequestError::unread(unread, options))?;
            let (first, rest) = post::parse(&body)?;
            if !rest.trim_ascii().is_empty() {
                return Err(bad("nothing may follow !open here"));
            }
            Ok(attach(manager, (transport, encoding), parts, first).await?.0)
        }
        first @ (ClientControl::Send { token } | ClientControl::Resume { token, .. }) => {
            let is_resume = matches!(first, ClientControl::Resume { .. });
            let session = match manager.find(token) {
                Ok(session) => session,
                Err(denied) if is_resume => return Ok(not_here(transport, manager.denied(denied))),
                // Only what asks for a stream is answered by one.
                Err(denied) => return Ok(not_here(Transport::Longpoll, denied)),
            };
            session.touch();
            let Some((body, held)) = upload::read::<H, B>(&mut body, &session, options).await? else {
                return Ok(standing(&session, Applied::Done));
            };
            let (first, rest) = post::parse(&body)?;
            post::check(rest, options.lines_max)?;
            if manager.until_thawed(&session).await.is_err() {
                return Ok(later());
            }
            if !is_resume {
                let applied = upload::apply(manager, &session, rest).await;
                return Ok(standing(&session, applied));
            }
            let from = body.len() - rest.len();
            // What carries the session is there before the frames are applied: the client may hang up while they wait.
            let (answer, attached) = attach(manager, (transport, encoding), parts, first).await?;
            let Some(session) = attached else { return Ok(answer) };
            if transport != Transport::Sse {
                if upload::apply(manager, &session, rest).await == Applied::Busy {
                    session.core().due.set(Due::BUSY);
                }
            } else if from < body.len() {
                // Answered before that: a stream that is silent for as long as the handler takes looks like one that does not work.
                manager.tasks.spawn(upload::apply_behind(manager.clone(), session, (body, held), from));
            }
            Ok(answer)
        }
        _ => Err(bad("the first line has no meaning here")),
    }
}

/// The node that has what a request is for.
struct Owner {
    node: Result<u64, NotCarried>,
    /// The token of the session, if the request has it.
    token: Option<String>,
}

/// The other node that has the session which a line speaks of, once that is decided.
async fn owner<H: Handler>(
    manager: &Manager<H>,
    parts: &Parts,
    line: Option<ClientControl<'_>>,
) -> Option<Owner> {
    let (ClientControl::Send { token } | ClientControl::Resume { token, .. }) = line? else { return None };
    let node = match manager.until_decided(token).await {
        Ok(()) => Ok(manager.owner(Kind::Session, token, parts)?),
        Err(_) => Err(NotCarried::Later),
    };
    Some(Owner { node, token: Some(token.to_owned()) })
}

/// The answer of the node that has the session. What asks for a stream is refused by one.
async fn carried<H: Handler, B: RequestBody<Data = Bytes>>(
    manager: &Manager<H>,
    transport: Transport,
    Owner { node, token }: Owner,
    parts: Parts,
    body: B,
) -> Answer<H> {
    let answered = match node {
        Ok(node) => {
            let session = token.as_deref().and_then(|token| manager.resumable(token));
            let carried = manager.carry((node, session), transport, parts, body).await;
            // Without a token nobody knows where the session is now: its client comes again, with another ticket.
            carried.map_err(|why| {
                token.map_or(NotCarried::Later, |token| manager.not_carried(why, node, &token))
            })
        }
        Err(why) => Err(why),
    };
    match answered {
        Ok(response) => Answer::Now(response),
        Err(NotCarried::Gone) => refused(transport, &manager.refused(Refused::Unknown.into())),
        Err(NotCarried::Later) => Answer::Now(answer::later("the node with this session cannot be reached")),
    }
}

/// The answer to a client whose session is on its way to another node.
fn later<H: Handler>() -> Answer<H> {
    Answer::Now(answer::later("the session goes to another node"))
}

/// Where the session stands: how many frames of the client it has, and whether it takes more.
fn standing<H: Handler>(session: &LiveSession<H::State>, applied: Applied) -> Answer<H> {
    let core = session.core();
    if core.is_absent() {
        return later();
    }
    let taken = core.session.last_taken();
    drop(core);
    let mut lines = ServerControl::Ack(taken).to_string();
    if applied == Applied::Busy {
        lines = format!("{lines}\n{}", ServerControl::Busy(taken));
    }
    Answer::Now(answer::of_lines(Body::from(format!("{lines}\n"))))
}

/// Keeps a line for the GET that brings the ticket, and the head of the request where the handler is asked about it: an `EventSource` brings none
/// of its own.
fn issue<H: Handler>(manager: &Manager<H>, parts: Parts, line: &str) -> Result<Response<Body>, RequestError> {
    let begins = matches!(post::only_line(line), Some(ClientControl::Open { .. }));
    let parts = (begins || manager.handler.checks_resumes()).then_some(parts);
    if parts.as_ref().is_some_and(|parts| head::bytes(parts) > head::BYTES_MAX) {
        return Err(RequestError::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the head is too large to be kept",
        ));
    }
    Ok(match manager.tickets.issue(parts, line, &manager.common.budget, manager.common.clock.now()) {
        Some(ticket) => answer::line(ServerControl::Ticket(&ticket)),
        None => answer::line(manager.refused(Refused::Full.into()).control()),
    })
}

/// The line that a ticket is for.
fn ticket_line(rest: &str) -> Result<&str, RequestError> {
    let line = rest.trim_ascii();
    let begins =
        matches!(post::only_line(line), Some(ClientControl::Open { .. } | ClientControl::Resume { .. }));
    if !begins || line.len() > CONTROL_BYTES_MAX {
        return Err(bad("one line follows !ticket: !open or !resume"));
    }
    Ok(line)
}

/// An `EventSource` comes with its ticket.
async fn on_get<H: Handler>(
    manager: &Arc<Manager<H>>,
    encoding: Encoding,
    parts: Parts,
) -> Result<Answer<H>, RequestError> {
    let ticket = parameter(parts.uri.query(), "ticket").unwrap_or_default();
    if let Some(owner) = manager.owner(Kind::Ticket, ticket, &parts) {
        let owner = Owner { node: Ok(owner), token: None };
        return Ok(carried(manager, Transport::Sse, owner, parts, Full::default()).await);
    }
    let Some((kept, body)) = manager.tickets.redeem(ticket, manager.common.clock.now()) else {
        return Err(bad("this ticket is not good, or not any more"));
    };
    let (first, _) = post::parse(body.as_bytes())?;
    // Where nobody is asked, a ticket to carry a session on needs no head, and this one says nothing.
    let by = parts.extensions.get::<Carried>().copied();
    let mut head = kept.unwrap_or(parts);
    // What brings the stream counts, and not what brought its POST.
    match by {
        Some(by) => drop(head.extensions.insert(by)),
        None => drop(head.extensions.remove::<Carried>()),
    }
    Ok(attach(manager, (Transport::Sse, encoding), head, first).await?.0)
}

/// Begins a session or carries one on: the answer, and the session unless that was refused.
async fn attach<H: Handler>(
    manager: &Arc<Manager<H>>,
    (transport, encoding): (Transport, Encoding),
    parts: Parts,
    first: ClientControl<'_>,
) -> Result<(Answer<H>, Option<Arc<LiveSession<H::State>>>), RequestError> {
    let (attached, waits) = match first {
        ClientControl::Open { beat } => {
            let auth_token = manager.auth_token(&parts);
            (manager.open(transport, parts, auth_token, beat).await.map_err(Denied::Refused), None)
        }
        ClientControl::Resume { token, received, beat } => {
            let auth_token = manager.auth_token(&parts);
            (manager.resume(transport, (parts, auth_token), token, received, beat).await, Some(beat > 0))
        }
        _ => return Err(bad("the first line has no meaning here")),
    };
    let attached = match attached {
        Ok(attached) => attached,
        Err(denied) => return Ok((not_here(transport, denied), None)),
    };
    let session = attached.session.clone();
    session.set_forms_of(attached.attachment, encoding.forms(Forms::LINES));
    let answer = match (transport, waits) {
        (Transport::Sse, _) => Answer::Now(sse::stream(manager.clone(), attached, encoding)),
        (_, Some(waits)) => Answer::Poll(Held::new(manager.clone(), attached), waits),
        (_, None) => {
            manager.detach(&attached.session, attached.attachment);
            Answer::Now(opened(manager, &attached))
        }
    };
    Ok((answer, Some(session)))
}

/// The answer that says which session was begun. A session of which its client never heard ends at once.
fn opened<H: Handler>(manager: &Arc<Manager<H>>, attached: &Attached<H>) -> Response<Body> {
    let greeting = format!("{}\n", attached.greeting);
    let (manager, session) = (manager.clone(), attached.session.clone());
    answer::of_lines(Body::delivered_or(greeting, move || {
        session.close(CloseReason::Lost);
        manager.end_session(&session, CloseReason::Lost);
    }))
}

/// The answer to a client that does not get its session. An `EventSource` reads nothing but a stream.
fn not_here<H: Handler>(transport: Transport, denied: Denied) -> Answer<H> {
    match denied {
        Denied::Refused(rejection) => refused(transport, &rejection),
        Denied::Later => later(),
    }
}

fn refused<H: Handler>(transport: Transport, rejection: &Rejection) -> Answer<H> {
    Answer::Now(match transport {
        Transport::Sse => sse::refusal(rejection),
        _ => answer::line(rejection.control()),
    })
}

/// A parameter of the query whose value needs no decoding.
fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    query?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}
