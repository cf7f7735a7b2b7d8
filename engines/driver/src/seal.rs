//! Messages that only a node with the secret can have written.
//!
//! ```text
//!   0x53 · tag (16 bytes) · message
//! ```
//!
//! The tag is the first half of an HMAC-SHA-256 over the application's name, the channel and the message. The first byte is no
//! version of the wire, so that a node without the secret reads nothing into a sealed message.

use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};
use hmac::{Hmac, KeyInit as _, Mac as _};
use lapwing_cluster::Channel;
use sha2::Sha256;

const SEALED: u8 = 0x53;

/// Where a message has the kind of its channel, a token has this.
const TOKEN: u8 = 3;

const TAG_BYTES: usize = 16;

const HEAD_BYTES: usize = 1 + TAG_BYTES;

/// Seals messages, and opens those that were sealed with the same secret.
#[derive(Clone)]
pub(crate) struct Seal {
    /// It has the secret and the application's name in it.
    begun: Hmac<Sha256>,
}

impl Seal {
    pub(crate) fn new(secret: &[u8], app: &str) -> Self {
        let mut begun = Hmac::<Sha256>::new_from_slice(secret).expect("a key may have any length");
        begun.update(app.as_bytes());
        // No application's name has one in it.
        begun.update(&[0]);
        Self { begun }
    }

    pub(crate) fn seal(&self, channel: Channel, message: &[u8]) -> Bytes {
        let mut sealed = BytesMut::with_capacity(HEAD_BYTES + message.len());
        sealed.put_u8(SEALED);
        sealed.put_slice(&self.mac(channel, message).finalize().into_bytes()[..TAG_BYTES]);
        sealed.put_slice(message);
        sealed.freeze()
    }

    /// The message; none if it was not sealed with this secret, for this channel.
    pub(crate) fn open(&self, channel: Channel, sealed: &Bytes) -> Option<Bytes> {
        let (head, message) = sealed.split_at_checked(HEAD_BYTES)?;
        let is_ours =
            head[0] == SEALED && self.mac(channel, message).verify_truncated_left(&head[1..]).is_ok();
        is_ours.then(|| sealed.slice(HEAD_BYTES..))
    }

    /// The tag of a token, which no message has.
    pub(crate) fn tag(&self, token: &[u8]) -> [u8; 8] {
        let mut mac = self.begun.clone();
        mac.update(&[TOKEN]);
        mac.update(token);
        let mut tag = [0; 8];
        tag.copy_from_slice(&mac.finalize().into_bytes()[..8]);
        tag
    }

    fn mac(&self, channel: Channel, message: &[u8]) -> Hmac<Sha256> {
        let (kind, number) = match channel {
            Channel::Control => (0, 0),
            Channel::Node(instance) => (1, instance.0),
            Channel::Topics(key) => (2, key.0),
        };
        let mut mac = self.begun.clone();
        mac.update(&[kind]);
        mac.update(&number.to_be_bytes());
        mac.update(message);
        mac
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

#[cfg(test)]
mod tests {
    use lapwing_cluster::{Instance, Key};

    use super::*;

    #[test]
    fn a_message_is_opened_by_whom_it_was_sealed_for_as_it_was() {
        let seal = Seal::new(b"secret", "chat");
        let (channel, message) = (Channel::Topics(Key(7)), b"hello".as_slice());
        let sealed = seal.seal(channel, message);
        assert_eq!(seal.open(channel, &sealed).as_deref(), Some(message));
        for at in 0..sealed.len() {
            let mut changed = sealed.to_vec();
            changed[at] ^= 1;
            assert_eq!(seal.open(channel, &changed.into()), None, "byte {at}");
        }
        for len in 0..sealed.len() {
            assert_eq!(seal.open(channel, &sealed.slice(..len)), None, "{len} bytes");
        }
        for other in [Channel::Topics(Key(8)), Channel::Node(Instance(7)), Channel::Control] {
            assert_eq!(seal.open(other, &sealed), None, "{other:?}");
        }
        for other in [Seal::new(b"secret2", "chat"), Seal::new(b"secret", "chat2")] {
            assert_eq!(other.open(channel, &sealed), None);
        }
        assert_eq!(seal.open(channel, &Bytes::from_static(message)), None);
        assert_eq!(format!("{seal:?}"), "Seal", "a secret is not shown");
    }

    #[test]
    fn the_tag_of_a_token_is_the_applications_and_the_secrets() {
        let tag = Seal::new(b"secret", "chat").tag(b"token");
        assert_eq!(Seal::new(b"secret", "chat").tag(b"token"), tag);
        for (secret, app, token) in
            [("secret", "chat", "tokens"), ("secret2", "chat", "token"), ("secret", "chat2", "token")]
        {
            assert_ne!(Seal::new(secret.as_bytes(), app).tag(token.as_bytes()), tag);
        }
    }
}
