//! Where the body of an HTTP/1 message ends.

use std::io;

use bytes::{Buf, BytesMut};
use httparse::Status;

/// How the end of a body is known, and how much of it is still to come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked(Chunk),
    /// The connection ends with it.
    UntilEnd,
}

/// The next part of a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Nothing,
}

/// The wanted form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Every byte as it came.
    Raw,
    /// The contents of the chunks.
    Data,
}

impl Framing {
    /// Moves what belongs to the body from `input` to the end of `output`.
    ///
    /// # Errors
    /// If what should be a chunk is none.
    pub(crate) fn advance(
        &mut self,
        input: &mut BytesMut,
        output: &mut BytesMut,
        form: Form,
    ) -> io::Result<()> {
        match self {
            Self::Length(left) => *left -= take_up_to(*left, input, output),
            Self::UntilEnd => output.unsplit(input.split()),
            Self::Chunked(chunk) => while chunk.step(input, output, form)? {},
        }
        Ok(())
    }

    /// Whether the body has ended.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::Nothing))
    }
}

impl Chunk {
    /// Takes one piece; false says that more is needed for the next.
    fn step(&mut self, input: &mut BytesMut, output: &mut BytesMut, form: Form) -> io::Result<bool> {
        match *self {
            Self::Size => {
                let Ok(status) = httparse::parse_chunk_size(input) else { return Err(broken()) };
                let Status::Complete((len, size)) = status else { return need_more(input) };
                take_framing(len, input, output, form);
                *self = if size == 0 { Self::Trailers } else { Self::Data(size) };
            }
            Self::Data(left) => {
                let taken = take_up_to(left, input, output);
                *self = if taken == left { Self::DataEnd } else { Self::Data(left - taken) };
                return Ok(taken == left);
            }
            Self::DataEnd => {
                let Some(end) = input.get(..2) else { return Ok(false) };
                if end != b"\r\n" {
                    return Err(broken());
                }
                take_framing(2, input, output, form);
                *self = Self::Size;
            }
            Self::Trailers => {
                let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return need_more(input) };
                let is_empty = input[..end].trim_ascii().is_empty();
                take_framing(end + 1, input, output, form);
                if is_empty {
                    *self = Self::Nothing;
                }
            }
            Self::Nothing => return Ok(false),
        }
        Ok(true)
    }
}

fn take_up_to(left: u64, input: &mut BytesMut, output: &mut BytesMut) -> u64 {
    let len = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    output.unsplit(input.split_to(len));
    len as u64
}

fn take_framing(len: usize, input: &mut BytesMut, output: &mut BytesMut, form: Form) {
    match form {
        Form::Raw => output.unsplit(input.split_to(len)),
        Form::Data => input.advance(len),
    }
}

fn need_more(input: &BytesMut) -> io::Result<bool> {
    if input.len() > LINE_BYTES_MAX { Err(broken()) } else { Ok(false) }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a chunked body with something else than chunks")
}

/// A longer size or trailer is nobody's.
const LINE_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] = b"5\r\nhello\r\n6;name=value\r\n world\r\n0\r\nAge: 1\r\n\r\n";

    /// The body in pieces of a length; what comes out, and what is left.
    fn advance(mut framing: Framing, input: &[u8], piece: usize, form: Form) -> (Vec<u8>, Vec<u8>, bool) {
        let (mut buffer, mut output) = (BytesMut::new(), BytesMut::new());
        for bytes in input.chunks(piece) {
            buffer.extend_from_slice(bytes);
            framing.advance(&mut buffer, &mut output, form).unwrap();
        }
        (output.to_vec(), buffer.to_vec(), framing.is_over())
    }

    #[test]
    fn chunks_end_where_they_end_in_whatever_pieces_they_come() {
        let input = [CHUNKED, b"GET /"].concat();
        for piece in 1..input.len() {
            let raw = advance(Framing::Chunked(Chunk::Size), &input, piece, Form::Raw);
            assert_eq!(raw, (CHUNKED.to_vec(), b"GET /".to_vec(), true), "in pieces of {piece}");
            let data = advance(Framing::Chunked(Chunk::Size), &input, piece, Form::Data);
            assert_eq!(data, (b"hello world".to_vec(), b"GET /".to_vec(), true), "in pieces of {piece}");
        }
        let (_, _, is_over) =
            advance(Framing::Chunked(Chunk::Size), &CHUNKED[..CHUNKED.len() - 1], 7, Form::Raw);
        assert!(!is_over);
    }

    #[test]
    fn a_length_is_kept_to() {
        assert_eq!(
            advance(Framing::Length(4), b"abcdef", 3, Form::Raw),
            (b"abcd".to_vec(), b"ef".to_vec(), true)
        );
        assert_eq!(
            advance(Framing::Length(9), b"abcdef", 3, Form::Raw),
            (b"abcdef".to_vec(), Vec::new(), false)
        );
        assert_eq!(
            advance(Framing::UntilEnd, b"abcdef", 3, Form::Raw),
            (b"abcdef".to_vec(), Vec::new(), false)
        );
    }

    #[test]
    fn what_is_no_chunk_is_an_error() {
        for input in [&b"xyz\r\n"[..], b"2\r\nabc\r\n", &[b'1'; 64 << 10]] {
            let mut framing = Framing::Chunked(Chunk::Size);
            let result = framing.advance(&mut BytesMut::from(input), &mut BytesMut::new(), Form::Raw);
            assert!(result.is_err(), "{:?}", &input[..4]);
        }
    }
}
