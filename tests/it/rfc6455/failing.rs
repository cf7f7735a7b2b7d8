//! Section 7 again, from the side of what must not happen: nothing counts after an error, nothing is sent after a close
//! frame, and a client that is in the middle of sending gets to read why it was closed.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use lapwing::transports::{
    close::CloseReason,
    endpoint::Endpoint,
    options::{TransportOptions, WebsocketOptions},
};
use tokio::time::timeout;

use super::{ECHO, behind, breaches};
use crate::support::{
    PATIENCE,
    channels::brief,
    echo::{self, Echo},
    sessions::{Attachment, Session, Transport, text, upgrade},
    testbed::Testbed,
    websocket::{CONTINUATION, Event, Frame, PING, RawSocket, TEXT},
};

/// Longer than any test waits: where the server waits for its client, the test fails.
const FOR_EVER: Duration = Duration::from_secs(3_600);

/// Twice what the mounts take, and more than what the echo does.
const FAR_TOO_MUCH: usize = 20_000_000;

async fn expect(socket: &mut RawSocket, wanted: Event, name: &str) {
    let got = socket.next().await;
    assert!(got == wanted, "{name}: wanted {}, got {}", brief(&wanted), brief(&got));
}

/// Says something, breaks the protocol and goes on as if nothing had happened, in the same segment or a later one. All that it
/// hears besides the echo is why the connection ends.
async fn breaks(
    socket: &mut RawSocket,
    before: Option<&str>,
    (name, breach, code): &(String, Vec<u8>, u16),
    in_one_segment: bool,
) {
    let mut bytes = before.map_or_else(Vec::new, |text| Frame::text(text).encode());
    bytes.extend(breach);
    if in_one_segment {
        bytes.extend(behind().concat());
    }
    socket.send_bytes(&bytes).await.unwrap();
    if let Some(text) = before {
        expect(socket, Event::Text(text.to_owned()), name).await;
    }
    if !in_one_segment {
        // The server may have ended its side by now, but not the client.
        for frame in behind() {
            socket.send_bytes(&frame).await.unwrap();
        }
    }
    expect(socket, Event::Close(*code, String::new()), name).await;
    expect(socket, Event::End, name).await;
}

#[tokio::test]
async fn nothing_that_comes_behind_an_error_has_an_effect() {
    let testbed = Testbed::shared();
    for breach in breaches() {
        for in_one_segment in [true, false] {
            let mut socket = RawSocket::connect(testbed.address(), ECHO).await;
            breaks(&mut socket, Some("before"), &breach, in_one_segment).await;
        }
    }
}

/// A session that could be resumed has what came before the error, and no more.
#[tokio::test]
async fn nothing_that_comes_behind_an_error_belongs_to_a_resumable_session() {
    let (_endpoint, address) = echo::serve(TransportOptions::default()).await;
    for breach in breaches() {
        for in_one_segment in [true, false] {
            let mut session = Session::open(address, "/echo", Transport::Websocket).await;
            session.send(text("before")).await;
            assert_eq!(session.next().await, text("before"), "{}", breach.0);
            let Attachment::Websocket(socket) = &mut session.attachment else { panic!("a WebSocket") };
            breaks(socket, None, &breach, in_one_segment).await;
            session.resume(Transport::Websocket).await;
            session.send(text("after")).await;
            assert_eq!(session.next().await, text("after"), "{}", breach.0);
        }
    }
}

#[tokio::test]
async fn nothing_that_comes_behind_an_error_begins_a_session() {
    let (endpoint, address) = echo::serve(TransportOptions::default()).await;
    for breach in breaches() {
        for in_one_segment in [true, false] {
            let mut socket = upgrade(address, &Transport::Websocket.path("/echo")).await;
            breaks(&mut socket, None, &breach, in_one_segment).await;
        }
    }
    assert_eq!(endpoint.session_count(), 0);
}

/// The client says nothing more and does not hang up: it is not its turn, and a server that waits for it waits for longer than this
/// test.
#[tokio::test]
async fn the_server_ends_tcp_first_when_it_fails_a_connection() {
    let (_endpoint, address) = lingering(FOR_EVER).await;
    for (name, breach, code) in breaches() {
        let mut socket = RawSocket::connect(address, ECHO).await;
        socket.send_bytes(&breach).await.unwrap();
        expect(&mut socket, Event::Close(code, String::new()), &name).await;
        expect(&mut socket, Event::End, &name).await;

        let mut early = upgrade(address, &Transport::Websocket.path("/echo")).await;
        early.send_bytes(&breach).await.unwrap();
        expect(&mut early, Event::Close(code, String::new()), &name).await;
        expect(&mut early, Event::End, &name).await;
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

/// A server of this process that waits so long for its clients.
async fn lingering(linger: Duration) -> (Endpoint<Echo>, SocketAddr) {
    echo::serve(TransportOptions::default().websocket(WebsocketOptions::default().linger(linger))).await
}

/// The same with a client, whose session the test can close.
async fn served(linger: Duration) -> (Endpoint<Echo>, RawSocket) {
    let (endpoint, address) = lingering(linger).await;
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
    let (endpoint, mut socket) = served(FOR_EVER).await;
    close(&endpoint);
    expect(&mut socket, Event::Close(1001, String::new()), "ours").await;
    for frame in [Frame::new(PING, "late"), Frame::text("late"), Frame::close(1001, "")] {
        socket.send(frame).await;
    }
    expect(&mut socket, Event::End, "both have closed").await;
}

#[tokio::test]
async fn an_error_behind_our_close_ends_the_connection() {
    let (endpoint, mut socket) = served(FOR_EVER).await;
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
    let (endpoint, mut socket) = served(FOR_EVER).await;
    socket.send(Frame::close(1000, "")).await;
    expect(&mut socket, Event::Close(1000, String::new()), "the answer").await;
    done_after(&endpoint).await;
    expect(&mut socket, Event::End, "the end").await;
}
