//! The control lines of a server.

use std::{fmt, fmt::Write as _};

use super::lines::{Breach, Control, Line, NUMBER_MAX, Words};
use crate::{close::CloseReason, session::Seq};

/// A line from a server.
pub type ServerLine<'a> = Line<'a, ServerControl<'a>>;

/// A control line from a server. `to_string` writes it.
///
/// ```
/// use lapwing_transports::{dialect::server::{ServerControl, ServerLine}, session::Seq};
///
/// assert_eq!(ServerControl::Busy(Seq(7)).to_string(), "!busy 7");
/// assert_eq!(ServerLine::parse("!busy 7"), Ok(ServerLine::Control(ServerControl::Busy(Seq(7)))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerControl<'a> {
    /// A session was begun.
    Opened(Opened<'a>),
    /// The session goes on here. The server has the client's frames up to this one, as in all lines with a number.
    Resumed(Seq),
    /// No session goes on here.
    Refused {
        /// Why, in a word.
        word: Refused,
        /// Why, for the page, if the program has said so.
        told: Option<Told<'a>>,
    },
    /// The server has these frames.
    Ack(Seq),
    /// The client is to say something.
    Ping(Seq),
    /// The answer to a ping.
    Pong(Seq),
    /// The program takes no more frames for a while.
    Busy(Seq),
    /// Another connection carries the session.
    Superseded,
    /// The session is over.
    Closed {
        /// The code that a WebSocket is closed with for this reason.
        code: u16,
        /// The reason: a word, or the program's text.
        reason: &'a str,
    },
    /// What was kept for a GET.
    Ticket(&'a str),
    /// The session has another token from now on.
    Token(&'a str),
}

/// The facts of a session that its client has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// Proves whose session it is.
    pub token: &'a str,
    /// Milliseconds for which the session is kept after the last word of its client.
    pub window_ms: u64,
    /// Milliseconds for which a poll is held.
    pub hold_ms: u64,
    /// Bytes of a frame, over any transport; a server that does not say so has no bound.
    pub frame_bytes_max: u64,
    /// Bytes of a POST's body; a server that does not say so has no bound.
    pub body_bytes_max: u64,
    /// Milliseconds for which the client's login is good; `None` if it does not end.
    pub login_ms: Option<u64>,
}

/// A refusal in the page's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// The code that the page sees.
    pub code: u16,
    /// The reason that it sees.
    pub reason: &'a str,
}

/// The reason why a client may not go on, or begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refused {
    /// No session with this token.
    Unknown,
    /// The window is over.
    Expired,
    /// Frames are lost.
    Gap,
    /// The session was ended.
    Closed,
    /// The client claims frames that were never sent.
    Ahead,
    /// The handler does not want this client.
    Forbidden,
    /// There are as many sessions as may be.
    Full,
}

impl Refused {
    /// All words, for statistics.
    pub(crate) const ALL: [Self; 7] =
        [Self::Unknown, Self::Expired, Self::Gap, Self::Closed, Self::Ahead, Self::Forbidden, Self::Full];

    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Gap => "gap",
            Self::Closed => "closed",
            Self::Ahead => "ahead",
            Self::Forbidden => "forbidden",
            Self::Full => "full",
        }
    }

    /// The reason for a word. A client takes one that it does not know for [`Refused::Unknown`], after which it begins anew.
    fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|refused| refused.word() == word).unwrap_or(Self::Unknown)
    }
}

impl From<CloseReason> for ServerControl<'static> {
    fn from(reason: CloseReason) -> Self {
        Self::Closed { code: reason.code(), reason: reason.word() }
    }
}

impl<'a> Control<'a> for ServerControl<'a> {
    fn parse(mut words: Words<'a>) -> Result<Option<Self>, Breach> {
        Ok(Some(match words.first() {
            "opened" => Self::Opened(Opened {
                token: words.argument()?,
                window_ms: words.number()?,
                hold_ms: words.number()?,
                frame_bytes_max: words.number_or(NUMBER_MAX)?,
                body_bytes_max: words.number_or(NUMBER_MAX)?,
                login_ms: words.number_if_any()?,
            }),
            "resumed" => Self::Resumed(words.seq()?),
            "refused" => {
                let word = Refused::from_word(words.argument()?);
                let told = words
                    .number_if_any()?
                    .map(|code| Ok(Told { code: code_of(code)?, reason: words.rest() }));
                Self::Refused { word, told: told.transpose()? }
            }
            "ack" => Self::Ack(words.seq()?),
            "ping" => Self::Ping(words.seq()?),
            "pong" => Self::Pong(words.seq()?),
            "busy" => Self::Busy(words.seq()?),
            "superseded" => Self::Superseded,
            "closed" => {
                let code = code_of(words.number()?)?;
                match words.rest() {
                    "" => return Err(Breach("a control line without an argument")),
                    reason => Self::Closed { code, reason },
                }
            }
            "ticket" => Self::Ticket(words.argument()?),
            "token" => Self::Token(words.argument()?),
            _ => return Ok(None),
        }))
    }
}

impl fmt::Display for ServerControl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Opened(opened) => opened.fmt(f),
            Self::Resumed(Seq(taken)) => write!(f, "!resumed {taken}"),
            Self::Refused { word, told: None } => write!(f, "!refused {}", word.word()),
            Self::Refused { word, told: Some(Told { code, reason }) } => {
                write!(f, "!refused {} {code} {reason}", word.word())
            }
            Self::Ack(Seq(taken)) => write!(f, "!ack {taken}"),
            Self::Ping(Seq(taken)) => write!(f, "!ping {taken}"),
            Self::Pong(Seq(taken)) => write!(f, "!pong {taken}"),
            Self::Busy(Seq(taken)) => write!(f, "!busy {taken}"),
            Self::Superseded => f.write_str("!superseded"),
            Self::Closed { code, reason } => write!(f, "!closed {code} {reason}"),
            Self::Ticket(ticket) => write!(f, "!ticket {ticket}"),
            Self::Token(token) => write!(f, "!token {token}"),
        }
    }
}

impl fmt::Display for Opened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token, window_ms, hold_ms, frame_bytes_max, body_bytes_max, login_ms } = self;
        write!(f, "!opened {token} {window_ms} {hold_ms} {frame_bytes_max} {body_bytes_max}")?;
        login_ms.map_or(Ok(()), |login_ms| write!(f, " {login_ms}"))
    }
}

impl ServerControl<'_> {
    /// Appends the line and its end.
    pub fn append(self, out: &mut Vec<u8>) {
        let mut line = String::with_capacity(64);
        let _ = writeln!(line, "{self}");
        out.extend_from_slice(line.as_bytes());
    }
}

fn code_of(number: u64) -> Result<u16, Breach> {
    u16::try_from(number).map_err(|_| Breach("no close code"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_appended_with_its_end() {
        let mut out = b"text\n".to_vec();
        ServerControl::Busy(Seq(7)).append(&mut out);
        ServerControl::Superseded.append(&mut out);
        assert_eq!(out, b"text\n!busy 7\n!superseded\n");
    }

    #[test]
    fn a_code_is_one_of_a_close_frame() {
        let closed = |code| ServerControl::Closed { code, reason: "x" };
        assert_eq!(ServerLine::parse("!closed 65535 x"), Ok(Line::Control(closed(u16::MAX))));
        for line in ["!closed 65536 x", "!refused full 65536 x", "!closed 1000", "!closed 1000 "] {
            assert!(ServerLine::parse(line).is_err(), "{line}");
        }
    }
}
