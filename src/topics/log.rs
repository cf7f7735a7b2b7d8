//! What a kept topic remembers: its last messages, numbered, within bounds.
//!
//! ```text
//!   dropped by count, bytes or age        remembered
//!   1 … 41                                42  43  44  45 ◀─ top
//!                                         └── `since(41)`: all of them, in order
//!                                             `since(40)`: Trimmed, since 41 is gone
//! ```
//!
//! Pure: time comes in as an argument. Laws, which the tests below hold over random schedules:
//!
//! 1. Offsets are 1, 2, 3, …: none is given twice, and none is left out.
//! 2. `since(n)` gives exactly the messages n + 1 to the top, in order, or says why it cannot: never a part of them.
//! 3. It can whenever all of them are remembered and the reader's bounds allow them, and at no other time.
//! 4. Messages, bytes and age stay within the bounds after each call that is given the time.

use std::{collections::VecDeque, ops::RangeInclusive, time::Duration};

/// The number of a message on its topic. The first has number 1; 0 is the place before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Offset(pub(crate) u64);

/// What a log may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
}

/// How much one reader may be given at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cap {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// Why a reader does not get what came after its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// Some of it is no longer remembered.
    Trimmed,
    /// It is more than the reader may be given at once.
    TooMany,
    /// The offset is ahead of the log: it belongs to another one.
    Ahead,
}

/// The messages of a topic, of type `T`, from the oldest that is remembered to the newest.
#[derive(Debug)]
pub(crate) struct Log<T> {
    top: Offset,
    entries: VecDeque<Entry<T>>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<T> {
    /// When it was appended, on the caller's clock.
    at: Duration,
    bytes: usize,
    item: T,
}

impl<T> Log<T> {
    /// A log whose first message comes after an offset.
    pub(crate) fn after(top: Offset) -> Self {
        Self { top, entries: VecDeque::new(), bytes: 0 }
    }

    /// The number of the newest message, remembered or not.
    pub(crate) fn top(&self) -> Offset {
        self.top
    }

    /// The bytes that the remembered messages were said to take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets the oldest messages, until the bounds of messages and bytes let another one in.
    pub(crate) fn make_place(&mut self, bytes: usize, bounds: &Bounds) {
        while self.len() > 0 && (self.len() >= bounds.messages || self.bytes + bytes > bounds.bytes) {
            self.forget_oldest();
        }
    }

    /// Numbers a message and remembers it, if it alone is within the bounds. `room` is how many bytes this log may hold
    /// at most for another reason: the oldest messages make place.
    pub(crate) fn append(
        &mut self,
        item: T,
        bytes: usize,
        now: Duration,
        bounds: &Bounds,
        room: usize,
    ) -> Offset {
        self.top.0 += 1;
        let bytes_max = bounds.bytes.min(room);
        if bytes > bytes_max || bounds.messages == 0 {
            // What came before it is of no use to anybody without it.
            self.clear();
            return self.top;
        }
        while self.len() >= bounds.messages || self.bytes + bytes > bytes_max {
            self.forget_oldest();
        }
        self.entries.push_back(Entry { at: now, bytes, item });
        self.bytes += bytes;
        self.trim(now, bounds);
        self.top
    }

    /// Forgets what is too old.
    pub(crate) fn trim(&mut self, now: Duration, bounds: &Bounds) {
        while self.entries.front().is_some_and(|oldest| now.saturating_sub(oldest.at) > bounds.age) {
            self.forget_oldest();
        }
        if self.entries.is_empty() {
            self.clear();
        }
    }

    /// The offsets of what came after `offset`, all of which is remembered. Empty when nothing did.
    pub(crate) fn since(&self, offset: Offset, cap: &Cap) -> Result<RangeInclusive<u64>, Gap> {
        if offset > self.top {
            return Err(Gap::Ahead);
        }
        let missed = self.top.0 - offset.0;
        if missed > self.len() as u64 {
            return Err(Gap::Trimmed);
        }
        if missed > cap.messages as u64 {
            return Err(Gap::TooMany);
        }
        let first = self.len() - missed as usize;
        let bytes: usize = self.entries.range(first..).map(|entry| entry.bytes).sum();
        if bytes > cap.bytes {
            return Err(Gap::TooMany);
        }
        Ok(offset.0 + 1..=self.top.0)
    }

    /// The offset before the last `count` messages, or before as many of them as are remembered and fit the reader.
    pub(crate) fn before_last(&self, count: usize, cap: &Cap) -> Offset {
        let mut bytes = 0;
        let newest = self.entries.iter().rev().take(count.min(cap.messages));
        let fitting = newest.take_while(|entry| {
            bytes += entry.bytes;
            bytes <= cap.bytes
        });
        Offset(self.top.0 - fitting.count() as u64)
    }

    /// A remembered message.
    pub(crate) fn get(&self, offset: Offset) -> Option<&T> {
        self.entries.get(self.index(offset)?).map(|entry| &entry.item)
    }

    pub(crate) fn get_mut(&mut self, offset: Offset) -> Option<&mut T> {
        let index = self.index(offset)?;
        self.entries.get_mut(index).map(|entry| &mut entry.item)
    }

    /// A message takes more bytes than it was appended with.
    pub(crate) fn grow(&mut self, offset: Offset, bytes: usize) {
        let Some(entry) = self.index(offset).and_then(|index| self.entries.get_mut(index)) else { return };
        entry.bytes += bytes;
        self.bytes += bytes;
    }

    fn index(&self, offset: Offset) -> Option<usize> {
        let from_top = usize::try_from(self.top.0.checked_sub(offset.0)?).ok()?;
        self.len().checked_sub(from_top + 1)
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.entries.pop_front() {
            self.bytes -= oldest.bytes;
        }
        // A burst is over: its room is given back.
        if self.entries.capacity() > 16 && self.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(2 * self.len());
        }
    }

    fn clear(&mut self) {
        self.entries = VecDeque::new();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { messages: 3, bytes: 100, age: Duration::from_secs(10) };
    const CAP: Cap = Cap { messages: 100, bytes: 1_000 };

    fn log(count: u64) -> Log<u64> {
        let mut log = Log::after(Offset(0));
        for number in 1..=count {
            assert_eq!(log.append(number, 10, Duration::ZERO, &BOUNDS, usize::MAX), Offset(number));
        }
        log
    }

    fn read(log: &Log<u64>, since: u64) -> Result<Vec<u64>, Gap> {
        let offsets = log.since(Offset(since), &CAP)?;
        Ok(offsets.map(|offset| *log.get(Offset(offset)).expect("it is remembered")).collect())
    }

    #[test]
    fn a_reader_gets_all_that_it_missed_or_the_reason() {
        let log = log(5);
        assert_eq!(read(&log, 5), Ok(vec![]));
        assert_eq!(read(&log, 2), Ok(vec![3, 4, 5]));
        assert_eq!(read(&log, 1), Err(Gap::Trimmed));
        assert_eq!(read(&log, 6), Err(Gap::Ahead));
        assert_eq!(log.since(Offset(2), &Cap { messages: 2, bytes: 1_000 }), Err(Gap::TooMany));
        assert_eq!(log.since(Offset(2), &Cap { messages: 3, bytes: 29 }), Err(Gap::TooMany));
        assert_eq!(read(&Log::after(Offset(0)), 0), Ok(vec![]));
    }

    #[test]
    fn the_last_few_are_as_many_as_there_are_and_as_fit() {
        let log = log(5);
        assert_eq!(log.before_last(2, &CAP), Offset(3));
        assert_eq!(log.before_last(20, &CAP), Offset(2));
        assert_eq!(log.before_last(20, &Cap { messages: 100, bytes: 25 }), Offset(3));
        assert_eq!(log.before_last(20, &Cap { messages: 1, bytes: 25 }), Offset(4));
        assert_eq!(Log::<u64>::after(Offset(0)).before_last(20, &CAP), Offset(0));
    }

    #[test]
    fn a_message_that_cannot_be_remembered_is_counted_all_the_same() {
        let mut log = log(2);
        assert_eq!(log.append(3, 101, Duration::ZERO, &BOUNDS, usize::MAX), Offset(3));
        assert_eq!((read(&log, 2), read(&log, 3), log.bytes()), (Err(Gap::Trimmed), Ok(vec![]), 0));
        log.append(4, 10, Duration::ZERO, &BOUNDS, 9);
        assert_eq!(read(&log, 3), Err(Gap::Trimmed), "there was no room");
    }

    #[test]
    fn what_is_too_old_is_forgotten() {
        let mut log = log(2);
        log.append(3, 10, Duration::from_secs(6), &BOUNDS, usize::MAX);
        log.trim(Duration::from_secs(10), &BOUNDS);
        assert_eq!(read(&log, 0), Ok(vec![1, 2, 3]));
        log.trim(Duration::from_millis(10_001), &BOUNDS);
        assert_eq!((read(&log, 1), read(&log, 2)), (Err(Gap::Trimmed), Ok(vec![3])));
        log.trim(Duration::from_secs(60), &BOUNDS);
        assert_eq!((read(&log, 2), read(&log, 3)), (Err(Gap::Trimmed), Ok(vec![])));
    }

    /// A log of as many messages, one a second, and the room that it has when only so many are left.
    fn room(count: u64, left: u64) -> (usize, usize) {
        let bounds = Bounds { messages: 1_000, bytes: usize::MAX, age: Duration::from_secs(left) };
        let mut log = Log::after(Offset(0));
        for number in 1..=count {
            let endless = Bounds { age: Duration::MAX, ..bounds };
            log.append(number, 1, Duration::from_secs(number), &endless, usize::MAX);
        }
        let before = log.entries.capacity();
        log.trim(Duration::from_secs(count + 1), &bounds);
        assert_eq!(log.len() as u64, left);
        (before, log.entries.capacity())
    }

    #[test]
    fn the_room_of_a_burst_is_given_back_when_less_than_a_quarter_is_used() {
        assert_eq!(room(64, 16), (64, 64));
        assert_eq!(room(64, 15), (64, 30));
        assert_eq!(room(16, 3), (16, 16), "as little is kept");
        assert_eq!(room(64, 0), (64, 0));
    }

    #[test]
    fn what_a_message_grows_by_counts_as_if_it_had_come_with_it() {
        let mut log = log(3);
        log.grow(Offset(2), 50);
        log.grow(Offset(4), 50);
        assert_eq!(log.bytes(), 80);
        assert_eq!(log.before_last(3, &Cap { messages: 3, bytes: 69 }), Offset(2));
        assert_eq!(log.before_last(3, &Cap { messages: 3, bytes: 70 }), Offset(1));
        log.append(4, 30, Duration::ZERO, &BOUNDS, usize::MAX);
        assert_eq!((read(&log, 1), log.bytes()), (Ok(vec![2, 3, 4]), 100));
        log.append(5, 30, Duration::ZERO, &BOUNDS, usize::MAX);
        assert_eq!(log.bytes(), 70, "it is forgotten as large as it was");
        *log.get_mut(Offset(5)).unwrap() = 50;
        assert_eq!(log.get(Offset(5)), Some(&50));
        assert_eq!(log.get_mut(Offset(2)), None);
    }

    #[test]
    fn place_is_made_for_one_more_and_no_further() {
        for (bytes, left) in [(10, 2), (80, 2), (81, 1), (90, 1), (91, 0), (1_000, 0)] {
            let mut log = log(3);
            log.make_place(bytes, &BOUNDS);
            assert_eq!(log.len(), left, "for {bytes} bytes");
        }
        let mut log = log(2);
        log.make_place(80, &BOUNDS);
        assert_eq!(log.len(), 2);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Append { bytes: usize, room: usize },
        Wait(u64),
        Read { back: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..60usize, prop_oneof![4 => Just(usize::MAX), 1 => 0..80usize])
                .prop_map(|(bytes, room)| Step::Append { bytes, room }),
            1 => (0..8u64).prop_map(Step::Wait),
            3 => (0..8u64).prop_map(|back| Step::Read { back }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Laws 1 to 4, beside a list of all that was ever appended and whether it must still be there.
        #[test]
        fn the_laws_hold_in_every_schedule(steps in proptest::collection::vec(step(), 0..60)) {
            let (mut log, mut now) = (Log::after(Offset(0)), Duration::ZERO);
            // When each message came and how large it was; what is remembered is a tail of these.
            let mut all: Vec<(Duration, usize)> = Vec::new();
            let mut first = 0;
            for step in steps {
                match step {
                    Step::Append { bytes, room } => {
                        all.push((now, bytes));
                        let offset = log.append(all.len() as u64, bytes, now, &BOUNDS, room);
                        prop_assert_eq!(offset, Offset(all.len() as u64));
                        let bytes_max = BOUNDS.bytes.min(room);
                        while all.len() - first > BOUNDS.messages
                            || all[first..].iter().map(|(_, bytes)| bytes).sum::<usize>() > bytes_max
                        {
                            first += 1;
                        }
                    }
                    Step::Wait(seconds) => {
                        now += Duration::from_secs(seconds);
                        log.trim(now, &BOUNDS);
                    }
                    Step::Read { back } => {
                        let Some(since) = (all.len() as u64).checked_sub(back) else { continue };
                        let expected: Vec<u64> = (since + 1..=all.len() as u64).collect();
                        if since as usize >= first {
                            prop_assert_eq!(read(&log, since), Ok(expected));
                        } else {
                            prop_assert_eq!(read(&log, since), Err(Gap::Trimmed));
                        }
                    }
                }
                while first < all.len() && now - all[first].0 > BOUNDS.age {
                    first += 1;
                }
                prop_assert_eq!(log.len(), all.len() - first);
                prop_assert_eq!(log.bytes(), all[first..].iter().map(|(_, bytes)| bytes).sum::<usize>());
            }
        }
    }
}
