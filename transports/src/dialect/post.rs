//! The body of a POST: a line that says what it is for, and more that come with it.
//!
//! Pure.

use std::{error, fmt};

use super::{
    client::{ClientControl, ClientLine},
    lines::Breach,
};

/// A body that cannot be taken. None of its lines counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostError {
    /// It is no UTF-8.
    NotUtf8,
    /// Its first line is no control line.
    NoPurpose,
    /// A line breaks the dialect.
    Breach(Breach),
    /// A control line has no place behind the first.
    Misplaced,
    /// A frame comes before any `!from`.
    Unnumbered,
    /// There are more lines than this.
    TooManyLines(usize),
}

impl fmt::Display for PostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("the body is no UTF-8"),
            Self::NoPurpose => f.write_str("the first line does not say what the body is for"),
            Self::Breach(breach) => breach.fmt(f),
            Self::Misplaced => f.write_str("a control line that has no place here"),
            Self::Unnumbered => f.write_str("frames without a number"),
            Self::TooManyLines(lines_max) => write!(f, "at most {lines_max} lines"),
        }
    }
}

impl error::Error for PostError {}

/// Reads from the first line of a body what the body is for.
///
/// # Errors
/// [`PostError`] when the line is no control line.
pub fn purpose(first: &[u8]) -> Result<ClientControl<'_>, PostError> {
    let first = std::str::from_utf8(first).map_err(|_| PostError::NotUtf8)?;
    match ClientLine::parse(without_return(first)).map_err(PostError::Breach)? {
        ClientLine::Control(first) => Ok(first),
        _ => Err(PostError::NoPurpose),
    }
}

/// Reads the first line of a body, and gives it with the lines after it, which are not read yet.
///
/// # Errors
/// [`PostError`] when the body is no UTF-8, or its first line no control line.
///
/// ```
/// use lapwing_transports::{dialect::{client::ClientControl, post}, session::Seq};
///
/// let (first, rest) = post::parse(b"!send token\n!from 1\n[1,2]\n").unwrap();
/// assert_eq!(first, ClientControl::Send { token: "token" });
/// assert_eq!(post::check(rest, 100), Ok(2));
/// assert_eq!(post::check(rest, 1), Err(post::PostError::TooManyLines(1)));
/// ```
pub fn parse(body: &[u8]) -> Result<(ClientControl<'_>, &str), PostError> {
    let text = std::str::from_utf8(body).map_err(|_| PostError::NotUtf8)?;
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    Ok((purpose(first.as_bytes())?, rest))
}

/// Reads the lines of a text one at a time, so that no more than one of them is decoded. Lines without a meaning are left out.
pub fn lines(text: &str) -> impl Iterator<Item = Result<ClientLine<'_>, Breach>> {
    let lines = text.split('\n').map(|line| ClientLine::parse(without_return(line)));
    lines.filter(|line| *line != Ok(ClientLine::Nothing))
}

/// Gives the only line of a text, if it is a control line.
#[must_use]
pub fn only_line(text: &str) -> Option<ClientControl<'_>> {
    let mut lines = lines(text);
    match (lines.next()?, lines.next()) {
        (Ok(ClientLine::Control(control)), None) => Some(control),
        _ => None,
    }
}

/// Counts the lines that follow `!send` or `!resume`, if all of them are sound: frames have numbers, and nothing is begun.
///
/// # Errors
/// [`PostError`] when one of them is not, or there are more than `lines_max`.
pub fn check(text: &str, lines_max: usize) -> Result<usize, PostError> {
    let (mut is_numbered, mut count) = (false, 0);
    for line in lines(text) {
        if count == lines_max {
            return Err(PostError::TooManyLines(lines_max));
        }
        count += 1;
        match line.map_err(PostError::Breach)? {
            ClientLine::Control(ClientControl::From(_)) => is_numbered = true,
            ClientLine::Control(
                ClientControl::Ack(_)
                | ClientControl::Ping
                | ClientControl::Close
                | ClientControl::Path { .. },
            )
            | ClientLine::Nothing => {}
            ClientLine::Control(_) => return Err(PostError::Misplaced),
            ClientLine::Text(_) | ClientLine::Binary(_) if !is_numbered => {
                return Err(PostError::Unnumbered);
            }
            ClientLine::Text(_) | ClientLine::Binary(_) => {}
        }
    }
    Ok(count)
}

fn without_return(line: &str) -> &str {
    line.strip_suffix('\r').unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_line_alone_is_the_only_line() {
        assert_eq!(only_line("!ping"), Some(ClientControl::Ping));
        assert_eq!(only_line("!ping\n!ping"), None);
        assert_eq!((only_line("text"), only_line("")), (None, None));
    }

    #[test]
    fn the_first_line_says_what_a_body_is_for() {
        assert_eq!(purpose(b"!open 5\r"), Ok(ClientControl::Open { beat: 5 }));
        assert_eq!(parse(b"!ticket"), Ok((ClientControl::Ticket, "")));
        assert_eq!(parse(b"!send t\r\n!from 1\n"), Ok((ClientControl::Send { token: "t" }, "!from 1\n")));
        assert_eq!((purpose(b"text"), purpose(b"")), (Err(PostError::NoPurpose), Err(PostError::NoPurpose)));
        assert_eq!(
            (purpose(b"\xff"), parse(b"!ping\n\xff")),
            (Err(PostError::NotUtf8), Err(PostError::NotUtf8))
        );
        assert!(matches!(purpose(b"!ack"), Err(PostError::Breach(_))));
    }

    #[test]
    fn what_follows_is_sound_and_begins_nothing() {
        assert_eq!(check("!ack 1\r\n\n!path 0\n!somethingnew\n!ping\n!close\n", 4), Ok(4));
        for misplaced in ["!open 5", "!resume t 0 5", "!send t", "!ticket"] {
            assert_eq!(check(misplaced, 9), Err(PostError::Misplaced), "{misplaced}");
        }
        assert!(matches!(check("!ping\n!ack", 9), Err(PostError::Breach(_))));
    }

    #[test]
    fn frames_have_numbers() {
        assert_eq!(check("!from 1\ntext", 9), Ok(2));
        assert_eq!(check("text", 9), Err(PostError::Unnumbered));
        assert_eq!(check("!ping\n*Ynl0ZXM=", 9), Err(PostError::Unnumbered));
        assert_eq!(check("!from 1\ntext\ntext", 2), Err(PostError::TooManyLines(2)));
        assert!(PostError::TooManyLines(2).to_string().contains('2'));
    }
}
