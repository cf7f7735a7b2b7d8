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
    /// Those of them that are known to have come there.
    pub(super) arrived: u64,
    /// Those that the other side has used.
    pub(super) used: u64,
    /// A piece, and the bytes up to its end: they have come once it is acknowledged. What comes behind it is marked then.
    mark: (u64, u64),
    /// Since when there is no room for what the program wants to send, and the other side uses nothing.
    full: Option<Duration>,
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
    /// Bytes that had come at some time, of which some are not used, and when that was.
    mark: (u64, Duration),
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
        self.full = None;
        self.last
    }

    /// A piece was put into a message.
    pub(super) fn handle_sent(&mut self, number: u64, time: Duration) {
        if self.sent == self.acked {
            self.since = time;
        }
        self.sent = number;
    }

    /// The other side says where it stands. Returns how many bytes more are known to have come there; nothing of what it cannot know.
    pub(super) fn handle_ack(&mut self, received: u64, used: u64, time: Duration) -> usize {
        if received > self.sent || used > self.bytes {
            return 0;
        }
        if received > self.acked {
            (self.acked, self.since) = (received, time);
        }
        if used > self.used {
            self.used = used;
            self.full = self.full.and(Some(time));
        }
        let before = self.arrived;
        if self.acked >= self.mark.0 {
            let passed = std::mem::replace(&mut self.mark, (self.last, self.bytes));
            self.arrived = before.max(passed.1);
        }
        if self.acked == self.last {
            self.arrived = self.bytes;
        }
        self.arrived = self.arrived.max(self.used);
        (self.arrived - before) as usize
    }

    /// Bytes that the other side has not used.
    pub(super) fn unused(&self) -> usize {
        (self.bytes - self.used) as usize
    }

    /// Bytes that may not have come there.
    pub(super) fn in_flight(&self) -> usize {
        (self.bytes - self.arrived) as usize
    }

    /// The program wants to send more than the other side has room for.
    pub(super) fn handle_full(&mut self, time: Duration) {
        self.full.get_or_insert(time);
    }

    /// Whether the other side has used nothing for so long, and there is no room.
    pub(super) fn is_stuck(&self, time: Duration, timeout: Duration, window_bytes: usize) -> bool {
        self.unused() >= window_bytes && self.full.is_some_and(|since| time - since >= timeout)
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
    /// What a piece with this number is.
    pub(super) fn place(&self, number: u64) -> Place {
        if number <= self.taken {
            Place::Again
        } else if number != self.taken + 1 || self.is_finished {
            Place::Wrong
        } else {
            Place::Next
        }
    }

    /// The next piece came.
    pub(super) fn handle_next(&mut self, bytes: usize, time: Duration) {
        let had_none = self.held() == 0;
        self.taken += 1;
        self.bytes += bytes as u64;
        if had_none {
            self.mark = (self.bytes, time);
        }
    }

    /// The program has used so many bytes, of those that came. Returns how many that are.
    pub(super) fn handle_used(&mut self, bytes: usize, time: Duration) -> usize {
        let bytes = bytes.min(self.held());
        self.used += bytes as u64;
        if self.used >= self.mark.0 {
            self.mark = (self.bytes, time);
        }
        bytes
    }

    /// Since when, or before when, it has had something that is not used.
    pub(super) fn held_since(&self) -> Duration {
        self.mark.1
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
        assert_eq!((sending.handle_ack(1, 4, secs(6)), sending.unused()), (4, 16));
        assert!(!overdue(&sending, 10) && overdue(&sending, 11), "something was");
        assert_eq!(sending.handle_ack(1, 4, secs(9)), 0);
        assert!(overdue(&sending, 11), "the same again says nothing");
        assert_eq!((sending.handle_ack(2, 20, secs(11)), sending.unused()), (16, 0));
        assert!(!overdue(&sending, 100));
    }

    #[test]
    fn what_the_other_side_cannot_have_is_not_believed() {
        let mut sending = Sending::default();
        sending.push(10);
        assert_eq!((sending.handle_ack(1, 10, secs(1)), sending.acked), (0, 0), "it was not sent");
        sending.handle_sent(1, secs(1));
        assert_eq!((sending.handle_ack(1, 11, secs(1)), sending.acked), (0, 0), "it has fewer bytes");
        assert_eq!((sending.handle_ack(1, 3, secs(1)), sending.acked), (10, 1), "it has come");
        assert_eq!((sending.handle_ack(1, 10, secs(1)), sending.used), (0, 10));
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
        let mut handle = |number| {
            let place = receiving.place(number);
            if place == Place::Next {
                receiving.handle_next(10, secs(0));
            }
            place
        };
        let places = [2, 1, 1, 2, 4].map(&mut handle);
        assert_eq!(places, [Place::Wrong, Place::Next, Place::Again, Place::Next, Place::Wrong]);
        assert_eq!((receiving.taken, receiving.held()), (2, 20));
        receiving.used = 5;
        assert_eq!((receiving.held(), receiving.untold(), receiving.is_ack_due()), (15, 5, true));
        receiving.told = (2, 4);
        assert_eq!((receiving.untold(), receiving.is_ack_due()), (1, true));
        receiving.told = (2, 5);
        assert!(!receiving.is_ack_due());
        receiving.is_finished = true;
        assert_eq!([receiving.place(2), receiving.place(3)], [Place::Again, Place::Wrong]);
    }

    #[test]
    fn what_has_come_is_on_its_way_no_more_whether_it_is_used_or_not() {
        let mut sending = Sending::default();
        for number in 1..=3 {
            sending.push(10);
            sending.handle_sent(number, secs(0));
        }
        assert_eq!((sending.in_flight(), sending.unused()), (30, 30));
        // What is known of bytes goes up to a mark, and never says too much.
        assert_eq!((sending.handle_ack(2, 0, secs(1)), sending.in_flight()), (0, 30));
        sending.push(10);
        sending.handle_sent(4, secs(1));
        assert_eq!((sending.handle_ack(3, 0, secs(1)), sending.in_flight()), (30, 10));
        assert_eq!((sending.handle_ack(4, 0, secs(1)), sending.in_flight()), (10, 0), "it has all");
        assert_eq!((sending.handle_ack(4, 40, secs(2)), sending.unused()), (0, 0));
    }

    #[test]
    fn a_side_is_stuck_when_the_other_uses_nothing_for_so_long_where_there_is_no_room() {
        let mut sending = Sending::default();
        let stuck = |sending: &Sending, at| sending.is_stuck(secs(at), secs(30), 8);
        sending.push(10);
        sending.handle_sent(1, secs(0));
        assert!(!stuck(&sending, 100), "nothing more is to be sent");
        sending.handle_full(secs(1));
        sending.handle_full(secs(2));
        sending.handle_ack(1, 0, secs(3));
        assert!(!stuck(&sending, 30) && stuck(&sending, 31), "that it came is no use");
        sending.handle_ack(1, 1, secs(4));
        assert!(!stuck(&sending, 33) && stuck(&sending, 34), "it has used something");
        sending.handle_ack(1, 3, secs(5));
        assert!(!stuck(&sending, 100), "there is room");
        sending.push(10);
        assert!(!stuck(&sending, 100), "nobody wants more");
    }

    #[test]
    fn what_was_had_is_held_since_then_until_all_of_it_is_used() {
        let mut receiving = Receiving::default();
        receiving.handle_next(10, secs(1));
        receiving.handle_next(10, secs(2));
        assert_eq!((receiving.handle_used(9, secs(3)), receiving.held_since()), (9, secs(1)));
        assert_eq!((receiving.handle_used(1, secs(4)), receiving.held_since()), (1, secs(4)));
        receiving.handle_next(10, secs(5));
        assert_eq!(
            (receiving.handle_used(19, secs(6)), receiving.held_since()),
            (19, secs(6)),
            "it had that"
        );
        assert_eq!((receiving.handle_used(5, secs(7)), receiving.held()), (1, 0), "no more than it has");
        receiving.handle_next(10, secs(9));
        assert_eq!(receiving.held_since(), secs(9));
    }
}
