//! Text that arrives in pieces, which may end inside a character.

use std::str;

/// A character is at most four bytes, so an unfinished one is at most three.
const UNFINISHED_BYTES_MAX: usize = 3;

/// A `String` that is appended to as bytes, each validated once and as soon as it can be judged.
///
/// The finished text needs no second pass: what is in `text` is already known to be UTF-8.
#[derive(Debug, Default)]
pub(super) struct TextBuffer {
    text: String,
    /// The first bytes of a character whose others have not arrived, and that can still become one.
    unfinished: [u8; UNFINISHED_BYTES_MAX],
    unfinished_bytes: u8,
}

/// The bytes so far can be continued by nothing to become UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidUtf8;

impl TextBuffer {
    /// Takes bytes of which none follow.
    pub(super) fn from_utf8(bytes: Vec<u8>) -> Result<Self, InvalidUtf8> {
        let text = String::from_utf8(bytes).map_err(|_| InvalidUtf8)?;
        Ok(Self { text, ..Self::default() })
    }

    /// Appends `bytes`, for which room must have been made with [`reserve`](Self::reserve) if growth matters.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), InvalidUtf8> {
        let bytes = self.finish_character(bytes)?;
        match str::from_utf8(bytes) {
            Ok(text) => self.text.push_str(text),
            Err(error) => {
                // An error with a length is a sequence that no later byte can mend.
                if error.error_len().is_some() {
                    return Err(InvalidUtf8);
                }
                let (valid, unfinished) = bytes.split_at(error.valid_up_to());
                self.text.push_str(str::from_utf8(valid).map_err(|_| InvalidUtf8)?);
                self.hold(unfinished);
            }
        }
        Ok(())
    }

    /// Makes room for the text to reach `total_bytes`, no more.
    pub(super) fn reserve(&mut self, total_bytes: usize) {
        self.text.reserve_exact(total_bytes.saturating_sub(self.text.len()));
    }

    pub(super) fn bytes(&self) -> usize {
        self.text.len() + usize::from(self.unfinished_bytes)
    }

    pub(super) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    pub(super) fn ends_inside_character(&self) -> bool {
        self.unfinished_bytes != 0
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Completes the unfinished character from `bytes` and returns the others.
    fn finish_character<'b>(&mut self, mut bytes: &'b [u8]) -> Result<&'b [u8], InvalidUtf8> {
        while self.unfinished_bytes != 0 {
            let Some((&next, rest)) = bytes.split_first() else { break };
            bytes = rest;
            let held = usize::from(self.unfinished_bytes);
            let mut character = [0; UNFINISHED_BYTES_MAX + 1];
            character[..held].copy_from_slice(&self.unfinished[..held]);
            character[held] = next;
            match str::from_utf8(&character[..=held]) {
                Ok(text) => {
                    self.text.push_str(text);
                    self.unfinished_bytes = 0;
                }
                Err(error) if error.error_len().is_some() => return Err(InvalidUtf8),
                Err(_) => self.hold(&character[..=held]),
            }
        }
        Ok(bytes)
    }

    fn hold(&mut self, unfinished: &[u8]) {
        self.unfinished[..unfinished.len()].copy_from_slice(unfinished);
        self.unfinished_bytes = unfinished.len() as u8;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where `bytes` are refused when pushed one at a time, or whether they end inside a character.
    fn push_each(bytes: &[u8]) -> Result<bool, usize> {
        let mut buffer = TextBuffer::default();
        for (at, byte) in bytes.iter().enumerate() {
            buffer.push(&[*byte]).map_err(|InvalidUtf8| at)?;
        }
        assert_eq!(buffer.bytes(), bytes.len());
        Ok(buffer.ends_inside_character())
    }

    #[test]
    fn an_impossible_byte_is_refused_when_it_arrives() {
        for (bytes, refused_at) in [
            (&b"a\x80"[..], 1),           // A continuation byte without a start.
            (b"\xc0\x80", 0),             // Starts that only overlong forms would have.
            (b"\xc1\xbf", 0),             //
            (b"\xc3a", 1),                // A start without its continuation.
            (b"\xe0\x80\x80", 1),         // Overlong, three bytes.
            (b"\xe0\x9f\xbf", 1),         //
            (b"\xed\xa0\x80", 1),         // Surrogates.
            (b"\xed\xbf\xbf", 1),         //
            (b"\xe2\x82a", 2),            //
            (b"\xf0\x80\x80\x80", 1),     // Overlong, four bytes.
            (b"\xf0\x8f\xbf\xbf", 1),     //
            (b"\xf4\x90\x80\x80", 1),     // Above U+10FFFF.
            (b"\xf5\x80\x80\x80", 0),     // No character starts so.
            (b"\xf8\x88\x80\x80\x80", 0), // Five and six bytes: never.
            (b"\xfc\x84\x80\x80\x80\x80", 0),
            (b"\xfe", 0),
            (b"\xff", 0),
            (b"\xf0\x9f\x98a", 3),
        ] {
            assert_eq!(push_each(bytes), Err(refused_at), "{bytes:x?}");
        }
    }

    #[test]
    fn the_edges_of_each_length_are_accepted() {
        for text in [
            "",
            "\u{0}",
            "\u{7f}",
            "\u{80}",
            "\u{7ff}",
            "\u{800}",
            "\u{d7ff}",
            "\u{e000}",
            "\u{fffe}",
            "\u{ffff}",
            "\u{10000}",
            "\u{10ffff}",
            "κόσμε",
            "🦀",
        ] {
            assert_eq!(push_each(text.as_bytes()), Ok(false), "{text:?}");
        }
        assert_eq!(push_each(b"\xf0\x9f\xa6"), Ok(true));
    }

    proptest! {
        #[test]
        fn pieces_agree_with_the_whole(
            bytes in prop_oneof![
                any::<String>().prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..12),
            ],
            piece in 1_usize..9,
        ) {
            let mut buffer = TextBuffer::default();
            let refused = bytes.chunks(piece).any(|chunk| buffer.push(chunk).is_err());
            match str::from_utf8(&bytes) {
                Ok(text) => {
                    prop_assert!(!refused && !buffer.ends_inside_character());
                    prop_assert_eq!(buffer.as_str(), text);
                }
                Err(error) if error.error_len().is_none() => {
                    prop_assert!(!refused && buffer.ends_inside_character());
                }
                Err(_) => prop_assert!(refused),
            }
        }
    }
}
