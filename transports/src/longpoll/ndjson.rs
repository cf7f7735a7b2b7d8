//! The body of a POST: one message, or one in each line.
//!
//! A line that begins with `[` (or `{`, as serializer version 1 does) is text; any other is a binary message
//! in base64. A whole body is judged before any of it is used, so that a refused one can be sent again.

use std::{error, fmt, str};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Characters of one binary message, as in Phoenix.
const BASE64_CHARS_MAX: usize = 10_000_000;

/// The stock client pads; others may not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One message of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A text, borrowed from the body.
    Text(&'a str),
    /// Bytes, decoded.
    Binary(Vec<u8>),
}

/// The messages of a body with lines, in order.
///
/// Lines end at `\n` or `\r\n`. Empty lines are skipped and cost nothing but their reading; Phoenix takes
/// them for empty binary messages, at which its session dies. Texts are borrowed: what is allocated is one
/// list of at most `lines_max`, and the binary messages.
///
/// # Errors
///
/// More than `lines_max` lines are refused, where Phoenix drops the excess without a word. Lines are counted
/// from 1, with the empty ones.
///
/// ```
/// use lapwing_transports::longpoll::ndjson::{Line, NdjsonError, split};
///
/// let body = b"[null,\"1\",\"phoenix\",\"heartbeat\",{}]\r\n\nAAEC\n";
/// let expected = [Line::Text(r#"[null,"1","phoenix","heartbeat",{}]"#), Line::Binary(vec![0, 1, 2])];
/// assert_eq!(split(body, 100)?, expected);
///
/// assert_eq!(split(b"[]\n[]\n[]", 2), Err(NdjsonError::TooManyLines { lines_max: 2 }));
/// assert_eq!(split(b"[]\n\n?!", 100), Err(NdjsonError::InvalidBase64 { line: 3 }));
/// # Ok::<(), NdjsonError>(())
/// ```
pub fn split(body: &[u8], lines_max: usize) -> Result<Vec<Line<'_>>, NdjsonError> {
    let body = str::from_utf8(body).map_err(|error| {
        let before = &body[..error.valid_up_to()];
        NdjsonError::InvalidUtf8 { line: 1 + before.iter().filter(|&&byte| byte == b'\n').count() }
    })?;
    let lines = body.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let lines = (1..).zip(lines).filter(|(_, line)| !line.is_empty());
    // Counted first, so that a body with too many costs no decoding.
    if lines.clone().nth(lines_max).is_some() {
        return Err(NdjsonError::TooManyLines { lines_max });
    }
    lines.map(|(number, line)| decode(number, line)).collect()
}

/// The message of a body that is not in lines: always text.
///
/// # Errors
///
/// A body that is not UTF-8.
pub fn single(body: &[u8]) -> Result<Line<'_>, NdjsonError> {
    str::from_utf8(body).map(Line::Text).map_err(|_| NdjsonError::InvalidUtf8 { line: 1 })
}

/// The reason why a body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NdjsonError {
    /// More lines than the limit.
    TooManyLines {
        /// The limit.
        lines_max: usize,
    },
    /// A line of base64 that is longer than the 10,000,000 characters that Phoenix accepts.
    LineTooLong {
        /// Which line, counted from 1.
        line: usize,
    },
    /// A line that is not UTF-8.
    InvalidUtf8 {
        /// Which line, counted from 1.
        line: usize,
    },
    /// A line that is neither text nor base64.
    InvalidBase64 {
        /// Which line, counted from 1.
        line: usize,
    },
}

impl fmt::Display for NdjsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyLines { lines_max } => write!(f, "more than {lines_max} lines in one body"),
            Self::LineTooLong { line } => {
                write!(f, "line {line} is longer than {BASE64_CHARS_MAX} characters of base64")
            }
            Self::InvalidUtf8 { line } => write!(f, "line {line} is not utf-8"),
            Self::InvalidBase64 { line } => {
                write!(f, "line {line} is neither a json array or object nor base64")
            }
        }
    }
}

impl error::Error for NdjsonError {}

fn decode(number: usize, line: &str) -> Result<Line<'_>, NdjsonError> {
    if line.starts_with(['[', '{']) {
        return Ok(Line::Text(line));
    }
    if line.len() > BASE64_CHARS_MAX {
        return Err(NdjsonError::LineTooLong { line: number });
    }
    let bytes = BASE64.decode(line).map_err(|_| NdjsonError::InvalidBase64 { line: number })?;
    Ok(Line::Binary(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    #[test]
    fn lines_are_told_apart_by_their_first_character() {
        for (body, expected) in [
            (&b""[..], vec![]),
            (b"\n\r\n\n", vec![]),
            (b"[1]", vec![Line::Text("[1]")]),
            (b"[1]\n", vec![Line::Text("[1]")]),
            (b"[1]\r\n{\"a\":1}\r\n", vec![Line::Text("[1]"), Line::Text("{\"a\":1}")]),
            (b"[\"\r\"]", vec![Line::Text("[\"\r\"]")]),
            (b"AA==\n[]\nAA", vec![Line::Binary(vec![0]), Line::Text("[]"), Line::Binary(vec![0])]),
            (b"+/+/", vec![Line::Binary(vec![0xfb, 0xff, 0xbf])]),
            ("[\"é\"]".as_bytes(), vec![Line::Text("[\"é\"]")]),
        ] {
            assert_eq!(split(body, 100), Ok(expected), "{body:?}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        for (body, error) in [
            (&b"[]\n\n -_"[..], NdjsonError::InvalidBase64 { line: 3 }),
            (b"-_-_", NdjsonError::InvalidBase64 { line: 1 }),
            (b"AA==AA==", NdjsonError::InvalidBase64 { line: 1 }),
            (b"[]\nA", NdjsonError::InvalidBase64 { line: 2 }),
            (b"[]\n[\xff]\n[]", NdjsonError::InvalidUtf8 { line: 2 }),
        ] {
            assert_eq!(split(body, 100), Err(error), "{body:?}");
        }
        assert_eq!(single(b"\xff"), Err(NdjsonError::InvalidUtf8 { line: 1 }));
    }

    #[test]
    fn a_single_body_is_text_whatever_it_holds() {
        assert_eq!(single(b"AAEC\n"), Ok(Line::Text("AAEC\n")));
    }

    #[test]
    fn the_line_limit_counts_only_lines_that_hold_something() {
        let body = "\n[]\r\n".repeat(100);
        assert_eq!(split(body.as_bytes(), 100).map(|lines| lines.len()), Ok(100));
        let body = "\n[]\r\n".repeat(101);
        assert_eq!(split(body.as_bytes(), 100), Err(NdjsonError::TooManyLines { lines_max: 100 }));
        let million_empty = "\n".repeat(1_000_000);
        assert_eq!(split(million_empty.as_bytes(), 100), Ok(vec![]));
    }

    #[test]
    fn too_many_lines_are_refused_before_anything_is_decoded() {
        assert_eq!(split(b"?\n?\n?", 2), Err(NdjsonError::TooManyLines { lines_max: 2 }));
    }

    #[test]
    fn the_base64_limit_is_reached() {
        let mut body = vec![b'A'; BASE64_CHARS_MAX];
        assert_eq!(split(&body, 1).map(|lines| lines.len()), Ok(1));
        body.push(b'A');
        assert_eq!(split(&body, 1), Err(NdjsonError::LineTooLong { line: 1 }));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(body in vec(select(b"[]{A=\r\n\xc3".to_vec()), 0..40)) {
            if let Ok(lines) = split(&body, 3) {
                prop_assert!(lines.len() <= 3);
            }
        }

        #[test]
        fn binary_messages_come_back(messages in vec(vec(any::<u8>(), 1..20), 0..9)) {
            let body: String = messages.iter().map(|message| BASE64.encode(message) + "\n").collect();
            let expected: Vec<_> = messages.into_iter().map(Line::Binary).collect();
            prop_assert_eq!(split(body.as_bytes(), 9), Ok(expected));
        }
    }
}
