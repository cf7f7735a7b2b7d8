//! Faults of whole connections.

use std::{num::NonZeroU64, time::Instant};

use lapwing_faults::{Fault, Options};
use tokio::time::sleep;

use crate::support::{Client, Ended, Testbed, eventually, ms};

#[tokio::test]
async fn down_resets_what_is_open_and_what_comes() {
    let testbed = Testbed::start([]).await;
    let mut idle = testbed.client().await;
    let mut websocket = testbed.websocket().await;
    websocket.until("hello\n").await;
    testbed.proxy.set([Fault::Down]);
    idle.assert_reset().await;
    websocket.assert_reset().await;
    testbed.client().await.assert_reset().await;
    assert_eq!(testbed.proxy.counters().resets, 3);
    testbed.proxy.lift();
    testbed.assert_serves().await;
}

#[tokio::test]
async fn cut_resets_what_is_open_and_lets_in_what_comes() {
    let testbed = Testbed::start([]).await;
    let mut websocket = testbed.websocket().await;
    websocket.until("hello\n").await;
    let mut stream = testbed.client().await;
    stream.get("/events").await;
    stream.until("data: 1\n\n").await;
    testbed.proxy.cut();
    websocket.assert_reset().await;
    assert_eq!(stream.rest().await.1, Ended::Reset);
    eventually("the server knows", || testbed.server.open() == 0).await;
    testbed.assert_serves().await;
}

#[tokio::test]
async fn half_open_lets_nothing_through_and_tells_nobody() {
    let testbed = Testbed::start([]).await;
    let mut websocket = testbed.websocket().await;
    websocket.until("hello\n").await;
    let gone = testbed.websocket().await;
    testbed.proxy.set([Fault::HalfOpen]);
    websocket.send("into the void").await;
    drop(gone);
    let mut late = testbed.client().await;
    late.get("/plain").await;
    websocket.assert_silent(ms(100)).await;
    late.assert_silent(ms(100)).await;
    assert_eq!(testbed.server.messages(), "");
    assert_eq!(testbed.server.seen().len(), 2, "the upgrades, and not the late request");
    assert_eq!(testbed.server.open(), 2, "of the one that is gone, the server hears nothing");

    testbed.proxy.lift();
    testbed.assert_serves().await;
    websocket.assert_silent(ms(100)).await;
    late.assert_silent(ms(50)).await;

    testbed.proxy.cut();
    websocket.assert_reset().await;
    late.assert_reset().await;
    eventually("the server knows", || testbed.server.open() == 0).await;
}

#[tokio::test]
async fn a_freeze_takes_what_is_open_and_spares_what_comes() {
    let testbed = Testbed::start([]).await;
    let mut websocket = testbed.websocket().await;
    websocket.until("hello\n").await;
    testbed.proxy.freeze();
    // Whatever is set right behind it: nobody has to have looked in between.
    testbed.proxy.lift();
    websocket.send("into the void").await;
    let mut young = testbed.websocket().await;
    young.until("hello\n").await;
    young.send("x").await;
    young.until("x").await;
    websocket.assert_silent(ms(100)).await;
    assert_eq!(testbed.server.messages(), "x");
    testbed.proxy.cut();
    websocket.assert_reset().await;
}

#[tokio::test]
async fn down_resets_what_half_open_has_frozen() {
    let testbed = Testbed::start([Fault::HalfOpen]).await;
    let mut client = testbed.client().await;
    client.assert_silent(ms(50)).await;
    testbed.proxy.set([Fault::Down]);
    client.assert_reset().await;
}

#[tokio::test]
async fn kill_after_resets_in_the_midst_of_traffic() {
    let testbed = Testbed::start([Fault::KillAfter(ms(1_500))]).await;
    let began = Instant::now();
    let mut client = testbed.client().await;
    client.get("/events").await;
    client.until("data: 3\n\n").await;
    assert_eq!(client.rest().await.1, Ended::Reset);
    assert!(began.elapsed() >= ms(1_500), "{:?}", began.elapsed());
    assert_eq!(testbed.proxy.counters().resets, 1);
}

#[tokio::test]
async fn kill_after_takes_at_once_what_is_too_old() {
    let testbed = Testbed::start([]).await;
    let mut old = testbed.client().await;
    sleep(ms(3_000)).await;
    let mut young = testbed.client().await;
    young.get("/plain").await;
    young.response().await;
    testbed.proxy.set([Fault::KillAfter(ms(2_500))]);
    let began = Instant::now();
    old.assert_reset().await;
    assert!(began.elapsed() < ms(2_500), "its age counts from its opening: {:?}", began.elapsed());
    young.get("/plain").await;
    young.response().await;
    young.assert_reset().await;
}

#[tokio::test]
async fn kill_idle_spares_what_moves() {
    let testbed = Testbed::start([Fault::KillIdle(ms(1_500))]).await;
    let mut busy = testbed.client().await;
    busy.get("/events").await;
    let mut idle = testbed.websocket().await;
    idle.until("hello\n").await;
    sleep(ms(500)).await;
    idle.send("x").await;
    idle.until("x").await;
    let began = Instant::now();
    idle.assert_reset().await;
    // What came back has passed the proxy a little earlier.
    assert!(began.elapsed() >= ms(1_400), "counted from the last byte: {:?}", began.elapsed());
    busy.until("data: 60\n\n").await;
}

#[tokio::test]
async fn one_connection_makes_the_others_wait_in_order() {
    let testbed = Testbed::start([]).await;
    // One that is open before the fault is set counts as well.
    let mut first = testbed.client().await;
    first.get("/plain").await;
    first.response().await;
    testbed.proxy.set([Fault::OneConnection]);
    let mut second = testbed.client().await;
    second.get("/plain").await;
    second.assert_silent(ms(50)).await;
    let mut third = testbed.client().await;
    third.get("/plain").await;
    third.assert_silent(ms(50)).await;
    first.get("/plain").await;
    assert_eq!(first.response().await.1, "plain");
    assert_eq!(testbed.server.open(), 1);

    drop(first);
    assert_eq!(second.response().await.1, "plain");
    third.assert_silent(ms(50)).await;
    testbed.proxy.lift();
    assert_eq!(third.response().await.1, "plain");
}

#[tokio::test]
async fn delay_comes_once_each_way_and_not_once_for_each_message() {
    let testbed = Testbed::start([]).await;
    let mut websocket = testbed.websocket().await;
    websocket.until("hello\n").await;
    testbed.proxy.set([Fault::Delay { by: ms(100), jitter: ms(0) }]);
    let began = Instant::now();
    for number in 0..100 {
        websocket.send(&format!("{number};")).await;
        sleep(ms(2)).await;
    }
    websocket.until("0;").await;
    let first = began.elapsed();
    websocket.until("99;").await;
    let last = began.elapsed();
    assert!(first >= ms(200), "{first:?}");
    // Once for each of a hundred messages would be ten seconds each way.
    assert!((ms(395)..ms(10_000)).contains(&last), "{last:?}");
}

#[tokio::test]
async fn jitter_keeps_the_order() {
    let testbed = Testbed::start_with(Options::new().seed(3), []).await;
    let mut websocket = testbed.websocket().await;
    websocket.until("hello\n").await;
    testbed.proxy.set([Fault::Delay { by: ms(0), jitter: ms(60) }]);
    let began = Instant::now();
    let mut sent = String::new();
    for number in 0..30 {
        let message = format!("{number};");
        websocket.send(&message).await;
        sent += &message;
        sleep(ms(3)).await;
    }
    assert_eq!(websocket.until(";29;").await, sent);
    // The greatest of so many delays is near to its bound.
    assert!(began.elapsed() > ms(120), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_trickle_takes_its_time_and_can_be_lifted_meanwhile() {
    let rate = |rate| [Fault::Trickle(NonZeroU64::new(rate).unwrap())];
    let testbed = Testbed::start(rate(5000)).await;
    let mut client = testbed.client().await;
    let began = Instant::now();
    client.get("/long").await;
    assert_eq!(client.response().await.1.len(), 1000);
    assert!(began.elapsed() >= ms(190), "{:?}", began.elapsed());

    testbed.proxy.set(rate(50));
    let began = Instant::now();
    client.get("/long").await;
    client.assert_silent(ms(200)).await;
    testbed.proxy.lift();
    client.response().await;
    // At that rate it would have taken 20 s.
    assert!(began.elapsed() < ms(15_000), "{:?}", began.elapsed());
}

#[tokio::test]
async fn several_faults_at_once() {
    let testbed = Testbed::start([
        Fault::Delay { by: ms(50), jitter: ms(0) },
        Fault::StripUpgrade,
        Fault::KillIdle(ms(1_500)),
    ])
    .await;
    let mut client = Client::connect(testbed.proxy.addr()).await;
    let began = Instant::now();
    client.upgrade().await;
    assert_eq!(client.response().await.1, "no upgrade was asked for");
    assert!(began.elapsed() >= ms(100));
    client.assert_reset().await;
}
