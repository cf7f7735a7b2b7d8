//! Names for who wrote an entry, for whom, and when: that everything else is built from.

use std::fmt;

/// One start of one node.
///
/// The node part must be the same each time the node starts, and different from every other node's; the
/// incarnation must be greater at each start (a start time in milliseconds does). Peers drop an incarnation
/// at once when they hear of a greater one.
///
/// # Examples
///
/// ```
/// use lapwing_presence::ReplicaId;
///
/// let first = ReplicaId::new(7, 1);
/// let restarted = ReplicaId::new(7, 2);
/// assert!(restarted.supersedes(first));
/// assert!(!restarted.supersedes(ReplicaId::new(8, 1)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId {
    node: u64,
    incarnation: u64,
}

impl ReplicaId {
    /// Names the start `incarnation` of `node`.
    pub const fn new(node: u64, incarnation: u64) -> Self {
        Self { node, incarnation }
    }

    /// The node, the same across restarts.
    pub const fn node(self) -> u64 {
        self.node
    }

    /// The start of the node; greater is later.
    pub const fn incarnation(self) -> u64 {
        self.incarnation
    }

    /// Whether this is a later start of the same node.
    pub const fn supersedes(self, other: Self) -> bool {
        self.node == other.node && self.incarnation > other.incarnation
    }

    /// Whether this replica wrote the entry with the tag.
    ///
    /// # Examples
    ///
    /// ```
    /// use lapwing_presence::{Config, Owner, Presences, ReplicaId};
    ///
    /// let id = ReplicaId::new(1, 1);
    /// let mut presences = Presences::new(id, Config::default());
    /// presences.track("room", "ada", Owner(7), b"{}")?;
    /// let tag = presences.find("room", "ada", Owner(7)).unwrap().tag();
    /// assert!(id.wrote(tag) && !ReplicaId::new(2, 1).wrote(tag));
    /// # Ok::<(), lapwing_presence::TrackError>(())
    /// ```
    pub fn wrote(self, tag: Tag) -> bool {
        tag.origin() == self.origin()
    }

    /// 48 bits that stand for this replica in its tags. Mixed rather than packed, because node ids are hashes
    /// of names and incarnations are times: neither fits. Two of 1,000 replicas share one with a chance of 2
    /// in 10^9.
    pub(crate) fn origin(self) -> u64 {
        let mut mixed = self.node ^ self.incarnation.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) & Clock::MAX.ticks()
    }
}

/// The owner of an entry, responsible for it: in lapwing, the id of a join.
///
/// When the owner ends, [`Presences::untrack_all`](crate::Presences::untrack_all) removes all that it
/// tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub u64);

/// How many changes a replica has made. Each takes one tick, so a clock also names one state of a replica's
/// part.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Clock(u64);

impl Clock {
    /// Before the first change.
    pub const ZERO: Self = Self(0);

    /// The last tick there is. Tags have 48 bits for it: at a million changes a second it is reached after
    /// nine years, and the next change panics.
    pub const MAX: Self = Self((1 << 48) - 1);

    pub(crate) const fn new(ticks: u64) -> Self {
        Self(ticks)
    }

    /// The number of changes.
    pub const fn ticks(self) -> u64 {
        self.0
    }

    pub(crate) fn next(self) -> Self {
        assert!(self < Self::MAX, "a replica's clock has run out of ticks");
        Self(self.0 + 1)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.0)
    }
}

/// The name of one state of one entry: the replica that wrote it, and that replica's clock at the time.
///
/// No two entries in a cluster share a tag, and an update gives the entry a new one. It has an order only so
/// that it can be a key in a map.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// 48 bits standing for the replica, and 48 bits of clock.
    bytes: [u8; 12],
}

impl Tag {
    pub(crate) fn new(origin: u64, clock: Clock) -> Self {
        let mut bytes = [0; 12];
        bytes[..6].copy_from_slice(&origin.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&clock.ticks().to_be_bytes()[2..]);
        Self { bytes }
    }

    pub(crate) const fn from_bytes(bytes: [u8; 12]) -> Self {
        Self { bytes }
    }

    pub(crate) const fn to_bytes(self) -> [u8; 12] {
        self.bytes
    }

    /// The 48 bits that stand for the replica that wrote the entry.
    pub(crate) fn origin(self) -> u64 {
        let [a, b, c, d, e, f, ..] = self.bytes;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    /// When the entry was written, on the clock of the replica that wrote it.
    pub fn clock(self) -> Clock {
        let [.., a, b, c, d, e, f] = self.bytes;
        Clock::new(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// The tag as the wire shows it.
    ///
    /// # Examples
    ///
    /// ```
    /// use lapwing_presence::{Config, Owner, Presences, ReplicaId};
    ///
    /// let mut presences = Presences::new(ReplicaId::new(1, 1), Config::default());
    /// let diff = presences.track("room", "ada", Owner(7), b"{}")?;
    /// let entry = diff.first_join().unwrap();
    /// assert_eq!(entry.tag().phx_ref().as_str().len(), 16);
    /// # Ok::<(), lapwing_presence::TrackError>(())
    /// ```
    pub fn phx_ref(self) -> PhxRef {
        PhxRef::encode(self.bytes)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({})", self.phx_ref())
    }
}

/// A `phx_ref`: 16 characters of url-safe base64, as Phoenix's clients expect them.
///
/// It is made from the [`Tag`] alone, so every node shows the same for the same entry. It is a name, not a
/// secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhxRef([u8; 16]);

impl PhxRef {
    fn encode(bytes: [u8; 12]) -> Self {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = [0; 16];
        for (three, four) in bytes.chunks_exact(3).zip(text.chunks_exact_mut(4)) {
            let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
            for (place, letter) in four.iter_mut().enumerate() {
                *letter = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
            }
        }
        Self(text)
    }

    /// The 16 characters.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("the alphabet is ASCII")
    }
}

impl fmt::Display for PhxRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PhxRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phx_ref_is_url_safe_base64_of_the_tag() {
        let tag = Tag::from_bytes([0xFB, 0xFF, 0xFE, 0, 0x10, 0x83, 0x14, 0x61, 0x28, 0xC2, 0xFF, 0xFF]);
        assert_eq!(tag.phx_ref().as_str(), "-__-ABCDFGEowv__");
    }

    #[test]
    fn tag_carries_its_clock() {
        let clock = Clock::new(0xABCD_EF01_2345);
        assert_eq!(Tag::new(ReplicaId::new(u64::MAX, 3).origin(), clock).clock(), clock);
    }

    #[test]
    fn origins_are_the_same_on_all_nodes_whatever_was_built_when() {
        let origins = [(0, 0), (1, 1), (2, 1), (7, 1_700_000_000_000), (u64::MAX, u64::MAX)]
            .map(|(node, incarnation)| ReplicaId::new(node, incarnation).origin());
        assert_eq!(origins, [0, 17334536166612, 46522650864116, 240847101402157, 107099736876017]);
    }

    #[test]
    fn origins_of_close_ids_differ() {
        let origins: std::collections::BTreeSet<u64> = (0..100)
            .flat_map(|node| (0..100).map(move |incarnation| ReplicaId::new(node, incarnation).origin()))
            .collect();
        assert_eq!(origins.len(), 10_000);
    }
}
