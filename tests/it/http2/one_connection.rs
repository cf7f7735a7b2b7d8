//! WebSocket, event stream and long-poll beside each other, on streams of one connection.

use hyper::Method;
use serde_json::{Value, json};

use crate::support::{
    channels::{Client, Vsn, ok},
    gateway,
    http2::{Connection, Next, Stream},
    longpoll::LongPoll,
    sessions::{self, TRANSPORTS},
    testbed::Testbed,
};

const JOIN: &str = r#"["1","1","room:one","phx_join",{}]"#;
const SHOUT: &str = r#"["1","2","room:one","shout",{"by":"ws"}]"#;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// How many connections the server has accepted.
async fn accepted(connection: &Connection) -> u64 {
    connection.get("/stats").await.json()["accepted"].as_u64().unwrap()
}

/// The messages of a poll of the session dialect.
async fn polled(connection: &Connection, lines: &str) -> Vec<Value> {
    let path = "/socket/longpoll?lapwing=1&vsn=2.0.0";
    let text = connection.request(Method::POST, path, lines).await.text();
    text.lines().filter(|line| !line.starts_with('!')).map(parsed).collect()
}

/// The token of a session from its greeting.
fn token(greeting: &str) -> String {
    greeting.strip_prefix("!opened ").unwrap().split(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn three_wires_share_a_topic_and_a_connection_in_the_session_dialect() {
    let testbed = Testbed::start();
    let connection = Connection::connect(testbed.address()).await;
    let before = accepted(&connection).await;
    let offer = [("sec-websocket-protocol", "lapwing.1")];
    let mut websocket = connection.websocket_as("/socket/websocket?vsn=2.0.0", &offer).await;
    websocket.send("!open 30000");
    assert!(websocket.next_text().await.starts_with("!opened "));
    let sse = "/socket/sse?lapwing=1&vsn=2.0.0";
    let mut events = connection.open(Method::POST, sse, "!open 30000").await;
    let events_token = token(&events.next_event().await.unwrap());
    let longpoll = "/socket/longpoll?lapwing=1&vsn=2.0.0";
    let opened = connection.request(Method::POST, longpoll, "!open 30000").await.text();
    let poll_token = token(&opened);

    let joined = ok("1", "1", "room:one", json!({}));
    websocket.send(JOIN);
    assert_eq!(parsed(&websocket.next_text().await), joined);
    let up = format!("!send {events_token}\n!from 1\n{JOIN}");
    assert_eq!(connection.request(Method::POST, sse, &up).await.text(), "!ack 1\n");
    assert_eq!(parsed(&events.next_event().await.unwrap()), joined);
    assert_eq!(
        polled(&connection, &format!("!resume {poll_token} 0 30000\n!from 1\n{JOIN}")).await,
        [joined]
    );

    // A poll that waits holds nothing up.
    let waits = format!("!resume {poll_token} 1 30000");
    let (polled, ()) = tokio::join!(polled(&connection, &waits), async {
        websocket.send(SHOUT);
    });
    let shouted = json!([null, null, "room:one", "shout", {"by": "ws"}]);
    assert_eq!(polled, std::slice::from_ref(&shouted));
    assert_eq!(parsed(&events.next_event().await.unwrap()), shouted);
    assert_eq!(parsed(&websocket.next_text().await), shouted);
    assert_eq!(accepted(&connection).await, before, "all of it took one connection");
}

async fn assert_answers(stream: &mut Stream, reference: &str) {
    stream.send(&json!(["1", reference, "room:one", "ping", {}]).to_string());
    assert_eq!(parsed(&stream.next_text().await), ok("1", reference, "room:one", json!({})));
}

#[tokio::test]
async fn stock_clients_use_both_of_their_wires_over_one_connection() {
    let testbed = Testbed::start();
    let address = gateway::start(testbed.address()).await;
    let before = testbed.stat("accepted").await;
    let mut client = Client::joined(address, Vsn::V2, "room:one").await;
    let mut poll = LongPoll::open(address, "/socket").await;
    poll.send(json!(["1", "1", "room:one", "phx_join", {}])).await;
    assert_eq!(poll.poll().await.messages, [ok("1", "1", "room:one", json!({}))]);
    client.send(json!(["1", "2", "room:one", "shout_from", {"n": 1}])).await;
    assert_eq!(poll.poll().await.messages, [json!([null, null, "room:one", "shout", {"n": 1}])]);
    // The question itself came by a connection of its own.
    assert_eq!(testbed.stat("accepted").await, before + 1);
}

#[tokio::test]
async fn a_session_moves_from_wire_to_wire_on_one_connection_and_loses_nothing() {
    let testbed = Testbed::start();
    let address = gateway::start(testbed.address()).await;
    let before = testbed.stat("accepted").await;
    let mut session = sessions::Session::open(address, "/socket", TRANSPORTS[0]).await;
    session.send_json(json!(["1", "1", "room:moves", "phx_join", {}])).await;
    session.expect_json(ok("1", "1", "room:moves", json!({}))).await;
    for (round, transport) in TRANSPORTS.iter().cycle().skip(1).take(9).enumerate() {
        let reference = format!("m{round}");
        session.send_json(json!(["1", reference, "room:moves", "ping", {}])).await;
        session.resume(*transport).await;
        session.expect_json(ok("1", &reference, "room:moves", json!({}))).await;
    }
    assert_eq!(testbed.stat("accepted").await, before + 1);
}

#[tokio::test]
async fn a_thousand_websockets_share_a_connection() {
    let testbed = Testbed::start();
    let connection = Connection::connect(testbed.address()).await;
    let mut streams = Vec::new();
    // One place is left, for the questions.
    for n in 0..999 {
        let mut stream = connection.websocket("/socket/websocket?vsn=2.0.0").await;
        stream.send(&JOIN.replace("one", &format!("one{}", n % 10)));
        stream.next_text().await;
        streams.push(stream);
    }
    assert_eq!(connection.get("/stats").await.json()["connections"], 999);
    let mut last = streams.pop().unwrap();
    last.close();
    while last.next().await != Next::End {}
    // A new one takes the place of one that has ended.
    let mut next = connection.websocket("/socket/websocket?vsn=2.0.0").await;
    next.send(JOIN);
    assert_eq!(parsed(&next.next_text().await), ok("1", "1", "room:one", json!({})));
    assert_answers(&mut next, "2").await;
}
