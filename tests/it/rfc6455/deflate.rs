//! Sections 12 and 13: permessage-deflate (RFC 7692), negotiated, fragmented, with control frames between, malformed, and too much.

use std::net::SocketAddr;

use lapwing::transports::{
    endpoint::Endpoint,
    options::{DeflateOptions, TransportOptions, WebsocketOptions},
};
use tokio::net::TcpStream;

use super::{behind, expect, expect_life};
use crate::support::{
    channels::brief,
    echo::{self, Echo},
    http2::Connection,
    sessions::Transport,
    testbed::Testbed,
    websocket::{BINARY, CLOSE, CONTINUATION, Event, Frame, PING, PONG, RawSocket, TEXT},
};

const PATH: &str = "/echo/websocket";
const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

const LIMIT: usize = 1_000_000;

/// An echo that compresses what has 256 bytes.
async fn serve() -> (Endpoint<Echo>, SocketAddr) {
    let deflate = DeflateOptions::default().pushes_from(256);
    let websocket =
        WebsocketOptions::default().deflate(deflate).message_bytes_max(LIMIT).frame_bytes_max(LIMIT);
    echo::serve(TransportOptions::default().websocket(websocket)).await
}

async fn connect(address: SocketAddr, offer: &str) -> RawSocket {
    let opened = RawSocket::handshake(address, PATH, &[(EXTENSIONS, offer)]).await;
    opened.unwrap_or_else(|refusal| panic!("{offer}: {}", refusal.status))
}

/// Sends and gets these echoes, and then the connection lives.
async fn echoes(address: SocketAddr, name: &str, frames: &[Frame], echoes: &[Event]) {
    let bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
    for piece in [bytes.len(), 1] {
        let mut socket = connect(address, "permessage-deflate").await;
        for piece in bytes.chunks(piece) {
            socket.send_bytes(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        for echo in echoes {
            if let Err(why) = expect(&mut socket, echo).await {
                panic!("{name}: {why}");
            }
        }
        if let Err(why) = expect_life(&mut socket).await {
            panic!("{name}: {why}");
        }
    }
}

/// Sends, goes on as if nothing had happened, and is told no more than why the connection fails.
async fn fails(address: SocketAddr, name: &str, frames: &[Frame], code: u16) {
    let mut socket = connect(address, "permessage-deflate").await;
    let mut bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
    bytes.extend(behind().concat());
    socket.send_bytes(&bytes).await.unwrap();
    let got = socket.next().await;
    assert!(got == Event::Close(code, String::new()), "{name}: wanted {code}, got {}", brief(&got));
    assert_eq!(socket.next().await, Event::End, "{name}");
}

fn text(text: &str) -> Event {
    Event::Text(text.to_owned())
}

/// A payload that is said to be compressed, as it is.
fn said(opcode: u8, payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(opcode, payload).rsv(4)
}

#[tokio::test]
async fn offers_are_answered_over_http_1_and_2() {
    let (_endpoint, address) = serve().await;
    let testbed = Testbed::shared();
    for (offer, answer) in [
        ("permessage-deflate", Some(PLAIN.to_owned())),
        ("permessage-deflate; client_max_window_bits", Some(PLAIN.to_owned())),
        ("permessage-deflate; server_no_context_takeover; client_max_window_bits=9", Some(PLAIN.to_owned())),
        ("x-webkit-deflate-frame, permessage-deflate", Some(PLAIN.to_owned())),
        (
            "permessage-deflate; server_max_window_bits=10",
            Some(format!("{PLAIN}; server_max_window_bits=10")),
        ),
        ("permessage-deflate; server_max_window_bits=7", None),
        ("permessage-deflate; server_max_window_bits=7, permessage-deflate", Some(PLAIN.to_owned())),
        ("permessage-deflate; unknown", None),
        ("permessage-bzip2", None),
    ] {
        let mut socket = connect(address, offer).await;
        assert_eq!(socket.response.header("sec-websocket-extensions"), answer.as_deref(), "{offer}");
        expect_life(&mut socket).await.unwrap();
        let over_http2 = Connection::connect(testbed.address()).await;
        let path = "/socket_deflate/websocket?vsn=2.0.0";
        let stream = over_http2.websocket_as(path, &[("sec-websocket-extensions", offer)]).await;
        let got = stream.headers.get("sec-websocket-extensions").map(|value| value.to_str().unwrap());
        assert_eq!(got, answer.as_deref(), "{offer}");
    }
    let mut plain = RawSocket::connect(address, PATH).await;
    assert_eq!(plain.response.header("sec-websocket-extensions"), None, "nothing was offered");
    plain.send(said(TEXT, [0])).await;
    assert_eq!(plain.next().await, Event::Close(1002, String::new()));
}

#[tokio::test]
async fn messages_of_every_size_come_back() {
    let (_endpoint, address) = serve().await;
    let mut socket = connect(address, "permessage-deflate; client_max_window_bits").await;
    for length in [0, 1, 2, 125, 126, 255, 256, 1_000, 16_384, 65_535, 65_536, 300_000, LIMIT] {
        let message =
            "A few words that are said more than once. ".repeat(length / 42 + 1)[..length].to_owned();
        for frame in [Frame::text(&message), Frame::text(&message).deflated()] {
            socket.send(frame).await;
            let got = socket.next().await;
            assert!(got == text(&message), "{length}: {}", brief(&got));
        }
        socket.send(Frame::new(BINARY, &message).deflated()).await;
        let got = socket.next().await;
        assert!(got == Event::Binary(message.into_bytes()), "{length}: {}", brief(&got));
    }
    // From 256 bytes on, three times each.
    assert_eq!(socket.compressed.len(), 3 * 7, "{:?}", socket.compressed);
    assert!(*socket.compressed.last().unwrap() < LIMIT / 100);
}

#[tokio::test]
async fn fragments_and_control_frames_between_them_make_no_difference() {
    let (_endpoint, address) = serve().await;
    let message = "one two three, ".repeat(10);
    let whole = Frame::text(&message).deflated();
    for at in [0, 1, 5, 10] {
        let [first, rest] = whole.clone().cut(at);
        let between = [first, Frame::new(PING, "between"), Frame::new(CONTINUATION, "").more(), rest];
        let seen = [Event::Pong(b"between".to_vec()), text(&message)];
        echoes(address, &format!("cut at {at}"), &between, &seen).await;
    }
    let mixed = [
        Frame::text("as it is"),
        whole.clone(),
        Frame::text("as it ").more(),
        Frame::new(CONTINUATION, "is"),
        whole,
    ];
    let seen = [text("as it is"), text(&message), text("as it is"), text(&message)];
    echoes(address, "one compressed, one not", &mixed, &seen).await;
}

#[tokio::test]
async fn every_way_to_write_a_message_is_read() {
    let (_endpoint, address) = serve().await;
    let hello = [text("Hello")];
    for (name, payload, seen) in [
        ("RFC 7692, 7.2.3.1", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], &hello[..]),
        ("not compressed", &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00], &hello),
        ("a final block", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], &hello),
        (
            "two blocks",
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
            &hello,
        ),
        ("an empty message", &[0x00], &[text("")]),
        ("no bytes at all", &[], &[text("")]),
    ] {
        echoes(address, name, &[said(TEXT, payload)], seen).await;
    }
}

#[tokio::test]
async fn reserved_bits_where_they_mean_nothing_fail_the_connection() {
    let (_endpoint, address) = serve().await;
    let begun = || Frame::text("x").deflated().more();
    for (name, frames) in [
        ("a ping", vec![said(PING, "")]),
        ("a pong", vec![said(PONG, "")]),
        ("a close", vec![said(CLOSE, [3, 232])]),
        ("a fragment of a compressed message", vec![begun(), said(CONTINUATION, [0])]),
        ("a fragment of another", vec![Frame::text("x").more(), said(CONTINUATION, "y")]),
        ("the second bit", vec![Frame::text("x").rsv(2)]),
        ("the third bit", vec![Frame::text("x").rsv(1)]),
        ("all of them", vec![Frame::text("x").rsv(7)]),
        ("an opcode that there is not", vec![said(3, "x")]),
    ] {
        fails(address, name, &frames, 1002).await;
    }
}

#[tokio::test]
async fn bad_blocks_fail_the_connection() {
    let (_endpoint, address) = serve().await;
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let trailed = [&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], &hello].concat();
    for (name, payload) in [
        ("no deflate", &b"Hello, I am no deflate"[..]),
        ("a type of block that there is not", &[0x06]),
        ("a length and its complement", &[0x00, 0x05, 0x00, 0x00, 0x00, 0x48]),
        ("a reference to before the beginning", &[0x03, 0x02, 0x00]),
        ("half a message", &hello[..4]),
        ("bytes behind the final block", &trailed),
        ("text that is no UTF-8", &[0x00, 0x01, 0x00, 0xfe, 0xff, 0xff, 0x00]),
    ] {
        fails(address, name, &[said(TEXT, payload)], 1007).await;
        let fragments = [said(TEXT, "").more(), Frame::new(CONTINUATION, payload)];
        fails(address, &format!("{name}, in fragments"), &fragments, 1007).await;
    }
}

#[tokio::test]
async fn a_message_that_becomes_too_much_is_too_big() {
    let (endpoint, address) = serve().await;
    for (name, bytes) in [("the limit and one", LIMIT + 1), ("ten megabytes", 10_000_000)] {
        let bomb = Frame::new(BINARY, vec![0; bytes]).deflated();
        assert!(bomb.encode().len() < LIMIT / 50, "{name}: {}", bomb.encode().len());
        fails(address, name, std::slice::from_ref(&bomb), 1009).await;
        fails(address, &format!("{name}, in fragments"), &bomb.cut(100), 1009).await;
    }
    assert_eq!(endpoint.bytes_held(), 0);
}

/// A window that the client bounded is as large as what is compressed for it.
#[tokio::test]
async fn what_is_longer_than_a_clients_window_goes_as_it_is() {
    let (_endpoint, address) = serve().await;
    for bits in [8, 9, 15] {
        let window = 1 << bits;
        let mut socket =
            connect(address, &format!("permessage-deflate; server_max_window_bits={bits}")).await;
        for (length, is_compressed) in [(window, true), (window + 1, bits == 15)] {
            let message = "again, ".repeat(window)[..length].to_owned();
            let before = socket.compressed.len();
            socket.send(Frame::text(&message)).await;
            assert_eq!(socket.next().await, text(&message));
            assert_eq!(socket.compressed.len() - before, usize::from(is_compressed), "{length} of {window}");
        }
    }
}

/// A large frame is written by itself, however little the socket takes at once.
#[tokio::test]
async fn a_large_compressed_frame_arrives_whole_at_a_slow_client() {
    let (_endpoint, address) = serve().await;
    let mut socket = connect(address, "permessage-deflate").await;
    // Half of it shrinks to nothing, and the other by a quarter.
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b' ' + (state >> 58) as u8)
    });
    let message: String = noise.take(200_000).collect::<String>() + &"x".repeat(200_000);
    for _ in 0..20 {
        socket.send(Frame::text(&message).deflated()).await;
    }
    for _ in 0..20 {
        let got = socket.next().await;
        assert!(got == text(&message), "{}", brief(&got));
    }
    assert!(socket.compressed.iter().all(|&bytes| bytes > 100_000), "{:?}", socket.compressed);
    assert_eq!(socket.compressed.len(), 20);
}

/// A client of the session dialect may compress its first line, and comes back by a connection without compression.
#[tokio::test]
async fn a_resumable_session_moves_between_connections_with_and_without() {
    let (_endpoint, address) = serve().await;
    let path = Transport::Websocket.path("/echo");
    let message = "said again and again ".repeat(50);
    let protocol = ("Sec-WebSocket-Protocol", "lapwing.1");
    let with = [protocol, (EXTENSIONS, "permessage-deflate")];
    let mut socket = RawSocket::handshake(address, &path, &with).await.unwrap();
    socket.send(Frame::text("!open 30000").deflated()).await;
    let Event::Text(opened) = socket.next().await else { panic!("a line") };
    let token = opened.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(socket.compressed.len(), 0, "lines with tokens are not compressed");
    socket.send(Frame::text(&message).deflated()).await;
    assert_eq!(socket.next().await, text(&message));
    assert_eq!(socket.compressed.len(), 1);
    drop(socket);

    let mut socket = RawSocket::handshake(address, &path, &[protocol]).await.unwrap();
    socket.send(Frame::text(format!("!resume {token} 0 30000"))).await;
    assert_eq!(socket.next().await, text("!resumed 1"));
    assert_eq!(socket.next().await, text(&message), "the same frame once more, as it is");
    socket.send(Frame::text(&message)).await;
    assert_eq!(socket.next().await, text(&message));
    drop(socket);

    let mut socket = RawSocket::handshake(address, &path, &with).await.unwrap();
    socket.send(Frame::text(format!("!resume {token} 0 30000"))).await;
    assert_eq!(socket.next().await, text("!resumed 2"));
    assert_eq!(socket.next().await, text(&message));
    assert_eq!(socket.next().await, text(&message));
    assert_eq!(socket.compressed.len(), 1, "the frame that was compressed still is");
}

/// A first line that becomes more than one may be is refused before there is a session.
#[tokio::test]
async fn a_greeting_that_becomes_too_much_is_too_big() {
    let (endpoint, address) = serve().await;
    let offers = [("Sec-WebSocket-Protocol", "lapwing.1"), (EXTENSIONS, "permessage-deflate")];
    let mut socket =
        RawSocket::handshake(address, &Transport::Websocket.path("/echo"), &offers).await.unwrap();
    socket.send(Frame::text("x".repeat(64 * 1024 + 1)).deflated()).await;
    assert_eq!(socket.next().await, Event::Close(1009, String::new()));
    assert_eq!(endpoint.session_count(), 0);
}

#[tokio::test]
async fn compressed_frames_in_the_same_packet_as_the_handshake_are_not_lost() {
    let (_endpoint, address) = serve().await;
    let stream = TcpStream::connect(address).await.unwrap();
    let mut bytes = format!(
        "GET {PATH} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{EXTENSIONS}: permessage-deflate\r\n\r\n"
    )
    .into_bytes();
    bytes.extend(Frame::text("eager").deflated().encode());
    let mut socket = RawSocket::from_stream(stream, &bytes).await.expect("it opens");
    assert_eq!(socket.next().await, text("eager"));
}
