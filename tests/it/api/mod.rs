//! The HTTP API from outside: what each operation does, and everything that is refused.

mod attempts;
mod document;
mod errors;
mod guide;

use std::{net::SocketAddr, time::Duration};

use lapwing::{
    Accept, Channel, Context, Failure, Handled, Joining, Keep, Lapwing, Mount, Payload, Topic,
    api::{ApiOptions, ApiService},
    noreply,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{
    PATIENCE,
    channels::{Client, Vsn, closed},
    http::{self, Response},
    lab,
    sessions::{Session, Transport},
    websocket::{Event, Frame},
};

const KEY: &str = "k-0123456789abcdef";

struct Room;

impl Channel for Room {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        if cx.topic() == "room:present" {
            cx.track("bob", json!({"n": 1})).await?;
        }
        Ok(noreply())
    }
}

fn options() -> ApiOptions {
    ApiOptions::new(KEY).unwrap()
}

fn mount() -> Mount {
    Mount::new().channel::<Room>("room:*", ()).keep("kept:*", Keep::last(3)).connect(|request| async move {
        let user = request.param("user").map(str::to_owned);
        Ok(user.into_iter().fold(Accept::new(), Accept::id))
    })
}

/// A server with its API on an address of its own.
struct Lab {
    lapwing: Lapwing,
    /// Where clients come.
    address: SocketAddr,
    /// Where the API is, below `/api`.
    api: SocketAddr,
}

impl Lab {
    async fn start(options: ApiOptions) -> Self {
        let lapwing = Lapwing::builder().mount("/socket", mount()).build().unwrap();
        Self::of(lapwing, options).await
    }

    async fn of(lapwing: Lapwing, options: ApiOptions) -> Self {
        let address = lab::serve(&lapwing).await;
        let api = serve(lapwing.api(options)).await;
        Self { lapwing, address, api }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<&str>) -> Response {
        self.ask_with(method, path, &[], body).await
    }

    async fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Response {
        let bearer = format!("Bearer {KEY}");
        let headers = [&[("authorization", &*bearer)], headers].concat();
        http::request(self.api, method, &format!("/api/{path}"), &headers, body.map(str::as_bytes)).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let response = self.ask("POST", path, Some(&body.to_string())).await;
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.ask("GET", path, None).await;
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()
    }
}

/// Serves the API until the test ends.
async fn serve(api: ApiService) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = hyper::server::conn::http1::Builder::new();
            let connection = server.serve_connection(hyper_util::rt::TokioIo::new(stream), api.clone());
            tokio::spawn(async move { connection.await.ok() });
        }
    });
    address
}

fn refusal(response: &Response) -> (u16, String, Option<String>) {
    let body = response.json();
    let error = &body["error"];
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let field = error["field"].as_str().map(str::to_owned);
    (response.status, error["code"].as_str().unwrap().to_owned(), field)
}

fn refused(status: u16, code: &str, field: Option<&str>) -> (u16, String, Option<String>) {
    (status, code.to_owned(), field.map(str::to_owned))
}

#[tokio::test]
async fn what_is_published_reaches_clients_in_order() {
    let lab = Lab::start(options()).await;
    let mut client = Client::joined(lab.address, Vsn::V2, "room:1").await;
    let published = json!({"position": null, "sent": "now"});
    let message = json!({"topic": "room:1", "event": "say", "payload": {"n": 1}});
    assert_eq!(lab.post("publish", message).await, published);
    client.expect(json!([null, null, "room:1", "say", {"n": 1}])).await;
    let batch = json!({"messages": [
        {"topic": "room:1", "event": "say", "payload": {"n": 2}},
        {"topic": "room:1", "event": "bare"},
        {"topic": "kept:1", "event": "say", "payload": {"n": 3}},
    ]});
    let results = lab.post("batch", batch).await["results"].clone();
    assert_eq!((&results[0], &results[1]), (&published, &published));
    assert_eq!(results[2]["position"], json!(lab.lapwing.position("kept:1")));
    client.expect(json!([null, null, "room:1", "say", {"n": 2}])).await;
    client.expect(json!([null, null, "room:1", "bare", {}])).await;
}

#[tokio::test]
async fn a_batch_of_which_one_message_does_not_fit_is_refused_as_a_whole() {
    let lab = Lab::start(options()).await;
    let mut client = Client::joined(lab.address, Vsn::V2, "room:1").await;
    let batch =
        json!({"messages": [{"topic": "room:1", "event": "say"}, {"topic": "room:1", "event": "phx_close"}]});
    let response = lab.ask("POST", "batch", Some(&batch.to_string())).await;
    assert_eq!(refusal(&response), refused(400, "invalid", Some("messages[1].event")));
    client.expect_silence().await;
}

#[tokio::test]
async fn clients_are_disconnected_and_kicked() {
    let lab = Lab::start(options()).await;
    let mut clients = Vec::new();
    for user in ["bob", "bob", "eve"] {
        let mut client = Client::connect_to(lab.address, "/socket", Vsn::V2, &format!("user={user}&")).await;
        client.join("1", "room:1").await;
        clients.push(client);
    }
    let kick = json!({"topic": "room:1", "id": "eve", "reason": "moderated"});
    assert_eq!(lab.post("kick", kick).await, json!({"connections": 1, "missing": []}));
    clients[2].expect(closed("1", "room:1")).await;
    let disconnect = json!({"id": "bob", "reason": "not any more"});
    assert_eq!(lab.post("disconnect", disconnect).await, json!({"connections": 2, "missing": []}));
    for client in &mut clients[..2] {
        assert_eq!(client.socket.next().await, Event::Close(1001, "not any more".into()));
        client.socket.send(Frame::close(1001, "")).await;
    }
    let ban = json!({"id": "eve", "for_good": true});
    assert_eq!(lab.post("disconnect", ban).await, json!({"connections": 1, "missing": []}));
    let Event::Close(1000, _) = clients[2].socket.next().await else { panic!("it is sent away for good") };
}

#[tokio::test]
async fn who_is_there_is_told() {
    let lab = Lab::start(options()).await;
    let _bob = Client::joined(lab.address, Vsn::V2, "room:present").await;
    let count = json!({"keys": 1, "metas": 1, "members": 1, "missing": []});
    for _ in 0..2_000 {
        if lab.get("count?topic=room%3Apresent").await == count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(lab.get("count?topic=room:present").await, count);
    let presences = lab.get("presence?topic=room:present").await["presences"].clone();
    assert_eq!(
        (presences["bob"]["metas"][0]["n"].as_u64(), presences.as_object().unwrap().len()),
        (Some(1), 1)
    );
    assert_eq!(lab.get("presence?topic=nobody").await, json!({"presences": {}}));
    let stats = lab.get("stats").await;
    assert_eq!((stats["joins"].as_u64(), stats["presences"].as_u64()), (Some(1), Some(1)));
}

#[tokio::test]
async fn a_history_is_read_from_either_end() {
    let lab = Lab::start(options()).await;
    let mut positions = Vec::new();
    for n in 0..5 {
        let message = json!({"topic": "kept:1", "event": "say", "payload": {"n": n}});
        positions.push(lab.post("publish", message).await["position"].as_str().unwrap().to_owned());
    }
    let unrecorded = json!({"topic": "kept:1", "event": "say", "unrecorded": true});
    assert_eq!(lab.post("publish", unrecorded).await["position"], json!(null));
    let numbers = |history: &Value| -> Vec<u64> {
        let messages = history["messages"].as_array().unwrap();
        messages.iter().map(|message| message["payload"]["n"].as_u64().unwrap()).collect()
    };
    let all = lab.get("history?topic=kept:1").await;
    assert_eq!((numbers(&all), all["at"].as_str()), (vec![2, 3, 4], Some(&*positions[4])));
    assert_eq!(all["messages"][0]["position"].as_str(), Some(&*positions[2]));
    assert_eq!(numbers(&lab.get("history?topic=kept:1&limit=1").await), [4]);
    let after = format!("history?topic=kept:1&after={}", positions[2]);
    assert_eq!(numbers(&lab.get(&after).await), [3, 4]);
    let before = format!("history?topic=kept:1&before={}", positions[3]);
    assert_eq!(numbers(&lab.get(&before).await), [2, 3]);
    let gone = lab.ask("GET", &format!("history?topic=kept:1&after={}", positions[0]), None).await;
    assert_eq!(refusal(&gone), refused(410, "not_recovered", None));
    let never = lab.ask("GET", "history?topic=room:1", None).await;
    assert_eq!(refusal(&never), refused(404, "not_kept", Some("topic")));
}

#[tokio::test]
async fn what_is_tried_again_with_a_key_is_done_once() {
    let lab = Lab::start(options()).await;
    let mut client = Client::joined(lab.address, Vsn::V2, "room:1").await;
    let once = json!({"topic": "room:1", "event": "say", "payload": {"n": 1}}).to_string();
    let key = [("idempotency-key", "order-17")];
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(lab.ask_with("POST", "publish", &key, Some(&once)).await.json());
    }
    assert_eq!(answers, vec![json!({"position": null, "sent": "now"}); 3]);
    client.expect(json!([null, null, "room:1", "say", {"n": 1}])).await;
    client.expect_heartbeat().await;
    let other = once.replace('1', "2");
    let conflict = lab.ask_with("POST", "publish", &key, Some(&other)).await;
    assert_eq!(refusal(&conflict), refused(409, "conflict", Some("Idempotency-Key")));
    let long = "x".repeat(256);
    let refusal_of_key = lab.ask_with("POST", "publish", &[("idempotency-key", &long)], Some(&once)).await;
    assert_eq!(refusal(&refusal_of_key), refused(400, "invalid", Some("Idempotency-Key")));
    // Without one it is done each time.
    for _ in 0..2 {
        assert_eq!(lab.ask("POST", "publish", Some(&once)).await.status, 200);
        client.expect(json!([null, null, "room:1", "say", {"n": 1}])).await;
    }
}

#[tokio::test]
async fn who_has_no_key_learns_nothing() {
    let lab = Lab::start(options()).await;
    let wrong = format!("{}e", &KEY[..KEY.len() - 1]);
    let wrong_keys = [
        "",
        "Bearer",
        "Bearer ",
        &wrong,
        &format!("Bearer {wrong}"),
        &format!("Basic {KEY}"),
        KEY,
        &format!("Bearer {KEY}x"),
        &format!("Bearer {}", &KEY[1..]),
    ];
    for path in ["/api/publish", "/api/stats", "/api/openapi.json", "/api/nothing"] {
        for method in ["GET", "POST"] {
            for key in wrong_keys {
                let response =
                    http::request(lab.api, method, path, &[("authorization", key)], Some(b"{")).await;
                assert_eq!(refusal(&response), refused(401, "unauthorized", None), "{key:?} {method} {path}");
                assert_eq!(response.header("www-authenticate"), Some("Bearer"));
                let told = response.json()["error"]["message"].clone();
                assert_eq!(told, "no key, or not the right one: send the key as `Authorization: Bearer KEY`");
            }
        }
    }
    // A body that never ends is not waited for.
    let head = "POST /api/publish HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n";
    let response = http::exchange(lab.api, head.as_bytes(), false).await.unwrap();
    assert_eq!(response.status, 401);
}

#[tokio::test]
async fn a_key_can_be_replaced() {
    let lab = Lab::start(ApiOptions::new("the-old-key".to_owned()).unwrap().also(KEY).unwrap()).await;
    for key in ["the-old-key", KEY] {
        let bearer = format!("bearer  {key} ");
        let response = http::request(lab.api, "GET", "/api/stats", &[("authorization", &bearer)], None).await;
        assert_eq!(response.status, 200);
    }
    for key in ["", "short", "a key-with-spaces", "ä-not-in-a-header", "a\nkey-of-two-lines"] {
        assert!(ApiOptions::new(key).is_err(), "{key:?}");
        assert!(options().also(key).is_err(), "{key:?}");
    }
}

/// As of the program's own: the key of a state, and what is of no use later.
#[tokio::test]
async fn a_message_says_what_becomes_of_it_for_slow_clients() {
    let lab = Lab::start(options()).await;
    let mut session = Session::open(lab.address, "/socket", Transport::Websocket).await;
    session.send_json(json!(["1", "1", "room:1", "phx_join", {}])).await;
    session.next().await;
    session.cut();
    let is_away = async {
        while lab.lapwing.sessions().any(|session| session.is_attached) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, is_away).await.expect("nothing carries it");
    for n in 0..3 {
        let state = |key| json!({"topic": "room:1", "event": "moved", "payload": {"n": n}, "latest": key});
        lab.post("publish", state("bus:12")).await;
        lab.post(
            "batch",
            json!({"messages": [state("bus:13"), {"topic": "room:1", "event": "typing", "volatile": true}]}),
        )
        .await;
    }
    let slow = lab.lapwing.stats().slow;
    assert_eq!((slow.replaced, slow.left_out), (4, 3));
    session.resume(Transport::Websocket).await;
    for _ in ["bus:12", "bus:13"] {
        session.expect_json(json!([null, null, "room:1", "moved", {"n": 2}])).await;
    }
    // What is volatile is not recorded, and what has a key may be.
    let of = |more: Value| {
        let mut message = json!({"topic": "kept:1", "event": "say"});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    };
    assert!(lab.post("publish", of(json!({"volatile": true}))).await["position"].is_null());
    assert!(lab.post("publish", of(json!({"latest": "a"}))).await["position"].is_string());
    assert!(
        lab.post("publish", of(json!({"latest": null, "volatile": false}))).await["position"].is_string()
    );
    for (more, field) in [
        (json!({"latest": "a", "volatile": true}), "volatile"),
        (json!({"latest": ""}), "latest"),
        (json!({"latest": "x".repeat(1_025)}), "latest"),
        (json!({"latest": 7}), "latest"),
        (json!({"volatile": "yes"}), "volatile"),
    ] {
        let response = lab.ask("POST", "publish", Some(&of(more).to_string())).await;
        assert_eq!(refusal(&response), refused(400, "invalid", Some(field)));
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_field() {
    let lab = Lab::start(options().body_bytes_max(2_000).batch_max(2).history_max(5)).await;
    let large = json!({"topic": "t", "event": "e", "payload": {"text": "x".repeat(2_000)}}).to_string();
    let three = json!({"messages": vec![json!({"topic": "t", "event": "e"}); 3]}).to_string();
    for (method, path, body, expected) in [
        ("POST", "nothing", "{}", refused(404, "not_found", None)),
        ("POST", "", "{}", refused(404, "not_found", None)),
        ("GET", "publish", "", refused(405, "method_not_allowed", None)),
        ("POST", "stats", "{}", refused(405, "method_not_allowed", None)),
        ("POST", "publish", "{", refused(400, "invalid", None)),
        ("POST", "publish", r#"{"topic": "t"}"#, refused(400, "invalid", Some("event"))),
        ("POST", "publish", r#"{"topic": 1, "event": "e"}"#, refused(400, "invalid", Some("topic"))),
        ("POST", "publish", &large, refused(413, "too_large", None)),
        ("POST", "batch", &three, refused(400, "invalid", Some("messages"))),
        ("GET", "history?topic=kept:1&limit=6", "", refused(400, "invalid", Some("limit"))),
        ("GET", "presence", "", refused(400, "invalid", Some("topic"))),
    ] {
        let body = (!body.is_empty()).then_some(body);
        let response = lab.ask(method, path, body).await;
        assert_eq!(refusal(&response), expected, "{method} {path} {body:?}");
        if expected.0 == 405 {
            let other = if method == "GET" { "POST" } else { "GET" };
            assert_eq!(response.header("allow"), Some(other));
        }
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_and_presence_that_has_ended_is_told() {
    let lab = Lab::start(options().body_timeout(Duration::from_millis(50))).await;
    let head = format!(
        "POST /api/publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 10\r\n\r\n{{"
    );
    let response = http::exchange(lab.api, head.as_bytes(), false).await.unwrap();
    assert_eq!(refusal(&response), refused(408, "timeout", None));
    lab.lapwing.shutdown().await;
    let gone = lab.ask("GET", "presence?topic=t", None).await;
    assert_eq!(refusal(&gone), refused(503, "unavailable", None));
}
