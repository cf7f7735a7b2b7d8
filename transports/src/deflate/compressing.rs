//! Messages for clients, compressed.

use std::cell::Cell;

use flate2::{Compress, Compression, Crc, FlushCompress};

/// What ends a message and is left out (RFC 7692, 7.2.1): an empty block behind the last one.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Higher levels take longer than they save.
const LEVEL: u32 = 4;

/// A message of which this much at its beginning does not shrink, and that has four times as much, is taken to be compressed
/// already, as images are. Looking at all of it would cost milliseconds each time.
const SAMPLE_BYTES: usize = 8 * 1024;

/// Room for output that a thread keeps.
const KEPT_BYTES: usize = 64 * 1024;

thread_local! {
    static COMPRESSOR: Cell<Option<Box<Compressor>>> = const { Cell::new(None) };
}

struct Compressor {
    inner: Compress,
    /// Room for output, which only grows.
    output: Vec<u8>,
}

/// A payload as a compressed message, without what a receiver appends; `None` if that saves less than a tenth.
///
/// The time that it takes follows from the payload's length. Whoever sends the message to many calls this once.
pub(crate) fn compressed(payload: &[u8]) -> Option<Box<[u8]>> {
    let mut compressor = COMPRESSOR.take().unwrap_or_default();
    let is_worth_trying =
        payload.len() < 4 * SAMPLE_BYTES || compressor.compress(&payload[..SAMPLE_BYTES]).is_some();
    let result = if is_worth_trying { compressor.compress(payload).map(Box::from) } else { None };
    if compressor.output.len() > KEPT_BYTES {
        compressor.output = Vec::new();
    }
    COMPRESSOR.set(Some(compressor));
    result
}

/// The check value that gzip has of bytes.
pub(crate) fn crc32(plain: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(plain);
    crc.sum()
}

impl Compressor {
    fn compress(&mut self, payload: &[u8]) -> Option<&[u8]> {
        // The output has no more room than it may take: what does not shrink is seen when that is full.
        let bytes_max = payload.len() - payload.len().div_ceil(10) + TAIL.len();
        if self.output.len() < bytes_max {
            self.output.resize(bytes_max, 0);
        }
        let output = &mut self.output[..bytes_max];
        self.inner.reset();
        self.inner.compress(payload, output, FlushCompress::Sync).ok()?;
        let (read, written) = (self.inner.total_in() as usize, self.inner.total_out() as usize);
        if read < payload.len() || written == bytes_max {
            return None;
        }
        output[..written].strip_suffix(&TAIL)
    }
}

impl Default for Compressor {
    fn default() -> Self {
        Self { inner: Compress::new(Compression::new(LEVEL), false), output: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_the_room_for_a_message_of_the_usual_size_and_no_more() {
        let kept = || {
            let compressor = COMPRESSOR.take();
            let bytes = compressor.as_ref().map(|compressor| compressor.output.len());
            COMPRESSOR.set(compressor);
            bytes.unwrap_or(0)
        };
        for (bytes, is_kept) in [(10_000, true), (KEPT_BYTES, true), (1_000_000, false), (10_000, true)] {
            assert!(compressed(&vec![0; bytes]).is_some());
            assert_eq!(kept() >= bytes / 2, is_kept, "{bytes}");
            assert!(kept() <= KEPT_BYTES);
        }
    }
}
