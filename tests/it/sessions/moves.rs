//! From one connection to another: nothing is lost, nothing comes twice, and the channel does not notice.

use lapwing::Mount;
use serde_json::json;

use super::{broadcast, broadcasted, count, diary, joined, pause, serve};
use crate::support::{
    channels::ok,
    sessions::{Attachment, Line, Session, TRANSPORTS, Transport},
};

/// A connection that the test keeps while the session goes on elsewhere: a poll has to be waiting for that.
enum Before {
    Connection(Attachment),
    Poll(tokio::task::JoinHandle<String>),
}

/// Leaves a poll waiting, if that is the transport.
async fn hold(session: &Session, transport: Transport) -> Option<tokio::task::JoinHandle<String>> {
    if transport != Transport::Longpoll {
        return None;
    }
    let poller = Session {
        address: session.address,
        mount: session.mount.clone(),
        token: session.token.clone(),
        received: session.received,
        sent: Vec::new(),
        attachment: Attachment::Longpoll(Default::default()),
    };
    let poll = tokio::spawn(async move { poller.poll(30_000, "").await.text() });
    pause(100).await;
    Some(poll)
}

async fn expect_superseded(before: Before) {
    match before {
        Before::Connection(mut attachment) => attachment.expect_end("!superseded", 4000).await,
        Before::Poll(poll) => assert_eq!(poll.await.unwrap(), "!superseded\n"),
    }
}

async fn moves(from: Transport, to: Transport) {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut session = joined(address, from).await;
    count(&mut session, 1).await;
    let poll = hold(&session, from).await;
    let attachment = session.resume(to).await;
    expect_superseded(poll.map_or(Before::Connection(attachment), Before::Poll)).await;
    broadcast(&lapwing, 1);
    session.expect_json(broadcasted(1)).await;
    count(&mut session, 2).await;
    // Cut, and meanwhile something happens.
    session.cut();
    (2..=5).for_each(|n| broadcast(&lapwing, n));
    session.resume(to).await;
    for n in 2..=5 {
        session.expect_json(broadcasted(n)).await;
    }
    count(&mut session, 3).await;
    assert_eq!(diary(&lapwing), ["join"], "{from:?} to {to:?}");
}

#[tokio::test]
async fn a_session_moves_between_any_two_wires_and_its_channel_notices_nothing() {
    let pairs = TRANSPORTS.into_iter().flat_map(|from| TRANSPORTS.map(|to| (from, to)));
    let runs: Vec<_> = pairs.map(|(from, to)| tokio::spawn(moves(from, to))).collect();
    assert_eq!(runs.len(), 9);
    for run in runs {
        run.await.unwrap();
    }
}

/// What the server wrote into a connection that was dead is written again into the next; what the client wrote there
/// is sent again, too.
#[tokio::test]
async fn what_was_under_way_on_a_lost_connection_arrives_on_the_next_in_order_and_once() {
    let (lapwing, address) = serve(Mount::new()).await;
    for (turn, transport) in TRANSPORTS.into_iter().enumerate() {
        let mut session = joined(address, transport).await;
        let mut wanted = Vec::new();
        for (round, next) in TRANSPORTS.into_iter().cycle().skip(turn).take(7).enumerate() {
            let round = round as u64;
            broadcast(&lapwing, round);
            wanted.push(broadcasted(round));
            session.send_json(json!(["1", round.to_string(), "room:1", "count", {}])).await;
            wanted.push(ok("1", &round.to_string(), "room:1", json!({"count": round + 1})));
            // Nothing was read of what this connection carried.
            session.cut();
            session.resume(next).await;
        }
        // The replies may come before or after the broadcasts of later rounds; each kind is in order.
        let mut got = Vec::new();
        for _ in 0..wanted.len() {
            got.push(session.next_json().await);
        }
        let of_kind = |messages: &[serde_json::Value], event: &str| {
            messages.iter().filter(|message| message[3] == event).cloned().collect::<Vec<_>>()
        };
        for event in ["n", "phx_reply"] {
            assert_eq!(of_kind(&got, event), of_kind(&wanted, event), "{transport:?}");
        }
        session.say("!close").await;
    }
}

#[tokio::test]
async fn a_client_that_did_not_take_what_it_got_gets_it_again() {
    let (lapwing, address) = serve(Mount::new()).await;
    for from in TRANSPORTS {
        for to in TRANSPORTS {
            let mut session = joined(address, from).await;
            broadcast(&lapwing, 1);
            session.expect_json(broadcasted(1)).await;
            // It crashed before it could remember that.
            session.received -= 1;
            session.resume(to).await;
            session.expect_json(broadcasted(1)).await;
            session.say("!close").await;
        }
    }
}

#[tokio::test]
async fn a_superseded_connection_gets_nothing_any_more_and_what_it_still_says_counts() {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut session = joined(address, Transport::Websocket).await;
    let mut before = session.resume(Transport::Sse).await;
    broadcast(&lapwing, 1);
    session.expect_json(broadcasted(1)).await;
    assert_eq!(before.next().await, Line::Control("!superseded".into()));
    let answer = session.post_lines("!from 2\n[\"1\",\"c\",\"room:1\",\"count\",{}]").await;
    assert_eq!(answer, ["!ack 2"]);
    session.expect_json(ok("1", "c", "room:1", json!({"count": 1}))).await;
}

#[tokio::test]
async fn hundreds_of_moves_and_frames_at_once_lose_nothing() {
    const FRAMES: u64 = 600;
    let (lapwing, address) = serve(Mount::new()).await;
    let mut session = joined(address, Transport::Sse).await;
    let shouter = {
        let lapwing = lapwing.clone();
        tokio::spawn(async move {
            for n in 0..FRAMES {
                broadcast(&lapwing, n);
                tokio::task::yield_now().await;
                if n % 10 == 0 {
                    pause(1).await;
                }
            }
        })
    };
    for n in 0..FRAMES {
        if n % 7 == 3 {
            session.cut();
            session.resume(TRANSPORTS[n as usize % 3]).await;
        }
        session.expect_json(broadcasted(n)).await;
    }
    shouter.await.unwrap();
    count(&mut session, 1).await;
    assert_eq!(diary(&lapwing), ["join"]);
}
