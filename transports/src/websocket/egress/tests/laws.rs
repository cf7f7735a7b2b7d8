//! The laws, whatever happens in whatever order.

use proptest::prelude::*;

use super::world::{Turn, World};
use crate::{close::CloseReason, live::waking::Due, session::outbox::OutboxLimits};

/// What may happen to a connection.
#[derive(Clone, Debug)]
enum Happens {
    Push(usize),
    /// The driver comes round, and the socket takes so many bytes at most.
    Turn(usize),
    /// It goes on until the socket takes nothing or nothing is left, and the socket takes so many bytes each time.
    Write(usize),
    Ping,
    AsksByLine,
    Says(u64, usize),
    IsDue(Due),
    Acknowledges(u64),
    PeerCloses,
    Breach,
    /// The connection is closed, and its session is not.
    OverBudget,
    Closed(CloseReason),
    Superseded(u64),
    HeldStill,
    Frozen,
    Decided(bool),
    Expired,
}

fn happens() -> impl Strategy<Value = Happens> {
    use Happens::*;
    let bytes = prop_oneof![6 => 0_usize..200, 3 => 200_usize..4_000, 2 => 16_000_usize..90_000];
    let room = prop_oneof![1 => Just(0_usize), 4 => 1_usize..30, 4 => 30_usize..3_000, 3 => Just(usize::MAX)];
    let due = prop::sample::select(vec![Due::PING, Due::PONG, Due::BUSY, Due::ACK, Due::PING, Due::PONG]);
    let reason =
        prop::sample::select(vec![CloseReason::Disconnected, CloseReason::Dismissed, CloseReason::Idle]);
    prop_oneof![
        20 => bytes.prop_map(Push),
        20 => room.clone().prop_map(Turn),
        10 => room.prop_map(Write),
        4 => Just(Ping),
        2 => Just(AsksByLine),
        2 => (0_u64..40, 0_usize..200_000).prop_map(|(frames, bytes)| Says(frames, bytes)),
        3 => due.prop_map(IsDue),
        4 => (0_u64..3).prop_map(Acknowledges),
        1 => Just(PeerCloses),
        1 => Just(Breach),
        1 => Just(OverBudget),
        1 => reason.prop_map(Closed),
        1 => (0_u64..4).prop_map(Superseded),
        1 => Just(HeldStill),
        1 => Just(Frozen),
        2 => any::<bool>().prop_map(Decided),
        1 => prop_oneof![Just(Expired), Just(IsDue(Due::RENEW))],
    ]
}

fn apply(world: &mut World, happens: &Happens) {
    if world.end.is_some() {
        return;
    }
    match happens {
        Happens::Push(bytes) => world.push(*bytes),
        Happens::Turn(room) => {
            world.turn(*room);
        }
        Happens::Write(room) => {
            world.write(*room);
        }
        Happens::Ping => world.ask_with_ping(),
        Happens::AsksByLine => world.ask_with_line(),
        Happens::Says(frames, bytes) => world.say(*frames, *bytes),
        Happens::IsDue(due) => world.make_due(*due),
        Happens::Acknowledges(more) => world.acknowledge(*more),
        Happens::PeerCloses => world.end_by(|egress| egress.closing.handle_peer_close()),
        Happens::Breach => {
            world.end_by(|egress| egress.closing.handle_breach(CloseReason::Protocol(4_002)));
        }
        Happens::OverBudget => world.end_by(|egress| egress.closing.handle_close(CloseReason::OverBudget)),
        Happens::Closed(reason) => world.close(*reason),
        Happens::Superseded(then) => world.supersede(*then),
        Happens::HeldStill => {
            world.session.hold_still();
        }
        Happens::Frozen => world.freeze(),
        Happens::Decided(is_here) => world.decide(*is_here),
        Happens::Expired => world.expire(),
    }
}

/// One of three, whose client takes compressed frames or does not.
fn world(kind: u8, inflates: bool) -> World {
    let world = match kind {
        0 => World::plain(),
        1 => World::resumable(5, 2),
        // The client is asked again and again, and nothing new is sent before it answers.
        _ => World::bounded(3, 0, OutboxLimits::new().unacknowledged_frames_max(4)),
    };
    if inflates { world.inflating() } else { world }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold_in_whatever_order_things_happen(
        kind in 0_u8..3,
        inflates in prop::bool::weighted(if cfg!(feature = "deflate") { 0.3 } else { 0.0 }),
        happenings in prop::collection::vec(happens(), 0..60),
    ) {
        let mut world = world(kind, inflates);
        for happens in &happenings {
            apply(&mut world, happens);
        }
        // With a socket that takes all, all comes to rest, or to an end.
        world.write(usize::MAX);
        if world.is_frozen() {
            world.decide(true);
            world.write(usize::MAX);
        }
        prop_assert_eq!(world.turn(usize::MAX), if world.end.is_some() { Turn::Ended } else { Turn::Idle });
        let is_told = world.end.is_some() || !world.egress.closing.is_open();
        prop_assert!(!world.has_left() || is_told, "law 5: nobody is told that it is over");
    }
}
