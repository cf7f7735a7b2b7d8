//! A session that goes on at another place, or where it was, and what its bytes are worth.

use lapwing_transports::{
    close::CloseReason,
    frame::Frame,
    policy::{Few, Key, Policy, Told},
    session::{
        Pushed, Seq, Session,
        frozen::{ThawError, Thawed, thaw},
        life::{CarriedBy, Tick},
        outbox::OutboxLimits,
    },
};

use super::{LIMITS, Random, World, pushing::told};

/// As [`pushing`](super::pushing) makes them.
fn few(key: &str, frames_max: usize) -> Option<Few> {
    let tell = |dropped| Some(Told { is_text: true, payload: told(dropped).into() });
    Some(Few::new(Key::new(key), frames_max, tell))
}

impl World {
    /// The session is taken out of its place at any moment. Its connections live on for a while, and what is under way on them may arrive.
    pub(crate) fn goes_on_elsewhere(&mut self) {
        if self.session.closed().is_some() {
            return;
        }
        let (now, heard) = self.times.now();
        let there = Tick(self.random.below(1 << 32) as u32);
        let session = std::mem::replace(&mut self.session, Session::resumable());
        let frozen = session.freeze(heard, now).expect("an open session can be frozen");
        let Thawed { session, heard } = match self.random.below(4) {
            0 => frozen.take_back(there),
            _ => thaw(&frozen.encode(), there, &LIMITS, &few).expect("it was within the same bounds"),
        };
        self.session = session;
        assert!(!self.session.is_carried());
        assert!(
            !self.connections.iter().any(|connection| self.session.is_current(connection.attachment)),
            "carried already"
        );
        self.known.give_up_hand();
        self.times.go_on_at(there, heard);
        (self.is_stalled, self.is_late) = (false, false);
    }
}

const NOW: Tick = Tick(1_000);

/// A session with something of everything.
fn session() -> Session {
    let mut session = Session::resumable();
    let key = || Key::new("ä key");
    let few = few("few", 2).unwrap();
    session.handle_carried(CarriedBy::Stream);
    for frame in [
        Frame::text("acknowledged"),
        Frame::text("sent"),
        Frame::binary(vec![0xff; 300]),
        Frame::text("").as_fence(),
        Frame::text("one").with_policy(Policy::Latest(key())),
        Frame::text("three").with_policy(Policy::Dropped(key(), 1 << 40)),
        Frame::text("four").with_policy(Policy::Few(few.into())),
        Frame::text("two").with_policy(Policy::Volatile),
    ] {
        assert_eq!(session.push(frame, &OutboxLimits::default()), Pushed::Queued);
    }
    session.handle_sent(Seq(2));
    session.handle_receipt(Seq(1));
    session.take(Seq(1));
    session
}

fn read(bytes: &[u8]) -> Result<Session, ThawError> {
    thaw(bytes, NOW, &OutboxLimits::default(), &few).map(|thawed| thawed.session)
}

fn written(session: Session) -> Vec<u8> {
    session.freeze(NOW, NOW).unwrap().encode().to_vec()
}

#[test]
fn marks_and_numbers_come_along() {
    let (before, after) = (session(), read(&written(session())).unwrap());
    let frames = |session: &Session| -> Vec<_> {
        let frames = session
            .waiting()
            .map(|frame| (frame.kind(), frame.is_fence(), frame.payload().clone(), frame.policy().cloned()));
        frames.collect()
    };
    assert_eq!(frames(&after), frames(&before));
    assert_eq!(after.waiting().count(), 7);
    let numbers = |session: &Session| (session.last_received(), session.last_pushed(), session.last_taken());
    assert_eq!(numbers(&after), (Seq(1), Seq(8), Seq(1)));
    assert_eq!((numbers(&before), before.unsent()), (numbers(&after), after.unsent()));
    assert_eq!(before.unacknowledged(), after.unacknowledged());
    let told_of = after.waiting().find_map(|frame| match frame.policy() {
        Some(Policy::Few(few)) => few.tell(3),
        _ => None,
    });
    assert_eq!(told_of.unwrap().payload, told(3));
}

#[test]
fn a_policy_that_cannot_be_made_here_leaves_a_frame_that_waits() {
    let bytes = written(session());
    let without = thaw(&bytes, NOW, &OutboxLimits::default(), &|_, _| None).unwrap().session;
    let frame = without.waiting().find(|frame| frame.payload() == "four").unwrap();
    assert_eq!(frame.policy(), None);
}

#[test]
fn what_is_closed_or_plain_stays_where_it_is() {
    let plain = Session::default().freeze(NOW, NOW).unwrap_err();
    assert!(!plain.is_resumable() && plain.closed().is_none());
    let mut closed = session();
    closed.close(CloseReason::Client);
    assert_eq!(closed.freeze(NOW, NOW).unwrap_err().closed(), Some(CloseReason::Client));
}

#[test]
fn bytes_that_are_no_session_are_told_apart() {
    let bytes = written(session());
    for len in 0..bytes.len() {
        assert_eq!(read(&bytes[..len]).unwrap_err(), ThawError::Length, "{len}");
    }
    assert_eq!(read(&[&bytes[..], &[0]].concat()).unwrap_err(), ThawError::Length);
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        read(&bytes).map(drop)
    };
    assert_eq!(with(0, 2), Err(ThawError::Version(2)));
    assert_eq!(with(1, 8), Err(ThawError::Value), "an unknown flag");
    // The numbers of frames: received, taken, acknowledged, sent, reached.
    for (at, number, error) in [(25, 9, true), (33, 200, false), (41, 9, true), (49, 9, true), (57, 9, true)]
    {
        assert_eq!(with(at, number).is_err(), error, "{at}");
        assert_eq!(with(at - 7, 0x41), Err(ThawError::Value), "beyond the largest: {at}");
    }
    assert_eq!(with(57, 1), Err(ThawError::Value), "less was sent than was sent");
    assert_eq!(with(62, 8), Err(ThawError::Value), "a kind that is not known");
    assert_eq!(with(62, 0x50), Err(ThawError::Value), "a policy that is not known");
    assert_eq!(with(67, 0xff), Err(ThawError::Value), "a text that is none");
    let texts: Vec<_> = [ThawError::Length, ThawError::Version(7), ThawError::Value, ThawError::TooMany]
        .map(|error| error.to_string())
        .into();
    assert!(texts[1].contains('7') && texts.iter().all(|text| !text.is_empty()));
}

/// A later release must read what this one wrote, and this one says what it writes.
#[test]
fn the_frozen_bytes_of_version_1_are_written_and_read() {
    const FROZEN: &str = concat!(
        "0106",
        "0001d4c0000000010000012b00000000",
        "00000000000000000000000000000001000000000000000000000000000000010000000000000001",
        "00000004",
        "10000000016b0000000161",
        "03000000020102",
        "300000000200000001660000000162",
        "40000000000000000300000001660000000163",
    );
    let mut session = Session::resumable();
    session.handle_carried(CarriedBy::Poll);
    for frame in [
        Frame::text("a").with_policy(Policy::Latest(Key::new("k"))),
        Frame::binary(vec![1, 2]).as_fence(),
        Frame::text("b").with_policy(Policy::Few(few("f", 2).unwrap().into())),
        Frame::text("c").with_policy(Policy::Dropped(Key::new("f"), 3)),
    ] {
        session.push(frame, &LIMITS);
    }
    session.handle_sent(Seq(1));
    session.take(Seq(1));
    session.handle_proof();
    let frozen = session.freeze(Tick(1), Tick(300)).unwrap();
    let hex: String = frozen.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, FROZEN);
    assert_eq!(read(&frozen.encode()).unwrap().last_pushed(), Seq(4));
}

/// Whatever is read is written as it was, but for a beat that is out of bounds: there is one way to say a thing, and nothing is half read.
#[test]
fn what_is_read_is_written_as_it_was() {
    let bytes = written(session());
    let mut random = Random::new(7);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut changed = bytes.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(changed.len() as u64) as usize;
            changed[at] = random.below(256) as u8;
        }
        let Ok(session) = read(&changed) else { continue };
        accepted += 1;
        let again = written(session);
        // The attachment is another one each time, and time stands still here.
        assert_eq!(again[18..], changed[18..]);
        assert_eq!(again[..2], changed[..2]);
    }
    assert!(accepted > 1_000, "{accepted}");
}

#[test]
fn more_frames_than_may_wait_are_refused() {
    let limits = OutboxLimits::new().frames_max(3).unacknowledged_frames_max(2);
    for (frames, is_refused) in [(7, false), (8, true)] {
        let mut session = Session::resumable();
        for _ in 0..frames {
            session.push(Frame::text("x"), &OutboxLimits::default());
        }
        let thawed = thaw(&written(session), NOW, &limits, &few);
        assert_eq!(thawed.err(), is_refused.then_some(ThawError::TooMany), "{frames}");
    }
    // A number that their bytes cannot be: of so many frames nothing is said.
    let mut bytes = written(Session::resumable());
    *bytes.last_mut().unwrap() = 8;
    bytes.extend([0; 5 * 8 - 1]);
    assert_eq!(thaw(&bytes, NOW, &limits, &few).err(), Some(ThawError::Length));
}

/// Time passes for a session by the clock of its place, and none while it is under way.
#[test]
fn silence_counts_on_and_the_way_does_not() {
    let mut session = session();
    session.handle_detached(Tick(4_000));
    let bytes = session.freeze(Tick(3_000), Tick(10_000)).unwrap().encode();
    let Thawed { session, heard } = thaw(&bytes, Tick(2_000), &OutboxLimits::default(), &few).unwrap();
    assert_eq!(heard, Tick(2_000_u32.wrapping_sub(7_000)));
    assert_eq!(session.detached_for(Tick(2_500)).as_millis(), 6_500);
}
