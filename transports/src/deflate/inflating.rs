//! Compressed messages of clients, read: within a bound that holds while they grow, since a few kilobytes can stand for gigabytes.

use std::cell::Cell;

use flate2::{Decompress, FlushDecompress, Status};

use super::Uninflatable;

/// What the sender took off the end (RFC 7692, 7.2.2), and an empty block that is the last one: it is reached exactly if the
/// message ended between two blocks.
const TAIL: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

/// Bytes that are inflated at once. Most messages are smaller: they get memory once, and as much as they take.
const CHUNK_BYTES: usize = 16 * 1024;

thread_local! {
    static INFLATER: Cell<Option<Box<Inflater>>> = const { Cell::new(None) };
}

/// A window of 32 KiB, and where its output goes.
struct Inflater {
    inner: Decompress,
    chunk: Vec<u8>,
}

/// The bytes of a compressed message, of which all have come.
///
/// At no time are more than `bytes_max` of them held, and half as many while they are moved to where there is more room.
///
/// # Errors
/// [`Uninflatable`]. What follows a final block is refused but for the zero that its sender appended (7.2.3.4).
pub(crate) fn inflated(compressed: &[u8], bytes_max: usize) -> Result<Vec<u8>, Uninflatable> {
    if compressed.is_empty() {
        // Not as it should be, but there is nothing else that it could mean.
        return Ok(Vec::new());
    }
    let mut inflater = INFLATER.take().unwrap_or_default();
    let result = inflater.inflate(compressed, bytes_max);
    INFLATER.set(Some(inflater));
    result
}

impl Inflater {
    fn inflate(&mut self, compressed: &[u8], bytes_max: usize) -> Result<Vec<u8>, Uninflatable> {
        self.inner.reset(false);
        let mut message = Vec::new();
        match self.advance(compressed, &mut message, bytes_max)? {
            Some([] | [0]) => return Ok(message),
            Some(_) => return Err(Uninflatable::Malformed),
            None => {}
        }
        match self.advance(&TAIL, &mut message, bytes_max)? {
            Some([]) => Ok(message),
            _ => Err(Uninflatable::Malformed),
        }
    }

    /// Inflates a part of the input. Returns what follows the final block, if that was reached.
    fn advance<'i>(
        &mut self,
        mut input: &'i [u8],
        message: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<Option<&'i [u8]>, Uninflatable> {
        loop {
            let (read, written) = (self.inner.total_in(), self.inner.total_out());
            let status = self.inner.decompress(input, &mut self.chunk, FlushDecompress::None);
            let status = status.map_err(|_| Uninflatable::Malformed)?;
            let read = (self.inner.total_in() - read) as usize;
            let written = (self.inner.total_out() - written) as usize;
            input = &input[read..];
            append(&self.chunk[..written], message, bytes_max)?;
            match status {
                Status::StreamEnd => return Ok(Some(input)),
                _ if read == 0 && written == 0 => return Ok(None),
                _ => {}
            }
        }
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self { inner: Decompress::new(false), chunk: vec![0; CHUNK_BYTES] }
    }
}

/// Adds to a message, which takes as much room as it needs, then twice as much, and never more than it may.
fn append(chunk: &[u8], message: &mut Vec<u8>, bytes_max: usize) -> Result<(), Uninflatable> {
    let needed = message.len() + chunk.len();
    if needed > bytes_max {
        return Err(Uninflatable::TooLong);
    }
    if needed > message.capacity() {
        let total =
            if message.is_empty() { needed } else { (2 * message.capacity()).max(needed).min(bytes_max) };
        message.reserve_exact(total - message.len());
    }
    message.extend_from_slice(chunk);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_moved_seldom_however_many_chunks_it_comes_in() {
        let (mut message, mut capacities) = (Vec::new(), Vec::new());
        for _ in 0..1_000 {
            assert_eq!(append(&[7; 1_000], &mut message, 1_000_000), Ok(()));
            capacities.push(message.capacity());
        }
        assert_eq!((message.len(), message.capacity()), (1_000_000, 1_000_000));
        capacities.dedup();
        assert!(capacities.len() < 15, "{capacities:?}");
        assert_eq!(append(&[7], &mut message, 1_000_000), Err(Uninflatable::TooLong));
    }
}
