//! Signs of life: who asks for one, who gives one, and what becomes of a session without.

use lapwing::transports::options::TransportOptions;
use std::time::{Duration, Instant};

use lapwing::{LongpollOptions, Mount, ResumeOptions, WebsocketOptions};

use super::{expect_diary, join, joined, serve};
use crate::support::{
    echo,
    lateness::on_time,
    sessions::{Line, Session, Transport, text},
};

#[tokio::test]
async fn the_server_pings_after_a_beat_of_silence_and_whoever_answers_lives_on() {
    on_time(|pace| async move {
        for transport in [Transport::Websocket, Transport::Sse] {
            let mount = Mount::new().resume(ResumeOptions::default().window(pace.ms(2_500)));
            let (lapwing, address) = serve(mount).await;
            let mut session =
                join(Session::open_as(address, "/socket", transport, "", pace.count_ms(1_000)).await).await;
            let asked = Instant::now();
            for _ in 0..3 {
                session.expect_control("!ping 1").await;
                session.say("!ack 1").await;
            }
            let took = asked.elapsed();
            assert!(took > pace.ms(2_700), "{transport:?}: three pings in {took:?}");
            assert!(took < pace.ms(6_000), "{transport:?}: three pings in {took:?}");
            assert_eq!(super::diary(&lapwing), ["join"], "longer than the window");
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_talks_is_not_pinged() {
    on_time(|pace| async move {
        for transport in [Transport::Websocket, Transport::Sse] {
            let (_, address) = echo::serve(TransportOptions::default()).await;
            let mut session = Session::open_as(address, "/echo", transport, "", pace.count_ms(1_000)).await;
            for _ in 0..6 {
                pace.pause(300).await;
                session.send(text("x")).await;
                assert_eq!(session.next().await, text("x"), "{transport:?}");
            }
        }
    })
    .await;
}

/// Whatever a client asks for: nobody is pinged more than once a second, or left alone for longer than two minutes.
#[tokio::test]
async fn a_beat_of_nothing_is_a_second() {
    let (_, address) = echo::serve(TransportOptions::default()).await;
    let mut session = Session::open_as(address, "/echo", Transport::Websocket, "", 0).await;
    let asked = Instant::now();
    session.expect_control("!ping 0").await;
    assert!(asked.elapsed() > Duration::from_millis(900), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_resume_sets_the_beat_anew() {
    let (_, address) = echo::serve(TransportOptions::default()).await;
    let mut session = Session::open_as(address, "/echo", Transport::Websocket, "", 60_000).await;
    let line = format!("!resume {} 0 1000", session.token);
    let path = Transport::Sse.path("/echo");
    (session.attachment, _) = crate::support::sessions::attach(address, Transport::Sse, &path, &line).await;
    session.expect_control("!ping 0").await;
}

#[tokio::test]
async fn a_ping_from_the_client_is_answered_where_the_frames_come() {
    let (_, address) = echo::serve(TransportOptions::default()).await;
    // A poll is an answer by itself; what a ping does to one that waits is in `longpoll`.
    for transport in [Transport::Websocket, Transport::Sse] {
        let mut session = Session::open(address, "/echo", transport).await;
        session.send(text("a")).await;
        assert_eq!(session.next().await, text("a"));
        for _ in 0..3 {
            session.say("!ping").await;
            session.expect_control("!pong 1").await;
        }
        // From a client that sends by POST although it has a WebSocket, too.
        assert_eq!(session.post_lines("!ping").await, ["!ack 1"]);
        session.expect_control("!pong 1").await;
    }
}

#[tokio::test]
async fn a_silent_client_that_is_connected_is_told_that_its_window_is_over() {
    on_time(|pace| async move {
        for transport in [Transport::Websocket, Transport::Sse] {
            let mount = Mount::new()
                .resume(ResumeOptions::default().window(pace.ms(400)))
                .websocket(WebsocketOptions::default().linger(pace.ms(200)));
            let (lapwing, address) = serve(mount).await;
            let mut session = joined(address, transport).await;
            assert_eq!(session.next().await, Line::Control("!closed 1006 expired".into()), "{transport:?}");
            if transport == Transport::Websocket {
                assert!(matches!(session.next().await, Line::Close(_)));
            }
            assert_eq!(session.next().await, Line::End, "{transport:?}");
            expect_diary(&lapwing, &["join", "leave Disconnect"]).await;
            assert_eq!(session.refusal(transport).await, "expired", "{transport:?}");
            super::until(|| lapwing.stats().sessions == 0, || "it is still there".into()).await;
        }
    })
    .await;
}

/// A poll that waits was a sign of life when it came; its client is heard again when it polls again.
#[tokio::test]
async fn a_client_that_polls_and_says_nothing_else_lives_on() {
    on_time(|pace| async move {
        let mount = Mount::new()
            .resume(ResumeOptions::default().window(pace.ms(1_500)))
            .longpoll(LongpollOptions::default().window(pace.ms(400)));
        let (lapwing, address) = serve(mount).await;
        let session = joined(address, Transport::Longpoll).await;
        for _ in 0..6 {
            assert_eq!(session.poll(30_000, "").await.text(), "!resumed 1\n");
        }
        assert_eq!(super::diary(&lapwing), ["join"]);
    })
    .await;
}
