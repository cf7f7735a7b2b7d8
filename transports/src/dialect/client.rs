//! The control lines of a client.

use std::fmt;

use super::lines::{Breach, Control, Line, Words};
use crate::session::Seq;

/// A line from a client.
pub type ClientLine<'a> = Line<'a, ClientControl<'a>>;

/// A control line from a client. `to_string` writes it.
///
/// ```
/// use lapwing_transports::{dialect::client::{ClientControl, ClientLine}, session::Seq};
///
/// let resume = ClientControl::Resume { token: "token", received: Seq(7), beat: 25_000 };
/// assert_eq!(resume.to_string(), "!resume token 7 25000");
/// assert_eq!(ClientLine::parse("!resume token 7 25000"), Ok(ClientLine::Control(resume)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientControl<'a> {
    /// Begin a session.
    Open {
        /// Milliseconds of silence after which the server shall say something.
        beat: u64,
    },
    /// Carry a session on here.
    Resume {
        /// Proves whose session it is.
        token: &'a str,
        /// The last frame that the client has.
        received: Seq,
        /// As for `Open`.
        beat: u64,
    },
    /// What follows belongs to this session.
    Send {
        /// Proves whose session it is.
        token: &'a str,
    },
    /// The number of the next frame in this body.
    From(Seq),
    /// The last frame that the client has.
    Ack(Seq),
    /// Answer on the transport that carries frames.
    Ping,
    /// End the session.
    Close,
    /// What the client knows of the way to the server; nothing is done for it.
    Path {
        /// Milliseconds of a round trip, 0 if it does not know.
        round_trip: u64,
        /// What failed, as in `websocket:refused sse:silent`.
        failures: &'a str,
    },
    /// Keep the next line for a GET.
    Ticket,
}

impl<'a> Control<'a> for ClientControl<'a> {
    fn parse(mut words: Words<'a>) -> Result<Option<Self>, Breach> {
        Ok(Some(match words.first() {
            "open" => Self::Open { beat: words.number()? },
            "resume" => {
                Self::Resume { token: words.argument()?, received: words.seq()?, beat: words.number()? }
            }
            "send" => Self::Send { token: words.argument()? },
            "from" => match words.seq()? {
                Seq(0) => return Err(Breach("frames are counted from 1")),
                first => Self::From(first),
            },
            "ack" => Self::Ack(words.seq()?),
            "ping" => Self::Ping,
            "close" => Self::Close,
            "path" => Self::Path { round_trip: words.number()?, failures: words.rest() },
            "ticket" => Self::Ticket,
            _ => return Ok(None),
        }))
    }
}

impl fmt::Display for ClientControl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Open { beat } => write!(f, "!open {beat}"),
            Self::Resume { token, received: Seq(received), beat } => {
                write!(f, "!resume {token} {received} {beat}")
            }
            Self::Send { token } => write!(f, "!send {token}"),
            Self::From(Seq(first)) => write!(f, "!from {first}"),
            Self::Ack(Seq(received)) => write!(f, "!ack {received}"),
            Self::Ping => f.write_str("!ping"),
            Self::Close => f.write_str("!close"),
            Self::Path { round_trip, failures: "" } => write!(f, "!path {round_trip}"),
            Self::Path { round_trip, failures } => write!(f, "!path {round_trip} {failures}"),
            Self::Ticket => f.write_str("!ticket"),
        }
    }
}
