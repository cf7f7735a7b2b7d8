//! Messages between replicas as bytes.
//!
//! Numbers are LEB128 varints unless said otherwise, texts have their length before them.
//!
//! ```text
//! version u8 (1) · kind u8 · sender · body
//!
//! 1 heartbeat         clocks · delta
//! 2 transfer request  clocks
//! 3 transfer          delta
//! 4 departure
//!
//! replica   node u64 · incarnation u64 (both big-endian)
//! clocks    count · (replica · clock) each
//! delta     count · (replica · from · to · whole u8 · count · change each) each
//! change    kind u8 (0 set, 1 removed) · topic · entry, with its length
//! ```
//!
//! What is read is checked, so that no message of another node breaks what the state relies on: clocks are in order and within their part, an
//! entry is of the replica whose part it is in.

use std::{fmt, sync::Arc};

use crate::{
    clock::Clocks,
    delta::{Change, Delta, Part},
    entry::Entry,
    replica::Message,
    tag::{Clock, ReplicaId},
};

/// The version that is written, and the only one that is read.
const VERSION: u8 = 1;

/// Why bytes are no [`Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireError {
    /// They end too soon, or go on behind their end.
    Length,
    /// They are of a version that is not read here.
    Version(u8),
    /// They are of a kind that is not known here.
    Kind(u8),
    /// A value contradicts another, or is out of its range.
    Value,
}

impl Message {
    /// The message as bytes.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use lapwing_presence::{Message, Replica, ReplicaConfig, ReplicaId};
    ///
    /// let mut ada = Replica::new(ReplicaId::new(1, 1), ReplicaConfig::default(), Duration::ZERO)?;
    /// ada.handle_timeout(Duration::ZERO);
    /// let said = ada.poll_transmit().expect("it says that it is there").message.encode();
    /// assert_eq!(Message::decode(&said)?.sender(), ReplicaId::new(1, 1));
    /// assert!(Message::decode(&said[1..]).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer(vec![VERSION]);
        let (kind, sender) = match self {
            Self::Heartbeat { from, .. } => (1, from),
            Self::TransferRequest { from, .. } => (2, from),
            Self::Transfer { from, .. } => (3, from),
            Self::Departure { from } => (4, from),
        };
        writer.0.push(kind);
        writer.replica(*sender);
        match self {
            Self::Heartbeat { clocks, delta, .. } => {
                writer.clocks(clocks);
                writer.delta(delta);
            }
            Self::TransferRequest { seen, .. } => writer.clocks(seen),
            Self::Transfer { delta, .. } => writer.delta(delta),
            Self::Departure { .. } => {}
        }
        writer.0
    }

    /// Reads a message. What it takes in memory is bounded by a few times its bytes.
    ///
    /// # Errors
    ///
    /// See [`WireError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader(bytes);
        match reader.byte()? {
            VERSION => {}
            version => return Err(WireError::Version(version)),
        }
        let kind = reader.byte()?;
        let from = reader.replica()?;
        let message = match kind {
            1 => Self::Heartbeat { from, clocks: reader.clocks()?, delta: reader.delta()? },
            2 => Self::TransferRequest { from, seen: reader.clocks()? },
            3 => Self::Transfer { from, delta: reader.delta()? },
            4 => Self::Departure { from },
            kind => return Err(WireError::Kind(kind)),
        };
        if reader.0.is_empty() { Ok(message) } else { Err(WireError::Length) }
    }

    /// The metas of the entries that it carries, for whoever wants to check them.
    pub fn metas(&self) -> impl Iterator<Item = &[u8]> {
        let delta = match self {
            Self::Heartbeat { delta, .. } | Self::Transfer { delta, .. } => Some(delta),
            _ => None,
        };
        let changes = delta.into_iter().flat_map(|delta| &delta.parts).flat_map(Part::changes);
        changes.filter(|change| matches!(change, Change::Set { .. })).map(|change| change.entry().meta())
    }

    /// Who sent it.
    pub fn sender(&self) -> ReplicaId {
        let (Self::Heartbeat { from, .. }
        | Self::TransferRequest { from, .. }
        | Self::Transfer { from, .. }
        | Self::Departure { from }) = self;
        *from
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn replica(&mut self, replica: ReplicaId) {
        self.0.extend_from_slice(&replica.node().to_be_bytes());
        self.0.extend_from_slice(&replica.incarnation().to_be_bytes());
    }

    fn clocks(&mut self, clocks: &Clocks) {
        self.number(clocks.len() as u64);
        for (replica, clock) in clocks.iter() {
            self.replica(replica);
            self.number(clock.ticks());
        }
    }

    fn delta(&mut self, delta: &Delta) {
        self.number(delta.parts.len() as u64);
        for part in &delta.parts {
            self.replica(part.replica);
            self.number(part.from.ticks());
            self.number(part.to.ticks());
            self.0.push(u8::from(part.whole));
            self.number(part.len() as u64);
            for change in part.changes() {
                self.0.push(u8::from(matches!(change, Change::Removed { .. })));
                self.bytes(change.topic().as_bytes());
                self.bytes(change.entry().as_bytes());
            }
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, left) = self.0.split_at_checked(count).ok_or(WireError::Length)?;
        self.0 = left;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, WireError> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u64, WireError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(WireError::Value);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(WireError::Value)
    }

    fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let count = usize::try_from(self.number()?).map_err(|_| WireError::Length)?;
        self.take(count)
    }

    fn fixed(&mut self) -> Result<u64, WireError> {
        let bytes = self.take(8)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn replica(&mut self) -> Result<ReplicaId, WireError> {
        Ok(ReplicaId::new(self.fixed()?, self.fixed()?))
    }

    fn clock(&mut self) -> Result<Clock, WireError> {
        let ticks = self.number()?;
        if ticks <= Clock::MAX.ticks() { Ok(Clock::new(ticks)) } else { Err(WireError::Value) }
    }

    fn clocks(&mut self) -> Result<Clocks, WireError> {
        let count = self.number()?;
        (0..count).map(|_| Ok((self.replica()?, self.clock()?))).collect()
    }

    fn delta(&mut self) -> Result<Delta, WireError> {
        let count = self.number()?;
        let parts = (0..count).map(|_| self.part()).collect::<Result<_, _>>()?;
        Ok(Delta { parts })
    }

    fn part(&mut self) -> Result<Part, WireError> {
        let (replica, from, to) = (self.replica()?, self.clock()?, self.clock()?);
        let whole = match self.byte()? {
            0 => false,
            1 => true,
            _ => return Err(WireError::Value),
        };
        let count = self.number()?;
        let mut changes: Vec<Change> = Vec::new();
        for _ in 0..count {
            changes.push(self.change(changes.last(), replica)?);
        }
        let mut clocks: Vec<Clock> = changes.iter().map(Change::clock).collect();
        if whole {
            clocks.sort_unstable();
        }
        let in_order = clocks.is_sorted_by(|one, other| one < other);
        let within =
            clocks.first().is_none_or(|first| *first > from) && clocks.last().is_none_or(|last| *last <= to);
        let is_state = changes.iter().all(|change| matches!(change, Change::Set { .. }));
        if !in_order || !within || from > to || (whole && (from > Clock::ZERO || !is_state)) {
            return Err(WireError::Value);
        }
        Ok(Part { replica, from, to, whole, chunks: [changes].into() })
    }

    /// Changes on one topic share its name, as where they were made.
    fn change(&mut self, last: Option<&Change>, replica: ReplicaId) -> Result<Change, WireError> {
        let kind = self.byte()?;
        let name = str::from_utf8(self.bytes()?).map_err(|_| WireError::Value)?;
        let topic = match last {
            Some(last) if **last.topic() == *name => last.topic().clone(),
            _ => Arc::from(name),
        };
        let entry = Entry::from_bytes(self.bytes()?).ok_or(WireError::Value)?;
        if entry.tag().origin() != replica.origin() {
            return Err(WireError::Value);
        }
        match kind {
            0 => Ok(Change::Set { topic, entry }),
            1 if entry.meta().is_empty() => Ok(Change::Removed { topic, entry }),
            _ => Err(WireError::Value),
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => f.write_str("the message has the wrong length"),
            Self::Version(version) => write!(f, "version {version} is not read here"),
            Self::Kind(kind) => write!(f, "messages of kind {kind} are not known here"),
            Self::Value => f.write_str("a value is out of its range"),
        }
    }
}

impl std::error::Error for WireError {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        config::Config,
        replica::{Replica, ReplicaConfig},
        tag::Owner,
    };

    const ADA: ReplicaId = ReplicaId::new(1, 7);
    const BOB: ReplicaId = ReplicaId::new(2, 9);

    fn replica(id: ReplicaId) -> Replica {
        Replica::new(id, ReplicaConfig::default(), Duration::ZERO).unwrap()
    }

    fn nothing_of(id: ReplicaId) -> Clocks {
        [(id, Clock::ZERO)].into_iter().collect()
    }

    /// A replica with presences, updates and removals, and all that it says to another that knows nothing.
    fn said() -> (Replica, Vec<Message>) {
        let mut ada = replica(ADA);
        for owner in 0..20 {
            let topic = format!("room:{}", owner % 3);
            ada.presences_mut().track(&topic, "zoë", Owner(owner), br#"{"n":1}"#).unwrap();
        }
        ada.presences_mut().update("room:1", "zoë", Owner(1), b"{}").unwrap();
        ada.presences_mut().untrack_all(Owner(2));
        ada.handle_timeout(Duration::ZERO);
        let nothing = nothing_of(ADA);
        ada.handle_transfer_request(Duration::ZERO, BOB, &nothing);
        let mut said: Vec<Message> =
            std::iter::from_fn(|| ada.poll_transmit()).map(|transmit| transmit.message).collect();
        said.push(Message::TransferRequest { from: ADA, seen: nothing });
        // One that remembers no changes gives its whole part.
        let forgetful = ReplicaConfig::default().presences(Config::default().history_changes_max(0));
        let mut carol = Replica::new(ADA, forgetful, Duration::ZERO).unwrap();
        carol.presences_mut().track("room:1", "carol", Owner(1), b"{}").unwrap();
        let delta = carol.presences().extract(&nothing_of(ADA));
        assert!(delta.has_whole());
        said.push(Message::Transfer { from: ADA, delta });
        said.push(Message::Departure { from: ADA });
        (ada, said)
    }

    fn shown(replica: &Replica) -> Vec<String> {
        let entries = (0..3).flat_map(|n| replica.presences().list(&format!("room:{n}")));
        let mut shown: Vec<String> = entries.map(|entry| format!("{entry:?}")).collect();
        shown.sort();
        shown
    }

    #[test]
    fn what_is_written_is_read_and_says_the_same() {
        let (ada, said) = said();
        assert!(said.len() >= 5);
        for message in &said {
            let bytes = message.encode();
            let read = Message::decode(&bytes).unwrap();
            assert_eq!((read.sender(), read.encode()), (ADA, bytes));
        }
        for message in &said[..2] {
            let mut bob = replica(BOB);
            bob.handle_heartbeat(Duration::ZERO, ADA, &Clocks::new(), &Delta::default());
            bob.handle(Duration::ZERO, Message::decode(&message.encode()).unwrap());
            assert_eq!(shown(&bob), shown(&ada));
        }
    }

    #[test]
    fn no_beginning_of_a_message_is_one() {
        for message in said().1 {
            let bytes = message.encode();
            for end in 0..bytes.len() {
                assert!(Message::decode(&bytes[..end]).is_err());
            }
            assert!(matches!(Message::decode(&[&bytes[..], &[0]].concat()), Err(WireError::Length)));
        }
    }

    #[test]
    fn versions_and_kinds_that_are_not_known_are_named() {
        let bytes = Message::Departure { from: ADA }.encode();
        let with = |at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            Message::decode(&bytes).err()
        };
        assert_eq!(with(0, 2), Some(WireError::Version(2)));
        assert_eq!(with(1, 9), Some(WireError::Kind(9)));
    }

    #[test]
    fn an_error_names_what_is_not_known() {
        assert!(
            WireError::Version(7).to_string().contains('7') && WireError::Kind(8).to_string().contains('8')
        );
        assert_ne!(WireError::Length.to_string(), WireError::Value.to_string());
    }

    #[test]
    fn numbers_are_read_as_they_were_written_and_no_others_are() {
        for number in [0, 127, 128, 16_383, 16_384, u64::MAX >> 1, 1 << 63, u64::MAX] {
            let mut writer = Writer(Vec::new());
            writer.number(number);
            assert_eq!(writer.0.len(), number.max(1).ilog2() as usize / 7 + 1, "{number}");
            let mut reader = Reader(&writer.0);
            assert_eq!((reader.number(), reader.0.len()), (Ok(number), 0));
        }
        let read = |last: &[u8]| Reader(&[&[0xff; 9], last].concat()).number();
        assert_eq!(read(&[0x01]), Ok(u64::MAX));
        assert_eq!([read(&[0x02]), read(&[0x7f]), read(&[0x81, 0])], [Err(WireError::Value); 3]);
        assert_eq!(read(&[]), Err(WireError::Length));
        let id = ReplicaId::new(0x0102_0304_0506_0708, u64::MAX - 1);
        let mut writer = Writer(Vec::new());
        writer.replica(id);
        assert_eq!(writer.0[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(Reader(&writer.0).replica(), Ok(id));
    }

    fn entry(of: ReplicaId, clock: u64, meta: &[u8]) -> Entry {
        let tag = crate::tag::Tag::new(of.origin(), Clock::new(clock));
        Entry::pack(tag, Clock::ZERO, Owner(clock), "key", meta, &mut Vec::new())
    }

    fn set(clock: u64) -> Change {
        Change::Set { topic: "room".into(), entry: entry(ADA, clock, b"meta") }
    }

    fn removed(clock: u64) -> Change {
        Change::Removed { topic: "room".into(), entry: entry(ADA, clock, b"") }
    }

    /// What is read of a part of ADA's with these changes.
    fn read(from: u64, to: u64, whole: bool, changes: Vec<Change>) -> Result<Message, WireError> {
        let (from, to) = (Clock::new(from), Clock::new(to));
        let part = Part { replica: ADA, from, to, whole, chunks: [changes].into() };
        Message::decode(&Message::Transfer { from: BOB, delta: Delta { parts: vec![part] } }.encode())
    }

    #[test]
    fn changes_are_read_that_follow_each_other_within_their_part() {
        let sets = |clocks: &[u64]| clocks.iter().map(|clock| set(*clock)).collect::<Vec<_>>();
        for (from, to, whole, clocks, is_read) in [
            (0, 3, false, &[1, 2, 3][..], true),
            (0, 3, false, &[2, 2], false),
            (0, 3, false, &[2, 1], false),
            (0, 3, true, &[2, 1], true),
            (0, 3, true, &[2, 2], false),
            (1, 3, false, &[2, 3], true),
            (1, 3, false, &[1, 2], false),
            (0, 2, false, &[1, 3], false),
            (3, 3, false, &[], true),
            (4, 3, false, &[], false),
            (0, 3, true, &[], true),
            (1, 3, true, &[2], false),
        ] {
            let read = read(from, to, whole, sets(clocks));
            assert_eq!(read.is_ok(), is_read, "{clocks:?} above {from} up to {to}, whole: {whole}");
        }
        assert!(read(0, 3, false, vec![set(1), removed(2)]).is_ok());
        assert!(read(0, 3, true, vec![set(1), removed(2)]).is_err(), "a state has nothing that is gone");
    }

    #[test]
    fn a_removal_has_no_meta_and_nobody_writes_for_another() {
        let with_meta = Change::Removed { topic: "room".into(), entry: entry(ADA, 1, b"meta") };
        assert_eq!(read(0, 1, false, vec![with_meta]).err(), Some(WireError::Value));
        let of_bob = Change::Set { topic: "room".into(), entry: entry(BOB, 1, b"meta") };
        assert_eq!(read(0, 1, false, vec![of_bob]).err(), Some(WireError::Value));
    }

    #[test]
    fn changes_on_one_topic_share_its_name_and_their_metas_are_given_to_whoever_checks_them() {
        let Ok(message) = read(0, 9, false, vec![set(1), set(2), removed(3)]) else { panic!("it is read") };
        assert_eq!(message.metas().collect::<Vec<_>>(), [b"meta", b"meta"]);
        let Message::Transfer { delta, .. } = &message else { panic!("it is a transfer") };
        let topics: Vec<_> = delta.parts[0].changes().map(|change| change.topic().clone()).collect();
        assert!(Arc::ptr_eq(&topics[0], &topics[1]) && Arc::ptr_eq(&topics[1], &topics[2]));
        let heartbeat = Message::Heartbeat { from: ADA, clocks: Clocks::new(), delta: delta.clone() };
        assert_eq!(heartbeat.metas().count(), 2);
        assert_eq!(Message::TransferRequest { from: ADA, seen: Clocks::new() }.metas().count(), 0);
    }

    proptest! {
        /// Whatever becomes of a message on its way: it is read or not, and what is read can be taken in.
        #[test]
        fn nothing_that_is_read_breaks_a_state(
            which in any::<prop::sample::Index>(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let said = said().1;
            let mut bytes = which.get(&said).encode();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(message) = Message::decode(&bytes) {
                let mut bob = replica(BOB);
                bob.handle_heartbeat(Duration::ZERO, ADA, &Clocks::new(), &Delta::default());
                bob.handle(Duration::ZERO, message);
                for entry in bob.presences().topics().cloned().collect::<Vec<_>>() {
                    prop_assert!(bob.presences().list(&entry).all(|entry| entry.key().len() < 1_000));
                }
                bob.presences_mut().replica_forgotten(ADA);
            }
        }
    }
}
