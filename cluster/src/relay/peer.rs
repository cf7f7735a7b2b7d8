//! What waits to be said to one peer, and how it becomes messages.
//!
//! What is the same for many relays is said once: a broadcast to a thousand sessions that one peer carries is its bytes, and a thousand
//! pairs of numbers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};

use super::{
    RelayKey,
    wire::{self, Address, Item},
};

/// Bytes that a relay's number and its piece's take at most, of which a batch is to know.
const PAIR_BYTES: usize = 20;

#[derive(Debug, Default)]
pub(super) struct Peer {
    /// Pieces, in the order in which they were given.
    pub(super) queue: VecDeque<Queued>,
    /// Cuts, and last acknowledgements.
    controls: VecDeque<Item>,
    /// Relays of which the peer is to be told where this side stands.
    pub(super) acks: BTreeSet<RelayKey>,
    /// Bytes that were given and of which the peer has not said that they came there.
    pub(super) in_flight: usize,
    /// Bytes that came from it since it was told of all relays what has come.
    pub(super) came: usize,
    /// Relays that wait for room.
    pub(super) waiting: BTreeSet<RelayKey>,
    /// The last relay that this peer has opened here.
    pub(super) opened: u64,
    /// Whether it has its place among those that something is to be said to.
    pub(super) is_ready: bool,
}

/// A piece that waits.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) key: RelayKey,
    pub(super) number: u64,
    pub(super) piece: Piece,
}

#[derive(Debug)]
pub(super) enum Piece {
    Head(Bytes),
    Bytes(Bytes),
    End,
}

/// A message in the making.
#[derive(Debug)]
pub(super) struct Batch {
    out: BytesMut,
    /// Pieces, and the relays that they are for. A relay's come in the order of its numbers.
    groups: Vec<Group>,
    /// The newest group with these bytes.
    alike: BTreeMap<Bytes, usize>,
    /// The last group with a piece of a relay.
    last: BTreeMap<Address, usize>,
    /// Bytes of the groups, as far as they are known before they are written.
    bytes: usize,
}

#[derive(Debug)]
enum Group {
    Shared(Vec<(Address, u64)>, Bytes),
    Own(Item),
}

impl Peer {
    pub(super) fn has_something(&self) -> bool {
        !self.queue.is_empty() || !self.controls.is_empty() || !self.acks.is_empty()
    }

    /// Says something beside the pieces, unless as much waits already as may.
    pub(super) fn push_control(&mut self, item: Item, controls_max: usize) {
        if self.controls.len() < controls_max {
            self.controls.push_back(item);
        }
    }

    pub(super) fn pop_control(&mut self) -> Option<Item> {
        self.controls.pop_front()
    }

    /// Whether the last piece that waits has these bytes.
    pub(super) fn repeats(&self, bytes: &Bytes) -> bool {
        matches!(self.queue.back(), Some(Queued { piece: Piece::Bytes(last), .. }) if last == bytes)
    }

    /// Nobody is there to be told anything.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.controls.clear();
        self.acks.clear();
    }

    /// What a relay has in the queue goes nowhere any more.
    pub(super) fn forget(&mut self, key: RelayKey) {
        self.queue.retain(|queued| queued.key != key);
        self.acks.remove(&key);
        self.waiting.remove(&key);
    }
}

impl Batch {
    pub(super) fn new() -> Self {
        let (groups, alike, last) = Default::default();
        Self { out: wire::begin(), groups, alike, last, bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.out.len() + self.bytes
    }

    pub(super) fn push(&mut self, item: &Item) {
        item.append(&mut self.out);
    }

    pub(super) fn push_piece(&mut self, queued: Queued) {
        let Queued { key, number, piece } = queued;
        let address = key.address();
        self.bytes += PAIR_BYTES;
        let at = match piece {
            Piece::Bytes(bytes) => self.shared(address, number, bytes),
            Piece::Head(head) => {
                self.bytes += head.len();
                self.own(Item::Open { relay: key.relay, head })
            }
            Piece::End => self.own(Item::End { address, number }),
        };
        self.last.insert(address, at);
    }

    /// The group of a piece: one with the same bytes, if it comes behind all others of its relay.
    fn shared(&mut self, address: Address, number: u64, bytes: Bytes) -> usize {
        let last = self.last.get(&address);
        if let Some(at) = self.alike.get(&bytes).filter(|at| last.is_none_or(|last| last < at))
            && let Group::Shared(to, _) = &mut self.groups[*at]
        {
            to.push((address, number));
            return *at;
        }
        self.bytes += bytes.len();
        self.alike.insert(bytes.clone(), self.groups.len());
        self.groups.push(Group::Shared(vec![(address, number)], bytes));
        self.groups.len() - 1
    }

    fn own(&mut self, item: Item) -> usize {
        self.groups.push(Group::Own(item));
        self.groups.len() - 1
    }

    pub(super) fn finish(mut self) -> Bytes {
        for group in self.groups {
            let item = match group {
                Group::Shared(to, bytes) => Item::Data { to, bytes },
                Group::Own(item) => item,
            };
            item.append(&mut self.out);
        }
        self.out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::Instance,
        relay::wire::{Role, Why, items},
    };

    fn key(relay: u64) -> RelayKey {
        RelayKey { peer: Instance(1), role: Role::Owner, relay }
    }

    fn piece(relay: u64, number: u64, text: &'static str) -> Queued {
        Queued { key: key(relay), number, piece: Piece::Bytes(Bytes::from_static(text.as_bytes())) }
    }

    fn head(relay: u64) -> Queued {
        Queued { key: key(relay), number: 1, piece: Piece::Head(Bytes::from_static(b"head")) }
    }

    /// Of how many items the message of these pieces consists.
    fn items_of(pieces: Vec<Queued>) -> usize {
        let mut batch = Batch::new();
        pieces.into_iter().for_each(|piece| batch.push_piece(piece));
        items(&batch.finish()).count()
    }

    #[test]
    fn bytes_are_said_once_where_no_relay_is_overtaken() {
        assert_eq!(items_of(vec![piece(1, 1, "a"), piece(2, 1, "a"), piece(3, 1, "a")]), 1);
        assert_eq!(items_of(vec![piece(1, 1, "a"), piece(2, 1, "b"), piece(1, 2, "b")]), 2);
        assert_eq!(items_of(vec![head(1), piece(2, 1, "b"), piece(1, 2, "b")]), 2, "behind its head");
        assert_eq!(
            items_of(vec![piece(2, 1, "b"), piece(1, 1, "a"), piece(1, 2, "b")]),
            3,
            "before its last"
        );
    }

    #[test]
    fn a_batch_knows_how_long_its_message_is_and_a_few_bytes_more() {
        let mut batch = Batch::new();
        let empty = batch.len();
        assert_eq!(empty, Batch::new().finish().len());
        batch.push(&Item::Cut { address: key(1).address(), why: Why::Lost });
        assert!(batch.len() > empty);
        let mut pieces = 0;
        for relay in 1..50 {
            for queued in [head(relay), piece(relay, 2, "the same for all"), piece(relay, 3, "and this")] {
                batch.push_piece(queued);
                pieces += 1;
            }
            batch.push_piece(Queued { key: key(relay), number: 4, piece: Piece::End });
            pieces += 1;
        }
        let (known, written) = (batch.len(), batch.finish().len());
        assert!(
            (written..=written + pieces * PAIR_BYTES).contains(&known),
            "{known}, and {written} are written"
        );
    }

    #[test]
    fn bytes_are_repeated_behind_the_same_ones_alone() {
        let mut peer = Peer::default();
        let text = |text: &'static str| Bytes::from_static(text.as_bytes());
        assert!(!peer.repeats(&text("a")), "nothing waits");
        peer.queue.extend([piece(1, 1, "a"), piece(2, 1, "b")]);
        assert!(peer.repeats(&text("b")) && !peer.repeats(&text("a")));
        peer.queue.push_back(head(3));
        assert!(!peer.repeats(&text("head")) && !peer.repeats(&text("b")), "a head is no piece of an answer");
    }

    #[test]
    fn controls_are_bounded_and_nothing_is_left_for_who_is_gone() {
        let mut peer = Peer::default();
        assert!(!peer.has_something());
        for relay in 1..=3 {
            peer.push_control(Item::Cut { address: key(relay).address(), why: Why::Lost }, 2);
        }
        assert!(peer.has_something());
        assert_eq!(std::iter::from_fn(|| peer.pop_control()).count(), 2);
        assert!(!peer.has_something());
        peer.acks.insert(key(1));
        assert!(peer.has_something());
        peer.queue.push_back(head(1));
        peer.push_control(Item::Cut { address: key(2).address(), why: Why::Lost }, 2);
        peer.clear();
        assert!(!peer.has_something());
    }

    #[test]
    fn what_a_relay_has_waiting_is_forgotten_with_it_and_nothing_else() {
        let mut peer = Peer::default();
        for relay in [1, 2] {
            peer.queue.push_back(head(relay));
            peer.acks.insert(key(relay));
            peer.waiting.insert(key(relay));
        }
        peer.forget(key(1));
        assert_eq!(peer.queue.iter().map(|queued| queued.key).collect::<Vec<_>>(), [key(2)]);
        assert_eq!((peer.acks, peer.waiting), ([key(2)].into(), [key(2)].into()));
    }
}
