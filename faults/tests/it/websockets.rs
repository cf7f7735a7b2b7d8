//! Faults of WebSockets.

use std::time::Instant;

use lapwing_faults::Fault;

use crate::support::{Testbed, eventually, ms};

#[tokio::test]
async fn a_stripped_upgrade_is_a_plain_request() {
    let testbed = Testbed::start([Fault::StripUpgrade]).await;
    let mut client = testbed.client().await;
    client.upgrade().await;
    assert_eq!(client.response().await.1, "no upgrade was asked for");
    let headers = &testbed.server.seen()[0].headers;
    assert!(!headers.contains_key("upgrade") && !headers.contains_key("connection"));
    assert_eq!((&headers["host"], &headers["x-other"]), (&"test".parse().unwrap(), &"kept".parse().unwrap()));
    // The same connection goes on.
    testbed.proxy.lift();
    client.upgrade().await;
    client.until("hello\n").await;
}

#[tokio::test]
async fn an_upgrade_is_refused_with_any_status() {
    let testbed = Testbed::start([]).await;
    for status in [200, 400, 403, 502] {
        testbed.proxy.set([Fault::RefuseUpgrade(status)]);
        let mut client = testbed.client().await;
        client.upgrade().await;
        let (head, body) = client.response().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(!body.is_empty());
        client.assert_closed().await;
        assert_eq!(testbed.server.seen().len(), 0, "the server has seen it");
    }
    testbed.assert_serves().await;
}

#[tokio::test]
async fn a_swallowed_upgrade_is_never_answered() {
    let testbed = Testbed::start([Fault::SwallowUpgrade, Fault::RefuseUpgrade(403)]).await;
    let mut client = testbed.client().await;
    client.upgrade().await;
    client.assert_silent(ms(100)).await;
    testbed.proxy.lift();
    client.assert_silent(ms(100)).await;
    assert_eq!(testbed.server.seen().len(), 0);
    testbed.websocket().await.until("hello\n").await;
    drop(client);
    eventually("its connections are closed", || testbed.server.open() == 0).await;
}

#[tokio::test]
async fn after_a_muted_101_nothing_passes_either_way() {
    let testbed = Testbed::start([Fault::MuteWebsockets]).await;
    let mut client = testbed.websocket().await;
    client.send("is anybody there?").await;
    client.assert_silent(ms(100)).await;
    testbed.proxy.lift();
    client.send("is anybody there now?").await;
    client.assert_silent(ms(100)).await;
    assert_eq!(testbed.server.messages(), "");
    assert_eq!(testbed.proxy.counters().websockets, 1);
    drop(client);
    eventually("its connections are closed", || testbed.server.open() == 0).await;
}

#[tokio::test]
async fn muting_websockets_leaves_the_rest_alone() {
    let testbed = Testbed::start([]).await;
    let mut open_before = testbed.websocket().await;
    open_before.until("hello\n").await;
    testbed.proxy.set([Fault::MuteWebsockets]);
    open_before.send("x").await;
    open_before.until("x").await;
    testbed.assert_serves().await;
}

#[tokio::test]
async fn a_websocket_is_reset_right_behind_its_101() {
    let testbed = Testbed::start([Fault::KillWebsocket(ms(0))]).await;
    let mut client = testbed.client().await;
    client.upgrade().await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    client.rest().await;
    assert_eq!(testbed.proxy.counters().resets, 1);
    testbed.assert_serves().await;
}

#[tokio::test]
async fn a_websocket_is_reset_some_time_after_its_101() {
    let testbed = Testbed::start([Fault::KillWebsocket(ms(1_500))]).await;
    let mut stream = testbed.client().await;
    stream.get("/events").await;
    let mut websocket = testbed.websocket().await;
    let began = Instant::now();
    websocket.until("hello\n").await;
    websocket.send("x").await;
    websocket.until("x").await;
    websocket.assert_reset().await;
    // The 101 came from the proxy a little after the count began.
    assert!(began.elapsed() >= ms(1_400), "{:?}", began.elapsed());
    stream.until("data: 60\n\n").await;
}

#[tokio::test]
async fn websockets_that_are_open_already_can_be_killed() {
    let testbed = Testbed::start([]).await;
    let mut websocket = testbed.websocket().await;
    websocket.until("hello\n").await;
    websocket.assert_silent(ms(50)).await;
    testbed.proxy.set([Fault::KillWebsocket(ms(10))]);
    websocket.assert_reset().await;
}
