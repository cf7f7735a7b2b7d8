//! Frames of every kind, both ways, over every transport; and the vectors of `docs/sessions.json` on a WebSocket.

use crate::support::{
    echo,
    sessions::{Attachment, Line, Session, TRANSPORTS, Transport, text},
    websocket::{BINARY, Event, Frame},
};
use lapwing::transports::options::TransportOptions;

const TEXTS: [&str; 19] = [
    "",
    "!",
    "!open 5",
    "! x",
    "\"",
    "\"quoted\"",
    "*",
    "*AAE=",
    "\n",
    "\r",
    "a\r\nb\r",
    "two\nlines",
    "!a\nb",
    " begins with a space",
    ": is no comment here",
    "data: x",
    "ünïcödé ☃ 𝄞",
    "\u{2028}\u{0}\u{7f}",
    "[]",
];

#[tokio::test]
async fn any_text_and_any_bytes_come_back_as_they_were_on_every_wire() {
    let (_, address) = echo::serve(TransportOptions::default()).await;
    let long = "x\n".repeat(70_000);
    let every: Vec<u8> = (0..=255).collect();
    let mut frames: Vec<_> = TEXTS.iter().copied().map(text).collect();
    frames.push(text(&long));
    for bytes in [&[][..], &[0], &[0, 1, 255], b"\n\r\n", b"!open 5", &every, &every.repeat(300)] {
        frames.push(Line::Binary(bytes.to_vec()));
    }
    for transport in TRANSPORTS {
        let mut session = Session::open(address, "/echo", transport).await;
        for frame in &frames {
            session.send(frame.clone()).await;
            assert_eq!(session.next().await, *frame, "{transport:?}");
        }
        // All of them waiting at once, and the same again after a move.
        for frame in &frames {
            session.send(frame.clone()).await;
        }
        session.cut();
        for transport in TRANSPORTS {
            let received = session.received;
            session.resume(transport).await;
            for frame in &frames {
                assert_eq!(session.next().await, *frame, "{transport:?}, moved");
            }
            session.received = received;
        }
    }
}

/// A frame must be quoted only where it would be taken for something else, but it may be anywhere.
#[tokio::test]
async fn a_quoted_frame_is_the_same_as_an_unquoted_one() {
    let (_, address) = echo::serve(TransportOptions::default()).await;
    let mut session = Session::open(address, "/echo", Transport::Websocket).await;
    let Attachment::Websocket(socket) = &mut session.attachment else { panic!("a WebSocket") };
    socket.send(Frame::text(r#""[\u00e9]""#)).await;
    socket.send(Frame::text("*AAH/")).await;
    socket.send(Frame::text("")).await;
    socket.send(Frame::text("!somethingnew 1 2")).await;
    socket.send(Frame::text("last")).await;
    assert_eq!(session.next().await, text("[é]"));
    assert_eq!(session.next().await, Line::Binary(vec![0, 1, 255]));
    assert_eq!(session.next().await, text("last"), "neither an empty line nor an unknown word is a frame");
}

#[tokio::test]
async fn the_vectors_of_the_document_hold_on_a_websocket() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../docs/sessions.json")).unwrap();
    let (_, address) = echo::serve(TransportOptions::default()).await;
    let mut session = Session::open(address, "/echo", Transport::Websocket).await;
    let Attachment::Websocket(socket) = &mut session.attachment else { panic!("a WebSocket") };
    let cases = vectors["frames"]["cases"].as_array().unwrap();
    for case in cases {
        let (sent, wanted) = match (case["message"].as_str(), case["bytes"].as_str()) {
            (Some(message), None) => (Frame::text(message), Event::Text(message.to_owned())),
            (None, Some(hex)) => (Frame::new(BINARY, bytes(hex)), Event::Binary(bytes(hex))),
            _ => panic!("neither text nor bytes: {case}"),
        };
        socket.send(sent).await;
        assert_eq!(socket.next().await, wanted, "{case}");
    }
    assert!(cases.len() >= 16, "{} cases", cases.len());
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}
