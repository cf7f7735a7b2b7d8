//! Sessions at any node: opened at one, carried on by requests to others.

use std::net::SocketAddr;

use lapwing::{
    ClusterOptions, DeflateOptions, LongpollOptions, SseOptions, WebsocketOptions,
    cluster::{Hub, RelayCounts},
    metrics::Value as Counted,
    testing::TestServer,
};
use lapwing_engine_contract::eventually;
use serde_json::{Value, json};

use super::{
    carriers::{Carrier, NatsServer, RedisServer, meet, node, node_with},
    rooms,
};
use crate::support::{
    channels::ok,
    events::EventStream,
    http, lab,
    longpoll::LongPoll,
    sessions::{self, BEAT, Line, Session, TRANSPORTS, Transport, attach, post, upgrade},
    websocket::{Event, Frame, RawSocket},
};

on_each_engine! {
    a_session_is_carried_by_any_node_and_every_wire
    a_stock_client_polls_any_node
    a_dead_owner_is_told_at_once
}

/// Three nodes that know each other, and where they listen.
async fn three(carrier: &impl Carrier) -> ([TestServer; 3], [SocketAddr; 3]) {
    let nodes = [
        node(carrier, "one", rooms().0).await,
        node(carrier, "two", rooms().0).await,
        node(carrier, "three", rooms().0).await,
    ];
    meet(&[&nodes[0], &nodes[1], &nodes[2]]).await;
    let addresses = [lab::serve(&nodes[0]).await, lab::serve(&nodes[1]).await, lab::serve(&nodes[2]).await];
    (nodes, addresses)
}

fn said(n: u64) -> Value {
    json!([null, null, "room:1", "said", {"n": n}])
}

/// A session at an address, in the room.
async fn joined(address: SocketAddr, transport: Transport) -> Session {
    let mut session = Session::open(address, "/socket", transport).await;
    session.send_json(json!(["1", "1", "room:1", "phx_join", {}])).await;
    session.expect_json(ok("1", "1", "room:1", json!({}))).await;
    session.expect_json(json!(["1", null, "room:1", "joined", {}])).await;
    session
}

async fn a_session_is_carried_by_any_node_and_every_wire<C: Carrier>() {
    let carrier = C::start().await;
    let (nodes, addresses) = three(&carrier).await;
    let mut session = joined(addresses[0], Transport::Websocket).await;
    let mut n = 0;
    // Each transport at each node, the owner among them; and from each to each other one.
    for (round, transport) in TRANSPORTS.iter().cycle().take(9).enumerate() {
        session.address = addresses[(round + 1) % 3];
        session.resume(*transport).await;
        for _ in 0..3 {
            n += 1;
            nodes[round % 3].broadcast("room:1", "said", json!({"n": n})).unwrap();
            session.expect_json(said(n)).await;
        }
        let reference = round + 10;
        n += 1;
        session.send_json(json!(["1", reference.to_string(), "room:1", "say", {"n": n}])).await;
        // The order of the two is the server's, and the same for all.
        session.expect_json(said(n)).await;
        session.expect_json(ok("1", &reference.to_string(), "room:1", json!({}))).await;
    }
    // POSTs reach it whatever node they come to, beside a stream of another one.
    let carried_by = || nodes[0].sessions().next().unwrap().carried_by;
    session.address = addresses[1];
    session.resume(Transport::Sse).await;
    assert_eq!(carried_by().as_deref(), Some("two"));
    session.address = addresses[2];
    for reference in 30..40 {
        n += 1;
        session.send_json(json!(["1", reference.to_string(), "room:1", "say", {"n": n}])).await;
        session.expect_json(said(n)).await;
        session.expect_json(ok("1", &reference.to_string(), "room:1", json!({}))).await;
    }
    assert_eq!((nodes[0].stats().sessions, nodes[1].stats().sessions + nodes[2].stats().sessions), (1, 0));
    session.post("!close").await;
    eventually("it is over", || nodes[0].stats().sessions == 0).await;
    // What is over is told by its owner.
    session.address = addresses[1];
    assert_eq!(session.refusal(Transport::Longpoll).await, "closed");
}

async fn a_stock_client_polls_any_node<C: Carrier>() {
    let carrier = C::start().await;
    let (nodes, addresses) = three(&carrier).await;
    let mut client = LongPoll::open(addresses[0], "/socket").await;
    client.send(json!(["1", "1", "room:1", "phx_join", {}])).await;
    let mut heard = Vec::new();
    for n in 1..=30_u64 {
        client.address = addresses[n as usize % 3];
        client.send(json!(["1", (n + 1).to_string(), "room:1", "say", {"n": n}])).await;
        client.address = addresses[(n as usize + 1) % 3];
        let polled = client.poll().await;
        assert!(matches!(polled.status, 200 | 204), "{polled:?}");
        heard.extend(polled.messages);
    }
    while heard.len() < 2 + 2 * 30 {
        let polled = client.poll().await;
        assert_eq!(polled.status, 200, "{heard:?}");
        heard.extend(polled.messages);
    }
    let mut expected = vec![ok("1", "1", "room:1", json!({})), json!(["1", null, "room:1", "joined", {}])];
    for n in 1..=30_u64 {
        expected.push(said(n));
        expected.push(ok("1", &(n + 1).to_string(), "room:1", json!({})));
    }
    assert_eq!(heard, expected);
    assert_eq!(nodes.each_ref().map(|node| node.stats().longpoll), [1, 0, 0]);
}

async fn a_dead_owner_is_told_at_once<C: Carrier>() {
    let carrier = C::start().await;
    let (nodes, addresses) = three(&carrier).await;
    let mut session = joined(addresses[0], Transport::Sse).await;
    let mut client = LongPoll::open(addresses[0], "/socket").await;
    session.address = addresses[1];
    session.resume(Transport::Sse).await;
    let [one, two, three] = nodes;
    one.shutdown().await;
    drop(one);
    eventually("the others know", || two.cluster().unwrap().nodes.len() == 2).await;
    // A stream that was carried says what its owner has said last.
    assert_eq!(session.next().await, Line::Control("!closed 1012 draining".into()));
    assert_eq!(session.next().await, Line::End);
    for transport in TRANSPORTS {
        assert_eq!(session.refusal(transport).await, "unknown", "{transport:?}");
    }
    let before = client.token.clone();
    client.address = addresses[1];
    let polled = client.poll().await;
    assert_eq!(polled.status, 410, "another session is begun, and the client joins anew");
    assert!(client.token != before && two.stats().longpoll == 1);
    drop(three);
}

#[tokio::test]
async fn a_node_that_goes_down_keeps_no_websocket_that_it_carries() {
    let (nodes, addresses) = three(&Hub::new()).await;
    let mut session = joined(addresses[1], Transport::Sse).await;
    session.address = addresses[0];
    session.resume(Transport::Websocket).await;
    let report = nodes[0].shutdown().await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(session.next().await, Line::End);
    session.address = addresses[2];
    session.resume(Transport::Websocket).await;
    nodes[1].broadcast("room:1", "said", json!({"n": 1})).unwrap();
    session.expect_json(said(1)).await;
}

#[tokio::test]
async fn an_owner_that_cannot_be_reached_may_live_and_is_asked_later() {
    let hub = Hub::new();
    let (nodes, addresses) = three(&hub).await;
    let mut session = joined(addresses[0], Transport::Longpoll).await;
    let mut client = LongPoll::open(addresses[0], "/socket").await;
    session.address = addresses[1];
    session.resume(Transport::Longpoll).await;
    hub.stop();
    eventually("it is away", || !nodes[1].is_ready()).await;
    let answer = session.poll(0, "").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(session.post("!ack 0").await.status, 503);
    client.address = addresses[1];
    let token = client.token.clone();
    let polled = client.poll().await;
    assert_eq!(polled.status, 204, "it asks again");
    assert_ne!(polled.token, Some(token), "and is told that it has nothing yet");
    hub.start();
    eventually("it is back", || nodes.iter().all(|node| node.is_ready())).await;
    // The session was nobody's business meanwhile.
    nodes[0].broadcast("room:1", "said", json!({"n": 1})).unwrap();
    let heard = loop {
        let answer = session.poll(BEAT, "").await;
        if answer.status == 200 {
            break answer.text();
        }
        assert_eq!(answer.status, 503);
    };
    assert!(heard.contains("said"), "{heard}");
}

#[tokio::test]
async fn what_is_lost_on_the_way_comes_again() {
    let hub = Hub::new();
    let (nodes, addresses) = three(&hub).await;
    let mut session = joined(addresses[0], Transport::Websocket).await;
    let mut n = 0;
    for round in 0..12_usize {
        session.address = addresses[1 + round % 2];
        let transport = TRANSPORTS[round % 3];
        while session.try_resume(transport, session.received).await.is_err() {}
        n += 1;
        nodes[0].broadcast("room:1", "said", json!({"n": n})).unwrap();
        session.expect_json(said(n)).await;
        // Whatever is said from here on goes nowhere until the connection is made anew.
        let connects = || nodes[round % 3].cluster().unwrap().engine.connects;
        let before = connects();
        hub.cut(["one", "two", "three"][round % 3]);
        n += 1;
        nodes[0].broadcast("room:1", "said", json!({"n": n})).unwrap();
        eventually("it is back", || connects() > before && nodes.iter().all(|node| node.is_ready())).await;
        session.address = addresses[2 - round % 2];
        while session.try_resume(transport, session.received).await.is_err() {}
        session.expect_json(said(n)).await;
        session.settle().await;
    }
    assert_eq!(nodes[0].stats().sessions, 1);
}

#[tokio::test]
async fn what_is_carried_is_counted() {
    let hub = Hub::new();
    let (nodes, addresses) = three(&hub).await;
    let counts = |node: usize| nodes[node].stats().cluster.unwrap().relays;
    let mut session = joined(addresses[0], Transport::Sse).await;
    assert_eq!((counts(0), counts(1)), (RelayCounts::default(), RelayCounts::default()), "it costs nothing");
    session.address = addresses[1];
    session.resume(Transport::Sse).await;
    assert_eq!((counts(1).carrying, counts(1).carried, counts(1).begun), (1, 0, 1));
    assert_eq!((counts(0).carrying, counts(0).carried, counts(0).taken), (0, 1, 1));
    let before = counts(0).messages;
    nodes[2].broadcast("room:1", "said", json!({"n": 1})).unwrap();
    session.expect_json(said(1)).await;
    assert!(counts(0).messages > before);
    session.post("!ack 3").await;
    assert_eq!((counts(1).begun, counts(0).taken), (2, 2));
    // A client that breaks off gives up what carried it.
    session.cut();
    eventually("it is over", || counts(0).carried == 0 && counts(1).carrying == 0).await;
    assert!(counts(0).broken > 0);
    hub.stop();
    eventually("it is away", || !nodes[1].is_ready()).await;
    assert_eq!(session.post("!ack 3").await.status, 503);
    assert_eq!(counts(1).refused, 1);
    let metrics = nodes[1].metrics();
    let counted = |name: &str, label: &str| metrics.value(name, &[label]).cloned();
    assert_eq!(counted("lapwing_cluster_relayed_total", "begun"), Some(Counted::Count(2)));
    assert_eq!(counted("lapwing_cluster_relayed_total", "refused"), Some(Counted::Count(1)));
    assert_eq!(counted("lapwing_cluster_relays", "carrier"), Some(Counted::Gauge(0.0)));
}

#[tokio::test]
async fn a_websocket_that_is_carried_is_compressed_as_its_client_and_the_first_node_have_agreed() {
    let hub = Hub::new();
    let deflate = || rooms().0.websocket(WebsocketOptions::default().deflate(DeflateOptions::default()));
    let nodes = [node(&hub, "one", deflate()).await, node(&hub, "two", deflate()).await];
    meet(&[&nodes[0], &nodes[1]]).await;
    let addresses = [lab::serve(&nodes[0]).await, lab::serve(&nodes[1]).await];
    let session = joined(addresses[0], Transport::Longpoll).await;
    let offers = [
        ("sec-websocket-protocol", "lapwing.1"),
        ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
    ];
    let path = Transport::Websocket.path("/socket");
    let mut socket = RawSocket::handshake(addresses[1], &path, &offers).await.unwrap();
    socket
        .send(Frame::text(format!("!resume {} {} {BEAT}", session.token, session.received)).deflated())
        .await;
    assert_eq!(socket.next().await, Event::Text(format!("!resumed {}", session.sent.len())));
    let text = "again and ".repeat(400);
    // That somebody takes compressed messages is found when the first is given to all.
    for _ in 0..2 {
        nodes[0].broadcast("room:1", "said", json!({"text": text})).unwrap();
        let Event::Text(said) = socket.next_but_pongs().await else { panic!("a message") };
        assert!(said.contains(&text));
    }
    assert!(socket.compressed.iter().any(|bytes| *bytes < 1_000), "{:?}", socket.compressed);
    assert_eq!(nodes[1].stats().cluster.unwrap().relays.carrying, 1);
}

/// The node that has the session encodes the answer, and the other one hands it on as it is.
#[tokio::test]
async fn what_is_carried_is_gzip_for_the_client_that_accepts_it() {
    let hub = Hub::new();
    let options = DeflateOptions::default();
    let gzip = || {
        let sse = SseOptions::default().gzip(options);
        rooms().0.sse(sse).longpoll(LongpollOptions::default().gzip(options))
    };
    let nodes = [node(&hub, "one", gzip()).await, node(&hub, "two", gzip()).await];
    meet(&[&nodes[0], &nodes[1]]).await;
    let addresses = [lab::serve(&nodes[0]).await, lab::serve(&nodes[1]).await];
    let session = joined(addresses[0], Transport::Longpoll).await;
    let accept = [("accept-encoding", "gzip")];
    let text = "again and ".repeat(400);
    let resume = |received: u64| format!("!resume {} {received} {BEAT}", session.token);
    let poll = async |received| {
        let (path, body) = (Transport::Longpoll.path("/socket"), resume(received));
        http::request(addresses[1], "POST", &path, &accept, Some(body.as_bytes())).await
    };
    // What the client takes is known from the first poll that says so, and the topic learns it from a walk.
    nodes[0].broadcast("room:1", "said", json!({})).unwrap();
    poll(session.received).await;
    let mut received = session.received + 1;
    loop {
        nodes[0].broadcast("room:1", "said", json!({"text": text})).unwrap();
        let answer = poll(received).await;
        received += 1;
        assert_eq!((answer.status, answer.header("vary")), (200, Some("accept-encoding")));
        if answer.header("content-encoding") == Some("gzip") {
            assert!(answer.body.len() < 1_000, "{} bytes", answer.body.len());
            break;
        }
        assert!(answer.text().contains(&text) && received < session.received + 30, "{}", answer.text());
    }
    let (path, body) = (Transport::Sse.path("/socket"), resume(received));
    let mut stream = EventStream::request(addresses[1], "POST", &path, &accept, Some(&body)).await;
    assert_eq!(stream.header("content-encoding"), Some("gzip"), "{}", stream.head);
    while !stream.unread().windows(8).any(|window| window == b"!resumed") {
        assert!(stream.fill_body().await);
    }
}

#[tokio::test]
async fn a_ticket_is_good_at_any_node() {
    let hub = Hub::new();
    let (nodes, addresses) = three(&hub).await;
    let mut session = joined(addresses[0], Transport::Sse).await;
    for (issued, redeemed) in [(0, 1), (1, 0), (1, 2)] {
        let line = format!("!resume {} {} {BEAT}", session.token, session.received);
        let answer =
            post(addresses[issued], &Transport::Sse.path("/socket"), &format!("!ticket\n{line}")).await;
        let text = answer.text();
        let ticket = text.trim_end().strip_prefix("!ticket ").expect("a ticket").to_owned();
        let path = format!("{}&ticket={ticket}", Transport::Sse.path("/socket"));
        let events = EventStream::request(addresses[redeemed], "GET", &path, &[], None).await;
        session.attachment = sessions::Attachment::Sse(events);
        session.expect_control(&format!("!resumed {}", session.sent.len())).await;
        let n = 10 * issued as u64 + redeemed as u64;
        nodes[2].broadcast("room:1", "said", json!({"n": n})).unwrap();
        session.expect_json(said(n)).await;
        let again = http::get(addresses[redeemed], &path).await;
        assert_eq!(again.status, 400, "it works once");
    }
}

#[tokio::test]
async fn a_token_that_no_node_has_made_costs_no_question() {
    let hub = Hub::new();
    let options = |name: &str| ClusterOptions::new("tests").name(name).secret(b"secret".as_slice());
    let one = node_with(&hub, options("one"), "one", rooms().0).await;
    let two = node_with(&hub, options("two"), "two", rooms().0).await;
    meet(&[&one, &two]).await;
    let (at_one, at_two) = (lab::serve(&one).await, lab::serve(&two).await);
    let mut session = joined(at_one, Transport::Longpoll).await;
    assert_eq!(session.token.len(), 60);
    session.address = at_two;
    session.resume(Transport::Longpoll).await;
    let (path, token) = (Transport::Longpoll.path("/socket"), session.token.clone());
    hub.stop();
    eventually("nobody can be asked", || !two.is_ready()).await;
    for at in 0..token.len() {
        let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
        let forged = format!("{}{other}{}", &token[..at], &token[at + 1..]);
        let (_, answer) = attach(at_two, Transport::Longpoll, &path, &format!("!resume {forged} 0 0")).await;
        assert_eq!(answer, "!refused unknown", "{at}");
    }
    let real = post(at_two, &path, &format!("!resume {token} 0 0")).await;
    assert_eq!(real.status, 503, "it is nobody's but the other node's to refuse");
    // A WebSocket is told in its way.
    let mut socket = upgrade(at_two, &Transport::Websocket.path("/socket")).await;
    socket.send(Frame::text(format!("!resume {token} 0 {BEAT}"))).await;
    assert_eq!(socket.next_but_pongs().await, Event::Close(1012, String::new()));
}

/// What is handed to a poll with the first token counts as received: where a node that carries it is lost, so would be what it was handed.
#[tokio::test]
async fn a_stock_client_loses_nothing_with_the_answer_to_its_first_poll() {
    let hub = Hub::new();
    let nodes = [node(&hub, "one", rooms().0).await, node(&hub, "two", rooms().0).await];
    meet(&[&nodes[0], &nodes[1]]).await;
    let addresses = [lab::serve(&nodes[0]).await, lab::serve(&nodes[1]).await];
    let mut client = LongPoll::open(addresses[0], "/socket").await;
    client.send(json!(["1", "1", "room:1", "phx_join", {}])).await;
    eventually("all of it waits", || nodes[0].sessions().all(|session| session.waiting.frames == 2)).await;
    client.address = addresses[1];
    let first = client.token.clone();
    let polled = client.poll().await;
    assert_eq!((polled.status, polled.messages.len()), (204, 0));
    assert_ne!(client.token, first, "the client is told what it has: nothing");
    // Answers are lost, and the client asks again with what it has.
    let second = client.token.clone();
    let expected = [ok("1", "1", "room:1", json!({})), json!(["1", null, "room:1", "joined", {}])];
    for _ in 0..3 {
        client.token.clone_from(&second);
        assert_eq!(client.poll().await.messages, expected);
    }
    // One whose token never changes is taken at its word, as ever.
    let mut stubborn = LongPoll::open(addresses[0], "/socket").await;
    stubborn.send(json!(["1", "1", "room:1", "phx_join", {}])).await;
    stubborn.address = addresses[1];
    let first = stubborn.token.clone();
    let mut heard = Vec::new();
    while heard.len() < 2 {
        heard.extend(stubborn.poll().await.messages);
        stubborn.token.clone_from(&first);
    }
    assert_eq!(heard, expected);
    nodes[0].broadcast("room:1", "said", json!({"n": 1})).unwrap();
    assert_eq!(stubborn.poll().await.messages, [said(1)]);
    // The answer to it is lost between the nodes: the other one tells the client what it has.
    let mut third = LongPoll::open(addresses[0], "/socket").await;
    third.send(json!(["1", "1", "room:2", "phx_join", {}])).await;
    eventually("all of it waits", || nodes[0].sessions().any(|session| session.waiting.frames == 2)).await;
    third.address = addresses[1];
    hub.stop();
    eventually("the engine is away", || !nodes[1].is_ready()).await;
    assert_eq!(third.poll().await.status, 204);
    hub.start();
    eventually("it is back", || nodes.iter().all(|node| node.is_ready())).await;
    let told = third.token.clone();
    let expected = ["phx_reply", "joined"];
    for _ in 0..2 {
        third.token.clone_from(&told);
        let messages = third.poll().await.messages;
        assert!(messages.iter().map(|message| &message[3]).eq(expected), "{messages:?}");
    }
}

/// A browser asks before a POST from another site, with the session's token, and any node may be asked.
#[tokio::test]
async fn any_node_answers_a_browser_that_asks_before_a_post_of_a_stock_client() {
    let hub = Hub::new();
    let nodes = [node(&hub, "one", rooms().0).await, node(&hub, "two", rooms().0).await];
    meet(&[&nodes[0], &nodes[1]]).await;
    let addresses = [lab::serve(&nodes[0]).await, lab::serve(&nodes[1]).await];
    let client = LongPoll::open(addresses[0], "/socket").await;
    let path = format!("/socket/longpoll?vsn=2.0.0&token={}", client.token);
    for address in addresses {
        let asked =
            [("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "content-type")];
        let answer = http::request(address, "OPTIONS", &path, &asked, None).await;
        assert_eq!(
            (answer.status, answer.header("access-control-allow-headers")),
            (200, Some("content-type"))
        );
    }
}
