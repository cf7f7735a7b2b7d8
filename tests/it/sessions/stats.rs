//! The figures of a server: who is attached by which wire, who moved, who was refused and why.

use std::time::Duration;

use lapwing::{Mount, ResumeOptions, Stats, WebsocketOptions};

use super::{broadcast, outbox, pause, serve, until};
use crate::support::{
    lateness::on_time,
    sessions::{Session, WIRES, Wire, attach},
};

async fn expect(lapwing: &lapwing::Lapwing, is_so: impl Fn(Stats) -> bool) {
    until(|| is_so(lapwing.stats()), || format!("{:?}", lapwing.stats())).await;
}

#[tokio::test]
async fn sessions_are_counted_by_the_wire_that_carries_them() {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut sessions = Vec::new();
    for wire in [Wire::Websocket, Wire::Websocket, Wire::Sse, Wire::Longpoll] {
        sessions.push(Session::open(address, "/socket", wire).await);
    }
    let wires = |stats: Stats| (stats.connections, stats.sse, stats.longpoll, stats.detached);
    expect(&lapwing, |stats| wires(stats) == (2, 1, 1, 0) && stats.sessions == 4 && stats.resumable == 4)
        .await;
    sessions[0].resume(Wire::Sse).await;
    expect(&lapwing, |stats| wires(stats) == (1, 2, 1, 0) && stats.resumed == 1).await;
    sessions[0].cut();
    sessions[1].cut();
    expect(&lapwing, |stats| wires(stats) == (0, 1, 1, 2) && stats.sessions == 4).await;
    sessions[1].resume(Wire::Longpoll).await;
    expect(&lapwing, |stats| wires(stats) == (0, 1, 2, 1) && stats.resumed == 2).await;
    // One poll after the other is no move.
    for _ in 0..3 {
        sessions[1].poll(0, "").await;
    }
    expect(&lapwing, |stats| stats.resumed == 2).await;
    for session in &sessions {
        session.post("!close").await;
    }
    expect(&lapwing, |stats| stats.sessions == 0 && stats.resumable == 0 && wires(stats) == (0, 0, 0, 0))
        .await;
}

#[tokio::test]
async fn a_client_that_polls_is_attached_for_a_moment_after_a_poll() {
    let mount = Mount::new().resume(ResumeOptions::default().window(Duration::from_secs(10)));
    let (lapwing, address) = serve(mount).await;
    let session = Session::open(address, "/socket", Wire::Longpoll).await;
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
        let mut session = super::joined(address, Wire::Websocket).await;
        for wire in WIRES {
            let (_, line) = attach(address, wire, &wire.path("/socket"), "!open 5000").await;
            assert_eq!(line, "!refused full");
            let path = format!("{}&user=nobody", wire.path("/socket"));
            let (_, line) = attach(address, wire, &path, "!open 5000").await;
            assert_eq!(line, "!refused forbidden");
            assert_eq!(session.try_resume(wire, 7).await.err().as_deref(), Some("!refused ahead"));
        }
        (0..3).for_each(|n| broadcast(&lapwing, n));
        assert_eq!(session.refusal(Wire::Sse).await, "gap");
        until(|| lapwing.stats().sessions == 0, || "the session is still there".into()).await;
        let mut session = super::joined(address, Wire::Sse).await;
        session.say("!close").await;
        assert_eq!(session.refusal(Wire::Sse).await, "closed");
        assert_eq!(session.refusal(Wire::Longpoll).await, "closed");
        until(|| lapwing.stats().sessions == 0, || "the session is still there".into()).await;
        let mut session = super::joined(address, Wire::Sse).await;
        session.cut();
        until(|| lapwing.stats().sessions == 0, || "the session is still there".into()).await;
        assert_eq!(session.refusal(Wire::Sse).await, "expired");
        session.token = "A".repeat(38);
        assert_eq!(session.refusal(Wire::Sse).await, "unknown");
        let it = refused();
        assert_eq!((it.full, it.forbidden, it.ahead, it.gap), (3, 3, 3, 1), "{it:?}");
        assert_eq!((it.closed, it.expired, it.unknown), (2, 1, 1), "{it:?}");
    })
    .await;
}

#[tokio::test]
async fn frames_and_bytes_are_counted_on_every_wire() {
    for wire in WIRES {
        let (lapwing, address) = serve(Mount::new()).await;
        let mut session = super::joined(address, wire).await;
        let before = lapwing.stats();
        assert_eq!(before.frames_out, 1, "{wire:?}");
        broadcast(&lapwing, 1);
        session.expect_json(super::broadcasted(1)).await;
        expect(&lapwing, |stats| stats.frames_out == 2).await;
        let bytes = lapwing.stats().bytes_out - before.bytes_out;
        let text = super::broadcasted(1).to_string().len() as u64;
        assert!((text..text + 20).contains(&bytes), "{wire:?}: {bytes} for {text}");
    }
}
