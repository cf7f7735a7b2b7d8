//! The lines that the session dialect is made of: control lines, and frames as lines, read and written.
//!
//! Pure. `docs/sessions.md` §2 is the specification, `docs/sessions.json` has the vectors that the tests run.

use std::{borrow::Cow, error, fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    frame::{Frame, FrameKind, Message},
    session::Seq,
    surrogates,
};

/// Bytes of a control line.
pub const CONTROL_BYTES_MAX: usize = 256;

/// The largest number in a control line: what every language's floating-point numbers can count to.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// A line of one end, whose control lines are `C`: [`ClientControl`](super::client::ClientControl) or
/// [`ServerControl`](super::server::ServerControl).
///
/// ```
/// use lapwing_transports::{dialect::{client::ClientControl, lines::Line, server::ServerControl}, session::Seq};
///
/// assert_eq!(Line::parse("!ack 7"), Ok(Line::Control(ClientControl::Ack(Seq(7)))));
/// assert_eq!(Line::parse("!superseded"), Ok(Line::Control(ServerControl::Superseded)));
/// assert_eq!(Line::<ClientControl<'_>>::parse("[1,2]"), Ok(Line::Text("[1,2]".into())));
/// assert!(Line::<ClientControl<'_>>::parse("!ack").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a, C> {
    /// A control line.
    Control(C),
    /// A text frame.
    Text(Cow<'a, str>),
    /// A frame of bytes.
    Binary(Vec<u8>),
    /// A line without a meaning: it is empty, or from a later version.
    Nothing,
}

/// The control lines that one end of a session writes and the other reads.
pub trait Control<'a>: Sized {
    /// Reads a control line without its `!`. `None` for a word of a later version.
    ///
    /// # Errors
    /// [`Breach`] when an argument is missing or makes no sense.
    fn parse(words: Words<'a>) -> Result<Option<Self>, Breach>;
}

/// A line that breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach(pub(crate) &'static str);

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl error::Error for Breach {}

impl<'a, C: Control<'a>> Line<'a, C> {
    /// Reads a line without its end.
    ///
    /// # Errors
    /// [`Breach`] when it is none; nothing else can be made of it then.
    pub fn parse(line: &'a str) -> Result<Self, Breach> {
        match line.as_bytes() {
            [] => Ok(Self::Nothing),
            [b'!', word, ..] if word.is_ascii_alphabetic() && line.len() <= CONTROL_BYTES_MAX => {
                Ok(C::parse(Words(Some(&line[1..])))?.map_or(Self::Nothing, Self::Control))
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
}

impl<C> Line<'_, C> {
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

/// Whether a text that comes in a WebSocket message is a frame as it is, with nothing to be read in it. Most are.
#[cfg(feature = "net")]
pub(crate) fn is_bare(text: &str) -> bool {
    !matches!(text.as_bytes(), [] | [b'!' | b'"' | b'*', ..])
}

/// Reads a JSON string. A browser that cuts an emoji in two writes half of it, as an escape.
fn unquoted(line: &str) -> Result<String, serde_json::Error> {
    serde_json::from_str(line).or_else(|error| match surrogates::replace_lone(line) {
        Some(repaired) => serde_json::from_str(&repaired),
        None => Err(error),
    })
}

/// The words of a control line. Those that nobody asks for are for later versions.
#[derive(Clone, Debug)]
pub struct Words<'a>(Option<&'a str>);

impl<'a> Words<'a> {
    /// The first word, which says what the line is.
    pub(super) fn first(&mut self) -> &'a str {
        self.next().unwrap_or_default()
    }

    pub(super) fn argument(&mut self) -> Result<&'a str, Breach> {
        self.next().ok_or(Breach("a control line without an argument"))
    }

    pub(super) fn number(&mut self) -> Result<u64, Breach> {
        let text = self.argument()?;
        let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
        match u64::from_str(text) {
            Ok(number) if is_decimal && number <= NUMBER_MAX => Ok(number),
            _ => Err(Breach("an argument that is no number")),
        }
    }

    /// A number that older servers leave out.
    pub(super) fn number_or(&mut self, default: u64) -> Result<u64, Breach> {
        Ok(self.number_if_any()?.unwrap_or(default))
    }

    /// A number that need not be there.
    pub(super) fn number_if_any(&mut self) -> Result<Option<u64>, Breach> {
        self.0.is_some().then(|| self.number()).transpose()
    }

    /// All words that are left, as they stand there.
    pub(super) fn rest(&mut self) -> &'a str {
        self.0.take().unwrap_or_default()
    }

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0.take()?;
        let (word, rest) = rest.split_once(' ').map_or((rest, None), |(word, rest)| (word, Some(rest)));
        self.0 = rest;
        Some(word)
    }

    pub(super) fn seq(&mut self) -> Result<Seq, Breach> {
        self.number().map(Seq)
    }
}

/// Makes a frame safe in this dialect: a text that could be taken for something else becomes a JSON string. Almost always that
/// is the frame itself.
#[must_use]
pub fn guarded(frame: Frame) -> Frame {
    match (frame.kind(), frame.payload().first()) {
        (FrameKind::Text, None | Some(b'!' | b'"' | b'*')) => {
            frame.like(Frame::text(quoted(frame.payload())))
        }
        _ => frame,
    }
}

/// Appends a [`guarded`] frame as one line without its end.
pub fn append_line(frame: &Frame, out: &mut Vec<u8>) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::client::ClientLine;

    #[test]
    fn each_frame_is_one_line() {
        for (frame, line) in [
            (Frame::text("plain"), "plain"),
            (Frame::text("two\nlines"), r#""two\nlines""#),
            (Frame::text("a\rreturn"), r#""a\rreturn""#),
            (Frame::binary(&b"bytes"[..]), "*Ynl0ZXM="),
        ] {
            let mut out = Vec::new();
            append_line(&frame, &mut out);
            assert_eq!(String::from_utf8(out).as_deref(), Ok(line));
        }
    }

    #[test]
    fn a_line_has_a_frame_if_it_is_text_or_bytes() {
        let line = |text| ClientLine::parse(text).unwrap();
        assert_eq!(line("text").message(), Some(Message::Text("text")));
        assert_eq!(line("*Ynl0ZXM=").message(), Some(Message::Binary(b"bytes")));
        assert_eq!((line("!ping").message(), line("").message()), (None, None));
    }

    #[cfg(feature = "net")]
    #[test]
    fn a_text_is_bare_if_it_is_read_as_it_stands() {
        for text in ["[1]", "text", "x!", " !", "é", "", "!", "!ping", "\"", "\"a\"", "*", "*AA=="] {
            let is_frame = ClientLine::parse(text) == Ok(ClientLine::Text(text.into()));
            assert_eq!(is_bare(text), is_frame, "{text}");
        }
    }

    #[test]
    fn a_breach_says_what_it_is() {
        assert_eq!(Breach("no number").to_string(), "no number");
    }
}
