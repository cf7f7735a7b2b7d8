//! JSON strings and the texts they stand for.

use std::borrow::Cow;

use lapwing_transports::surrogates;
use serde::de::DeserializeOwned;

/// The text as a JSON string, quotes included.
pub(super) fn escaped(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether a JSON string of the text differs from the text between quotes.
pub(super) fn needs_escape(text: &str) -> bool {
    // Without an early exit the compiler looks at many bytes at once.
    text.bytes().fold(false, |found, byte| found | is_escaped(byte))
}

/// Returns the text between the quotes of a valid JSON string, if it stands for itself.
pub(super) fn unquoted(json: &str) -> Option<&str> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { None } else { Some(inner) }
}

/// Decodes a valid JSON string. Half of a character is read as U+FFFD.
pub(super) fn unescaped(json: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    match unquoted(json) {
        Some(inner) => Ok(Cow::Borrowed(inner)),
        None => read(json).map(Cow::Owned),
    }
}

/// Reads valid JSON into a type. Halves of characters are read as U+FFFD, and looked for only if that fails otherwise.
pub(super) fn read<T: DeserializeOwned>(json: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(json).or_else(|error| match surrogates::replace_lone(json) {
        Some(repaired) => serde_json::from_str(&repaired),
        None => Err(error),
    })
}

/// Whether a JSON string cannot hold the byte as it is.
pub(super) fn is_escaped(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// How many bytes longer escaping makes a text, as serde_json escapes it.
pub(super) fn escape_overhead(text: &str) -> usize {
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
    fn what_is_written_is_read_again() {
        for text in ["", "a", "\"", "\u{1}é", "\\"] {
            assert_eq!(unescaped(&escaped(text)).unwrap(), text);
        }
        assert_eq!(unquoted("\"a\""), Some("a"));
        assert_eq!(unquoted("\"\\n\""), None);
        assert_eq!(unquoted("5"), None);
        assert_eq!(unescaped(r#""a\ud83d""#).unwrap(), "a\u{fffd}");
    }
}
