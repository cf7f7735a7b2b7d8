//! What a node is told that comes soon after another one has gone: whoever was there then has heard it from that node itself.
//!
//! ```text
//! version u8 (2) · node u64 · milliseconds for which what it has left stays u32 (big-endian)
//! ```
//!
//! Messages of replicas, which come by the same way, begin with 1: see [`chunks`](super::chunks).

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};

const VERSION: u8 = 2;

const BYTES: usize = 13;

/// A node that has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) node: u64,
    /// For how long what it has left stays.
    pub(super) stays: Duration,
}

impl Left {
    pub(super) fn encode(self) -> Bytes {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.put_u8(VERSION);
        bytes.put_u64(self.node);
        bytes.put_u32(u32::try_from(self.stays.as_millis()).unwrap_or(u32::MAX));
        bytes.into()
    }

    /// Reads it; none if it is something else.
    pub(super) fn read(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() != BYTES || bytes.get_u8() != VERSION {
            return None;
        }
        Some(Self { node: bytes.get_u64(), stays: Duration::from_millis(bytes.get_u32().into()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_and_nothing_else() {
        let second = Duration::from_secs(1);
        for stays in [Duration::ZERO, second] {
            let left = Left { node: 1 << 60, stays };
            assert_eq!(Left::read(&left.encode()), Some(left));
        }
        let long = Left { node: 1, stays: Duration::MAX };
        assert!(Left::read(&long.encode()).unwrap().stays > 1_000_000 * second);
        let bytes = long.encode();
        assert_eq!(Left::read(&bytes[1..]), None);
        assert_eq!(Left::read(&[&bytes[..], b"x"].concat()), None);
        let mut other = bytes.to_vec();
        other[0] = 1;
        assert_eq!(Left::read(&other), None);
    }
}
