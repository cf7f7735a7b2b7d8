//! The lines that the session dialect is made of: control lines, and frames as lines.
//!
//! Pure. `docs/sessions.md` §2 is the specification, `docs/sessions.json` has the vectors that the tests run.

use std::{borrow::Cow, fmt, fmt::Write as _, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    close::CloseReason,
    frame::{Frame, FrameKind, Message},
    session::Seq,
    surrogates,
};

/// Bytes of a control line.
pub const CONTROL_BYTES_MAX: usize = 256;

/// The largest number in a control line: what every language's floating-point numbers can count to.
const NUMBER_MAX: u64 = (1 << 53) - 1;

/// A line from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientLine<'a> {
    /// A control line.
    Control(ClientControl<'a>),
    /// A text frame.
    Text(Cow<'a, str>),
    /// A frame of bytes.
    Binary(Vec<u8>),
    /// A line without a meaning, now: it is empty, or from a later version.
    Nothing,
}

/// A control line from a client.
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
        /// What the client has.
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
    /// What the client has.
    Ack(Seq),
    /// Answer on the wire that carries frames.
    Ping,
    /// End the session.
    Close,
    /// Keep the next line for a GET.
    Ticket,
}

/// Why a client may not go on, or begin.
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

/// A control line from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerControl<'a> {
    Opened(Opened<'a>),
    Resumed(Seq),
    Refused(Refused),
    Ack(Seq),
    Ping(Seq),
    Pong(Seq),
    Busy(Seq),
    Superseded,
    Closed(CloseReason),
    Ticket(&'a str),
}

/// What a client has to know of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened<'a> {
    pub(crate) token: &'a str,
    pub(crate) window_ms: u128,
    pub(crate) hold_ms: u128,
    /// Bytes of a frame, on any wire.
    pub(crate) frame_bytes_max: usize,
    /// Bytes of a POST's body.
    pub(crate) body_bytes_max: usize,
}

/// A line that breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach(pub(crate) &'static str);

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
}

impl<'a> ClientLine<'a> {
    /// Reads a line.
    ///
    /// # Errors
    /// [`Breach`] when it is none; nothing else can be made of it then.
    pub fn parse(line: &'a str) -> Result<Self, Breach> {
        match line.as_bytes() {
            [] => Ok(Self::Nothing),
            [b'!', word, ..] if word.is_ascii_alphabetic() && line.len() <= CONTROL_BYTES_MAX => {
                Ok(ClientControl::parse(&line[1..])?.map_or(Self::Nothing, Self::Control))
            }
            [b'!', ..] => Err(Breach("a control line without a word, or too long")),
            [b'"', ..] => unquoted(line)
                .map(|text| Self::Text(text.into()))
                .map_err(|_| Breach("a quoted frame that is no JSON string")),
            [b'*', base64 @ ..] => {
                STANDARD.decode(base64).map(Self::Binary).map_err(|_| Breach("a frame that is no base64"))
            }
            _ => Ok(Self::Text(line.into())),
        }
    }

    /// The frame in the line, if it is one.
    #[must_use]
    pub fn message(&self) -> Option<Message<'_>> {
        match self {
            Self::Text(text) => Some(Message::Text(text)),
            Self::Binary(bytes) => Some(Message::Binary(bytes)),
            Self::Control(_) | Self::Nothing => None,
        }
    }
}

/// What a JSON string says. A browser that cuts an emoji in two writes half of it, as an escape.
fn unquoted(line: &str) -> Result<String, serde_json::Error> {
    serde_json::from_str(line).or_else(|error| match surrogates::replace_lone(line) {
        Some(repaired) => serde_json::from_str(&repaired),
        None => Err(error),
    })
}

impl<'a> ClientControl<'a> {
    fn parse(line: &'a str) -> Result<Option<Self>, Breach> {
        let mut words = line.split(' ');
        let word = words.next().unwrap_or_default();
        let mut argument = || words.next().ok_or(Breach("a control line without an argument"));
        Ok(Some(match word {
            "open" => Self::Open { beat: number(argument()?)? },
            "resume" => Self::Resume {
                token: argument()?,
                received: Seq(number(argument()?)?),
                beat: number(argument()?)?,
            },
            "send" => Self::Send { token: argument()? },
            "from" => match number(argument()?)? {
                0 => return Err(Breach("frames are counted from 1")),
                first => Self::From(Seq(first)),
            },
            "ack" => Self::Ack(Seq(number(argument()?)?)),
            "ping" => Self::Ping,
            "close" => Self::Close,
            "ticket" => Self::Ticket,
            _ => return Ok(None),
        }))
    }
}

fn number(text: &str) -> Result<u64, Breach> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    match u64::from_str(text) {
        Ok(number) if is_decimal && number <= NUMBER_MAX => Ok(number),
        _ => Err(Breach("an argument that is no number")),
    }
}

/// The frame as it must be given to a session of this dialect: a text that could be taken for something else becomes
/// a JSON string. Almost always the frame itself.
pub(crate) fn guarded(frame: Frame) -> Frame {
    match (frame.kind(), frame.payload().first()) {
        (FrameKind::Text, None | Some(b'!' | b'"' | b'*')) => Frame::text(quoted(frame.payload())),
        _ => frame,
    }
}

/// Appends a guarded frame as one line without its end.
pub(crate) fn append_line(frame: &Frame, out: &mut Vec<u8>) {
    let payload = frame.payload();
    match frame.kind() {
        FrameKind::Binary => {
            out.push(b'*');
            out.extend_from_slice(STANDARD.encode(payload).as_bytes());
        }
        // A frame that is quoted already has no line break in it.
        FrameKind::Text if payload.iter().any(|byte| matches!(byte, b'\n' | b'\r')) => {
            out.extend_from_slice(quoted(payload).as_bytes());
        }
        FrameKind::Text => out.extend_from_slice(payload),
    }
}

fn quoted(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    serde_json::to_string(&text).expect("a string always serializes")
}

impl fmt::Display for ServerControl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Opened(opened) => opened.fmt(f),
            Self::Resumed(Seq(taken)) => write!(f, "!resumed {taken}"),
            Self::Refused(refused) => write!(f, "!refused {}", refused.word()),
            Self::Ack(Seq(taken)) => write!(f, "!ack {taken}"),
            Self::Ping(Seq(taken)) => write!(f, "!ping {taken}"),
            Self::Pong(Seq(taken)) => write!(f, "!pong {taken}"),
            Self::Busy(Seq(taken)) => write!(f, "!busy {taken}"),
            Self::Superseded => f.write_str("!superseded"),
            Self::Closed(reason) => write!(f, "!closed {} {}", reason.code(), reason.word()),
            Self::Ticket(ticket) => write!(f, "!ticket {ticket}"),
        }
    }
}

impl fmt::Display for Opened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token, window_ms, hold_ms, frame_bytes_max, body_bytes_max } = self;
        write!(f, "!opened {token} {window_ms} {hold_ms} {frame_bytes_max} {body_bytes_max}")
    }
}

impl ServerControl<'_> {
    /// Appends the line and a line's end.
    pub(crate) fn append(self, out: &mut Vec<u8>) {
        let mut line = String::with_capacity(64);
        let _ = writeln!(line, "{self}");
        out.extend_from_slice(line.as_bytes());
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Breach {}
