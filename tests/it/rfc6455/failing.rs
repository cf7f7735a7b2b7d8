//! Section 7 again, from the side of what must not happen: nothing counts after an error, nothing is sent after a close
//! frame, and a client that is in the middle of sending gets to read why it was closed.

use std::time::{Duration, Instant};

use lapwing::transports::{
    close::CloseReason,
    endpoint::Endpoint,
    options::{TransportOptions, WebsocketOptions},
};
use tokio::time::timeout;

use super::ECHO;
use crate::support::{
    PATIENCE,
    channels::brief,
    echo::{self, Echo},
    testbed::Testbed,
    websocket::{BINARY, CONTINUATION, Event, Frame, PING, RawSocket, TEXT},
};

/// Twice what the mounts take, and more than what the echo does.
const FAR_TOO_MUCH: usize = 20_000_000;

/// What a client must not send, and the code that it is told.
fn breaches() -> Vec<(&'static str, Vec<u8>, u16)> {
    let breach = |name, frame: Frame, code| (name, frame.encode(), code);
    vec![
        breach("a reserved bit", Frame::text("x").rsv(2), 1002),
        breach("an unknown opcode", Frame::new(3, "x"), 1002),
        breach("an unknown control opcode", Frame::new(11, ""), 1002),
        breach("no mask", Frame::text("x").unmasked(), 1002),
        breach("text that is no UTF-8", Frame::text([0xff]), 1007),
        breach("a continuation of nothing", Frame::new(CONTINUATION, "x"), 1002),
        breach("a fragmented ping", Frame::new(PING, "x").more(), 1002),
        breach("a long ping", Frame::new(PING, [0; 126]), 1002),
        breach("too much", Frame::new(BINARY, "x").announcing(1 << 40), 1009),
        breach("a close with code 0", Frame::close(0, ""), 1002),
        breach("a close with code 999", Frame::close(999, ""), 1002),
        breach("a close with code 1005", Frame::close(1005, ""), 1002),
        breach("a close with code 1006", Frame::close(1006, ""), 1002),
        breach("a close with code 1016", Frame::close(1016, ""), 1002),
        breach("a close with half a code", Frame::new(8, [3]), 1002),
        breach("a close whose reason is no UTF-8", Frame::close(1000, [0xff]), 1007),
    ]
}

async fn expect(socket: &mut RawSocket, wanted: Event, name: &str) {
    let got = socket.next().await;
    assert!(got == wanted, "{name}: wanted {}, got {}", brief(&wanted), brief(&got));
}

#[tokio::test]
async fn nothing_that_comes_behind_an_error_has_an_effect() {
    let testbed = Testbed::shared();
    let behind =
        [Frame::new(PING, "late"), Frame::text("late"), Frame::close(1000, "")].map(|it| it.encode());
    for (name, breach, code) in breaches() {
        for in_one_segment in [true, false] {
            let mut socket = RawSocket::connect(testbed.address(), ECHO).await;
            let mut bytes = [Frame::text("before").encode(), breach.clone()].concat();
            if in_one_segment {
                bytes.extend(behind.concat());
            }
            socket.send_bytes(&bytes).await.unwrap();
            expect(&mut socket, Event::Text("before".to_owned()), name).await;
            if !in_one_segment {
                // The server may have ended its side by now, but not the client.
                for frame in &behind {
                    socket.send_bytes(frame).await.unwrap();
                }
            }
            expect(&mut socket, Event::Close(code, String::new()), name).await;
            expect(&mut socket, Event::End, name).await;
        }
    }
}

/// The client says nothing more and does not hang up: it is not its turn.
#[tokio::test]
async fn the_server_ends_tcp_first_when_it_fails_a_connection() {
    let testbed = Testbed::shared();
    for (name, breach, code) in breaches() {
        let mut socket = RawSocket::connect(testbed.address(), ECHO).await;
        socket.send_bytes(&breach).await.unwrap();
        expect(&mut socket, Event::Close(code, String::new()), name).await;
        expect(&mut socket, Event::End, name).await;
    }
}

/// A message that is far too long, announced as it is or in fragments.
fn too_long(fragment: usize) -> Vec<u8> {
    if fragment >= FAR_TOO_MUCH {
        return Frame::text(vec![b'x'; FAR_TOO_MUCH]).encode();
    }
    let begin = Frame::new(TEXT, vec![b'x'; fragment]).more().encode();
    let more = Frame::new(CONTINUATION, vec![b'x'; fragment]).more().encode();
    [begin, more.repeat(FAR_TOO_MUCH / fragment)].concat()
}

/// Writes it all, then reads, as a client does that has one thread.
async fn refused_as_too_big(mut socket: RawSocket, message: &[u8], segment: usize, name: &str) {
    for segment in message.chunks(segment) {
        socket.send_bytes(segment).await.unwrap_or_else(|error| panic!("{name}: cut off: {error}"));
    }
    expect(&mut socket, Event::Close(1009, String::new()), name).await;
    expect(&mut socket, Event::End, name).await;
}

#[tokio::test]
async fn who_sends_far_more_than_the_limit_is_told_1009() {
    let testbed = Testbed::shared();
    for (fragment, segment, times) in
        [(FAR_TOO_MUCH, usize::MAX, 3), (FAR_TOO_MUCH, 8_000, 1), (1_000_000, usize::MAX, 3)]
    {
        let message = too_long(fragment);
        for path in [ECHO, "/socket/websocket?vsn=2.0.0"] {
            let name = format!("{path}, fragments of {fragment}, segments of {segment}");
            for _ in 0..times {
                let socket = RawSocket::connect(testbed.address(), path).await;
                refused_as_too_big(socket, &message, segment, &name).await;
            }
        }
    }
}

#[tokio::test]
async fn who_sends_far_too_much_for_a_resumable_session_is_told_1009() {
    let testbed = Testbed::shared();
    let (path, offer) = ("/socket/websocket?vsn=2.0.0", [("Sec-WebSocket-Protocol", "lapwing.1")]);
    let message = too_long(FAR_TOO_MUCH);
    for greeting in [Some("!open 30000"), None] {
        for _ in 0..3 {
            let mut socket = RawSocket::handshake(testbed.address(), path, &offer).await.unwrap();
            if let Some(greeting) = greeting {
                socket.send(Frame::text(greeting)).await;
                assert!(matches!(socket.next().await, Event::Text(line) if line.starts_with("!opened ")));
            }
            refused_as_too_big(socket, &message, usize::MAX, greeting.unwrap_or("no greeting")).await;
        }
    }
}

/// A server of this process, whose sessions the test can close.
async fn served(linger: Duration) -> (Endpoint<Echo>, RawSocket) {
    let options = TransportOptions::default().websocket(WebsocketOptions::default().linger(linger));
    let (endpoint, address) = echo::serve(options).await;
    let mut socket = RawSocket::connect(address, ECHO).await;
    socket.send(Frame::text("up")).await;
    expect(&mut socket, Event::Text("up".to_owned()), "up").await;
    (endpoint, socket)
}

fn close(endpoint: &Endpoint<Echo>) {
    for session in endpoint.sessions() {
        session.close(CloseReason::Disconnected);
    }
}

#[tokio::test]
async fn nothing_is_sent_after_a_close_frame() {
    let (endpoint, mut socket) = served(PATIENCE).await;
    close(&endpoint);
    expect(&mut socket, Event::Close(1001, String::new()), "ours").await;
    for frame in [Frame::new(PING, "late"), Frame::text("late"), Frame::close(1001, "")] {
        socket.send(frame).await;
    }
    expect(&mut socket, Event::End, "both have closed").await;
}

#[tokio::test]
async fn an_error_behind_our_close_ends_the_connection() {
    let (endpoint, mut socket) = served(PATIENCE).await;
    close(&endpoint);
    expect(&mut socket, Event::Close(1001, String::new()), "ours").await;
    socket.send(Frame::text("x").rsv(1)).await;
    expect(&mut socket, Event::End, "it cannot be understood").await;
}

/// How long the server takes to be done with a connection, from its close on.
async fn done_after(endpoint: &Endpoint<Echo>) -> Duration {
    let start = Instant::now();
    endpoint.begin_drain();
    timeout(PATIENCE, endpoint.wait()).await.expect("connections end");
    start.elapsed()
}

#[tokio::test]
async fn a_client_that_does_not_end_is_waited_for_as_long_as_linger_says() {
    const LINGER: Duration = Duration::from_millis(500);
    let failing = Frame::text("x").rsv(1);
    for (name, frame) in [("it does not answer our close", None), ("it breaks the protocol", Some(failing))] {
        let (endpoint, mut socket) = served(LINGER).await;
        match frame {
            None => close(&endpoint),
            Some(frame) => socket.send(frame).await,
        }
        assert!(matches!(socket.next().await, Event::Close(..)), "{name}");
        let took = done_after(&endpoint).await;
        assert!(took >= LINGER / 2, "{name}: {took:?}");
        expect(&mut socket, Event::End, name).await;
    }
}

#[tokio::test]
async fn a_client_that_has_closed_is_not_waited_for() {
    let (endpoint, mut socket) = served(PATIENCE * 6).await;
    socket.send(Frame::close(1000, "")).await;
    expect(&mut socket, Event::Close(1000, String::new()), "the answer").await;
    done_after(&endpoint).await;
    expect(&mut socket, Event::End, "the end").await;
}
