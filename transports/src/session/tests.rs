use proptest::prelude::*;

use super::{life::CarriedBy, outbox::Waiting, *};
use crate::policy::{Few, Key, Policy, Told};

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    /// The state of one of a few things.
    PushState(u8, usize),
    PushVolatile,
    /// The attachment wrote so many frames, at most.
    Written(usize),
    /// The attachment copies so many frames, at most.
    Gather(usize),
    /// It could write none of them, or a part of the first.
    Stall(bool),
    Flow,
    Carry(CarriedBy),
    Receipt(u64),
    Attach,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let carried_by = prop_oneof![Just(CarriedBy::Stream), Just(CarriedBy::Poll)];
    prop_oneof![
        6 => (0usize..40).prop_map(Step::Push),
        6 => (0u8..3, 0usize..40).prop_map(|(key, len)| Step::PushState(key, len)),
        3 => Just(Step::PushVolatile),
        2 => (0usize..4).prop_map(Step::Written),
        2 => (0usize..4).prop_map(Step::Gather),
        2 => any::<bool>().prop_map(Step::Stall),
        2 => Just(Step::Flow),
        2 => carried_by.prop_map(Step::Carry),
        3 => (0u64..80).prop_map(Step::Receipt),
        1 => Just(Step::Attach),
        1 => Just(Step::Close),
    ]
}

const LIMITS: OutboxLimits = OutboxLimits::new().frames_max(8).bytes_max(100);

/// What was pushed, and what became of it.
#[derive(Default)]
struct Model {
    pushed: Vec<(String, Option<u8>)>,
    received: usize,
    in_hand: usize,
    is_stalled: bool,
    carried_by: CarriedBy,
}

impl Model {
    fn bytes(&self) -> usize {
        self.pushed[self.received..].iter().map(|(text, _)| text.len()).sum()
    }

    fn frames(&self) -> usize {
        self.pushed.len() - self.received
    }

    /// Where the state of a thing waits that the client cannot have.
    fn place_of(&self, key: u8) -> Option<usize> {
        (self.received + self.in_hand..self.pushed.len())
            .rev()
            .find(|place| self.pushed[*place].1 == Some(key))
    }

    fn is_behind(&self) -> bool {
        let is_half_full = self.frames() > 1
            && (self.frames() > LIMITS.frames_max / 2 || self.bytes() > LIMITS.bytes_max / 2);
        is_half_full
            || match self.carried_by {
                CarriedBy::Nothing => true,
                CarriedBy::Stream => self.is_stalled,
                CarriedBy::Poll => self.frames() > 0,
            }
    }

    /// Pushes a frame, and sees that the right thing comes of it.
    fn push(
        &mut self,
        session: &mut Session,
        number: usize,
        (policy, key): (Option<Policy>, Option<u8>),
        len: usize,
    ) -> Result<(), TestCaseError> {
        let text = format!("{number}:{}", "x".repeat(len));
        let (was_closed, place) = (session.closed().is_some(), key.and_then(|key| self.place_of(key)));
        let (is_volatile, is_behind) = (policy == Some(Policy::Volatile), self.is_behind());
        let frame = Frame::text(text.clone());
        match session.push(policy.map_or(frame.clone(), |policy| frame.with_policy(policy)), &LIMITS) {
            Pushed::Queued => {
                prop_assert!(place.is_none() && !(is_volatile && is_behind));
                self.pushed.push((text, key));
            }
            Pushed::Replaced => {
                prop_assert!(place.is_some(), "there was nothing to replace");
                self.pushed[place.unwrap_or_default()].0 = text;
            }
            Pushed::LeftOut => prop_assert!(is_volatile && is_behind),
            Pushed::Overflowed => {
                prop_assert!(!was_closed && !is_volatile && session.closed() == Some(CloseReason::TooSlow));
                self.pushed.truncate(self.received + session.waiting().count());
            }
            Pushed::Full | Pushed::Displaced(_) => prop_assert!(false, "nobody asked for that"),
            Pushed::Closed => prop_assert!(was_closed),
        }
        Ok(())
    }

    fn receive(&mut self, received: usize) {
        let count = received.saturating_sub(self.received);
        self.received += count;
        self.in_hand = self.in_hand.saturating_sub(count);
    }
}

proptest! {
    /// The laws of the module's documentation against a plain model: a list of all that was pushed.
    #[test]
    fn laws_hold_for_every_order_of_calls(steps in proptest::collection::vec(step(), 1..120)) {
        let limits = LIMITS;
        let (mut session, mut model, mut current) = (Session::default(), Model::default(), None);
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push(len) => model.push(&mut session, number, (None, None), len)?,
                Step::PushState(key, len) => {
                    let policy = Policy::Latest(Key::new(&key.to_string()));
                    model.push(&mut session, number, (Some(policy), Some(key)), len)?;
                }
                Step::PushVolatile => model.push(&mut session, number, (Some(Policy::Volatile), None), 0)?,
                Step::Written(count) => {
                    let count = count.min(model.frames());
                    model.receive(model.received + count);
                    let mut gone = 0..count;
                    prop_assert_eq!(session.handle_written(|_| gone.next().is_some()), count);
                }
                Step::Gather(count) => {
                    model.in_hand = count.min(model.frames());
                    session.handle_in_hand(model.in_hand);
                }
                Step::Stall(is_begun) => {
                    model.in_hand = usize::from(is_begun).min(model.frames());
                    model.is_stalled |= model.carried_by == CarriedBy::Stream;
                    session.handle_stalled(model.in_hand);
                }
                Step::Flow => {
                    model.is_stalled = false;
                    session.handle_flowing();
                }
                Step::Carry(carried_by) => {
                    (model.carried_by, model.is_stalled) = (carried_by, false);
                    session.handle_carried(carried_by);
                }
                Step::Receipt(seq) => {
                    if seq <= model.pushed.len() as u64 {
                        model.receive(seq as usize);
                    }
                    session.handle_receipt(Seq(seq));
                }
                Step::Attach => {
                    let before = current.replace(session.attach());
                    prop_assert!(before.is_none_or(|before| !session.is_current(before)));
                }
                Step::Close => {
                    let first = session.closed();
                    session.close(CloseReason::Disconnected);
                    prop_assert!(first.is_none() || session.closed() == first);
                }
            }
            let waiting: Vec<_> = session.waiting().map(|frame| frame.payload().clone()).collect();
            let wanted: Vec<_> = model.pushed[model.received..].iter().map(|(text, _)| text.clone()).collect();
            prop_assert_eq!(&waiting, &wanted);
            prop_assert_eq!(session.last_received(), Seq(model.received as u64));
            prop_assert_eq!(session.last_pushed(), Seq(model.pushed.len() as u64));
            prop_assert_eq!(session.unsent(), Waiting { frames: model.frames(), bytes: model.bytes() });
            prop_assert!(waiting.len() <= limits.frames_max);
            let largest = waiting.iter().map(|payload| payload.len()).max().unwrap_or(0);
            prop_assert!(model.bytes() - largest < limits.bytes_max || waiting.len() == 1);
            prop_assert!(current.is_none_or(|attachment| session.is_current(attachment)));
        }
    }
}

/// What was sent is not sent again, and of what was not, the first frame may be half on its way.
#[test]
fn what_is_shed_is_all_but_a_frame_that_may_be_half_sent() {
    for (mut session, kept) in [(Session::default(), "a"), (Session::resumable(), "c")] {
        for text in ["a", "b", "c", "d"] {
            session.push(Frame::text(text), &OutboxLimits::default());
        }
        session.handle_sent(Seq(2));
        session.shed();
        let left: Vec<_> = session.waiting().map(|frame| frame.payload().clone()).collect();
        assert_eq!(left, [kept]);
    }
}

/// A session pays for no policy that it does not have.
#[test]
fn a_session_is_no_larger_than_it_was() {
    assert!(size_of::<Session>() <= 48, "{} bytes", size_of::<Session>());
}

#[cfg(feature = "net")]
#[test]
fn what_waits_at_the_end_is_something_more_to_send() {
    use Pushed::{Closed, Displaced, Full, LeftOut, Overflowed, Queued, Replaced};
    let at_end = |pushed: &Pushed| pushed.is_at_end();
    assert!([Queued, Displaced(1)].iter().all(at_end));
    assert!(![Replaced, LeftOut, Overflowed, Full, Closed].iter().any(at_end));
}

#[cfg(feature = "net")]
#[test]
fn what_waits_costs_its_bytes_and_what_each_frame_takes_besides() {
    let mut session = Session::resumable();
    for (text, cost) in [("abc", 3 + crate::frame::FRAME_BYTES), ("de", 5 + 2 * crate::frame::FRAME_BYTES)] {
        session.push(Frame::text(text), &LIMITS);
        assert_eq!(session.waiting_cost(), cost);
    }
}

#[cfg(feature = "net")]
#[test]
fn the_attachment_that_carries_a_session_is_the_last() {
    let mut session = Session::resumable();
    for _ in 0..3 {
        let attachment = session.attach();
        assert_eq!(session.attachment(), attachment);
    }
}

#[test]
fn the_first_frame_that_is_unsent_is_behind_those_that_were_sent() {
    let (mut plain, mut resumable) = (Session::default(), Session::resumable());
    for session in [&mut plain, &mut resumable] {
        assert_eq!(session.first_unsent(), Seq(1));
        ["a", "b", "c", "d", "e"].into_iter().for_each(|text| _ = session.push(Frame::text(text), &LIMITS));
        assert_eq!(session.first_unsent(), Seq(1));
    }
    plain.handle_written(|frame| frame.payload() < "c");
    resumable.handle_sent(Seq(2));
    assert_eq!((plain.first_unsent(), resumable.first_unsent()), (Seq(3), Seq(3)));
    resumable.handle_receipt(Seq(1));
    resumable.handle_sent(Seq(5));
    assert_eq!(resumable.first_unsent(), Seq(6));
}

/// A client that has to say what it has may say more in the meantime: the answer may be behind that.
#[test]
fn a_client_is_heard_while_little_waits_for_it_and_longer_where_its_answer_is_awaited() {
    let limits = OutboxLimits::new().frames_max(80).unacknowledged_frames_max(4);
    let mut session = Session::resumable();
    let push = |session: &mut Session, frames| {
        (0..frames).for_each(|_| _ = session.push(Frame::text("x"), &limits));
    };
    push(&mut session, 40);
    assert!(session.is_to_be_heard(&limits), "half of what may wait does");
    push(&mut session, 4);
    assert!(!session.is_to_be_heard(&limits), "nothing is asked of it");
    session.handle_sent(Seq(4));
    push(&mut session, 30);
    assert!(session.is_held(&limits) && session.is_to_be_heard(&limits), "an eighth of the room is left");
    push(&mut session, 1);
    assert!(!session.is_to_be_heard(&limits));
    session.handle_receipt(Seq(4));
    assert!(!session.is_held(&limits) && !session.is_to_be_heard(&limits));
}

/// The number of those in hand has a bound; beyond it they are all.
#[test]
fn what_an_attachment_has_in_hand_is_not_replaced_however_many_it_has() {
    let limits = OutboxLimits::new().frames_max(100_000);
    let state = |text: &str| Frame::text(text).with_policy(Policy::Latest(Key::new("k")));
    for (in_hand, pushed) in [(66_000, Pushed::Queued), (60_000, Pushed::Replaced)] {
        let mut session = Session::default();
        session.handle_carried(CarriedBy::Stream);
        let event = Frame::text("event");
        (1..66_000).for_each(|_| _ = session.push(event.clone(), &limits));
        session.push(state("1"), &limits);
        session.handle_in_hand(in_hand);
        let mut written = 0..300;
        session.handle_written(|_| written.next().is_some());
        assert_eq!(session.push(state("2"), &limits), pushed, "{in_hand}");
    }
}

/// Whoever comes to a place from which a session is about to go on elsewhere.
#[test]
fn what_stands_in_for_a_session_under_way_takes_nothing_and_knows_how_far_it_had_come() {
    let mut session = Session::resumable();
    ["a", "b", "c"].into_iter().for_each(|text| _ = session.push(Frame::text(text), &LIMITS));
    session.handle_sent(Seq(2));
    session.handle_receipt(Seq(1));
    session.take(Seq(1));
    let attachment = session.attach();
    let mut stand_in = session.freeze(life::Tick(7), life::Tick(7)).unwrap().stand_in();
    assert_eq!(stand_in.push(Frame::text("d"), &LIMITS), Pushed::Closed);
    assert_eq!(stand_in.closed(), Some(CloseReason::Draining));
    assert!(stand_in.is_resumable() && stand_in.is_drained() && !stand_in.is_carried());
    assert_eq!((stand_in.last_received(), stand_in.last_taken()), (Seq(1), Seq(1)));
    assert!(!stand_in.is_current(attachment));
}

fn one_of_two(text: &str) -> Frame {
    one_of_two_of("k", text)
}

fn one_of_two_of(key: &str, text: &str) -> Frame {
    let tell = |dropped: u64| Some(Told { is_text: true, payload: dropped.to_string().into() });
    Frame::text(text).with_policy(Policy::Few(Few::new(Key::new(key), 2, tell).into()))
}

#[test]
fn of_each_kind_as_many_wait_as_may_whatever_waits_of_others() {
    let limits = OutboxLimits::new();
    let mut session = Session::resumable();
    for (key, text, pushed) in [
        ("a", "a1", Pushed::Queued),
        ("b", "b1", Pushed::Queued),
        ("a", "a2", Pushed::Queued),
        ("b", "b2", Pushed::Queued),
        ("b", "b3", Pushed::Displaced(1)),
        ("a", "a3", Pushed::Displaced(1)),
    ] {
        assert_eq!(session.push(one_of_two_of(key, text), &limits), pushed, "{text}");
    }
    let waiting: Vec<_> = session.waiting().map(|frame| frame.payload().clone()).collect();
    assert_eq!(waiting, ["1", "1", "a2", "b2", "b3", "a3"]);
}

/// Whatever kind the first frame is of that comes then.
#[test]
fn who_has_taken_everything_is_not_late_any_more() {
    let limits = OutboxLimits::new();
    let polled: fn(&mut Session) = |session| session.handle_receipt(session.last_pushed());
    let written: fn(&mut Session) = |session| {
        session.handle_written(|_| true);
        session.handle_stalled(0);
    };
    for (carried_by, takes_all) in [(CarriedBy::Poll, polled), (CarriedBy::Stream, written)] {
        let mut session = Session::default();
        session.handle_carried(carried_by);
        session.push(Frame::text("old"), &limits);
        session.handle_swept(true);
        takes_all(&mut session);
        session.push(Frame::text("reply"), &limits);
        let burst: Vec<_> = (0..5).map(|n| session.push(one_of_two(&n.to_string()), &limits)).collect();
        assert_eq!(burst, [Pushed::Queued; 5], "{carried_by:?}");
        session.handle_swept(true);
        assert_eq!(session.push(one_of_two("5"), &limits), Pushed::Displaced(4), "{carried_by:?}");
    }
}

/// A session that comes from elsewhere says any number.
#[test]
fn as_many_as_can_be_counted_were_dropped() {
    let (limits, now) = (OutboxLimits::new(), life::Tick(7));
    let mut session = Session::resumable();
    (0..4).for_each(|n| _ = session.push(one_of_two(&n.to_string()), &limits));
    let mut bytes = session.freeze(now, now).unwrap().encode().to_vec();
    // Behind the head the only number of eight bytes is that of those that were dropped.
    let at = (62..bytes.len()).find(|at| bytes[*at..].starts_with(&2_u64.to_be_bytes())).unwrap();
    bytes[at..at + 8].fill(0xff);
    let few = |key: &str, most| {
        Some(Few::new(Key::new(key), most, |dropped| {
            Some(Told { is_text: true, payload: dropped.to_string().into() })
        }))
    };
    let mut session = frozen::thaw(&bytes, now, &limits, &few).unwrap().session;
    assert_eq!(session.push(one_of_two("4"), &limits), Pushed::Displaced(1));
    assert_eq!(session.waiting().next().unwrap().payload(), &*u64::MAX.to_string());
}
