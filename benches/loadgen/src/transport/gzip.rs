//! Gzip as a server writes it that compresses once for all: stored blocks, and compressed ones that are the same for all who
//! get them and end with a flush. These are inflated for the first and compared for the others, as messages of WebSockets are.
use super::Fail;
use super::inflated::Inflated;
use memchr::memmem::find;

const HEADER: usize = 10;
const FLUSHED: [u8; 4] = [0, 0, 0xff, 0xff];

/// A member that is being read.
#[derive(Default)]
pub struct Gzip {
    has_begun: bool,
    /// bytes that are left of a stored block
    stored: usize,
    is_over: bool,
    /// what is no whole block yet
    held: Vec<u8>,
}

impl Gzip {
    /// Appends what these bytes stand for.
    pub fn read(&mut self, bytes: &[u8], inflated: &mut Inflated, out: &mut Vec<u8>) -> Result<(), Fail> {
        if self.held.is_empty() {
            let used = self.blocks(bytes, inflated, out)?;
            self.held.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let used = self.blocks(&held, inflated, out)?;
        held.drain(..used);
        self.held = held;
        Ok(())
    }

    /// Whether all of it has come, which its trailer says.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Reads whole blocks, and of stored ones what there is; returns how many bytes these are.
    fn blocks(&mut self, b: &[u8], inflated: &mut Inflated, out: &mut Vec<u8>) -> Result<usize, Fail> {
        let mut used = 0;
        loop {
            let rest = &b[used..];
            if self.stored > 0 {
                let part = &rest[..self.stored.min(rest.len())];
                out.extend_from_slice(part);
                self.stored -= part.len();
                used += part.len();
                if self.stored > 0 {
                    return Ok(used);
                }
                continue;
            }
            match (self.has_begun, rest) {
                (false, [0x1f, 0x8b, 8, 0, ..]) if rest.len() >= HEADER => {
                    self.has_begun = true;
                    used += HEADER;
                }
                (false, _) if rest.len() < HEADER => return Ok(used),
                (false, _) => return Err("no gzip".into()),
                (true, [0, a, b, c, d, ..]) if (*a, *b) == (!c, !d) => {
                    self.stored = usize::from(u16::from_le_bytes([*a, *b]));
                    used += 5;
                }
                (true, [] | [0, ..]) if rest.len() < 5 => return Ok(used),
                (true, [3, 0, trailer @ ..]) => {
                    if trailer.len() > 8 {
                        return Err("bytes behind the end of gzip".into());
                    }
                    self.is_over = trailer.len() == 8;
                    return Ok(used);
                }
                (true, [first, ..]) if first & 1 == 0 => {
                    let Some(n) = find(rest, &FLUSHED) else { return Ok(used) };
                    out.extend_from_slice(inflated.get(&rest[..n])?);
                    used += n + FLUSHED.len();
                }
                (true, [3]) => return Ok(used),
                (true, _) => return Err("a block of gzip that nothing here asks for".into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};

    fn stored(text: &[u8]) -> Vec<u8> {
        let length = (text.len() as u16).to_le_bytes();
        [&[0, length[0], length[1], !length[0], !length[1]], text].concat()
    }

    #[test]
    fn blocks_of_both_kinds_are_read_in_any_pieces() {
        let text = b"said again and again ".repeat(90);
        let mut shared = Vec::with_capacity(1_000);
        Compress::new(Compression::fast(), false).compress_vec(&text, &mut shared, FlushCompress::Sync).unwrap();
        assert!(shared.ends_with(&FLUSHED));
        let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
        let end = [3, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        let member = [&header[..], &stored(b"data: "), &shared, &stored(b"\n\n"), &shared, &end].concat();
        for step in 1..member.len() {
            let (mut gzip, mut inflated, mut out) = (Gzip::default(), Inflated::default(), Vec::new());
            for piece in member.chunks(step) {
                assert!(!gzip.is_over());
                gzip.read(piece, &mut inflated, &mut out).unwrap();
            }
            assert!(gzip.is_over() && out == [b"data: ", &text[..], b"\n\n", &text].concat(), "in pieces of {step}");
        }
        let wrong = |bytes: &[u8]| Gzip::default().read(bytes, &mut Inflated::default(), &mut Vec::new()).is_err();
        assert!(wrong(b"HTTP/1.1 200 OK") && wrong(&[&header[..], &[5, 0, 0, 0, 0, 0]].concat()));
    }
}
