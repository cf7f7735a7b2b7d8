//! The laws of a session's times (`session::life`), as one who looks at it from outside would check them.

use std::time::Duration;

use lapwing_transports::{
    close::CloseReason,
    session::{
        Session,
        life::{Beat, CarriedBy, Due, Patience, Tick, Tie},
    },
};

use super::{Random, SCHEDULES};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const PATIENCE: Patience = Patience {
    idle: ms(3_000),
    linger: ms(1_000),
    abandoned: ms(4_000),
    window: ms(6_000),
    unproven: ms(2_000),
    away: ms(1_500),
    period: ms(100),
};

/// The shortest that a client can ask for.
const BEAT: Duration = ms(1_000);

/// What the session was told, and when.
pub(crate) struct Times {
    tie: Tie,
    now: Tick,
    heard: Tick,
    carried_by: CarriedBy,
    detached: Tick,
    is_proven: bool,
    is_away: bool,
    asked: Option<Tick>,
    /// When a sweep first saw that it is closed.
    closed: Option<Tick>,
    is_over: bool,
}

impl Times {
    /// The times of a session that was opened just now, and that nothing carries.
    pub(crate) fn of(session: &mut Session, tie: Tie) -> Self {
        let now = Tick(1);
        session.set_beat(Beat::new(0, PATIENCE.window));
        session.handle_detached(now);
        Self {
            tie,
            now,
            heard: now,
            carried_by: CarriedBy::Nothing,
            detached: now,
            is_proven: false,
            is_away: false,
            asked: None,
            closed: None,
            is_over: false,
        }
    }

    pub(crate) fn carried_by(&self) -> CarriedBy {
        self.carried_by
    }

    /// Something came from the client.
    pub(crate) fn hear(&mut self) {
        self.heard = self.now;
    }

    pub(crate) fn prove(&mut self, session: &mut Session) {
        session.handle_proof();
        self.is_proven = true;
    }

    pub(crate) fn carry(&mut self, session: &mut Session, carried_by: CarriedBy) {
        assert_eq!(session.handle_carried(carried_by), self.is_away, "back without away, or not back");
        assert!(session.is_carried());
        assert!(!session.is_away(), "away while something carries it");
        self.carried_by = carried_by;
        self.is_away = false;
    }

    pub(crate) fn detach(&mut self, session: &mut Session) {
        session.handle_detached(self.now);
        assert!(!session.is_carried());
        self.carried_by = CarriedBy::Nothing;
        self.detached = self.now;
    }

    /// The session was taken out of its place, and goes on where the clock says something else.
    pub(crate) fn go_on_at(&mut self, now: Tick, heard: Tick) {
        let ahead = now.0.wrapping_sub(self.now.0);
        let shifted = |tick: Tick| Tick(tick.0.wrapping_add(ahead));
        self.detached = if self.carried_by == CarriedBy::Nothing { shifted(self.detached) } else { now };
        assert_eq!(heard, shifted(self.heard), "when its client was heard");
        (self.now, self.heard, self.carried_by, self.asked) = (now, heard, CarriedBy::Nothing, None);
    }

    pub(crate) fn now(&self) -> (Tick, Tick) {
        (self.now, self.heard)
    }

    /// Time goes by, most often a little, and the sweep comes.
    pub(crate) fn pass(&mut self, session: &mut Session, random: &mut Random) {
        let most = if random.below(8) == 0 { 7_000 } else { 400 };
        self.now.0 += 1 + random.below(most) as u32;
        let was_closed = session.closed();
        let due = session.sweep(self.tie, self.heard, self.now, &PATIENCE);
        match was_closed {
            Some(reason) => {
                assert_eq!(session.closed(), Some(reason), "the first reason stays");
                assert_eq!(due, self.due_when_closed());
                self.is_over |= due == Due::Over;
            }
            None => {
                assert_eq!(due, self.due_when_open());
                self.is_away |= due == Due::Away;
                assert_eq!(session.is_away(), self.is_away);
                self.asked = if due == Due::Ping { Some(self.now) } else { self.asked };
                let closed = if let Due::Closed(reason) = due { Some(reason) } else { None };
                assert_eq!(session.closed(), closed);
            }
        }
    }

    fn due_when_closed(&mut self) -> Due {
        let since = self.now.since(*self.closed.get_or_insert(self.now));
        let needs_time = match self.tie {
            Tie::Connection => true,
            Tie::Polls => false,
            Tie::Window => self.carried_by != CarriedBy::Nothing,
        };
        let time = if needs_time { PATIENCE.linger } else { PATIENCE.period };
        if since >= time && !self.is_over { Due::Over } else { Due::Nothing }
    }

    fn due_when_open(&self) -> Due {
        let is_past = |since: Tick, limit: Duration| self.now.since(since) >= limit + PATIENCE.period;
        let (is_resumable, is_detached) = (self.tie == Tie::Window, self.carried_by == CarriedBy::Nothing);
        let (limit, reason) = match self.tie {
            Tie::Connection => (PATIENCE.idle, CloseReason::Idle),
            Tie::Polls => (PATIENCE.abandoned, CloseReason::Abandoned),
            Tie::Window => (PATIENCE.window, CloseReason::Expired),
        };
        let is_forgotten =
            is_resumable && is_detached && !self.is_proven && is_past(self.detached, PATIENCE.unproven);
        if is_past(self.heard, limit) || is_forgotten {
            return Due::Closed(reason);
        }
        let was_left = is_past(self.heard, PATIENCE.away) && is_past(self.detached, PATIENCE.away);
        if is_resumable && is_detached && was_left && !self.is_away {
            return Due::Away;
        }
        let is_silent = self.now.since(self.heard) >= BEAT;
        let was_asked = self.asked.is_some_and(|asked| self.now.since(asked) < BEAT);
        if is_resumable && self.carried_by == CarriedBy::Stream && is_silent && !was_asked {
            return Due::Ping;
        }
        Due::Nothing
    }
}

/// How often each thing was due in so many schedules of a session with this tie.
fn run(tie: Tie, seed: u64, counts: &mut [u64; 5]) {
    let mut random = Random::new(seed);
    let mut session = if tie == Tie::Window { Session::resumable() } else { Session::default() };
    let mut times = Times::of(&mut session, tie);
    for _ in 0..80 {
        match random.below(16) {
            0..=4 => times.hear(),
            5 => times.carry(&mut session, CarriedBy::Stream),
            6 => times.carry(&mut session, CarriedBy::Poll),
            7 => times.detach(&mut session),
            8 if tie == Tie::Window && random.below(4) == 0 => times.prove(&mut session),
            9 if random.below(40) == 0 => {
                session.close(CloseReason::Disconnected);
            }
            _ => {
                let (away, asked) = (times.is_away, times.asked);
                let (was_closed, was_over) = (session.closed().is_some(), times.is_over);
                times.pass(&mut session, &mut random);
                counts[0] += u64::from(times.is_away && !away);
                counts[1] += u64::from(times.asked != asked);
                counts[2] += u64::from(session.closed().is_some() && !was_closed);
                counts[3] += u64::from(times.is_over && !was_over);
                counts[4] += 1;
            }
        }
    }
}

#[test]
fn the_laws_of_time_hold_for_every_schedule() {
    for tie in [Tie::Connection, Tie::Polls, Tie::Window] {
        let mut counts = [0; 5];
        for seed in 1..=SCHEDULES {
            let schedule = std::panic::AssertUnwindSafe(|| run(tie, seed, &mut counts));
            if std::panic::catch_unwind(schedule).is_err() {
                panic!("the laws of time do not hold for {tie:?}: seed {seed}");
            }
        }
        let [away, asked, closed, over, _] = counts;
        assert!(closed > SCHEDULES / 4 && over > SCHEDULES / 8, "{tie:?}: {counts:?}");
        assert_eq!(away > SCHEDULES / 8 && asked > SCHEDULES / 8, tie == Tie::Window, "{tie:?}: {counts:?}");
    }
}

#[test]
fn a_beat_is_within_reason() {
    let minute = ms(60_000);
    for (asked, window, beat) in [
        (0, minute, 1_000),
        (15_000, minute, 15_000),
        (u64::MAX, minute, 20_000),
        (u64::MAX, Duration::MAX, 120_000),
        (7, Duration::ZERO, 1_000),
    ] {
        assert_eq!(Beat::new(asked, window), Beat::new(beat, Duration::MAX), "{asked} {window:?}");
    }
}

/// Ticks are compared by their difference, whatever they have come to.
#[test]
fn times_go_on_when_their_count_begins_anew() {
    let mut session = Session::default();
    let heard = Tick(u32::MAX - 1_000);
    assert_eq!(session.sweep(Tie::Connection, heard, Tick(1_000), &PATIENCE), Due::Nothing);
    let due = session.sweep(Tie::Connection, heard, Tick(2_500), &PATIENCE);
    assert_eq!(due, Due::Closed(CloseReason::Idle));
}
