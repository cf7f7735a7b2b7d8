//! Each law by itself; [`laws`] has all of them together.

mod heard;
mod laws;
mod world;

use self::{
    heard::Heard,
    world::{End, Turn, World},
};
use super::*;
use crate::{
    policy::{Key, Policy},
    session::{Pushed, Seq},
};

/// A plain session, and a resumable one.
fn worlds() -> [World; 2] {
    [World::plain(), World::resumable(0, 0)]
}

fn line(text: &str) -> Heard {
    Heard::Line(text.to_owned())
}

fn close(code: u16, reason: &str) -> Heard {
    Heard::Close(code, reason.to_owned())
}

#[test]
fn frames_are_written_once_and_in_order_however_few_bytes_the_socket_takes() {
    for mut world in worlds() {
        for bytes in [0, 200, 70_000, 3, 20_000, 125, 126] {
            world.push(bytes);
        }
        for room in [1, 2, 3, 199, 1, 69_999, 5, 8].into_iter().cycle().take(80) {
            world.turn(room);
        }
        assert_eq!(world.write(7_000), Turn::Idle);
        assert_eq!((world.got, world.said.len()), (7, 0));
    }
}

#[test]
fn a_client_gets_the_frames_that_it_does_not_have() {
    let mut world = World::resumable(5, 2);
    assert_eq!(world.write(usize::MAX), Turn::Idle);
    assert_eq!(world.got, 5);
}

#[test]
fn a_pong_waits_for_the_end_of_the_frame_that_was_begun() {
    for mut world in worlds() {
        world.push(300);
        world.turn(10);
        world.ask_with_ping();
        world.write(100);
        assert!(matches!(world.said[..], [(1, Heard::Pong(_))]), "{:?}", world.said);
        assert_eq!(world.got, 1);
    }
}

#[test]
fn the_rest_of_a_pong_comes_before_the_next_frame() {
    for (mut world, bytes) in worlds().into_iter().zip([30, 30_000]) {
        world.ask_with_ping();
        world.turn(3);
        world.push(bytes);
        world.ask_with_ping();
        world.write(2);
        assert!(matches!(world.said[..], [(0, Heard::Pong(_)), (0, Heard::Pong(_))]), "{:?}", world.said);
        assert_eq!(world.got, 1);
    }
}

#[test]
fn the_close_frame_comes_behind_all_that_waits_and_nothing_behind_it() {
    let mut world = World::plain();
    world.push(300);
    world.push(20_000);
    world.turn(10);
    world.session.close_with(CloseReason::Dismissed, "not a member");
    world.push(10);
    assert_eq!(world.write(1_000), Turn::Idle);
    assert_eq!(world.said, [(2, close(1_000, "not a member"))]);
    world.end_by(|egress| egress.closing.handle_peer_close());
    assert_eq!((world.write(1_000), world.end), (Turn::Ended, Some(End::Said)));
}

#[test]
fn the_client_of_a_resumable_session_is_told_before_the_close_frame_why_it_was_closed() {
    let mut world = World::resumable(0, 0);
    world.push(300);
    world.turn(10);
    world.close(CloseReason::Idle);
    world.write(1_000);
    assert_eq!(world.said, [(1, line("!closed 1002 idle")), (1, close(1_002, ""))]);
    world.ask_with_line();
    world.make_due(Due::PING);
    assert_eq!((world.turn(1_000), world.said.len()), (Turn::Idle, 2));
}

#[test]
fn a_client_that_closes_is_answered_where_nothing_waits() {
    for mut world in worlds() {
        world.end_by(|egress| egress.closing.handle_peer_close());
        assert_eq!((world.write(1_000), world.end), (Turn::Ended, Some(End::Said)));
    }
}

#[test]
fn a_connection_that_ends_before_its_session_finishes_the_frame_that_was_begun() {
    for (end, code) in [(CloseReason::OverBudget, 1_013), (CloseReason::Protocol(4_002), 4_002)] {
        let mut world = World::resumable(0, 0);
        world.push(300);
        world.push(300);
        world.turn(10);
        world.end_by(|egress| match end {
            CloseReason::OverBudget => egress.closing.handle_close(end),
            _ => egress.closing.handle_breach(end),
        });
        world.write(1_000);
        world.push(300);
        world.write(1_000);
        assert_eq!((world.got, &world.said[..]), (1, &[(1, close(code, ""))][..]));
        assert!(world.session.closed().is_none());
    }
}

#[test]
fn a_frame_is_sent_when_its_last_byte_was_taken() {
    for mut world in worlds() {
        world.push(48);
        let bytes = 2 + 2 + 48;
        world.turn(bytes - 1);
        assert_eq!(world.turn(0), Turn::Blocked);
        assert_eq!(world.session.core().session.first_unsent(), Seq(1));
        world.acknowledge(1);
        assert!(!world.session.core().session.is_drained(), "the client cannot have it");
        assert_eq!(world.turn(1), Turn::Wrote);
        assert_eq!(world.turn(0), Turn::Flushed);
        assert_eq!(world.session.core().session.first_unsent(), Seq(2));
        assert!(world.session.core().session.is_drained());
    }
}

#[test]
fn who_is_superseded_between_two_frames_tells_so_and_begins_no_other() {
    let mut world = World::resumable(0, 0);
    world.push(30);
    world.turn(usize::MAX);
    world.ask_with_ping();
    world.push(30);
    // The newer connection has sent both, and its client has said so: the first is gone from the outbox before it is looked for.
    world.supersede(2);
    assert_eq!((world.write(1_000), world.end), (Turn::Ended, Some(End::Said)));
    assert!(matches!(world.said[0], (1, Heard::Pong(_))));
    assert_eq!(world.said[1..], [(1, line("!superseded")), (1, close(4_000, ""))]);
}

#[test]
fn a_large_frame_that_was_taken_in_parts_is_behind_who_is_superseded() {
    let mut world = World::resumable(0, 0);
    world.push(20_000);
    assert_eq!([world.turn(100), world.turn(usize::MAX)], [Turn::Wrote; 2]);
    world.supersede(0);
    assert_eq!((world.write(1_000), world.end), (Turn::Ended, Some(End::Said)));
    assert_eq!(world.said, [(1, line("!superseded")), (1, close(4_000, ""))]);
}

#[test]
fn who_is_superseded_within_a_frame_ends_without_a_word() {
    for then in [0, 1] {
        let mut world = World::resumable(0, 0);
        world.push(30);
        world.turn(10);
        world.supersede(then);
        assert_eq!((world.turn(1_000), world.end), (Turn::Ended, Some(End::Lost)));
        assert_eq!((world.got, world.said.len()), (0, 0));
    }
}

#[test]
fn who_is_superseded_and_cannot_write_does_not_wait_for_it() {
    let mut world = World::resumable(0, 0);
    world.ask_with_ping();
    world.supersede(0);
    assert_eq!((world.turn(0), world.end), (Turn::Blocked, Some(End::Lost)));
}

#[test]
fn nothing_of_a_frozen_session_is_written_and_its_connection_ends_when_it_is_decided() {
    for is_here in [true, false] {
        let mut world = World::resumable(0, 0);
        world.push(30);
        assert!(world.session.hold_still());
        world.write(1_000);
        assert_eq!(world.got, 1, "a session that is held still is written");
        world.freeze();
        world.ask_with_ping();
        world.push(30);
        assert_eq!((world.write(1_000), world.client.bytes()), (Turn::Idle, 2 + 2 + 30));
        assert!(!world.egress.is_relaxed());
        world.decide(is_here);
        world.write(1_000);
        assert!(
            matches!(world.said[..], [(1, Heard::Pong(_)), (1, Heard::Close(1_012, _))]),
            "{:?}",
            world.said
        );
    }
}

#[test]
fn a_session_that_is_frozen_within_a_frame_leaves_it_as_it_is() {
    for is_here in [true, false] {
        let mut world = World::resumable(0, 0);
        world.push(30);
        world.turn(10);
        world.freeze();
        world.write(1_000);
        assert_eq!(world.client.bytes(), 10);
        world.decide(is_here);
        assert_eq!((world.turn(1_000), world.end), (Turn::Ended, Some(End::Lost)));
        assert_eq!(world.client.bytes(), 10);
    }
}

#[test]
fn a_session_that_is_frozen_within_a_frame_has_no_close_frame_in_it() {
    let peer_closes = |world: &mut World| world.end_by(|egress| egress.closing.handle_peer_close());
    for is_frozen_first in [true, false] {
        let mut world = World::resumable(0, 0);
        world.push(30);
        world.turn(10);
        if is_frozen_first {
            world.freeze();
            peer_closes(&mut world);
        } else {
            peer_closes(&mut world);
            world.freeze();
        }
        assert_eq!((world.turn(1_000), world.turn(1_000)), (Turn::Flushed, Turn::Idle));
        world.decide(false);
        assert_eq!((world.turn(1_000), world.end), (Turn::Ended, Some(End::Lost)));
    }
    // Between two frames it need not wait.
    let mut world = World::resumable(0, 0);
    world.push(30);
    world.turn(1_000);
    world.freeze();
    peer_closes(&mut world);
    assert_eq!((world.write(1_000), world.end), (Turn::Ended, Some(End::Said)));
    assert_eq!(world.said, [(1, close(1_000, ""))]);
}

#[test]
fn a_connection_is_lost_when_its_time_is_over_or_it_is_to_be_renewed() {
    for mut world in worlds() {
        world.push(30);
        world.expire();
        assert_eq!((world.turn(1_000), world.end), (Turn::Ended, Some(End::Lost)));
    }
    let mut world = World::resumable(0, 0);
    world.make_due(Due::RENEW);
    assert_eq!((world.turn(1_000), world.end), (Turn::Ended, Some(End::Lost)));
}

#[test]
fn what_was_written_is_flushed_once() {
    for mut world in worlds() {
        assert_eq!(world.turn(9), Turn::Idle);
        world.push(30);
        let turns = [(); 4].map(|()| world.turn(1_000));
        assert_eq!(turns, [Turn::Wrote, Turn::Flushed, Turn::Idle, Turn::Idle]);
        world.ask_with_ping();
        assert_eq!([(); 3].map(|()| world.turn(1_000)), [Turn::Wrote, Turn::Flushed, Turn::Idle]);
    }
}

#[test]
fn a_blocked_connection_goes_on_when_it_is_superseded_and_not_for_another_frame() {
    let mut world = World::resumable(0, 0);
    let rest = |world: &World, is_blocked| {
        world.egress.rest(&world.session.core(), &world.session.common.outbox, is_blocked)
    };
    world.push(30);
    assert_eq!((rest(&world, false), rest(&world, true)), (Rest::None, Rest::Parked));
    world.supersede(0);
    assert_eq!((rest(&world, false), rest(&world, true)), (Rest::None, Rest::None));
    world.egress.closing.handle_superseded();
    assert_eq!((rest(&world, false), rest(&world, true)), (Rest::Apart, Rest::Apart));
    world.expire();
    assert_eq!(rest(&world, true), Rest::None);
}

#[test]
fn one_line_waits_and_a_few_pongs_however_often_a_client_asks() {
    let mut world = World::resumable(0, 0);
    for _ in 0..500 {
        world.ask_with_line();
        world.turn(0);
        world.ask_with_ping();
    }
    world.write(1_000);
    let lines = world.said.iter().filter(|(_, heard)| matches!(heard, Heard::Line(_))).count();
    // The one that waited, and the answer to all that were asked meanwhile.
    assert_eq!(lines, 2);
    let pongs = world.said.len() - lines;
    assert!((100..200).contains(&pongs), "{pongs}");
}

#[test]
fn a_client_is_acknowledged_after_many_frames_or_many_bytes() {
    let mut world = World::resumable(0, 0);
    world.say(31, 256 * 1_024 - 1);
    assert_eq!(world.turn(1_000), Turn::Idle);
    world.say(1, 0);
    world.write(1_000);
    world.say(1, 256 * 1_024);
    world.write(1_000);
    world.say(31, 0);
    world.write(1_000);
    assert_eq!(world.said, [(0, line("!ack 32")), (0, line("!ack 33"))]);
}

#[test]
fn a_pong_that_is_taken_makes_no_client_less_behind() {
    for mut world in worlds() {
        world.push(30);
        assert_eq!(world.turn(0), Turn::Blocked);
        world.ask_with_ping();
        assert_eq!(world.turn(2 + 4), Turn::Wrote);
        world.egress.next(&mut world.session.core(), &world.session.common, &mut Vec::new());
        let volatile = Frame::text("a cursor moved").with_policy(Policy::Volatile);
        assert_eq!(world.session.push(volatile), Pushed::LeftOut);
    }
}

/// A line of the session's own found no room. Nothing else waits, and as it is behind nothing would.
#[test]
fn a_client_that_takes_all_that_there_is_is_not_behind() {
    let mut world = World::resumable(0, 0);
    world.push(30);
    assert_eq!(world.write(1_000), Turn::Idle);
    world.ask_with_line();
    assert_eq!(world.turn(0), Turn::Blocked);
    let volatile = || Frame::text("a cursor moved").with_policy(Policy::Volatile);
    assert_eq!(world.session.push(volatile()), Pushed::LeftOut);
    assert_eq!(world.write(1_000), Turn::Idle);
    assert_eq!(world.session.push(volatile()), Pushed::Queued);
}

#[test]
fn what_is_due_is_said_in_a_line_with_what_has_come() {
    for (due, text) in
        [(Due::PING, "!ping 3"), (Due::PONG, "!pong 3"), (Due::BUSY, "!busy 3"), (Due::ACK, "!ack 3")]
    {
        let mut world = World::resumable(0, 0);
        world.say(3, 0);
        world.make_due(due);
        assert_eq!((world.write(1_000), &world.said[..]), (Turn::Idle, &[(0, line(text))][..]));
    }
}

#[test]
fn a_client_that_says_nothing_is_asked_once_and_waited_for() {
    let mut world = World::bounded(0, 0, OutboxLimits::new().unacknowledged_frames_max(4));
    let rest = |world: &World| world.egress.rest(&world.session.core(), &world.session.common.outbox, false);
    for (frames, got) in [(3, 3), (1, 4), (1, 4)] {
        (0..frames).for_each(|_| world.push(30));
        assert_eq!((world.write(1_000), world.got, rest(&world)), (Turn::Idle, got, Rest::Parked));
    }
    assert_eq!(world.said, [(3, line("!ping 0"))]);
    world.acknowledge(0);
    assert_eq!((world.write(1_000), world.got), (Turn::Idle, 5));
}

#[cfg(feature = "deflate")]
#[test]
fn a_client_that_takes_compressed_frames_gets_them_so() {
    let bytes = [World::resumable(0, 0), World::resumable(0, 0).inflating()].map(|mut world| {
        world.push(4_000);
        assert_eq!((world.write(usize::MAX), world.got), (Turn::Idle, 1));
        world.client.bytes()
    });
    assert!(bytes[0] > 4_000 && bytes[1] < 1_000, "{bytes:?}");
}

#[test]
fn lines_are_written_one_by_one_in_their_order() {
    let mut world = World::resumable(0, 0);
    world.queue_lines("!one\n!two\n");
    world.write(1_000);
    assert_eq!(world.said, [(0, line("!one")), (0, line("!two"))]);
}

#[test]
fn what_was_written_is_counted_when_the_last_byte_of_its_frame_was_taken() {
    for mut world in worlds() {
        let counted = |world: &World| {
            let traffic = world.session.common.counters.traffic(Transport::Websocket);
            (traffic.frames_out, traffic.bytes_out)
        };
        world.push(48);
        world.push(300);
        let [first, both] = [2 + 2 + 48, 2 + 2 + 48 + 4 + 2 + 300];
        world.turn(first + 1);
        world.turn(0);
        assert_eq!(counted(&world), (1, first as u64));
        world.write(1_000);
        assert_eq!(counted(&world), (2, both as u64));
        world.ask_with_ping();
        world.write(1_000);
        assert_eq!(counted(&world), (2, both as u64), "a pong is no frame of the session");
    }
}

#[test]
fn a_client_whose_socket_takes_nothing_is_behind_until_it_takes_something() {
    for mut world in worlds() {
        let volatile = || Frame::text("a cursor moved").with_policy(Policy::Volatile);
        world.push(30);
        assert_eq!(world.turn(0), Turn::Blocked);
        assert_eq!(world.session.push(volatile()), Pushed::LeftOut);
        world.write(10);
        assert_eq!(world.session.push(volatile()), Pushed::Queued);
    }
}

#[test]
fn a_state_that_was_begun_stays_what_it_is() {
    for mut world in worlds() {
        let state = |text: &str| Frame::text(text).with_policy(Policy::Latest(Key::new("a")));
        assert_eq!(world.session.push(state("one")), Pushed::Queued);
        assert_eq!(world.session.push(state("two")), Pushed::Replaced);
        assert_eq!(world.turn(0), Turn::Blocked);
        assert_eq!(world.session.push(state("three")), Pushed::Replaced, "nothing of it was taken");
        world.turn(0);
        let mut buffer = Vec::new();
        let next = world.egress.next(&mut world.session.core(), &world.session.common, &mut buffer);
        assert!(matches!(next, Next::Write(_)));
        assert_eq!(world.session.push(state("four")), Pushed::Queued, "it is in hand");
    }
}

#[test]
fn a_state_of_which_the_socket_took_a_part_stays_what_it_is() {
    for mut world in worlds() {
        let state = |text: &str| Frame::text(text).with_policy(Policy::Latest(Key::new("a")));
        assert_eq!(world.session.push(state("one")), Pushed::Queued);
        assert_eq!([world.turn(1), world.turn(0)], [Turn::Wrote, Turn::Blocked]);
        assert_eq!(world.session.push(state("two")), Pushed::Queued);
        assert_eq!(world.session.push(state("three")), Pushed::Replaced);
    }
}

#[test]
fn a_client_for_whom_much_waits_is_not_heard() {
    let mut world = World::bounded(0, 0, OutboxLimits::new().frames_max(4));
    assert!(world.egress.is_relaxed());
    (0..3).for_each(|_| world.push(30));
    world.turn(0);
    assert!(!world.egress.is_relaxed());
    world.write(1_000);
    assert!(world.egress.is_relaxed());
}

#[test]
fn an_idle_connection_pays_four_words_for_it() {
    assert!(size_of::<Egress>() <= 4 * size_of::<usize>(), "{} bytes", size_of::<Egress>());
}
