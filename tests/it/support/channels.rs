//! A channels client over the raw WebSocket: messages are written as V2's five-element arrays whatever the version.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

use super::{
    SILENCE,
    websocket::{BINARY, Event, Frame, RawSocket},
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Vsn {
    V1,
    V2,
}

pub(crate) const BOTH: [Vsn; 2] = [Vsn::V1, Vsn::V2];

impl Vsn {
    pub(crate) fn query(self) -> &'static str {
        match self {
            Vsn::V1 => "vsn=1.0.0",
            Vsn::V2 => "vsn=2.0.0",
        }
    }

    /// The text of a client's message.
    pub(crate) fn encode(self, message: &Value) -> String {
        let [join_ref, reference, topic, event, payload] = &message.as_array().expect("an array")[..] else {
            panic!("a message has five elements: {message}");
        };
        match self {
            Vsn::V2 => message.to_string(),
            Vsn::V1 if join_ref.is_null() => {
                json!({"topic": topic, "event": event, "payload": payload, "ref": reference}).to_string()
            }
            Vsn::V1 => json!({
                "topic": topic, "event": event, "payload": payload, "ref": reference, "join_ref": join_ref
            })
            .to_string(),
        }
    }

    /// What a server's message must look like: V1 never says a join_ref.
    fn expected(self, message: &Value) -> Value {
        match self {
            Vsn::V2 => message.clone(),
            Vsn::V1 => json!({
                "topic": message[2], "event": message[3], "payload": message[4], "ref": message[1]
            }),
        }
    }
}

pub(crate) struct Client {
    pub(crate) socket: RawSocket,
    pub(crate) vsn: Vsn,
}

impl Client {
    /// A client of `/socket`.
    pub(crate) async fn connect(address: SocketAddr, vsn: Vsn) -> Client {
        Client::connect_to(address, "/socket", vsn, "").await
    }

    /// `query` is put before the version, as in `user=bob&`.
    pub(crate) async fn connect_to(address: SocketAddr, mount: &str, vsn: Vsn, query: &str) -> Client {
        let path = format!("{mount}/websocket?{query}{}", vsn.query());
        Client { socket: RawSocket::connect(address, &path).await, vsn }
    }

    /// A client of `/socket` with one topic joined under join_ref "1".
    pub(crate) async fn joined(address: SocketAddr, vsn: Vsn, topic: &str) -> Client {
        let mut client = Client::connect(address, vsn).await;
        client.join("1", topic).await;
        client
    }

    pub(crate) async fn join(&mut self, join_ref: &str, topic: &str) {
        self.send(json!([join_ref, join_ref, topic, "phx_join", {}])).await;
        self.expect(ok(join_ref, join_ref, topic, json!({}))).await;
    }

    pub(crate) async fn send(&mut self, message: Value) {
        let text = self.vsn.encode(&message);
        self.send_text(&text).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(Frame::text(text)).await;
    }

    pub(crate) async fn send_binary(&mut self, bytes: &[u8]) {
        self.socket.send(Frame::new(BINARY, bytes)).await;
    }

    /// The next thing to arrive must be this message.
    #[track_caller]
    pub(crate) fn expect(&mut self, message: Value) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let wanted = self.vsn.expected(&message);
            let event = self.socket.next().await;
            let Event::Text(text) = event else {
                panic!("{caller}: {:?}: wanted {wanted}, got {}", self.vsn, brief(&event));
            };
            let got: Value = serde_json::from_str(&text).expect("a message is JSON");
            assert_eq!(got, wanted, "{caller}: {:?}", self.vsn);
        }
    }

    /// The next message, as it is.
    pub(crate) async fn next_message(&mut self) -> Value {
        match self.socket.next().await {
            Event::Text(text) => serde_json::from_str(&text).expect("a message is JSON"),
            event => panic!("wanted a message, got {}", brief(&event)),
        }
    }

    pub(crate) async fn expect_binary(&mut self, bytes: &[u8]) {
        assert_eq!(self.socket.next().await, Event::Binary(bytes.to_vec()), "{:?}", self.vsn);
    }

    /// The next thing is the server's close frame, and then the end of the stream.
    pub(crate) async fn expect_close(&mut self, code: u16) {
        assert_eq!(self.socket.next().await, Event::Close(code, String::new()), "{:?}", self.vsn);
        self.socket.send(Frame::close(code, "")).await;
        assert_eq!(self.socket.next().await, Event::End, "the server ends the stream after its close frame");
    }

    pub(crate) async fn expect_silence(&mut self) {
        if let Some(event) = self.socket.next_within(SILENCE).await {
            panic!("{:?}: wanted silence, got {}", self.vsn, brief(&event));
        }
    }

    /// Proves that the connection lives, and that nothing unexpected was in the way.
    pub(crate) async fn expect_heartbeat(&mut self) {
        self.send(json!([null, "hb", "phoenix", "heartbeat", {}])).await;
        self.expect(json!([null, "hb", "phoenix", "phx_reply", {"status": "ok", "response": {}}])).await;
    }

    /// Waits for a close, passing over whatever comes before it: its code, or 1006 if the stream just ended.
    pub(crate) async fn close_code_within(&mut self, max: Duration) -> Option<u16> {
        let deadline = tokio::time::Instant::now() + max;
        loop {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            match self.socket.next_within(left).await? {
                Event::Close(code, _) => return Some(code),
                Event::End => return Some(1006),
                _ => {}
            }
        }
    }
}

pub(crate) fn reply(join_ref: Value, reference: &str, topic: &str, status: &str, response: Value) -> Value {
    json!([join_ref, reference, topic, "phx_reply", {"status": status, "response": response}])
}

pub(crate) fn ok(join_ref: &str, reference: &str, topic: &str, response: Value) -> Value {
    reply(json!(join_ref), reference, topic, "ok", response)
}

pub(crate) fn unmatched(reference: &str, topic: &str) -> Value {
    reply(Value::Null, reference, topic, "error", json!({"reason": "unmatched topic"}))
}

pub(crate) fn closed(join_ref: &str, topic: &str) -> Value {
    json!([join_ref, join_ref, topic, "phx_close", {}])
}

pub(crate) fn crashed(join_ref: &str, topic: &str) -> Value {
    json!([join_ref, join_ref, topic, "phx_error", {"reason": "channel_crash"}])
}

/// A V2 binary push from a client.
pub(crate) fn binary_push(join_ref: &str, reference: &str, topic: &str, event: &str, data: &[u8]) -> Vec<u8> {
    binary(0, &[join_ref, reference, topic, event], data)
}

/// Any V2 binary frame: its kind, the strings whose lengths are in the header, and the data.
pub(crate) fn binary(kind: u8, strings: &[&str], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(strings.iter().map(|string| u8::try_from(string.len()).expect("at most 255 bytes")));
    strings.iter().for_each(|string| bytes.extend_from_slice(string.as_bytes()));
    bytes.extend_from_slice(data);
    bytes
}

/// An event short enough for a failure message.
pub(crate) fn brief(event: &Event) -> String {
    let text = format!("{event:?}");
    match text.char_indices().nth(400) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text,
    }
}
