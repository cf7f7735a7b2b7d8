//! The times of a session: how long it may be silent, detached and closed. Time comes in as an argument.
//!
//! ```text
//!                 attached                      silent for the window, or the like: Closed
//!   new ─▶ ┌─────────────────────┐ ─────────────────────────────┐
//!          │ carried             │ silent for a beat: Ping      ▼
//!          └─────────────────────┘                     ┌────────────────┐  left alone for
//!             │ detached    ▲ attached                 │ closed         │ ───────────────▶ Over
//!             ▼             │                          └────────────────┘  linger, a period
//!          ┌─────────────────────┐                              ▲
//!          │ carried by nothing  │ for a while: Away ───────────┘ Closed
//!          └─────────────────────┘
//! ```
//!
//! Laws, for every order of calls (`tests/laws/`):
//!
//! 1. *Patience.* A session whose client was heard within its limit is not closed by a sweep, and one that was silent for the
//!    limit and a period is.
//! 2. *Unproven.* A resumable session that was only opened is closed that long after nothing carries it, and no other is.
//! 3. *Away once.* Between two attachments a client is found away at most once, and not while something carries the session.
//! 4. *A beat.* A client that is carried by a stream and silent for its beat is asked once a beat.
//! 5. *An end.* A closed session is over once, no sooner than what carries it has had its time.

use std::time::Duration;

use super::Session;
use crate::close::CloseReason;

/// Milliseconds of some clock, 0 for "never". Wraps after 49 days; only differences count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick(pub u32);

impl Tick {
    /// The time from `earlier` to this tick, which must be less than 49 days.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::from(self.0.wrapping_sub(earlier.0)))
    }

    /// The tick so many milliseconds before this one.
    pub(super) fn before(self, millis: u32) -> Self {
        Self(self.0.wrapping_sub(millis))
    }

    fn is_never(self) -> bool {
        self == Self::default()
    }
}

/// Why a session ends that its client has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    /// It lives as long as its connection.
    Connection,
    /// It lives as long as it is polled.
    Polls,
    /// It is resumable: it lives as long as its client shows life now and then, by whatever transport.
    Window,
}

/// The way in which a session is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CarriedBy {
    /// Nothing carries it.
    #[default]
    Nothing,
    /// Something carries it that can be written to at any time.
    Stream,
    /// A poll, which ends soon.
    Poll,
}

/// How long sessions may be silent, detached and closed.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Silence of the client of a connection.
    pub idle: Duration,
    /// Time for a closed session to write what is left.
    pub linger: Duration,
    /// Time without a poll.
    pub abandoned: Duration,
    /// Silence of the client of a resumable session.
    pub window: Duration,
    /// Time without a connection of a session that was only opened.
    pub unproven: Duration,
    /// Time without a connection after which a client is away.
    pub away: Duration,
    /// The time from one sweep to the next: stamps can be so much older than what they stamp.
    pub period: Duration,
}

/// The silence of a client, in milliseconds, after which it wants to hear something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat(u32);

impl Beat {
    /// The longest.
    const MAX: Self = Self(120_000);

    /// The beat that a client asks for, within reason: not so often that it is a burden, and often enough that a client which
    /// says nothing of itself is asked twice before its session is over.
    #[must_use]
    pub fn new(millis: u64, window: Duration) -> Self {
        let longest = (window / 3).as_millis().clamp(1_000, Self::MAX.0.into()) as u64;
        Self(millis.clamp(1_000, longest) as u32)
    }
}

/// What a sweep finds to be done for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// The client is to be asked for a sign of life.
    Ping,
    /// Nothing has carried the session for too long to be a move: the handler is to be told.
    Away,
    /// It was just closed, for the silence of its client.
    Closed(CloseReason),
    /// It was closed and has had its time: what carries it is to be dropped, whatever is left to write.
    Over,
}

/// The times that every session has.
#[derive(Debug, Default)]
pub(super) struct Life {
    carriage: Carriage,
    /// How many frames behind those that it has sent the current attachment is about to send; at its bound, all of them.
    pub(super) in_hand: u16,
    /// When a sweep first found the session closed.
    closed_at: Tick,
    /// [`OVER`] and [`LATE`], in one byte: a session has no room for two.
    marks: u8,
}

/// A closed session has had its time.
const OVER: u8 = 1;
/// What is unsent has waited since the sweep came by before.
const LATE: u8 = 2;

/// How a session is carried at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Carriage {
    #[default]
    Nothing,
    /// Nothing, but a poll did before.
    BetweenPolls,
    Stream,
    /// A stream that takes no more for now.
    Stalled,
    Poll,
}

/// The times of a session that outlives its connections.
#[derive(Debug)]
pub(super) struct LongLife {
    beat: Beat,
    /// When the client was last asked for a sign of life.
    pinged: Tick,
    /// When the last connection that carried the session ended.
    detached: Tick,
    /// Whether the handler knows that nothing carries the session, or is about to.
    is_away: bool,
    /// Whether a second connection carried it, or its client acknowledged a frame: somebody reads what it is sent.
    is_proven: bool,
}

/// What a session keeps of its times where it goes on at another place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lasting {
    pub(super) beat_ms: u32,
    pub(super) is_away: bool,
    pub(super) is_proven: bool,
}

impl Default for LongLife {
    fn default() -> Self {
        let never = Tick::default();
        Self { beat: Beat::MAX, pinged: never, detached: never, is_away: false, is_proven: false }
    }
}

impl Life {
    /// Whether what is unsent waits for longer than a moment, as the sweep has found.
    pub(super) fn is_late(&self) -> bool {
        self.marks & LATE != 0
    }

    pub(super) fn set_late(&mut self, is_late: bool) {
        self.marks = (self.marks & !LATE) | if is_late { LATE } else { 0 };
    }

    pub(super) fn stall(&mut self) {
        if self.carriage == Carriage::Stream {
            self.carriage = Carriage::Stalled;
        }
    }

    pub(super) fn flow(&mut self) {
        if self.carriage == Carriage::Stalled {
            self.carriage = Carriage::Stream;
        }
    }

    /// Whether what carries the session takes frames now; `None` if polls fetch them.
    pub(super) fn takes_frames(&self) -> Option<bool> {
        match self.carriage {
            Carriage::Stream => Some(true),
            Carriage::Stalled | Carriage::Nothing => Some(false),
            Carriage::Poll | Carriage::BetweenPolls => None,
        }
    }

    /// Whether nothing has carried the session since polls did.
    pub(super) fn is_between_polls(&self) -> bool {
        self.carriage == Carriage::BetweenPolls
    }

    pub(super) fn carry(&mut self, carried_by: CarriedBy) {
        self.carriage = match (carried_by, self.carriage) {
            (CarriedBy::Stream, _) => Carriage::Stream,
            (CarriedBy::Poll, _) => Carriage::Poll,
            (CarriedBy::Nothing, Carriage::Poll | Carriage::BetweenPolls) => Carriage::BetweenPolls,
            (CarriedBy::Nothing, _) => Carriage::Nothing,
        };
    }
}

impl Session {
    /// Something carries the session from now on. Returns whether its client was found away before.
    pub fn handle_carried(&mut self, carried_by: CarriedBy) -> bool {
        self.life.set_late(false);
        self.life.carry(carried_by);
        self.counts.as_mut().is_some_and(|counts| std::mem::take(&mut counts.life.is_away))
    }

    /// Nothing carries the session from now on.
    pub fn handle_detached(&mut self, now: Tick) {
        self.life.carry(CarriedBy::Nothing);
        if let Some(counts) = &mut self.counts {
            counts.life.detached = now;
        }
    }

    /// Somebody reads what the session is sent.
    pub fn handle_proof(&mut self) {
        if let Some(counts) = &mut self.counts {
            counts.life.is_proven = true;
        }
    }

    /// The client wants to hear something after this silence.
    pub fn set_beat(&mut self, beat: Beat) {
        if let Some(counts) = &mut self.counts {
            counts.life.beat = beat;
        }
    }

    /// Returns whether its client was found away, and has not been back since.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.counts.as_ref().is_some_and(|counts| counts.life.is_away)
    }

    /// Returns whether something carries the session now.
    #[must_use]
    pub fn is_carried(&self) -> bool {
        !matches!(self.life.carriage, Carriage::Nothing | Carriage::BetweenPolls)
    }

    /// For how long nothing has carried a resumable session.
    #[must_use]
    pub fn detached_for(&self, now: Tick) -> Duration {
        match &self.counts {
            Some(counts) if !self.is_carried() => now.since(counts.life.detached),
            _ => Duration::ZERO,
        }
    }

    /// Looks at the time: closes the session if its client, last heard at `heard`, was silent for too long, and says what is to be
    /// done. To be called once a period.
    pub fn sweep(&mut self, tie: Tie, heard: Tick, now: Tick, patience: &Patience) -> Due {
        if self.closed.is_some() {
            return self.sweep_closed(tie, now, patience);
        }
        let silence = now.since(heard);
        let (limit, reason) = match tie {
            Tie::Connection => (patience.idle, CloseReason::Idle),
            Tie::Polls => (patience.abandoned, CloseReason::Abandoned),
            Tie::Window => (patience.window, CloseReason::Expired),
        };
        if silence >= limit + patience.period || self.is_forgotten(now, patience) {
            self.close(reason);
            return Due::Closed(reason);
        }
        let carriage = self.life.carriage;
        let Some(life) = self.counts.as_mut().map(|counts| &mut counts.life) else { return Due::Nothing };
        match carriage {
            Carriage::Stream | Carriage::Stalled if life.is_ping_due(silence, now) => Due::Ping,
            // The client may have been silent for long before on a connection that worked.
            Carriage::Nothing | Carriage::BetweenPolls if life.is_found_away(silence, now, patience) => {
                Due::Away
            }
            _ => Due::Nothing,
        }
    }

    /// Whether the session was only opened, and nothing has carried it for too long.
    fn is_forgotten(&self, now: Tick, patience: &Patience) -> bool {
        let Some(counts) = self.counts.as_ref().filter(|_| !self.is_carried()) else { return false };
        let detached_for = now.since(counts.life.detached);
        !counts.life.is_proven && detached_for >= patience.unproven + patience.period
    }

    fn sweep_closed(&mut self, tie: Tie, now: Tick, patience: &Patience) -> Due {
        if self.life.closed_at.is_never() {
            self.life.closed_at = now;
        }
        let time = match tie {
            Tie::Connection => patience.linger,
            Tie::Window if self.is_carried() => patience.linger,
            // So that the poll that waits on it has had the time to see the close and finish the session itself.
            Tie::Polls | Tie::Window => patience.period,
        };
        let is_over = now.since(self.life.closed_at) >= time;
        let was_over = self.life.marks & OVER != 0;
        if is_over && !was_over {
            self.life.marks |= OVER;
            return Due::Over;
        }
        Due::Nothing
    }
}

impl LongLife {
    /// What of these times is worth anything on another clock.
    pub(super) fn lasting(&self) -> Lasting {
        Lasting { beat_ms: self.beat.0, is_away: self.is_away, is_proven: self.is_proven }
    }

    /// These times on a clock on which nothing has carried the session since `detached`.
    pub(super) fn of_lasting(lasting: Lasting, detached: Tick) -> Self {
        let Lasting { beat_ms, is_away, is_proven } = lasting;
        let beat = Beat(beat_ms.clamp(1_000, Beat::MAX.0));
        Self { beat, pinged: Tick::default(), detached, is_away, is_proven }
    }

    fn is_ping_due(&mut self, silence: Duration, now: Tick) -> bool {
        let beat = Duration::from_millis(self.beat.0.into());
        let is_due = silence >= beat && (self.pinged.is_never() || now.since(self.pinged) >= beat);
        if is_due {
            self.pinged = now;
        }
        is_due
    }

    fn is_found_away(&mut self, silence: Duration, now: Tick, patience: &Patience) -> bool {
        let away_for = now.since(self.detached).min(silence);
        away_for >= patience.away + patience.period && !std::mem::replace(&mut self.is_away, true)
    }
}
