//! A session on its way to another node: what it is known by, and the frozen session.
//!
//! ```text
//! version u8 (1) · transport u8 · names u8 · (node u64 · slot u32 · serial u64 · secret 16) × names · the session
//! ```
//!
//! The first name is that of the token that the node has given it, before it those of nodes that had it earlier, the newest first. Whoever has one
//! of these tokens finds the session where it is.

use bytes::{Buf as _, BufMut as _, Bytes};

use crate::{connect::Transport, dialect::token::Token, session::frozen::ThawError};

/// The version that is written and read.
const VERSION: u8 = 1;

/// Nodes whose tokens find a session. A client that was not there for so many moves is told `unknown`.
pub(crate) const NAMES_MAX: usize = 8;

/// Bytes of a token without its node.
const TOKEN_BYTES: usize = 28;

/// What a token of some node says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    pub(crate) node: u64,
    pub(crate) token: Token,
}

/// What comes from another node.
#[derive(Debug)]
pub(crate) struct Baggage<'a> {
    /// What carried the session last.
    pub(crate) transport: Transport,
    pub(crate) names: Vec<Name>,
    pub(crate) session: &'a [u8],
}

impl Name {
    /// What finds the session; the secret proves that it may be found.
    pub(crate) fn key(&self) -> (u64, u64) {
        (self.node, self.token.serial)
    }
}

/// Packs a session; of its names the first ones.
pub(crate) fn pack(transport: Transport, names: impl Iterator<Item = Name>, session: &[u8]) -> Bytes {
    let names: Vec<Name> = names.take(NAMES_MAX).collect();
    let mut out = Vec::with_capacity(3 + names.len() * (8 + TOKEN_BYTES) + session.len());
    out.extend_from_slice(&[VERSION, transport as u8, names.len() as u8]);
    for Name { node, token } in names {
        out.put_u64(node);
        out.put_slice(&token.bytes());
    }
    out.put_slice(session);
    out.into()
}

impl<'a> Baggage<'a> {
    /// Unpacks it.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, ThawError> {
        let mut rest = bytes;
        let version = rest.try_get_u8().map_err(|_| ThawError::Length)?;
        if version != VERSION {
            return Err(ThawError::Version(version));
        }
        let transport = rest.try_get_u8().map_err(|_| ThawError::Length)?;
        let transport = Transport::ALL.get(usize::from(transport)).ok_or(ThawError::Value)?;
        let count = usize::from(rest.try_get_u8().map_err(|_| ThawError::Length)?);
        if count > NAMES_MAX {
            return Err(ThawError::Value);
        }
        let mut names = Vec::with_capacity(count);
        for _ in 0..count {
            let node = rest.try_get_u64().map_err(|_| ThawError::Length)?;
            let (token, after) = rest.split_at_checked(TOKEN_BYTES).ok_or(ThawError::Length)?;
            names.push(Name { node, token: Token::of_bytes(token).ok_or(ThawError::Value)? });
            rest = after;
        }
        Ok(Self { transport: *transport, names, session: rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::token::Secret;

    fn names(count: u64) -> impl Iterator<Item = Name> {
        (1..=count).map(|number| {
            let token = Token { slot: 1, serial: 100 + number, secret: Secret::new([number as u8; 16]) };
            Name { node: number, token }
        })
    }

    #[test]
    fn what_is_packed_is_unpacked_with_the_newest_names() {
        let bytes = pack(Transport::Sse, names(20), b"frozen");
        let Baggage { transport, names: read, session } = Baggage::read(&bytes).unwrap();
        assert_eq!((transport, session), (Transport::Sse, &b"frozen"[..]));
        assert_eq!(read.len(), NAMES_MAX);
        for (name, wanted) in read.iter().zip(names(20)) {
            assert_eq!(name.key(), wanted.key());
            assert!(name.token.secret.matches(&wanted.token.secret));
        }
    }

    #[test]
    fn what_is_no_baggage_is_none() {
        let bytes = pack(Transport::Sse, names(2), b"");
        for len in 0..bytes.len() {
            assert_eq!(Baggage::read(&bytes[..len]).unwrap_err(), ThawError::Length, "{len}");
        }
        let changed = |at: usize, value: u8| {
            let mut bytes = bytes.to_vec();
            bytes[at] = value;
            Baggage::read(&bytes).map(|_| ()).unwrap_err()
        };
        assert_eq!(changed(0, 2), ThawError::Version(2));
        assert_eq!(changed(1, 9), ThawError::Value);
        assert_eq!(changed(2, 9), ThawError::Value);
    }
}
