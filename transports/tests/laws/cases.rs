//! Single cases of the laws, each by itself.

use lapwing_transports::session::Pushed;

use super::*;

#[test]
fn a_frame_is_taken_once_and_in_its_turn() {
    let mut session = Session::resumable();
    let numbers =
        [(2, Taken::Early), (1, Taken::Next), (1, Taken::Duplicate), (3, Taken::Early), (2, Taken::Next)];
    for (number, taken) in numbers {
        assert_eq!(session.take(Seq(number)), taken, "{number}");
    }
    assert_eq!(session.last_taken(), Seq(2));
}

#[test]
fn a_session_is_closed_once_for_its_first_reason() {
    let mut session = Session::resumable();
    assert_eq!(session.closed(), None);
    assert!(session.close(CloseReason::Disconnected));
    assert!(!session.close(CloseReason::Client), "it was closed before");
    assert_eq!(session.closed(), Some(CloseReason::Disconnected));
    assert_eq!(session.push(Frame::text("late"), &LIMITS), Pushed::Closed);
}

#[test]
fn nothing_is_left_of_what_is_discarded() {
    let mut session = Session::resumable();
    for text in ["a", "b"] {
        session.push(Frame::text(text), &LIMITS);
    }
    session.discard();
    assert!(session.is_drained() && session.waiting().next().is_none());
}

/// Two frames that belong together are queued together, or neither is.
#[test]
fn a_frame_and_what_belongs_to_it_find_room_together() {
    let limits = OutboxLimits::new().frames_max(3);
    let mut session = Session::default();
    let push = |session: &mut Session, then: bool| {
        session.try_push(Frame::text("a"), then.then(|| Frame::text("b")), &limits)
    };
    assert_eq!(push(&mut session, true), Pushed::Queued);
    assert_eq!(push(&mut session, true), Pushed::Full);
    assert_eq!(session.unsent().frames, 2);
    assert_eq!(push(&mut session, false), Pushed::Queued);
    assert_eq!(push(&mut session, false), Pushed::Full);
    session.discard();
    let narrow = OutboxLimits::new().frames_max(1);
    let both = session.try_push(Frame::text("a"), Some(Frame::text("b")), &narrow);
    assert_eq!(both, Pushed::Queued, "beside none they always find room");
    session.close(CloseReason::Client);
    assert_eq!(push(&mut session, false), Pushed::Closed);
}

/// What was sent and is not acknowledged makes nobody slow: only what waits to be sent does.
#[test]
fn a_client_that_reads_and_acknowledges_nothing_is_asked_waited_for_and_not_closed_before_the_rest_is_too_much()
 {
    let mut session = Session::resumable();
    let sent = |session: &Session| session.sendable_after(Seq(0), &LIMITS).count() as u64;
    for _ in 0..KEPT_FRAMES_MAX + 3 {
        assert_eq!(session.push(Frame::text("x"), &LIMITS), Pushed::Queued);
    }
    assert!(!session.is_question_due(&LIMITS));
    session.handle_sent(Seq(KEPT_FRAMES_MAX as u64 / 2));
    assert!(!session.is_question_due(&LIMITS), "half is not more than half");
    let may_send = sent(&session);
    assert_eq!(may_send, KEPT_FRAMES_MAX as u64);
    session.handle_sent(Seq(may_send));
    assert!(session.is_question_due(&LIMITS) && session.is_held(&LIMITS));
    session.handle_asked();
    assert!(!session.is_question_due(&LIMITS), "it is asked once");
    for _ in 3..FRAMES_MAX {
        assert_eq!(session.push(Frame::text("x"), &LIMITS), Pushed::Queued);
    }
    // Another attachment sends all of it again, which is no reason to close the session, and asks anew.
    session.resume(Seq(0)).unwrap();
    assert_eq!(sent(&session), KEPT_FRAMES_MAX as u64);
    assert!(!session.is_held(&LIMITS) && !session.is_question_due(&LIMITS));
    session.handle_sent(Seq(may_send));
    assert!(session.is_held(&LIMITS) && session.is_question_due(&LIMITS));
    session.handle_receipt(Seq(may_send));
    assert_eq!((session.unacknowledged().frames, session.unsent().frames), (0, FRAMES_MAX));
    assert_eq!(session.push(Frame::text("x"), &LIMITS), Pushed::Overflowed);
    assert_eq!(
        session.sendable_after(Seq(may_send), &LIMITS).count(),
        FRAMES_MAX,
        "at its end it waits for nobody"
    );
}

/// Any frame of a resumable session may be half written at the bound; of a plain one only the first can be.
#[test]
fn at_its_bound_a_plain_session_keeps_its_first_frame_and_a_resumable_one_all() {
    for (mut session, kept) in [(Session::default(), 1), (Session::resumable(), FRAMES_MAX)] {
        for _ in 0..FRAMES_MAX {
            assert_eq!(session.push(Frame::text("x"), &LIMITS), Pushed::Queued);
        }
        assert_eq!(session.push(Frame::text("x"), &LIMITS), Pushed::Overflowed);
        assert_eq!(session.closed(), Some(CloseReason::TooSlow));
        assert_eq!(session.waiting().count(), kept);
    }
}

/// A plain session counts nothing that its client sends, and acknowledges by what was written.
#[test]
fn a_plain_session_takes_every_frame_and_knows_what_was_written() {
    let mut session = Session::default();
    assert!(!session.is_resumable() && Session::resumable().is_resumable());
    for number in [3, 1, 1] {
        assert_eq!(session.take(Seq(number)), Taken::Next);
    }
    assert_eq!(session.last_taken(), Seq(0));
    assert_eq!(session.handle_written(|_| true), 0, "nothing waited");
    assert_eq!(session.last_received(), Seq(0));
    for text in ["a", "b"] {
        session.push(Frame::text(text), &LIMITS);
    }
    session.handle_sent(Seq(2));
    assert_eq!(session.handle_written(|frame| &frame.payload()[..] == b"a"), 1);
    assert_eq!((session.last_received(), session.last_pushed()), (Seq(1), Seq(2)));
    assert_eq!(session.waiting().next().map(|frame| &frame.payload()[..]), Some(&b"b"[..]));
}

#[test]
fn a_client_that_claims_too_much_or_too_little_is_refused_and_nothing_changes() {
    let mut session = Session::resumable();
    for text in ["a", "b", "c"] {
        session.push(Frame::text(text), &LIMITS);
    }
    assert_eq!(session.resume(Seq(4)), Err(ResumeError::Ahead));
    let attachment = session.resume(Seq(2)).unwrap();
    assert_eq!(session.resume(Seq(1)), Err(ResumeError::Gap));
    assert!(session.is_current(attachment));
    assert_eq!(session.waiting_after(Seq(2)).count(), 1);
}
