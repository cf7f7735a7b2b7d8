//! The wire vectors that only a running server can show: handshakes, long-poll requests, and what becomes of a message.
//! The others are in `tests/vectors`, which lists these by id.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use lapwing::{
    Accept, Channel, CheckOrigin, Context, Failure, Handled, Joining, Lapwing, LongpollOptions, Mount,
    Payload, Topic, reply,
};
use serde_json::{Value, json};

use crate::support::{
    channels::{Client, Vsn, binary_push, unmatched},
    http, lab,
    websocket::{Event, Frame, RawSocket},
};

const VECTORS: &str = include_str!("../data/vectors.json");

/// Supabase's dialect, whose serializer is not built: kind 3 is refused as Phoenix refuses it (see `tests/vectors`),
/// kind 4 is written by nobody.
const OTHER_DIALECT: &[&str] = &["v098", "v099", "v100"];

/// The messages that the channel was handed, as `[event, payload]`.
#[derive(Clone, Default)]
struct Handed(Arc<Mutex<Vec<Value>>>);

struct Chess;

impl Channel for Chess {
    type State = Handed;

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        let payload: Value = payload.parse().unwrap_or_else(|_| json!("bytes"));
        cx.state().0.lock().unwrap().push(json!([event, payload]));
        Ok(reply("ok", json!({})))
    }
}

struct Lab {
    address: SocketAddr,
    handed: Handed,
    tokens: Arc<Mutex<Vec<Option<String>>>>,
}

async fn lab() -> Lab {
    let (handed, tokens) = (Handed::default(), Arc::<Mutex<Vec<Option<String>>>>::default());
    let told = tokens.clone();
    let mount = Mount::new()
        .channel::<Chess>("chess:*", handed.clone())
        .check_origin(CheckOrigin::Off)
        .with_auth_tokens()
        .longpoll(LongpollOptions::default().window(std::time::Duration::from_millis(300)))
        .connect(move |request| {
            told.lock().unwrap().push(request.auth_token);
            async { Ok(Accept::new()) }
        });
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    Lab { address: lab::serve(&lapwing).await, handed, tokens }
}

fn vectors() -> Vec<Value> {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

fn headers(vector: &Value) -> Vec<(&str, &str)> {
    let headers = vector["request"]["headers"].as_object().into_iter().flatten();
    headers.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect()
}

#[tokio::test]
async fn requests_are_answered_as_the_vectors_say() {
    let requests: Vec<_> = vectors().into_iter().filter(|vector| vector["request"].is_object()).collect();
    assert_eq!(requests.len(), 15, "all of them, and no more");
    for vector in requests {
        let lab = lab().await;
        let path = vector["request"]["path"].as_str().unwrap();
        if path.contains("/websocket") {
            handshake(&lab, &vector).await
        } else {
            longpoll(&lab, &vector).await
        }
    }
}

async fn handshake(lab: &Lab, vector: &Value) {
    let (id, expected) = (&vector["id"], &vector["expect_response"]);
    let path = vector["request"]["path"].as_str().unwrap();
    let mut bytes = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n", lab.address);
    for (name, value) in headers(vector) {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    bytes.push_str("\r\n");
    let stream = tokio::net::TcpStream::connect(lab.address).await.unwrap();
    let opened = RawSocket::from_stream(stream, bytes.as_bytes()).await;
    let response = match &opened {
        Ok(socket) => &socket.response,
        Err(response) => response,
    };
    assert_eq!(json!(response.status), expected["http"], "{id}");
    if let Some(protocol) = expected["headers"].get("sec-websocket-protocol") {
        assert_eq!(json!(response.header("sec-websocket-protocol")), *protocol, "{id}");
    }
    if vector["auth_token"].is_string() {
        assert_eq!(json!(lab.tokens.lock().unwrap().last().unwrap()), vector["auth_token"], "{id}");
    }
    if let (Ok(mut socket), Some(serializer)) = (opened, expected["serializer"].as_str()) {
        let vsn = if serializer == "V1" { Vsn::V1 } else { Vsn::V2 };
        socket.send(Frame::text(vsn.encode(&json!([null, "1", "phoenix", "heartbeat", {}])))).await;
        let Event::Text(text) = socket.next().await else {
            panic!("{id}: no reply to a {serializer} heartbeat")
        };
        assert_eq!(text.starts_with('['), vsn == Vsn::V2, "{id}: {text}");
    }
}

async fn longpoll(lab: &Lab, vector: &Value) {
    let (id, expected) = (&vector["id"], &vector["expect_response"]);
    let token = http::get(lab.address, "/socket/longpoll?vsn=2.0.0").await.json()["token"].clone();
    let token = token.as_str().unwrap();
    let join = r#"["6","6","chess:42","phx_join",{}]"#;
    let path = format!("/socket/longpoll?vsn=2.0.0&token={token}");
    if vector["request"]["method"] == "POST" {
        let joined = http::request(lab.address, "POST", &path, &[], Some(join.as_bytes())).await;
        assert_eq!(joined.json(), json!({"status": 200}), "{id}");
    }
    let path = vector["request"]["path"].as_str().unwrap().replace("TOKEN", token);
    let given = headers(vector);
    let given: Vec<_> =
        given.into_iter().map(|(name, value)| (name, value.replace("TOKEN", token))).collect();
    let given: Vec<_> = given.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let body = vector["request"]["body"].as_str().map(str::as_bytes);
    let response =
        http::request(lab.address, vector["request"]["method"].as_str().unwrap(), &path, &given, body).await;
    if let Some(status) = expected["http"].as_u64() {
        assert_eq!(u64::from(response.status), status, "{id}");
    }
    match &expected["body"] {
        Value::String(text) => assert_eq!(response.text(), *text, "{id}"),
        Value::Null => {}
        body => assert_eq!(response.json(), *body, "{id}"),
    }
    for (key, ours) in [("body_status", "status"), ("messages", "messages")] {
        if !expected[key].is_null() {
            assert_eq!(response.json()[ours], expected[key], "{id}");
        }
    }
    if let Some(messages) = vector["decoded_messages"].as_array() {
        assert_eq!(response.json(), json!({"status": 200}), "{id}");
        let wanted: Vec<_> = messages.iter().map(|msg| json!([msg["event"], msg["payload"]])).collect();
        let wanted: Vec<_> = wanted.into_iter().map(without_bytes).collect();
        for _ in 0..200 {
            if lab.handed.0.lock().unwrap().len() >= wanted.len() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(*lab.handed.0.lock().unwrap(), wanted, "{id}");
    }
}

/// Bytes are only looked at for being there.
fn without_bytes(message: Value) -> Value {
    if message[1].get("binary_hex").is_some() { json!([message[0], "bytes"]) } else { message }
}

#[tokio::test]
async fn polls_carry_frames_as_strings() {
    // v080.
    let lab = lab().await;
    let token = http::get(lab.address, "/socket/longpoll?vsn=2.0.0").await.json()["token"].clone();
    let path = format!("/socket/longpoll?vsn=2.0.0&token={}", token.as_str().unwrap());
    let join = br#"["6","6","chess:42","phx_join",{}]"#;
    http::request(lab.address, "POST", &path, &[], Some(join)).await;
    let polled = http::get(lab.address, &path).await.json();
    let frame: Value = serde_json::from_str(polled["messages"][0].as_str().expect("a string")).unwrap();
    assert_eq!(frame, json!(["6", "6", "chess:42", "phx_reply", {"status": "ok", "response": {}}]));
}

#[tokio::test]
async fn messages_have_the_consequences_that_the_vectors_name() {
    let lab = lab().await;
    let mut client = Client::joined(lab.address, Vsn::V2, "chess:1").await;
    // v008: numbers stay numbers.
    client.send_text(r#"[1,2,"chess:42","phx_join",{}]"#).await;
    client.expect(json!([1, 2, "chess:42", "phx_reply", {"status": "ok", "response": {}}])).await;
    // v005 and v051: stale, and so no frame at all.
    client.send_text(r#"["2","6","chess:42","move",{}]"#).await;
    client.send_binary(&binary_push("", "20", "chess:42", "img", &[1])).await;
    // v052: a text reply to bytes for a topic that is not joined.
    client.send_binary(&binary_push("3", "21", "nope", "img", &[1])).await;
    client.expect(unmatched("21", "nope")).await;
    assert!(lab.handed.0.lock().unwrap().is_empty(), "nothing stale was handed on");
}

#[test]
fn every_vector_is_shown_somewhere() {
    let here = ["v005", "v008", "v051", "v052", "v080"];
    for vector in vectors() {
        let id = vector["id"].as_str().unwrap();
        let is_request = vector["request"].is_object();
        let is_frame =
            vector["text"].is_string() || vector["hex"].is_string() || vector["fields"].is_object();
        assert!(
            is_request || here.contains(&id) || is_frame || OTHER_DIALECT.contains(&id),
            "{id} is shown nowhere"
        );
    }
}
