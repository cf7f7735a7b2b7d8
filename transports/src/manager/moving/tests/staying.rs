//! Sessions whose streams come by way of other nodes: which of them are found, and when.

use std::{
    collections::HashSet,
    pin::pin,
    task::{Context, Poll, Waker},
};

use super::*;
use crate::manager::staying::{STAYING_MAX, Staying};

/// Carries a session on by way of another node, or of none.
async fn come_by(one: &Shared, token: &str, transport: Transport, by: Option<u64>) -> Attached<Diary> {
    let mut parts = parts();
    by.into_iter().for_each(|by| {
        parts.extensions.insert(Carried { by });
    });
    one.resume(transport, (parts, None), token, Seq(0), 300_000).await.unwrap()
}

/// The next session that stays, if one was found.
fn next_of(staying: &mut Staying<()>) -> Option<(Session<Diary>, u64)> {
    match pin!(staying.next()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(found) => found,
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_stream_that_comes_by_another_node_for_long_is_told_of_after_ever_longer_times() {
    let one = node(1);
    let (Attached { session, .. }, token) = open(&one).await;
    let mut staying = one.staying.as_ref().unwrap().hear(&one.stopped).unwrap();
    assert!(one.staying.as_ref().unwrap().hear(&one.stopped).is_none(), "somebody hears it");
    let come = async |transport: Transport, by: Option<u64>| {
        let attached = come_by(&one, &token, transport, by).await;
        session.core().session.handle_proof();
        attached.attachment
    };
    let mut told_at = |seconds: u32| {
        one.common.clock.set(Tick(seconds * 1_000));
        session.touch();
        one.sweep(Tick(seconds * 1_000), one.patience());
        next_of(&mut staying).map(|(_, node)| node)
    };
    one.common.clock.set(Tick(1_000));
    let attachment = come(Transport::Sse, Some(2)).await;
    assert_eq!(
        [told_at(60), told_at(61), told_at(62), told_at(180), told_at(181)],
        [None, Some(2), None, None, Some(2)]
    );
    // A stream that is none any more, one that begins anew, polls, and one of this node's.
    one.detach(&session, attachment);
    assert_eq!(told_at(421), None);
    come(Transport::Websocket, Some(3)).await;
    assert_eq!([told_at(480), told_at(481)], [None, Some(3)]);
    come(Transport::Longpoll, Some(3)).await;
    assert_eq!(told_at(580), None);
    come(Transport::Sse, Some(2)).await;
    come(Transport::Sse, None).await;
    assert_eq!(told_at(680), None);
    assert!(session.core().moving_is_none(), "nothing of it is left");
    // One that is on its way already.
    come(Transport::Sse, Some(2)).await;
    session.hold_still();
    assert_eq!(told_at(780), None);
    session.go_on();
    assert_eq!(told_at(781), Some(2));
}

/// However many there are that do not get away.
#[tokio::test]
async fn each_stream_that_comes_by_another_node_is_told_of_in_its_turn() {
    let one = node(1);
    let mut staying = one.staying.as_ref().unwrap().hear(&one.stopped).unwrap();
    let mut sessions = Vec::new();
    for _ in 0..2 * STAYING_MAX + 1 {
        let (_, token) = open(&one).await;
        let Attached { session, .. } = come_by(&one, &token, Transport::Sse, Some(2)).await;
        session.core().session.handle_proof();
        sessions.push(session);
    }
    let mut told = HashSet::new();
    for seconds in [61, 122, 183] {
        one.common.clock.set(Tick(seconds * 1_000));
        sessions.iter().for_each(|session| session.touch());
        one.sweep(Tick(seconds * 1_000), one.patience());
        told.extend(std::iter::from_fn(|| next_of(&mut staying)).map(|(session, _)| session.slot.get()));
        // A task that takes so many at a time is to let others run.
        tokio::task::yield_now().await;
    }
    assert_eq!(told.len(), sessions.len());
}

/// It is told of when somebody asks, and that may be later.
#[tokio::test]
async fn a_stream_that_comes_by_another_node_no_more_is_not_told_of() {
    let one = node(1);
    let (Attached { session, .. }, token) = open(&one).await;
    let mut staying = one.staying.as_ref().unwrap().hear(&one.stopped).unwrap();
    for (then, told) in [(Some(2), Some(2)), (None, None), (Some(3), None)] {
        one.common.clock.set(Tick(0));
        come_by(&one, &token, Transport::Sse, Some(2)).await;
        session.core().session.handle_proof();
        session.touch();
        one.common.clock.set(Tick(61_000));
        session.touch();
        one.sweep(Tick(61_000), one.patience());
        come_by(&one, &token, Transport::Sse, then).await;
        assert_eq!(next_of(&mut staying).map(|(_, node)| node), told, "{then:?}");
    }
}
