//! One presence, as one small shared allocation.

use std::{fmt, sync::Arc};

use crate::tag::{Clock, Owner, Tag};

/// One presence: a key, for an owner, with its meta and tag.
///
/// Cloning is a reference count. All fields live in one allocation of `30 + key + meta` bytes: an entry with
/// three of its own (key, meta, the counted block) would cost 64 bytes more, which is a quarter of the whole.
/// The meta is copied in, so that a small meta never keeps the large buffer alive that it was received in.
///
/// # Examples
///
/// ```
/// use lapwing_presence::{Config, Owner, Presences, ReplicaId};
///
/// let mut presences = Presences::new(ReplicaId::new(1, 1), Config::default());
/// presences.track("room", "ada", Owner(7), br#"{"away":false}"#)?;
/// let first = presences.find("room", "ada", Owner(7)).unwrap().clone();
/// assert_eq!(first.previous(), None);
///
/// presences.update("room", "ada", Owner(7), br#"{"away":true}"#)?;
/// let second = presences.find("room", "ada", Owner(7)).unwrap();
/// assert_eq!(second.meta(), br#"{"away":true}"#);
/// assert_eq!(second.previous(), Some(first.tag()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Entry(Arc<[u8]>);

/// The fields' places: tag (replica and clock), clock of the previous tag (0 if none), owner, length of the
/// key, key, meta.
const TAG: std::ops::Range<usize> = 0..12;
const PREVIOUS: std::ops::Range<usize> = 12..18;
const OWNER: std::ops::Range<usize> = 18..26;
const KEY_LEN: std::ops::Range<usize> = 26..30;
const KEY: usize = KEY_LEN.end;

impl Entry {
    /// Packs an entry. `previous` is the clock of the tag that this one replaces, [`Clock::ZERO`] if none.
    ///
    /// `scratch` is where the bytes are put together, so that the shared block is allocated once and at its
    /// size.
    pub(crate) fn pack(
        tag: Tag,
        previous: Clock,
        owner: Owner,
        key: &str,
        meta: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Self {
        let key_len = u32::try_from(key.len()).expect("a key has less than 4 GiB");
        scratch.clear();
        scratch.extend_from_slice(&tag.to_bytes());
        scratch.extend_from_slice(&previous.ticks().to_be_bytes()[2..]);
        scratch.extend_from_slice(&owner.0.to_be_bytes());
        scratch.extend_from_slice(&key_len.to_be_bytes());
        scratch.extend_from_slice(key.as_bytes());
        scratch.extend_from_slice(meta);
        Self(Arc::from(scratch.as_slice()))
    }

    /// The bytes of the entry, as another replica reads them.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads an entry of another replica; none if these bytes are none.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let key_len = u32::from_be_bytes(bytes.get(KEY_LEN)?.try_into().ok()?);
        let key = bytes.get(KEY..)?.get(..usize::try_from(key_len).ok()?)?;
        str::from_utf8(key).ok()?;
        Some(Self(Arc::from(bytes)))
    }

    /// The key: who is present.
    pub fn key(&self) -> &str {
        str::from_utf8(&self.0[KEY..self.key_end()]).expect("packed from a str")
    }

    /// The owner: who is responsible for the entry.
    pub fn owner(&self) -> Owner {
        Owner(u64::from_be_bytes(self.field(OWNER)))
    }

    /// The meta, as it was given.
    pub fn meta(&self) -> &[u8] {
        &self.0[self.key_end()..]
    }

    /// The name of this state of the entry; its [`phx_ref`](Tag::phx_ref) is what the wire shows.
    pub fn tag(&self) -> Tag {
        Tag::from_bytes(self.field(TAG))
    }

    /// The tag that the last update replaced, `None` if there was no update; the wire's `phx_ref_prev`.
    pub fn previous(&self) -> Option<Tag> {
        if self.previous_clock() == Clock::ZERO {
            return None;
        }
        let mut bytes: [u8; 12] = self.field(TAG);
        bytes[6..].copy_from_slice(&self.0[PREVIOUS]);
        Some(Tag::from_bytes(bytes))
    }

    /// The bytes that the entry takes: its block with the two counts. Known without looking at the block.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len() + 2 * size_of::<usize>()
    }

    pub(crate) fn clock(&self) -> Clock {
        self.tag().clock()
    }

    /// The key's bytes, for comparing: this spares the check that they are a `str`.
    pub(crate) fn key_bytes(&self) -> &[u8] {
        &self.0[KEY..self.key_end()]
    }

    fn previous_clock(&self) -> Clock {
        let [a, b, c, d, e, f] = self.field(PREVIOUS);
        Clock::new(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    fn key_end(&self) -> usize {
        KEY + u32::from_be_bytes(self.field(KEY_LEN)) as usize
    }

    fn field<const N: usize>(&self, place: std::ops::Range<usize>) -> [u8; N] {
        self.0[place].try_into().expect("the place has the field's length")
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key())
            .field("owner", &self.owner())
            .field("tag", &self.tag())
            .field("meta", &String::from_utf8_lossy(self.meta()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_gives_back_what_was_packed() {
        let tag = Tag::new(5, Clock::new(9));
        let entry = Entry::pack(tag, Clock::new(4), Owner(u64::MAX), "zoë", b"{}", &mut Vec::new());
        assert_eq!((entry.key(), entry.meta(), entry.owner()), ("zoë", &b"{}"[..], Owner(u64::MAX)));
        assert_eq!((entry.tag(), entry.previous()), (tag, Some(Tag::new(5, Clock::new(4)))));
    }

    #[test]
    fn entry_may_be_empty() {
        let entry = Entry::pack(Tag::new(0, Clock::new(1)), Clock::ZERO, Owner(0), "", b"", &mut Vec::new());
        assert_eq!((entry.key(), entry.meta(), entry.previous()), ("", &b""[..], None));
    }
}
