//! The token of a long-poll session: where the session is, the secret that proves it, and how much the client
//! has received.
//!
//! Stock clients take their token anew from each reply, so the token can carry the cursor: a poll with it
//! proves that the reply it came from has arrived. It carries no cursor in the reply that creates the session;
//! a client that keeps using that first token is taken at the word of Phoenix, where a reply counts as
//! received once it was written.

use crate::{dialect::token::Secret, session::Seq};

/// What a token says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    /// The session's place in the registry.
    pub(crate) slot: u32,
    pub(crate) secret: Secret,
    /// The last frame that the client has, if the token says so.
    pub(crate) cursor: Option<Seq>,
}

const BYTES_BARE: usize = 20;
const BYTES_WITH_CURSOR: usize = 28;

impl Token {
    /// What its text says, in a cluster beside the node that made it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES_WITH_CURSOR);
        bytes.extend_from_slice(&self.slot.to_be_bytes());
        bytes.extend_from_slice(self.secret.bytes());
        if let Some(cursor) = self.cursor {
            bytes.extend_from_slice(&cursor.0.to_be_bytes());
        }
        bytes
    }

    /// Reads that; `None` for anything that is no token.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let cursor = match bytes.len() {
            BYTES_BARE => None,
            BYTES_WITH_CURSOR => Some(Seq(u64::from_be_bytes(bytes[BYTES_BARE..].try_into().ok()?))),
            _ => return None,
        };
        Some(Self {
            slot: u32::from_be_bytes(bytes[..4].try_into().ok()?),
            secret: Secret::new(bytes[4..BYTES_BARE].try_into().ok()?),
            cursor,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_bytes() {
        for cursor in [None, Some(Seq(0)), Some(Seq(u64::MAX))] {
            let secret = Secret::new([9; 16]);
            let read = Token::of_bytes(&Token { slot: 7, secret, cursor }.bytes()).unwrap();
            assert_eq!((read.slot, read.cursor), (7, cursor));
            assert!(read.secret.matches(&secret));
        }
    }

    #[test]
    fn what_is_not_a_token_is_refused() {
        for len in [0, 1, 19, 21, 27, 29, 10_000] {
            assert!(Token::of_bytes(&vec![0; len]).is_none(), "{len}");
        }
    }

    #[test]
    fn a_token_that_is_printed_keeps_its_secret() {
        let token = Token { slot: 1, secret: Secret::new([77; 16]), cursor: None };
        assert!(!format!("{token:?}").contains("77"));
    }
}
