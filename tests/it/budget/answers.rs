//! Answers to polls: bounded, not copied, and over when nobody wants them.

use std::net::SocketAddr;

use lapwing::{
    LongpollOptions, OutboxLimits,
    transports::{
        frame::Frame,
        policy::{Key, Policy},
        session::Pushed,
    },
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{all_of, begin_post, narrow, serve, until, until_all_is_given_back};
use crate::support::{
    http, longpoll,
    sessions::{BEAT, Line, Session, Transport, lines_of, text},
};

const BUDGET: usize = 64_000_000;

/// A frame that says its number, of so many bytes.
fn frame(number: usize, bytes: usize) -> String {
    format!("[{number},{:?}]", "x".repeat(bytes))
}

#[tokio::test]
async fn polls_that_nobody_reads_hold_the_frames_once_and_little_more() {
    const FRAMES: usize = 8;
    const BYTES: usize = 500_000;
    let (endpoint, address) = serve(BUDGET, |options| {
        options
            .outbox(OutboxLimits::new().bytes_max(BUDGET))
            .longpoll(LongpollOptions::default().answer_bytes_max(BUDGET))
    })
    .await;
    let mut session = Session::open(address, "/echo", Transport::Longpoll).await;
    let live = endpoint.sessions().pop().unwrap();
    for number in 0..FRAMES {
        live.push(Frame::text(frame(number, BYTES)));
    }
    let frames = endpoint.bytes_held();
    assert!((FRAMES * BYTES..FRAMES * BYTES + 100_000).contains(&frames), "{frames}");
    let body = format!("!resume {} 0 30000", session.token);
    let mut stalled = Vec::new();
    for _ in 0..40 {
        let mut stream = narrow(address).await;
        let framing = format!("Content-Length: {}", body.len());
        begin_post(&mut stream, &Transport::Longpoll.path("/echo"), &framing, body.as_bytes()).await;
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        stalled.push(stream);
        let held = endpoint.bytes_held();
        assert!(held < frames + 500_000, "{held} bytes with {} polls", stalled.len());
    }
    // A newer poll ends those before it.
    for stream in &mut stalled[..39] {
        assert!(all_of(stream).await.len() < FRAMES * BYTES, "the answer is cut off");
    }
    // An honest client gets everything, once and in order.
    for number in 0..FRAMES {
        assert_eq!(session.next().await, text(&frame(number, BYTES)));
    }
    session.post(&format!("!ack {FRAMES}")).await;
    drop(stalled);
    until("the answer that was left is over", || endpoint.bytes_held() <= FRAMES * BYTES).await;
    session.post("!close").await;
    drop(live);
    until_all_is_given_back(&endpoint).await;
}

#[tokio::test]
async fn an_answer_has_as_many_frames_as_fit_and_the_next_poll_gets_the_rest() {
    let longpoll = LongpollOptions::default().answer_bytes_max(1_000);
    let (endpoint, address) = serve(BUDGET, |options| options.longpoll(longpoll)).await;
    // 400 bytes each and one that is larger than the bound.
    let frames: Vec<_> = [380, 380, 380, 5_000, 40_000, 380, 380].into_iter().enumerate().collect();

    let mut session = Session::open(address, "/echo", Transport::Longpoll).await;
    let live = endpoint.sessions().pop().unwrap();
    for (number, bytes) in &frames {
        live.push(Frame::text(frame(*number, *bytes)));
    }
    let mut answers = Vec::new();
    while (session.received as usize) < frames.len() {
        let lines = lines_of(&session.poll(BEAT, "").await);
        assert_eq!(lines[0], "!resumed 0");
        for line in &lines[1..] {
            let (number, bytes) = frames[session.received as usize];
            assert_eq!(*line, frame(number, bytes));
            session.received += 1;
        }
        answers.push(lines.len() - 1);
    }
    assert_eq!(answers, [2, 1, 1, 1, 2]);
    session.post("!close").await;

    until("the first session is over", || endpoint.session_count() == 0).await;
    let mut poller = longpoll::LongPoll::open(address, "/echo").await;
    let live = endpoint.sessions().pop().unwrap();
    for (number, bytes) in &frames {
        live.push(Frame::text(frame(*number, *bytes)));
    }
    let (mut answers, mut received) = (Vec::new(), 0);
    while received < frames.len() {
        let messages = poller.poll().await.messages;
        for message in &messages {
            let (number, bytes) = frames[received];
            assert_eq!(*message, serde_json::from_str::<Value>(&frame(number, bytes)).unwrap());
            received += 1;
        }
        answers.push(messages.len());
    }
    assert_eq!(answers, [2, 1, 1, 1, 2]);
}

#[tokio::test]
async fn stock_polls_that_nobody_reads_hold_little_too() {
    const BYTES: usize = 1_000_000;
    let (endpoint, address) = serve(BUDGET, |options| options).await;
    let path = "/echo/longpoll?vsn=2.0.0";
    // The token of a new session says nothing about what has arrived; that of an answer does.
    let mut poller = longpoll::LongPoll::open(address, "/echo").await;
    let live = endpoint.sessions().pop().unwrap();
    live.push(Frame::text("[]"));
    poller.poll().await;
    let token = poller.token;
    let message = frame(0, BYTES).replace('x', "\\u00e9");
    live.push(Frame::text(message.clone()));
    let frames = endpoint.bytes_held();
    let path = format!("{path}&token={token}");
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let mut stream = narrow(address).await;
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        stalled.push(stream);
        let held = endpoint.bytes_held();
        assert!(held < frames + 500_000, "{held} bytes with {} polls", stalled.len());
    }
    let polled = http::get(address, &path).await.json();
    assert_eq!(polled["messages"][0].as_str().unwrap(), message);
    drop((stalled, live));
    let path = format!("/echo/longpoll?token={}", polled["token"].as_str().unwrap());
    let poll = tokio::spawn(async move { http::get(address, &path).await });
    until_all_is_given_back(&endpoint).await;
    poll.abort();
}

/// A poll of which the answer has begun, and is not read.
async fn begun(address: SocketAddr, request: String) -> TcpStream {
    let mut stream = narrow(address).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
}

/// The rest of its body.
async fn body_of(mut stream: TcpStream) -> String {
    let answer = String::from_utf8(all_of(&mut stream).await).unwrap();
    answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
}

/// The length of the answer was told before the newer state came, which has another.
#[tokio::test]
async fn a_state_in_an_answer_that_is_being_written_stays_what_it_is_and_the_newer_one_is_in_the_next() {
    const FILLER: usize = 4_000_000;
    let longpoll = LongpollOptions::default().answer_bytes_max(BUDGET);
    let (endpoint, address) = serve(BUDGET, |options| options.longpoll(longpoll)).await;
    let state = |number, bytes| Frame::text(frame(number, bytes)).with_policy(Policy::Latest(Key::new("a")));

    let mut session = Session::open(address, "/echo", Transport::Longpoll).await;
    let live = endpoint.sessions().pop().unwrap();
    live.push(Frame::text(frame(0, FILLER)));
    live.push(state(1, 1_000));
    let (path, body) = (Transport::Longpoll.path("/echo"), format!("!resume {} 0 30000", session.token));
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}", body.len());
    let stream = begun(address, format!("{head}\r\n\r\n{body}")).await;
    assert_eq!(live.push(state(2, 10)), Pushed::Queued);
    assert_eq!(live.push(state(3, 20)), Pushed::Replaced);
    let answer = body_of(stream).await;
    let lines: Vec<_> = answer.lines().collect();
    assert!(lines == ["!resumed 0", &*frame(0, FILLER), &*frame(1, 1_000)], "{} lines", lines.len());
    session.received = 2;
    assert_eq!(session.next().await, text(&frame(3, 20)));
    session.post("!close").await;
    until("the first session is over", || endpoint.session_count() == 0).await;

    let mut poller = longpoll::LongPoll::open(address, "/echo").await;
    let live = endpoint.sessions().pop().unwrap();
    live.push(Frame::text(frame(0, FILLER)));
    live.push(state(1, 1_000));
    let path = format!("/echo/longpoll?vsn=2.0.0&token={}", poller.token);
    let stream = begun(address, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
    assert_eq!(live.push(state(2, 10)), Pushed::Queued);
    assert_eq!(live.push(state(3, 20)), Pushed::Replaced);
    let answer: Value = serde_json::from_str(&body_of(stream).await).unwrap();
    assert!(answer["messages"] == serde_json::json!([frame(0, FILLER), frame(1, 1_000)]));
    poller.token = answer["token"].as_str().unwrap().to_owned();
    let messages = poller.poll().await.messages;
    assert_eq!(messages, [serde_json::from_str::<Value>(&frame(3, 20)).unwrap()]);
}

#[tokio::test]
async fn all_forms_of_frames_arrive_as_they_were_in_answers_of_many_pieces() {
    let (endpoint, address) = serve(BUDGET, |options| options).await;
    let mut session = Session::open(address, "/echo", Transport::Longpoll).await;
    let live = endpoint.sessions().pop().unwrap();
    let bytes: Vec<u8> = (0..100_000u32).map(|n| (n * 7) as u8).collect();
    let lines = "a\u{e9}\n\"\u{1}\u{1f600}".repeat(9_000);
    let plain = "\u{1f600}\\ x".repeat(9_000);
    for _ in 0..2 {
        live.push(Frame::binary(bytes.clone()));
        live.push(Frame::text(lines.clone()));
        live.push(Frame::text(plain.clone()));
        live.push(Frame::text(""));
    }
    for _ in 0..2 {
        assert_eq!(session.next().await, Line::Binary(bytes.clone()));
        assert_eq!(session.next().await, Line::Text(lines.clone()));
        assert_eq!(session.next().await, Line::Text(plain.clone()));
        assert_eq!(session.next().await, Line::Text(String::new()));
    }
}
