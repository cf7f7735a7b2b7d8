//! Compressed messages. All subscribers get the same bytes, which are inflated for the first and compared for the others: otherwise the
//! client would be what is measured.
use super::Fail;
use flate2::{Decompress, FlushDecompress, Status};

pub struct Inflated {
    inner: Decompress,
    /// the last compressed message, and what it stands for
    last: Vec<u8>,
    message: Vec<u8>,
    /// scratch for what streams and answers stand for
    pub plain: Vec<u8>,
}

impl Default for Inflated {
    fn default() -> Self {
        Inflated { inner: Decompress::new(false), last: Vec::new(), message: Vec::new(), plain: Vec::new() }
    }
}

impl Inflated {
    pub fn get(&mut self, compressed: &[u8]) -> Result<&[u8], Fail> {
        if self.last != compressed {
            self.inner.reset(false);
            self.message.clear();
            for input in [compressed, &[0, 0, 0xff, 0xff]] {
                let start = self.inner.total_in();
                loop {
                    let read = (self.inner.total_in() - start) as usize;
                    let before = self.message.len();
                    self.message.reserve(compressed.len().max(4096));
                    let status = self.inner.decompress_vec(&input[read..], &mut self.message, FlushDecompress::None);
                    let status = status.map_err(|e| format!("inflate: {e}"))?;
                    let is_done = (self.inner.total_in() - start) as usize == input.len();
                    if status == Status::StreamEnd || (is_done && self.message.len() < self.message.capacity()) {
                        break;
                    }
                    if !is_done && self.message.len() == before {
                        return Err("inflate: no progress".into());
                    }
                }
            }
            self.last.clear();
            self.last.extend_from_slice(compressed);
        }
        Ok(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};

    #[test]
    fn what_is_compressed_is_read_once_and_again() {
        let (mut inflated, mut compress) = (Inflated::default(), Compress::new(Compression::fast(), false));
        for text in ["x".repeat(10), "said again ".repeat(1000), "y".repeat(300_000)] {
            let mut compressed = Vec::with_capacity(text.len() + 100);
            compress.reset();
            compress.compress_vec(text.as_bytes(), &mut compressed, FlushCompress::Sync).unwrap();
            assert_eq!(compressed.split_off(compressed.len() - 4), [0, 0, 0xff, 0xff]);
            for _ in 0..2 {
                assert!(inflated.get(&compressed).unwrap() == text.as_bytes());
            }
        }
        assert!(inflated.get(b"no deflate").is_err());
    }
}
