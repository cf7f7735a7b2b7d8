//! Text of strangers in a log.

use std::fmt::{self, Write as _};

/// How many characters of a text are written: enough to know it by, too few to fill a disk with.
const CHARS_MAX: usize = 64;

/// A text that somebody else chose, for a log: between quotes, on one line, without anything that a terminal obeys, and cut.
///
/// ```
/// use lapwing_transports::quoted::Quoted;
///
/// assert_eq!(Quoted::new("room:lobby").to_string(), r#""room:lobby""#);
/// assert_eq!(Quoted::new("x\n\u{1b}[2J").to_string(), r#""x\n\u{1b}[2J""#);
/// assert_eq!(Quoted::new("abcdef").up_to(3).to_string(), r#""abc" and 3 bytes more"#);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a> {
    text: &'a str,
    chars_max: usize,
}

impl<'a> Quoted<'a> {
    /// The first 64 characters of a text.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text, chars_max: CHARS_MAX }
    }

    /// Sets how many characters of it are shown.
    #[must_use]
    pub const fn up_to(mut self, chars_max: usize) -> Self {
        self.chars_max = chars_max;
        self
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.text.char_indices().nth(self.chars_max).map_or(self.text.len(), |(at, _)| at);
        let (shown, rest) = self.text.split_at(end);
        f.write_char('"')?;
        for char in shown.chars() {
            match char {
                // No danger between double quotes.
                '\'' => f.write_char(char)?,
                _ => write!(f, "{}", char.escape_debug())?,
            }
        }
        f.write_char('"')?;
        if rest.is_empty() { Ok(()) } else { write!(f, " and {} bytes more", rest.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_it_is_obeyed_by_a_terminal_or_ends_the_line() {
        let all: String = ('\0'..='\u{ffff}').chain(['\u{e0001}', '\u{1f600}']).collect();
        let quoted = Quoted::new(&all).up_to(usize::MAX).to_string();
        let is_obeyed = |char: char| {
            char.is_control()
                || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        };
        assert_eq!(quoted.chars().find(|char| is_obeyed(*char)), None);
        assert!(quoted.contains('é') && quoted.contains('北') && quoted.contains('😀'));
        let inner = &quoted[1..quoted.len() - 1];
        assert!(
            !inner.replace("\\\\", "").replace("\\\"", "").contains('"'),
            "the quotes end where the text does"
        );
    }

    #[test]
    fn what_is_written_has_a_bound_however_long_the_text() {
        let long = "\u{1b}".repeat(1_000_000);
        let quoted = Quoted::new(&long).to_string();
        assert!(quoted.len() < 10 * CHARS_MAX && quoted.ends_with("\" and 999936 bytes more"), "{quoted}");
        assert_eq!(Quoted::new(&"é".repeat(64)).to_string(), format!("\"{}\"", "é".repeat(64)));
    }

    #[test]
    fn what_is_no_danger_between_double_quotes_stays() {
        assert_eq!(Quoted::new(r#"it's "so""#).to_string(), r#""it's \"so\"""#);
    }
}
