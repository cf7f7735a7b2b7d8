//! The figures of a server: who is attached by which transport, who moved, who was refused and why.

use std::time::Duration;

use lapwing::{Mount, ResumeOptions, Stats, WebsocketOptions};

use super::{broadcast, outbox, pause, serve, until};
use crate::support::{
    lateness::on_time,
    sessions::{Session, TRANSPORTS, Transport, attach},
};

async fn expect(lapwing: &lapwing::Lapwing, is_so: impl Fn(Stats) -> bool) {
    until(|| is_so(lapwing.stats()), || format!("{:?}", lapwing.stats())).await;
}

#[tokio::test]
async fn sessions_are_counted_by_the_wire_that_carries_them() {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut sessions = Vec::new();
    for transport in [Transport::Websocket, Transport::Websocket, Transport::Sse, Transport::Longpoll] {
        sessions.push(Session::open(address, "/socket", transport).await);
    }
    let transports = |stats: Stats| (stats.connections, stats.sse, stats.longpoll, stats.detached);
    expect(&lapwing, |stats| {
        transports(stats) == (2, 1, 1, 0) && stats.sessions == 4 && stats.resumable == 4
    })
    .await;
    sessions[0].resume(Transport::Sse).await;
    expect(&lapwing, |stats| transports(stats) == (1, 2, 1, 0) && stats.resumed == 1).await;
    sessions[0].cut();
    sessions[1].cut();
    expect(&lapwing, |stats| transports(stats) == (0, 1, 1, 2) && stats.sessions == 4).await;
    sessions[1].resume(Transport::Longpoll).await;
    expect(&lapwing, |stats| transports(stats) == (0, 1, 2, 1) && stats.resumed == 2).await;
    // One poll after the other is no move.
    for _ in 0..3 {
        sessions[1].poll(0, "").await;
    }
    expect(&lapwing, |stats| stats.resumed == 2).await;
    for session in &sessions {
        session.post("!close").await;
    }
    expect(&lapwing, |stats| {
        stats.sessions == 0 && stats.resumable == 0 && transports(stats) == (0, 0, 0, 0)
    })
    .await;
}

#[tokio::test]
async fn a_client_that_polls_is_attached_for_a_moment_after_a_poll() {
    let mount = Mount::new().resume(ResumeOptions::default().window(Duration::from_secs(10)));
    let (lapwing, address) = serve(mount).await;
    let session = Session::open(address, "/socket", Transport::Longpoll).await;
    session.poll(0, "").await;
    pause(300).await;
    let stats = lapwing.stats();
    assert_eq!((stats.longpoll, stats.detached), (1, 0));
}

#[tokio::test]
async fn refusals_are_counted_by_their_reasons() {
    on_time(|pace| async move {
        let mount = Mount::new()
            .sessions_max(1)
            .outbox(outbox(2))
            .resume(ResumeOptions::default().window(pace.ms(1_500)))
            .websocket(WebsocketOptions::default().linger(pace.ms(200)));
        let (lapwing, address) = serve(mount).await;
        let refused = || lapwing.stats().resumes_refused;
        let mut session = super::joined(address, Transport::Websocket).await;
        for transport in TRANSPORTS {
            let (_, line) = attach(address, transport, &transport.path("/socket"), "!open 5000").await;
            assert_eq!(line, "!refused full");
            let path = format!("{}&user=nobody", transport.path("/socket"));
            let (_, line) = attach(address, transport, &path, "!open 5000").await;
            assert_eq!(line, "!refused forbidden");
            assert_eq!(session.try_resume(transport, 7).await.err().as_deref(), Some("!refused ahead"));
        }
        (0..3).for_each(|n| broadcast(&lapwing, n));
        assert_eq!(session.refusal(Transport::Sse).await, "gap");
        until(|| lapwing.stats().sessions == 0, || "the session is still there".into()).await;
        let mut session = super::joined(address, Transport::Sse).await;
        session.say("!close").await;
        assert_eq!(session.refusal(Transport::Sse).await, "closed");
        assert_eq!(session.refusal(Transport::Longpoll).await, "closed");
        until(|| lapwing.stats().sessions == 0, || "the session is still there".into()).await;
        let mut session = super::joined(address, Transport::Sse).await;
        session.cut();
        until(|| lapwing.stats().sessions == 0, || "the session is still there".into()).await;
        assert_eq!(session.refusal(Transport::Sse).await, "expired");
        session.token = "A".repeat(38);
        assert_eq!(session.refusal(Transport::Sse).await, "unknown");
        let it = refused();
        assert_eq!((it.full, it.forbidden, it.ahead, it.gap), (3, 3, 3, 1), "{it:?}");
        assert_eq!((it.closed, it.expired, it.unknown), (2, 1, 1), "{it:?}");
    })
    .await;
}

#[tokio::test]
async fn frames_and_bytes_are_counted_on_every_wire() {
    for transport in TRANSPORTS {
        let (lapwing, address) = serve(Mount::new()).await;
        let mut session = super::joined(address, transport).await;
        let before = lapwing.stats();
        assert_eq!(before.frames_out, 1, "{transport:?}");
        broadcast(&lapwing, 1);
        session.expect_json(super::broadcasted(1)).await;
        expect(&lapwing, |stats| stats.frames_out == 2).await;
        let bytes = lapwing.stats().bytes_out - before.bytes_out;
        let text = super::broadcasted(1).to_string().len() as u64;
        assert!((text..text + 20).contains(&bytes), "{transport:?}: {bytes} for {text}");
    }
}
