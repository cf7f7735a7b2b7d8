//! Putting JSON text together in one allocation of the right size.

use std::borrow::Cow;

use lapwing_transports::frame::Frame;

use super::name::NameRef;
use super::reference::Ref;

/// A stretch of the text to be written.
#[derive(Clone, Copy)]
pub(super) enum Piece<'a> {
    /// JSON already, or punctuation.
    Json(&'a str),
    /// Becomes a JSON string.
    Text(&'a str),
}

impl<'a> Piece<'a> {
    /// A ref, or `null`.
    pub(super) fn reference(reference: Option<&'a Ref>) -> Self {
        Self::Json(reference.map_or("null", Ref::as_json))
    }

    /// A topic that is perhaps no string.
    pub(super) fn name(name: NameRef<'a>) -> Self {
        match name {
            NameRef::Text(text) => Self::Text(text),
            NameRef::Json(json) => Self::Json(json.as_str()),
        }
    }

    /// How many bytes it will take.
    fn len(self) -> usize {
        match self {
            Self::Json(json) => json.len(),
            Self::Text(text) if needs_escape(text) => text.len() + 2 + escape_overhead(text),
            Self::Text(text) => text.len() + 2,
        }
    }
}

/// Writes the pieces of all groups one after the other.
pub(super) fn concat(groups: &[&[Piece<'_>]]) -> String {
    let pieces = || groups.iter().copied().flatten().copied();
    let len = pieces().map(Piece::len).sum();
    let mut out = String::with_capacity(len);
    for piece in pieces() {
        match piece {
            Piece::Json(json) => out.push_str(json),
            Piece::Text(text) if needs_escape(text) => out.push_str(&escaped(text)),
            Piece::Text(text) => {
                out.push('"');
                out.push_str(text);
                out.push('"');
            }
        }
    }
    // A wrong size would cost a reallocation, and another allocation where the text becomes shared bytes.
    debug_assert_eq!(out.len(), len);
    out
}

/// Writes the pieces of all groups into a text frame.
pub(super) fn frame(groups: &[&[Piece<'_>]]) -> Frame {
    Frame::text(concat(groups))
}

/// The text as a JSON string, quotes included.
pub(super) fn escaped(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether a JSON string of the text differs from the text between quotes.
pub(super) fn needs_escape(text: &str) -> bool {
    // Without an early exit the compiler looks at many bytes at once.
    text.bytes().fold(false, |found, byte| found | is_escaped(byte))
}

/// What stands between the quotes of a valid JSON string, if it stands for itself.
pub(super) fn unquoted(json: &str) -> Option<&str> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { None } else { Some(inner) }
}

/// What a valid JSON string says; an error if it escapes a lone surrogate.
pub(super) fn unescaped(json: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    match unquoted(json) {
        Some(inner) => Ok(Cow::Borrowed(inner)),
        None => serde_json::from_str(json).map(Cow::Owned),
    }
}

/// Whether a JSON string cannot hold the byte as it is.
pub(super) fn is_escaped(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// How many bytes longer escaping makes a text, as serde_json escapes it.
fn escape_overhead(text: &str) -> usize {
    text.bytes()
        .filter(|&byte| is_escaped(byte))
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
            // `\u00xx` for one byte.
            _ => 5,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_written_as_serde_json_writes_them() {
        let all: String = (0..0x250).filter_map(char::from_u32).collect();
        for text in ["", "plain", "räume:北", "\"", "a\\b", "\u{0}\u{7f}\u{2028}</script>", &all] {
            let written = concat(&[&[Piece::Text(text)]]);
            assert_eq!(written, serde_json::to_string(text).unwrap());
            assert_eq!(written.capacity(), written.len());
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["", "a", "\"", "\u{1}é", "\\"] {
            assert_eq!(unescaped(&escaped(text)).unwrap(), text);
        }
        assert_eq!(unquoted("\"a\""), Some("a"));
        assert_eq!(unquoted("\"\\n\""), None);
        assert_eq!(unquoted("5"), None);
    }
}
