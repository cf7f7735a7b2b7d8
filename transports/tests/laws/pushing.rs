//! What the server pushes, with and without a policy, and what must come of it.

use lapwing_transports::{
    close::CloseReason,
    frame::Frame,
    policy::{Few, Key, Policy, Told},
    session::{Pushed, life::CarriedBy},
};

use super::{BYTES_MAX, FRAMES_MAX, LIMITS, World};

/// How many things have states.
const KEYS: u64 = 3;

/// What a pushed frame says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// It tells the state of this thing.
    key: Option<u64>,
    is_volatile: bool,
    is_fence: bool,
    /// It is one of a few.
    is_few: bool,
    /// It tells of so many of those that were dropped.
    dropped: u64,
}

/// How many of the few may wait.
const FEW_MAX: usize = 2;

pub(crate) fn told(dropped: u64) -> String {
    format!("dropped {dropped}")
}

fn is_half_full(frames: usize, bytes: usize) -> bool {
    frames > 1 && (frames > FRAMES_MAX / 2 || bytes > BYTES_MAX / 2)
}

/// What must become of a push.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Closed,
    LeftOut,
    Replaces(usize),
    /// So many older ones are dropped, and this is what waits then.
    Displaces(u32, Vec<String>, Vec<Mark>),
    Queued,
    Full,
}

impl World {
    /// Pushes a frame of one kind or another, and sees that the right thing comes of it.
    pub(crate) fn push(&mut self) {
        self.said += 1;
        let text = format!("{}:{}", self.said, "x".repeat(self.random.below(30) as usize));
        let mark = match self.random.below(10) {
            8..=9 => Mark { is_few: true, ..Mark::default() },
            0..=2 => Mark { key: Some(self.random.below(KEYS)), ..Mark::default() },
            3 => Mark { is_volatile: true, ..Mark::default() },
            4 => Mark { is_fence: self.random.below(3) == 0, ..Mark::default() },
            _ => Mark::default(),
        };
        let (fate, asks) = (self.fate(mark), self.random.below(2) == 0);
        let was_closed = self.session.closed();
        let unsent = self.amount(self.known.reached, self.pushed.len() as u64).1;
        self.is_late &= unsent > 0 || was_closed.is_some();
        let pushed = match asks {
            true => self.session.try_push(mark.put_on(&text), None, &LIMITS),
            false => self.session.push(mark.put_on(&text), &LIMITS),
        };
        let wanted = match &fate {
            Fate::Displaces(count, ..) => Pushed::Displaced(*count),
            Fate::Closed => Pushed::Closed,
            Fate::LeftOut => Pushed::LeftOut,
            Fate::Replaces(_) => Pushed::Replaced,
            Fate::Queued => Pushed::Queued,
            Fate::Full if asks => Pushed::Full,
            Fate::Full => Pushed::Overflowed,
        };
        assert_eq!(pushed, wanted, "{mark:?}");
        let is_closed_now = pushed == Pushed::Overflowed;
        assert_eq!(
            self.session.closed(),
            if is_closed_now { Some(CloseReason::TooSlow) } else { was_closed }
        );
        match fate {
            Fate::Replaces(place) => (self.pushed[place], self.marks[place]) = (text, mark),
            Fate::Displaces(_, pushed, marks) => {
                (self.pushed, self.marks) = (pushed, marks);
                self.pushed.push(text);
                self.marks.push(mark);
            }
            Fate::Queued => {
                self.pushed.push(text);
                self.marks.push(mark);
            }
            Fate::Closed | Fate::LeftOut | Fate::Full => {}
        }
    }

    fn fate(&self, mark: Mark) -> Fate {
        if self.session.closed().is_some() {
            return Fate::Closed;
        }
        let (_, frames, bytes) = self.amount(self.known.reached, self.pushed.len() as u64);
        let has_room = |frames, bytes| frames == 0 || (frames < FRAMES_MAX && bytes < BYTES_MAX);
        if mark.is_volatile && (self.is_behind() || !has_room(frames, bytes)) {
            return Fate::LeftOut;
        }
        if let Some(place) = mark.key.and_then(|key| self.place_of(key))
            && has_room(frames - 1, bytes - self.pushed[place].len())
        {
            return Fate::Replaces(place);
        }
        if mark.is_few
            && has_room(frames, bytes)
            && self.is_late(frames, bytes)
            && let Some(fate) = self.displaces()
        {
            return fate;
        }
        if has_room(frames, bytes) { Fate::Queued } else { Fate::Full }
    }

    /// What is dropped for one more of the few, if anything is.
    fn displaces(&self) -> Option<Fate> {
        let (mut pushed, mut marks, mut count) = (self.pushed.clone(), self.marks.clone(), 0);
        loop {
            let fence = (self.known.told() as usize..marks.len()).rev().find(|place| marks[*place].is_fence);
            let from = fence.map_or(self.known.told() as usize, |fence| fence + 1);
            let few: Vec<_> = (from..marks.len()).filter(|place| marks[*place].is_few).collect();
            if few.len() < FEW_MAX {
                return (count > 0).then_some(Fate::Displaces(count, pushed, marks));
            }
            let gap = (from..marks.len()).rev().find(|place| marks[*place].dropped > 0);
            let dropped = gap.map_or(0, |gap| marks[gap].dropped) + 1;
            let place = gap.unwrap_or(few[0]);
            (pushed[place], marks[place]) = (told(dropped), Mark { dropped, ..Mark::default() });
            if gap.is_some() {
                pushed.remove(few[0]);
                marks.remove(few[0]);
            }
            count += 1;
        }
    }

    /// Where the state of a thing waits that the client cannot have: behind what was sent or is in hand, and behind the last fence.
    fn place_of(&self, key: u64) -> Option<usize> {
        let untold = self.known.told() as usize..self.pushed.len();
        let fence = untold.clone().rev().find(|place| self.marks[*place].is_fence);
        let from = fence.map_or(untold.start, |fence| fence + 1);
        (from..untold.end).rev().find(|place| self.marks[*place].key == Some(key))
    }

    /// Whether the few may be dropped for the client: not for a moment in which it was not written to.
    fn is_late(&self, frames: usize, bytes: usize) -> bool {
        is_half_full(frames, bytes)
            || match self.times.carried_by() {
                CarriedBy::Stream => self.is_late && (self.is_stalled || self.session.is_held(&LIMITS)),
                CarriedBy::Nothing if !self.was_polled => true,
                CarriedBy::Nothing | CarriedBy::Poll => self.is_late && frames > 0,
            }
    }

    /// Whether a volatile frame is of no use to the client.
    fn is_behind(&self) -> bool {
        let (_, frames, bytes) = self.amount(self.known.reached, self.pushed.len() as u64);
        is_half_full(frames, bytes)
            || match self.times.carried_by() {
                CarriedBy::Stream => self.is_stalled || self.session.is_held(&LIMITS),
                CarriedBy::Nothing if !self.was_polled => true,
                CarriedBy::Nothing | CarriedBy::Poll => frames > 0,
            }
    }
}

impl Mark {
    fn put_on(self, text: &str) -> Frame {
        let frame = Frame::text(text);
        let frame = if self.is_fence { frame.as_fence() } else { frame };
        match self.key {
            Some(key) => frame.with_policy(Policy::Latest(Key::new(&key.to_string()))),
            None if self.is_few => {
                let tell = |dropped| Some(Told { is_text: true, payload: told(dropped).into() });
                frame.with_policy(Policy::Few(Few::new(Key::new("few"), FEW_MAX, tell).into()))
            }
            None if self.is_volatile => frame.with_policy(Policy::Volatile),
            None => frame,
        }
    }
}
