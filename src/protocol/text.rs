//! Putting JSON text together in one allocation of the right size.

use lapwing_transports::frame::Frame;

use super::{
    escape::{escape_overhead, escaped, needs_escape},
    name::NameRef,
    reference::Ref,
};

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
}
