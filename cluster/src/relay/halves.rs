//! The two directions of one relay: pieces that this side sends, and those that it gets. Both are counted from 1.

use std::time::Duration;

/// Pieces that this side sends.
///
/// ```text
///   │ received by the other side │ under way │ in the queue │
///                             acked        sent           last
/// ```
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// The number of the last piece that the program gave.
    pub(super) last: u64,
    /// The last that was put into a message.
    pub(super) sent: u64,
    /// The last that the other side has.
    pub(super) acked: u64,
    /// Bytes that the program gave.
    pub(super) bytes: u64,
    /// Those of them that the other side has used.
    pub(super) used: u64,
    /// Since when a piece is under way without anything being acknowledged.
    since: Duration,
    /// The last piece was given.
    pub(super) is_finished: bool,
}

/// Pieces that this side gets.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    /// The last piece that came, all before it included.
    pub(super) taken: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Bytes that the program has used.
    pub(super) used: u64,
    /// What the other side was told last: pieces, and bytes used.
    pub(super) told: (u64, u64),
    /// The other side's last piece came.
    pub(super) is_finished: bool,
}

/// What a number says of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is the next one.
    Next,
    /// It has come before.
    Again,
    /// Something is missing before it, or it comes behind the end.
    Wrong,
}

impl Sending {
    /// A piece more, of so many bytes. Returns its number.
    pub(super) fn push(&mut self, bytes: usize) -> u64 {
        self.last += 1;
        self.bytes += bytes as u64;
        self.last
    }

    /// A piece was put into a message.
    pub(super) fn handle_sent(&mut self, number: u64, time: Duration) {
        if self.sent == self.acked {
            self.since = time;
        }
        self.sent = number;
    }

    /// The other side says where it stands. Returns how many bytes more it has used; nothing of what it cannot know.
    pub(super) fn handle_ack(&mut self, received: u64, used: u64, time: Duration) -> usize {
        if received > self.sent || used > self.bytes {
            return 0;
        }
        if received > self.acked {
            (self.acked, self.since) = (received, time);
        }
        let more = used.saturating_sub(self.used);
        self.used += more;
        more as usize
    }

    /// Bytes that the other side has not used.
    pub(super) fn in_flight(&self) -> usize {
        (self.bytes - self.used) as usize
    }

    /// Whether nothing was acknowledged for so long.
    pub(super) fn is_overdue(&self, time: Duration, timeout: Duration) -> bool {
        self.sent > self.acked && time - self.since >= timeout
    }

    /// Whether the other side has all that there is to be had.
    pub(super) fn is_done(&self) -> bool {
        self.is_finished && self.acked == self.last
    }
}

impl Receiving {
    /// A piece with this number came.
    pub(super) fn handle(&mut self, number: u64, bytes: usize) -> Place {
        if number <= self.taken {
            return Place::Again;
        }
        if number != self.taken + 1 || self.is_finished {
            return Place::Wrong;
        }
        self.taken = number;
        self.bytes += bytes as u64;
        Place::Next
    }

    /// Bytes that the program has not used.
    pub(super) fn held(&self) -> usize {
        (self.bytes - self.used) as usize
    }

    /// Whether the other side does not know where this one stands.
    pub(super) fn is_ack_due(&self) -> bool {
        self.told != (self.taken, self.used)
    }

    /// Bytes that were used and of which the other side was not told.
    pub(super) fn untold(&self) -> u64 {
        self.used - self.told.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_piece_is_overdue_when_nothing_was_acknowledged_for_so_long() {
        let mut sending = Sending::default();
        let overdue = |sending: &Sending, at| sending.is_overdue(secs(at), secs(5));
        assert_eq!([sending.push(10), sending.push(10), sending.push(0)], [1, 2, 3]);
        assert!(!overdue(&sending, 100), "it is not on its way");
        sending.handle_sent(1, secs(2));
        sending.handle_sent(2, secs(4));
        assert!(!overdue(&sending, 6) && overdue(&sending, 7), "since the first");
        assert_eq!(sending.handle_ack(1, 4, secs(6)), 4);
        assert!(!overdue(&sending, 10) && overdue(&sending, 11), "something was");
        assert_eq!(sending.handle_ack(1, 4, secs(9)), 0);
        assert!(overdue(&sending, 11), "the same again says nothing");
        assert_eq!((sending.handle_ack(2, 20, secs(11)), sending.in_flight()), (16, 0));
        assert!(!overdue(&sending, 100));
    }

    #[test]
    fn what_the_other_side_cannot_have_is_not_believed() {
        let mut sending = Sending::default();
        sending.push(10);
        assert_eq!((sending.handle_ack(1, 10, secs(1)), sending.acked), (0, 0), "it was not sent");
        sending.handle_sent(1, secs(1));
        assert_eq!((sending.handle_ack(1, 11, secs(1)), sending.acked), (0, 0), "it has fewer bytes");
        assert_eq!((sending.handle_ack(1, 10, secs(1)), sending.acked), (10, 1));
        assert_eq!(
            (sending.handle_ack(0, 3, secs(1)), sending.acked, sending.used),
            (0, 1, 10),
            "an old one"
        );
        assert!(!sending.is_done());
        sending.is_finished = true;
        assert!(sending.is_done());
        sending.push(0);
        assert!(!sending.is_done());
    }

    #[test]
    fn pieces_are_taken_in_order_and_once_up_to_the_end() {
        let mut receiving = Receiving::default();
        assert!(!receiving.is_ack_due());
        let places = [2, 1, 1, 2, 4].map(|number| receiving.handle(number, 10));
        assert_eq!(places, [Place::Wrong, Place::Next, Place::Again, Place::Next, Place::Wrong]);
        assert_eq!((receiving.taken, receiving.held()), (2, 20));
        receiving.used = 5;
        assert_eq!((receiving.held(), receiving.untold(), receiving.is_ack_due()), (15, 5, true));
        receiving.told = (2, 4);
        assert_eq!((receiving.untold(), receiving.is_ack_due()), (1, true));
        receiving.told = (2, 5);
        assert!(!receiving.is_ack_due());
        receiving.is_finished = true;
        assert_eq!([receiving.handle(2, 10), receiving.handle(3, 10)], [Place::Again, Place::Wrong]);
    }
}
