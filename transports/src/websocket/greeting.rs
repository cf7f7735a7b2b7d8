//! The first message of a resumable WebSocket: which session the connection is for.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use http::request::Parts;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};
use tracing::debug;

use super::{
    close_code::CloseCode,
    closing::Closing,
    codec::{ClosePayload, Decoder, Event, OpCode, append_frame},
    connection::Connection,
    extensions::Extensions,
    farewell::Farewell,
    scratch,
    task::Task,
};
use crate::{
    budget::Charge,
    connect::Transport,
    dialect::{
        client::{ClientControl, ClientLine},
        rejection::Rejection,
        server::Refused,
    },
    elsewhere::{CarriedSocket, Kind, NotCarried},
    frame::Message,
    handler::Handler,
    http::head,
    manager::{
        Manager,
        admission::{Attached, Denied},
    },
};

/// Bytes of a read.
const READ_BYTES_MAX: usize = 2_048;

/// Bytes that a client may send before it said which session it is for.
const EARLY_BYTES_MAX: usize = 64 * 1024;

/// How long a server that goes down still listens to a client that has just come, to tell it so.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

/// Why a connection does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Unfit {
    /// It is gone.
    Lost,
    /// The client has closed it.
    Closed,
    /// There is no session for it; the line before the close says why.
    Refused(Rejection),
    /// What came is no greeting.
    Failed(CloseCode),
}

/// Waits for the greeting, and starts the connection's task with the session that it is for.
pub(super) async fn greet<H: Handler, Io>(
    manager: Arc<Manager<H>>,
    mut io: Io,
    mut early: Vec<u8>,
    parts: Parts,
    auth_token: Option<String>,
    extensions: Extensions,
) where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(mut charge) = manager.common.budget.try_charge(head::bytes(&parts) + early.len()) else {
        return end(io, &manager, Unfit::Refused(Refused::Full.into())).await;
    };
    let unfit = match first_line_in_time(&manager, &mut io, &mut early, &mut charge, extensions).await {
        Ok(line) => match there(&manager, &parts, &line).await {
            Err(unfit) => unfit,
            Ok(Some(owner)) => {
                let window_bits = extensions.window_bits();
                let io = Box::new(io);
                let socket = CarriedSocket { parts, auth_token, line, early, window_bits, io };
                return carry(&manager, owner, socket).await;
            }
            Ok(None) => match admit(&manager, parts, auth_token, &line).await {
                Ok(attached) => {
                    let tasks = manager.tasks.clone();
                    let connection = Connection::attached(io, manager, attached, early);
                    tasks.spawn(Task::new(connection.extended(extensions)));
                    return;
                }
                Err(unfit) => unfit,
            },
        },
        Err(unfit) => unfit,
    };
    drop((early, charge));
    end(io, &manager, unfit).await;
}

/// Begins with the greeting that another node has read.
pub(crate) async fn greet_carried<H: Handler>(manager: Arc<Manager<H>>, socket: CarriedSocket) {
    let CarriedSocket { parts, auth_token, line, early, window_bits, io } = socket;
    let admitted = match there(&manager, &parts, &line).await {
        // It was carried here and goes no further.
        Ok(_) => admit(&manager, parts, auth_token, &line).await,
        Err(unfit) => Err(unfit),
    };
    match admitted {
        Ok(attached) => {
            let tasks = manager.tasks.clone();
            let connection = Connection::attached(io, manager, attached, early);
            tasks.spawn(Task::new(connection.extended(Extensions::carried(window_bits))));
        }
        Err(unfit) => end(io, &manager, unfit).await,
    }
}

/// The other node that has the session of a greeting, once that is decided.
async fn there<H: Handler>(manager: &Manager<H>, parts: &Parts, line: &str) -> Result<Option<u64>, Unfit> {
    let Some(token) = token_of(line) else { return Ok(None) };
    manager.until_decided(token).await?;
    Ok(manager.owner(Kind::Session, token, parts))
}

/// The token of the session that a greeting carries on.
fn token_of(line: &str) -> Option<&str> {
    match ClientLine::parse(line) {
        Ok(ClientLine::Control(ClientControl::Resume { token, .. })) => Some(token),
        _ => None,
    }
}

/// Carries a connection to the node that has its session.
async fn carry<H: Handler>(manager: &Manager<H>, owner: u64, socket: CarriedSocket) {
    let Some(elsewhere) = manager.marks.elsewhere() else { return };
    let line = socket.line.clone();
    let session = token_of(&line).and_then(|token| manager.resumable(token));
    let carried = async {
        let _place = match manager.place_for(session, Duration::ZERO).await {
            Ok(place) => place,
            Err(why) => return Err((why, socket.io)),
        };
        elsewhere.carry_socket(owner, socket).await
    };
    if let Some(Err((why, io))) = manager.parting.run_until_cancelled(carried).await {
        let why = token_of(&line).map_or(why, |token| manager.not_carried(why, owner, token));
        let unfit = match why {
            NotCarried::Gone => Unfit::Refused(manager.refused(Refused::Unknown.into())),
            NotCarried::Later => Unfit::Failed(CloseCode::SERVICE_RESTART),
        };
        end(io, manager, unfit).await;
    }
}

/// Says why the connection ends, and hears the client out.
async fn end<H: Handler, Io>(io: Io, manager: &Manager<H>, unfit: Unfit)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    debug!(?unfit, "websocket closed: no session begins");
    if let Some((closing, last_words)) = unfit.last_words() {
        Farewell::new(io, closing, last_words).say(manager).await;
    }
}

impl Unfit {
    /// How the connection ends, and with which frames.
    fn last_words(self) -> Option<(Closing, Vec<u8>)> {
        let (closing, code) = match &self {
            Self::Lost => return None,
            Self::Closed => (Closing::answered(), CloseCode::NORMAL),
            Self::Refused(_) => (Closing::failed(), CloseCode::REFUSED),
            Self::Failed(code) => (Closing::failed(), *code),
        };
        let mut frames = Vec::with_capacity(64);
        if let Self::Refused(rejection) = self {
            let line = rejection.control().to_string();
            append_frame(OpCode::Text, line.as_bytes(), &mut frames);
        }
        append_frame(OpCode::Close, ClosePayload::new(code, "").as_bytes(), &mut frames);
        Some((closing, frames))
    }
}

async fn admit<H: Handler>(
    manager: &Arc<Manager<H>>,
    parts: Parts,
    auth_token: Option<String>,
    line: &str,
) -> Result<Attached<H>, Unfit> {
    let transport = Transport::Websocket;
    let attached = match ClientLine::parse(line) {
        Ok(ClientLine::Control(ClientControl::Open { beat })) => {
            manager.open(transport, parts, auth_token, beat).await.map_err(Denied::Refused)
        }
        Ok(ClientLine::Control(ClientControl::Resume { token, received, beat })) => {
            manager.resume(transport, (parts, auth_token), token, received, beat).await
        }
        _ => return Err(Unfit::Failed(CloseCode::BREACH)),
    };
    attached.map_err(Unfit::from)
}

impl From<Denied> for Unfit {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Refused(rejection) => Self::Refused(rejection),
            Denied::Later => Self::Failed(CloseCode::SERVICE_RESTART),
        }
    }
}

/// The first message, unless it takes too long.
async fn first_line_in_time<H: Handler>(
    manager: &Manager<H>,
    io: &mut (impl AsyncRead + Unpin),
    early: &mut Vec<u8>,
    charge: &mut Charge,
    extensions: Extensions,
) -> Result<String, Unfit> {
    let patience = manager.resume_options().greeting_timeout;
    let mut line = std::pin::pin!(first_line(manager, io, early, charge, extensions));
    let in_time = manager.common.clock.timeout(patience, &mut line);
    match manager.draining.run_until_cancelled(in_time).await {
        Some(line) => line.unwrap_or(Err(Unfit::Failed(CloseCode::BREACH))),
        None => timeout(DRAIN_PATIENCE, line).await.unwrap_or(Err(DRAINING)),
    }
}

/// A client that said nothing in time to a server that goes down.
const DRAINING: Unfit = Unfit::Failed(CloseCode::SERVICE_RESTART);

/// Reads what there is, with the buffer of the thread: a client that says nothing yet holds none.
async fn read_into(io: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> io::Result<usize> {
    std::future::poll_fn(|cx| {
        scratch::with_read(|buffer| {
            let mut read = ReadBuf::new(&mut buffer[..READ_BYTES_MAX]);
            ready!(Pin::new(&mut *io).poll_read(cx, &mut read))?;
            bytes.extend_from_slice(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
    })
    .await
}

/// Reads until there is a message; what came after it stays in `early`.
async fn first_line<H: Handler>(
    manager: &Manager<H>,
    io: &mut (impl AsyncRead + Unpin),
    early: &mut Vec<u8>,
    charge: &mut Charge,
    extensions: Extensions,
) -> Result<String, Unfit> {
    let mut decoder = Decoder::new();
    let limits = extensions.limits(&manager.decode_limits);
    // What it may send it may not send compressed a thousand times either.
    let limits = limits.message_bytes_max(limits.message_bytes_max.min(EARLY_BYTES_MAX));
    let (head_bytes, mut total) = (charge.bytes() - early.len(), early.len());
    loop {
        let mut used = 0;
        while used < early.len() {
            let (step, event) = decoder.decode(&mut early[used..], &limits);
            used += step;
            match event {
                Ok(Some(Event::Message(Message::Text(line)))) => {
                    let line = line.to_owned();
                    early.drain(..used);
                    return Ok(line);
                }
                // Control frames have no meaning before the greeting, and a close is an end.
                Ok(Some(Event::Ping(_) | Event::Pong(_))) => {}
                Ok(None) => break,
                Ok(Some(Event::Close(_))) => return Err(Unfit::Closed),
                Ok(Some(Event::Message(_))) => return Err(Unfit::Failed(CloseCode::BREACH)),
                Err(error) => return Err(Unfit::Failed(error.close_code())),
            }
        }
        early.clear();
        let Ok(filled @ 1..) = read_into(io, early).await else { return Err(Unfit::Lost) };
        total += filled;
        if total > EARLY_BYTES_MAX {
            return Err(Unfit::Failed(CloseCode::TOO_BIG));
        }
        if charge.try_resize(head_bytes + total).is_err() {
            return Err(Unfit::Refused(Refused::Full.into()));
        }
    }
}
