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

    /// The status of a reply; there are hardly any but two.
    pub(super) fn status(status: &'a str) -> Self {
        match status {
            "ok" => Self::Json("\"ok\""),
            "error" => Self::Json("\"error\""),
            status => Self::Text(status),
        }
    }

    /// How many bytes it will take, and whether it is to be escaped.
    #[inline]
    fn measure(self) -> (usize, bool) {
        match self {
            Self::Json(json) => (json.len(), false),
            Self::Text(text) if needs_escape(text) => (text.len() + 2 + escape_overhead(text), true),
            Self::Text(text) => (text.len() + 2, false),
        }
    }
}

/// Writes the pieces of all groups one after the other, 64 at most.
pub(super) fn concat(groups: &[&[Piece<'_>]]) -> String {
    // Which are to be escaped, a bit each: each text is looked through once.
    let (mut len, mut escaping, mut bit) = (0, 0_u64, 1_u64);
    for group in groups {
        for piece in *group {
            let (bytes, is_escaped) = piece.measure();
            len += bytes;
            escaping |= if is_escaped { bit } else { 0 };
            bit <<= 1;
        }
    }
    let mut out = String::with_capacity(len);
    bit = 1;
    for group in groups {
        for piece in *group {
            match piece {
                Piece::Json(json) => out.push_str(json),
                Piece::Text(text) if escaping & bit != 0 => out.push_str(&escaped(text)),
                Piece::Text(text) => {
                    out.push('"');
                    out.push_str(text);
                    out.push('"');
                }
            }
            bit <<= 1;
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
