//! The token of a resumable session: where it is, which one it is, and the secret that proves it.

use std::fmt;

use subtle::ConstantTimeEq as _;

/// 128 random bits, for the eyes of one client only: never printed, compared in constant time.
#[derive(Clone, Copy)]
pub(crate) struct Secret([u8; 16]);

impl Secret {
    pub(crate) fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// For a token, which is for the eyes of its client.
    pub(crate) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether they are the same, in time that does not depend on where they differ.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What a token says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    /// The session's place in the registry, which others have had before it.
    pub(crate) slot: u32,
    /// The session's number on its mount; no two have the same.
    pub(crate) serial: u64,
    pub(crate) secret: Secret,
}

const BYTES: usize = 28;

impl Token {
    /// What its text says, in a cluster beside the node that made it.
    pub(crate) fn bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&self.slot.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.serial.to_be_bytes());
        bytes[12..].copy_from_slice(&self.secret.0);
        bytes
    }

    /// Reads that; `None` for anything that is no token.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != BYTES {
            return None;
        }
        Some(Self {
            slot: u32::from_be_bytes(bytes[..4].try_into().ok()?),
            serial: u64::from_be_bytes(bytes[4..12].try_into().ok()?),
            secret: Secret(bytes[12..BYTES].try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_bytes() {
        let token = Token { slot: 7, serial: u64::MAX, secret: Secret([9; 16]) };
        let read = Token::of_bytes(&token.bytes()).unwrap();
        assert_eq!((read.slot, read.serial), (7, u64::MAX));
        assert!(read.secret.matches(&token.secret));
        assert_eq!(read.secret.bytes(), &[9; 16]);
    }

    #[test]
    fn what_is_not_a_token_is_none() {
        for len in [0, 1, 27, 29, 45, 10_000] {
            assert!(Token::of_bytes(&vec![0; len]).is_none(), "{len}");
        }
    }

    #[test]
    fn a_secret_is_only_like_itself_and_is_not_printed() {
        let mut other = [1; 16];
        other[15] = 2;
        assert!(Secret([1; 16]).matches(&Secret([1; 16])));
        assert!(!Secret([1; 16]).matches(&Secret(other)));
        assert_eq!(format!("{:?}", Secret(*b"0123456789abcdef")), "Secret");
    }
}
