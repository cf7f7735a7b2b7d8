//! Sessions that are opened and left, and requests that are remembered.

use std::{net::SocketAddr, time::Duration};

use http_body_util::{BodyExt as _, Full};
use lapwing::transports::{
    connect::{self, PathVariables},
    endpoint::Endpoint,
    options::{ResumeOptions, SseOptions, TransportOptions},
};
use tokio::time::sleep;

use super::{serve, until, until_all_is_given_back};
use crate::support::{
    echo::Echo,
    http,
    sessions::{Session, Transport, attach, lines_of, text},
    websocket::RawSocket,
};

const BUDGET: usize = 4_000_000;

fn unproven(timeout: Duration) -> impl FnOnce(TransportOptions) -> TransportOptions {
    move |options| options.resume(ResumeOptions::default().unproven(timeout))
}

#[tokio::test]
async fn a_session_that_was_only_opened_is_soon_over_whatever_is_posted_to_it() {
    let (endpoint, address) = serve(BUDGET, unproven(Duration::from_millis(400))).await;
    let session = Session::open(address, "/echo", Transport::Longpoll).await;
    let mut count = 0;
    until("it is over", || endpoint.session_count() <= 1).await;
    let over = async {
        while endpoint.session_count() > 0 {
            count += 1;
            session.post(&format!("!from {count}\nx\n!ack 0")).await;
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), over).await.expect("it is over");
    let mut session = session;
    assert_eq!(session.refusal(Transport::Longpoll).await, "expired");
    // Of an event stream that is cut at once, as well.
    let (events, _) = attach(address, Transport::Sse, &Transport::Sse.path("/echo"), "!open 30000").await;
    drop(events);
    until("it is over, too", || endpoint.session_count() == 0).await;
    until_all_is_given_back(&endpoint).await;
}

#[tokio::test]
async fn a_session_that_was_polled_or_acknowledged_or_is_carried_lives_for_the_window() {
    let (endpoint, address) = serve(BUDGET, unproven(Duration::from_millis(400))).await;
    let carried = Session::open(address, "/echo", Transport::Sse).await;
    let polled = Session::open(address, "/echo", Transport::Longpoll).await;
    polled.poll(0, "").await;
    let mut acknowledged = Session::open(address, "/echo", Transport::Websocket).await;
    acknowledged.send(text("x")).await;
    assert_eq!(acknowledged.next().await, text("x"));
    acknowledged.say("!ack 1").await;
    acknowledged.settle().await;
    acknowledged.cut();
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(endpoint.session_count(), 3);
    drop((carried, polled));
    acknowledged.resume(Transport::Longpoll).await;
}

async fn answer_of(
    endpoint: &Endpoint<Echo>,
    request: ::http::Request<Full<bytes::Bytes>>,
) -> ::http::Response<lapwing::Body> {
    let transport = connect::Transport::Longpoll;
    endpoint.serve(transport, request, PathVariables::default()).await.unwrap()
}

#[tokio::test]
async fn a_session_of_which_its_client_never_heard_ends_at_once() {
    let (endpoint, _) = serve(BUDGET, |options| options).await;
    let open = || {
        let request = ::http::Request::post("/echo/longpoll?lapwing=1&vsn=2.0.0");
        request.body(Full::from("!open 30000")).unwrap()
    };
    let stock = || ::http::Request::get("/echo/longpoll?vsn=2.0.0").body(Full::default()).unwrap();
    for request in [open(), stock()] {
        // The connection was gone before its answer could be written.
        let answer = answer_of(&endpoint, request).await;
        assert_eq!(endpoint.session_count(), 1);
        drop(answer);
        assert_eq!(endpoint.session_count(), 0);
    }
    for request in [open(), stock()] {
        let answer = answer_of(&endpoint, request).await;
        answer.into_body().collect().await.unwrap();
    }
    assert_eq!(endpoint.session_count(), 2);
}

async fn ticket(address: SocketAddr, header: &str, line: &str) -> Result<String, u16> {
    let body = format!("!ticket\n{line}");
    let headers = [("x-large", header)];
    let answer =
        http::request(address, "POST", &Transport::Sse.path("/echo"), &headers, Some(body.as_bytes())).await;
    match answer.status {
        200 => Ok(lines_of(&answer)[0].clone()),
        status => Err(status),
    }
}

#[tokio::test]
async fn tickets_hold_what_they_need_and_give_it_back_when_their_time_is_over() {
    let sse = SseOptions::default().ticket_lifetime(Duration::from_secs(2));
    let (endpoint, address) = serve(BUDGET, |options| options.sse(sse)).await;
    let large = "x".repeat(10_000);
    // Those that carry a session on need no head.
    let resume = format!("!resume {} 0 30000", "A".repeat(38));
    for _ in 0..20 {
        assert!(ticket(address, &large, &resume).await.unwrap().starts_with("!ticket "));
    }
    assert!(endpoint.bytes_held() < 20 * 2_000, "{} bytes", endpoint.bytes_held());
    let mut issued = 0;
    for _ in 0..600 {
        match ticket(address, &large, "!open 30000").await.unwrap().as_str() {
            "!refused full" => break,
            line => assert!(line.starts_with("!ticket "), "{line}"),
        }
        issued += 1;
        assert!(endpoint.bytes_held() <= BUDGET, "{} bytes", endpoint.bytes_held());
    }
    assert!((50..600).contains(&issued), "{issued}");
    until_all_is_given_back(&endpoint).await;
    assert_eq!(ticket(address, &"x".repeat(17_000), "!open 30000").await, Err(431));
}

#[tokio::test]
async fn websockets_that_say_nothing_hold_their_heads_and_no_more() {
    let (endpoint, address) = serve(BUDGET, |options| options).await;
    let large = "x".repeat(10_000);
    let offer = [("sec-websocket-protocol", "lapwing.1"), ("x-large", &*large)];
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(RawSocket::handshake(address, "/echo/websocket?vsn=2.0.0", &offer).await.ok().unwrap());
    }
    until("they are counted", || endpoint.bytes_held() >= 20 * 10_000).await;
    assert!(endpoint.bytes_held() <= 20 * 14_000, "{} bytes", endpoint.bytes_held());
    drop(silent);
    until_all_is_given_back(&endpoint).await;
    let larger = "x".repeat(17_000);
    let offer = [("sec-websocket-protocol", "lapwing.1"), ("x-large", &*larger)];
    let refused = RawSocket::handshake(address, "/echo/websocket?vsn=2.0.0", &offer).await.err().unwrap();
    assert_eq!(refused.status, 431);
}
