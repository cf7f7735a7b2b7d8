//! Messages of replicas in pieces that the cluster's engine takes, and the pieces put together again.
//!
//! ```text
//! version u8 (1) · number of the message u64 · piece u16 · pieces u16 (big-endian) · bytes
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;

const VERSION: u8 = 1;

/// What is before the bytes.
const HEAD: usize = 13;

/// Bytes in a piece: a Redis that hands a large one to many keeps others waiting.
const PIECE_BYTES_MAX: usize = 128 * 1024;

/// Bytes of a message, some hundred thousand presences of a node. Larger ones are not sent.
const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of all messages of which pieces are missing. Beyond it all of them are dropped, and asked for again.
const MISSING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Messages of a node of which pieces are missing: one to all, and one to this node alone.
const MISSING_MAX: usize = 2;

/// Cuts a message; none if it is too large.
pub(super) fn cut(number: u64, message: &[u8]) -> Option<Vec<Bytes>> {
    if message.len() > MESSAGE_BYTES_MAX {
        return None;
    }
    let pieces = message.chunks(PIECE_BYTES_MAX);
    let count = u16::try_from(pieces.len()).ok()?;
    let with_head = |(at, piece): (u16, &[u8])| {
        let mut bytes = Vec::with_capacity(HEAD + piece.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&at.to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(piece);
        bytes.into()
    };
    Some((0..).zip(pieces).map(with_head).collect())
}

/// The messages of which pieces are missing, by their nodes and numbers.
#[derive(Debug, Default)]
pub(super) struct Missing {
    messages: BTreeMap<(u64, u64), Vec<Option<Bytes>>>,
    bytes: usize,
}

impl Missing {
    /// Takes a piece. Returns the message when it is whole.
    pub(super) fn take(&mut self, node: u64, piece: &Bytes) -> Option<Vec<u8>> {
        let (head, _) = piece.split_first_chunk::<HEAD>()?;
        let [VERSION, number @ .., a, b, c, d] = head else { return None };
        let number = u64::from_be_bytes(*number);
        let (at, count) =
            (usize::from(u16::from_be_bytes([*a, *b])), usize::from(u16::from_be_bytes([*c, *d])));
        if at >= count || count > MESSAGE_BYTES_MAX / PIECE_BYTES_MAX {
            return None;
        }
        if count == 1 {
            return Some(piece[HEAD..].to_vec());
        }
        self.bytes += piece.len();
        if self.bytes > MISSING_BYTES_MAX {
            *self = Self { bytes: piece.len(), ..Self::default() };
        }
        let message = self.messages.entry((node, number)).or_insert_with(|| vec![None; count]);
        let place = message.get_mut(at)?;
        if let Some(again) = place.replace(piece.slice(HEAD..)) {
            self.bytes -= HEAD + again.len();
        }
        if message.iter().all(Option::is_some) {
            let message = self.messages.remove(&(node, number))?;
            let whole = message.iter().flatten().flat_map(|piece| piece.iter().copied()).collect();
            self.bytes -= message.iter().flatten().map(|piece| HEAD + piece.len()).sum::<usize>();
            return Some(whole);
        }
        self.drop_oldest(node);
        None
    }

    /// A node is gone.
    pub(super) fn forget(&mut self, node: u64) {
        while let Some((first, _)) = self.of(node) {
            self.remove((node, first));
        }
    }

    fn drop_oldest(&mut self, node: u64) {
        while let Some((first, count)) = self.of(node)
            && count > MISSING_MAX
        {
            self.remove((node, first));
        }
    }

    /// The first message of a node, and how many there are.
    fn of(&self, node: u64) -> Option<(u64, usize)> {
        let mut messages = self.messages.range((node, 0)..=(node, u64::MAX));
        let ((_, first), _) = messages.next()?;
        Some((*first, 1 + messages.count()))
    }

    fn remove(&mut self, message: (u64, u64)) {
        let pieces = self.messages.remove(&message).unwrap_or_default();
        self.bytes -= pieces.iter().flatten().map(|piece| HEAD + piece.len()).sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| at as u8).collect()
    }

    #[test]
    fn a_message_is_put_together_whatever_the_order_of_its_pieces() {
        for bytes in [0, 1, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1, 5 * PIECE_BYTES_MAX] {
            let mut missing = Missing::default();
            let message = message(bytes);
            let mut pieces = cut(7, &message).unwrap();
            pieces.reverse();
            let last = pieces.pop();
            for piece in &pieces {
                assert_eq!(missing.take(1, piece), None);
                // Again, and from somebody else.
                assert_eq!(missing.take(1, piece), None);
                assert_eq!(missing.take(2, piece), None);
            }
            assert_eq!(last.map(|piece| missing.take(1, &piece)), (bytes > 0).then_some(Some(message)));
            missing.forget(2);
            assert_eq!((missing.bytes, missing.messages.len()), (0, 0));
        }
    }

    #[test]
    fn what_is_missing_is_bounded() {
        assert!(cut(1, &message(MESSAGE_BYTES_MAX)).is_some());
        assert!(cut(1, &message(MESSAGE_BYTES_MAX + 1)).is_none());
        let mut missing = Missing::default();
        let whole = message(2 * PIECE_BYTES_MAX);
        let first = |number| cut(number, &whole).unwrap().swap_remove(0);
        for number in 0..10 {
            missing.take(1, &first(number));
        }
        assert_eq!(missing.messages.len(), MISSING_MAX);
        for node in 0..2_000 {
            missing.take(node, &first(1));
            assert!(missing.bytes <= MISSING_BYTES_MAX);
        }
        assert!(missing.messages.len() < 1_000);
    }

    #[test]
    fn the_largest_message_is_put_together() {
        let (mut missing, message) = (Missing::default(), message(MESSAGE_BYTES_MAX));
        let pieces = cut(7, &message).unwrap();
        assert!(pieces.iter().find_map(|piece| missing.take(1, piece)) == Some(message));
    }

    #[test]
    fn what_is_missing_is_kept_up_to_the_bound_and_dropped_beyond_it_but_for_the_newest() {
        let first = cut(1, &message(2 * PIECE_BYTES_MAX)).unwrap().swap_remove(0);
        let large = Bytes::from([&first[..HEAD], &vec![0; 1024 * 1024 - HEAD]].concat());
        let (mut missing, nodes) = (Missing::default(), (MISSING_BYTES_MAX / large.len()) as u64);
        (0..nodes).for_each(|node| assert_eq!(missing.take(node, &large), None));
        assert_eq!((missing.messages.len() as u64, missing.bytes), (nodes, MISSING_BYTES_MAX));
        missing.take(nodes, &first);
        assert_eq!((missing.messages.len(), missing.bytes), (1, first.len()));
    }

    #[test]
    fn what_is_no_piece_is_nothing() {
        let mut missing = Missing::default();
        let piece = cut(1, &message(10)).unwrap().remove(0);
        for end in 0..HEAD {
            assert_eq!(missing.take(1, &piece.slice(..end)), None);
        }
        for (at, byte) in [(0, 2), (9, 1), (11, 255), (12, 0)] {
            let mut piece = piece.to_vec();
            piece[at] = byte;
            assert_eq!(missing.take(1, &piece.into()), None);
        }
        assert_eq!((missing.bytes, missing.messages.len()), (0, 0));
    }
}
