//! One test for each bound of a POST.

use lapwing::transports::options::TransportOptions;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use lapwing::{Mount, ResumeOptions, WebsocketOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::serve;
use crate::support::{
    echo,
    sessions::{Line, Session, TRANSPORTS, Transport, attach, encoded, lines_of, post, text},
};

async fn echoing(resume: ResumeOptions) -> Session {
    let (_, address) = echo::serve(TransportOptions::default().resume(resume)).await;
    Session::open(address, "/echo", Transport::Sse).await
}

#[tokio::test]
async fn a_body_at_its_bound_is_taken_and_one_byte_more_is_not() {
    const BYTES_MAX: usize = 1_000;
    let mut session = echoing(ResumeOptions::default().body_bytes_max(BYTES_MAX)).await;
    let head = format!("!send {}\n!from 1\n", session.token);
    for transport in [Transport::Sse, Transport::Longpoll] {
        let path = transport.path("/echo");
        let over =
            post(session.address, &path, &format!("{head}{}", "x".repeat(BYTES_MAX + 1 - head.len()))).await;
        assert_eq!((over.status, over.header("content-length").is_some()), (413, true), "{transport:?}");
    }
    assert_eq!(session.post_lines("").await, ["!ack 0"], "nothing was taken");
    let exact = "x".repeat(BYTES_MAX - head.len());
    assert_eq!(lines_of(&session.post_body(&format!("{head}{exact}")).await), ["!ack 1"]);
    assert_eq!(session.next().await, text(&exact));
}

#[tokio::test]
async fn lines_at_their_bound_are_taken_and_one_more_is_not() {
    const LINES_MAX: usize = 10;
    let mut session = echoing(ResumeOptions::default().lines_max(LINES_MAX)).await;
    let frames = |count| format!("!from 1\n{}", vec!["x"; count].join("\n"));
    assert_eq!(session.post(&frames(LINES_MAX)).await.status, 413);
    assert_eq!(session.post_lines("").await, ["!ack 0"], "nothing was taken");
    assert_eq!(session.post_lines(&frames(LINES_MAX - 1)).await, ["!ack 9"]);
    assert_eq!(session.next().await, text("x"));
}

#[tokio::test]
async fn a_body_that_takes_too_long_is_answered_408() {
    let session = echoing(ResumeOptions::default().body_timeout(Duration::from_millis(300))).await;
    for transport in [Transport::Sse, Transport::Longpoll] {
        let mut stream = TcpStream::connect(session.address).await.unwrap();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n!send",
            transport.path("/echo")
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let asked = Instant::now();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(std::str::from_utf8(&answer), Ok("HTTP/1.1 408 Re"), "{transport:?}");
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    }
}

#[tokio::test]
async fn a_control_line_has_256_bytes_at_most() {
    let mut session = echoing(ResumeOptions::default()).await;
    let line = |bytes: usize| format!("!ack 0 {}", "x".repeat(bytes - 7));
    assert_eq!(session.post_lines(&line(256)).await, ["!ack 0"]);
    assert_eq!(session.post(&line(257)).await.status, 400);
    let unknown = format!("!{}", "x".repeat(256));
    assert_eq!(session.post(&unknown).await.status, 400, "even one of an unknown word");
    session.resume(Transport::Websocket).await;
    session.say(&line(256)).await;
    session.say("!ping").await;
    session.expect_control("!pong 0").await;
}

#[tokio::test]
async fn a_body_that_is_none_is_400() {
    let session = echoing(ResumeOptions::default()).await;
    let first = |line: &str| line.replace("TOKEN", &session.token);
    for body in [
        "",
        "\n",
        "x",
        "[]",
        "!",
        "!open",
        "!open x",
        "!ping",
        "!ack 1",
        "!from 1",
        "!close",
        "!somethingnew",
        "!send",
        "!resume TOKEN",
        "!resume TOKEN 0",
        "!open 5\n!from 1\nx",
        "!open 5\n!ack 0",
        "\n!send TOKEN",
        "!resume TOKEN 0 0\nx",
        "!resume TOKEN 0 0\n!ticket",
        "!resume TOKEN 0 0\n\"",
    ] {
        for transport in [Transport::Sse, Transport::Longpoll] {
            let answer = post(session.address, &transport.path("/echo"), &first(body)).await;
            assert_eq!(answer.status, 400, "{transport:?} {body:?}: {}", answer.text());
        }
    }
    let path = Transport::Sse.path("/echo");
    let answer =
        crate::support::http::request(session.address, "POST", &path, &[], Some(b"!open 5\xff")).await;
    assert_eq!(answer.status, 400, "no UTF-8");
    assert_eq!(
        post(session.address, &Transport::Longpoll.path("/echo"), "!ticket\n!open 5").await.status,
        400
    );
}

#[tokio::test]
async fn a_session_of_which_the_body_was_refused_lives_on() {
    let (lapwing, address) = serve(Mount::new().resume(ResumeOptions::default().body_bytes_max(200))).await;
    let mut session = super::joined(address, Transport::Longpoll).await;
    assert_eq!(session.post(&"x".repeat(300)).await.status, 413);
    assert_eq!(session.post("\"").await.status, 400);
    super::count(&mut session, 1).await;
    assert_eq!(super::diary(&lapwing), ["join"]);
}

/// The last two words of `!opened`: the bytes of a frame, and of a body.
async fn told(address: SocketAddr, transport: Transport) -> [usize; 2] {
    let (_, opened) = attach(address, transport, &transport.path("/echo"), "!open 5000").await;
    let words: Vec<_> = opened.split(' ').collect();
    let ["!opened", _, _, _, frame, body] = words[..] else { panic!("{opened}") };
    [frame.parse().unwrap(), body.parse().unwrap()]
}

#[tokio::test]
async fn a_client_is_told_what_a_frame_and_a_body_may_have_on_every_wire() {
    let resume = ResumeOptions::default().body_bytes_max(1_500);
    let options = TransportOptions::default().resume(resume);
    let websocket = WebsocketOptions::default().frame_bytes_max(900);
    let (_, address) = echo::serve(options.clone().websocket(websocket)).await;
    for transport in TRANSPORTS {
        assert_eq!(told(address, transport).await, [900, 1_500], "{transport:?}");
    }
    let (_, address) = echo::serve(options.without_websocket()).await;
    assert_eq!(told(address, Transport::Longpoll).await, [1_500, 1_500], "without WebSocket");
}

/// Otherwise a frame that was sent over one transport could not be sent again on the next.
#[tokio::test]
async fn the_largest_frame_of_a_websocket_has_its_place_in_a_body_by_default() {
    let (_, address) = echo::serve(TransportOptions::default()).await;
    let [frame, _] = told(address, Transport::Websocket).await;
    let mut session = Session::open(address, "/echo", Transport::Websocket).await;
    for (number, sent) in [text(&"x".repeat(frame)), Line::Binary(vec![7; frame])].into_iter().enumerate() {
        session.resume(Transport::Websocket).await;
        session.send(sent.clone()).await;
        // Frames as large as this are acknowledged at once.
        session.expect_control(&format!("!ack {}", number * 2 + 1)).await;
        assert_eq!(session.next().await, sent);
        let (token, first) = (&session.token, number * 2 + 2);
        let body = format!("!send {token}\n!ack {}\n!from {first}\n{}", session.received, encoded(&sent));
        assert_eq!(lines_of(&session.post_body(&body).await), [format!("!ack {first}")]);
        session.sent.push(sent.clone());
        session.resume(Transport::Sse).await;
        assert_eq!(session.next().await, sent);
    }
}
