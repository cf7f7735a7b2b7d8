//! Frames in the forms in which answers have them, a piece at a time: no answer needs a copy of a whole frame.
//!
//! Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    deflate::gzip::Part,
    frame::{Frame, FrameKind, Look},
};

/// How a frame is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Plain,
    /// A JSON string.
    Quoted,
    /// Base64 behind a `*`.
    Starred,
    /// A JSON string of base64.
    QuotedBase64,
}

impl Form {
    /// A guarded frame as a line of the session dialect.
    pub(crate) fn of_line(frame: &Frame) -> Self {
        match frame.kind() {
            FrameKind::Binary => Self::Starred,
            // A frame that is quoted already has no line break in it.
            FrameKind::Text if frame.look(look).has_line_breaks => Self::Quoted,
            FrameKind::Text => Self::Plain,
        }
    }

    /// A frame as an element of a list in JSON: text as it is, bytes in base64, as the client's own bytes come in.
    pub(crate) fn of_json(frame: &Frame) -> Self {
        match frame.kind() {
            FrameKind::Binary => Self::QuotedBase64,
            FrameKind::Text => Self::Quoted,
        }
    }

    /// How many bytes a frame has in this form, never less than its payload.
    pub(crate) fn bytes(self, frame: &Frame) -> usize {
        let payload = frame.payload();
        let base64 = payload.len().div_ceil(3) * 4;
        match self {
            Self::Plain => payload.len(),
            Self::Quoted => 2 + payload.len() + frame.look(look).escapes,
            Self::Starred => 1 + base64,
            Self::QuotedBase64 => 2 + base64,
        }
    }

    /// The frame in this form, compressed, if it was; without what ends a flushed block.
    pub(crate) fn compressed(self, frame: &Frame) -> Option<&[u8]> {
        match self {
            Self::Plain => frame.compressed(),
            Self::Quoted => frame.string().map(|string| &*string.bytes),
            Self::Starred | Self::QuotedBase64 => None,
        }
    }

    /// What the frame has in this form to a member of gzip.
    pub(crate) fn part(self, frame: &Frame) -> Option<Part> {
        match self {
            Self::Plain => Some(Part::of(frame.payload())),
            Self::Quoted => frame.string().map(|string| string.part),
            Self::Starred | Self::QuotedBase64 => None,
        }
    }

    /// Appends a piece that begins at `from` and takes about `room` bytes of the payload. Returns where the next begins: at the
    /// payload's end if this was the last.
    pub(crate) fn append(self, payload: &[u8], from: usize, room: usize, out: &mut Vec<u8>) -> usize {
        let to = self.piece_end(payload, from, room);
        let (piece, is_last) = (&payload[from..to], to == payload.len());
        match (self, from == 0) {
            (Self::Quoted | Self::QuotedBase64, true) => out.push(b'"'),
            (Self::Starred, true) => out.push(b'*'),
            _ => {}
        }
        match self {
            Self::Plain => out.extend_from_slice(piece),
            Self::Quoted => {
                // No error: a text frame is made of a `String`, and cut between characters.
                let quoted = serde_json::to_vec(&String::from_utf8_lossy(piece)).unwrap_or_default();
                out.extend_from_slice(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default());
            }
            Self::Starred | Self::QuotedBase64 => out.extend_from_slice(STANDARD.encode(piece).as_bytes()),
        }
        if is_last && matches!(self, Self::Quoted | Self::QuotedBase64) {
            out.push(b'"');
        }
        to
    }

    fn piece_end(self, payload: &[u8], from: usize, room: usize) -> usize {
        let to = from + room.max(4);
        if to >= payload.len() {
            return payload.len();
        }
        match self {
            Self::Plain => to,
            // Three bytes are four characters, without padding.
            Self::Starred | Self::QuotedBase64 => from + room.max(4) / 3 * 3,
            Self::Quoted => (from + 1..=to).rev().find(|at| payload[*at] & 0xC0 != 0x80).unwrap_or(to),
        }
    }
}

fn look(payload: &[u8]) -> Look {
    payload.iter().fold(Look::default(), |Look { escapes, has_line_breaks }, byte| Look {
        escapes: escapes + escape_bytes(*byte),
        has_line_breaks: has_line_breaks || matches!(byte, b'\n' | b'\r'),
    })
}

/// How many bytes longer it is, as `serde_json` escapes.
fn escape_bytes(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0C | b'\r' => 1,
        0..=0x1F => 5,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn in_pieces(form: Form, payload: &[u8], room: usize) -> Vec<u8> {
        let (mut out, mut from) = (Vec::new(), 0);
        loop {
            from = form.append(payload, from, room, &mut out);
            if from == payload.len() {
                return out;
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_are_together_what_the_whole_is(text in ".{0,200}|[\\x00-\\x7f]{0,200}", room in 0usize..80) {
            let json = serde_json::to_vec(&text).unwrap();
            let frame = Frame::text(&*text);
            // The second time it is remembered.
            for _ in 0..2 {
                prop_assert_eq!(Form::Quoted.bytes(&frame), json.len());
                let is_quoted = text.contains(['\n', '\r']);
                prop_assert_eq!(Form::of_line(&frame), if is_quoted { Form::Quoted } else { Form::Plain });
            }
            prop_assert_eq!(in_pieces(Form::Quoted, text.as_bytes(), room), json);
            prop_assert_eq!(in_pieces(Form::Plain, text.as_bytes(), room), text.as_bytes());
        }

        #[test]
        fn so_are_pieces_of_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200), room in 0usize..80) {
            let base64 = STANDARD.encode(&bytes);
            for (form, whole) in
                [(Form::Starred, format!("*{base64}")), (Form::QuotedBase64, format!("\"{base64}\""))]
            {
                prop_assert_eq!(form.bytes(&Frame::binary(bytes.clone())), whole.len());
                prop_assert_eq!(in_pieces(form, &bytes, room), whole.as_bytes());
            }
        }
    }
}
