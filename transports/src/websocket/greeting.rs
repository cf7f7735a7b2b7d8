//! The first message of a resumable WebSocket: which session the connection is for.

use std::{sync::Arc, time::Duration};

use http::request::Parts;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};
use tracing::debug;

use super::{
    close_code::CloseCode,
    codec::{ClosePayload, Decoder, Event, OpCode, append_frame},
    connection::Connection,
    scratch,
};
use crate::{
    budget::Charge,
    connect::Transport,
    frame::Message,
    handler::Handler,
    manager::Manager,
    resumable::{
        admission::Attached,
        lines::{ClientControl, ClientLine, Refused, ServerControl},
    },
};

/// Bytes that a client may send before it said which session it is for.
const EARLY_BYTES_MAX: usize = 64 * 1024;

/// How long a server that goes down still listens to a client that has just come, to tell it so.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

/// How a connection starts.
enum Greeting<H: Handler> {
    Attached(Attached<H>),
    Refused(Refused),
    Breach,
}

/// Waits for the greeting, and starts the connection's task with the session that it is for.
pub(super) async fn greet<H: Handler, Io>(
    manager: Arc<Manager<H>>,
    mut io: Io,
    mut early: Vec<u8>,
    parts: Parts,
    auth_token: Option<String>,
) where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(mut charge) = manager.common.budget.try_charge(early.len()) else {
        return say_goodbye(io, Some(ServerControl::Refused(Refused::Full)), CloseCode::REFUSED).await;
    };
    let Some(line) = first_line_in_time(&manager, &mut io, &mut early, &mut charge).await else {
        // Whoever says nothing, or hangs up, needs no answer.
        return debug!("websocket closed: no session was asked for");
    };
    match admit(&manager, parts, auth_token, &line).await {
        Greeting::Attached(attached) => {
            let tasks = manager.tasks.clone();
            tasks.spawn(Connection::attached(io, manager, attached, early));
        }
        Greeting::Refused(refused) => {
            say_goodbye(io, Some(ServerControl::Refused(refused)), CloseCode::REFUSED).await;
        }
        Greeting::Breach => say_goodbye(io, None, CloseCode::BREACH).await,
    }
}

async fn admit<H: Handler>(
    manager: &Arc<Manager<H>>,
    parts: Parts,
    auth_token: Option<String>,
    line: &str,
) -> Greeting<H> {
    let wire = Transport::Websocket;
    let attached = match ClientLine::parse(line) {
        Ok(ClientLine::Control(ClientControl::Open { beat })) => {
            manager.open(wire, parts, auth_token, beat).await
        }
        Ok(ClientLine::Control(ClientControl::Resume { token, received, beat })) => {
            manager.resume(wire, token, received, beat)
        }
        _ => return Greeting::Breach,
    };
    attached.map_or_else(Greeting::Refused, Greeting::Attached)
}

/// The first message, unless it takes too long.
async fn first_line_in_time<H: Handler>(
    manager: &Manager<H>,
    io: &mut (impl AsyncRead + Unpin),
    early: &mut Vec<u8>,
    charge: &mut Charge,
) -> Option<String> {
    let patience = manager.resume_options().greeting_timeout;
    let mut line = std::pin::pin!(first_line(manager, io, early, charge));
    let in_time = manager.common.clock.timeout(patience, &mut line);
    match manager.draining.run_until_cancelled(in_time).await {
        Some(line) => line?,
        None => timeout(DRAIN_PATIENCE, line).await.ok()?,
    }
}

/// Reads until there is a message; what came after it stays in `early`.
async fn first_line<H: Handler>(
    manager: &Manager<H>,
    io: &mut (impl AsyncRead + Unpin),
    early: &mut Vec<u8>,
    charge: &mut Charge,
) -> Option<String> {
    let mut decoder = Decoder::new();
    let mut total = early.len();
    loop {
        let mut used = 0;
        while used < early.len() {
            let (step, event) = decoder.decode(&mut early[used..], &manager.decode_limits);
            used += step;
            match event {
                Ok(Some(Event::Message(Message::Text(line)))) => {
                    let line = line.to_owned();
                    early.drain(..used);
                    return Some(line);
                }
                // Control frames have no meaning before the greeting, and a close is an end.
                Ok(Some(Event::Ping(_) | Event::Pong(_))) => {}
                Ok(None) => break,
                Ok(Some(Event::Close(_) | Event::Message(_))) | Err(_) => return None,
            }
        }
        early.clear();
        let mut buffer = [0; 2_048];
        let filled = io.read(&mut buffer).await.ok().filter(|filled| *filled > 0)?;
        early.extend_from_slice(&buffer[..filled]);
        total += filled;
        if total > EARLY_BYTES_MAX || charge.try_resize(total).is_err() {
            return None;
        }
    }
}

async fn say_goodbye(mut io: impl AsyncWrite + Unpin, line: Option<ServerControl<'_>>, code: CloseCode) {
    let mut bytes = Vec::with_capacity(64);
    if let Some(line) = line {
        append_frame(OpCode::Text, line.to_string().as_bytes(), &mut bytes);
    }
    append_frame(OpCode::Close, ClosePayload::new(code, "").as_bytes(), &mut bytes);
    debug_assert!(bytes.len() < scratch::BYTES);
    // A client that is gone has no use for it.
    let _ = io.write_all(&bytes).await;
    let _ = io.shutdown().await;
}
