//! Over WebSocket: too many joins, too long topics, too deep payloads, too many fragments.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::MIB;
use crate::support::{
    PATIENCE,
    bystander::Bystander,
    channels::{Client, Vsn, brief, ok},
    testbed::Testbed,
    websocket::{CONTINUATION, Event, Frame, RawSocket},
};

#[tokio::test]
async fn json_nested_100_000_deep_is_echoed_or_refused() {
    const DEPTH: usize = 100_000;
    let testbed = Testbed::start();
    let bystander = Bystander::start(&testbed).await;
    let deep = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    let messages = [
        (Vsn::V2, format!(r#"["1","2","room:deep","ping",{deep}]"#)),
        (Vsn::V2, format!(r#"["1","2","room:deep","shout",{{"a":{deep}}}]"#)),
        (Vsn::V2, format!(r#"["1",{deep},"room:deep","ping",{{}}]"#)),
        (Vsn::V2, deep.clone()),
        (Vsn::V2, "[".repeat(DEPTH)),
        (Vsn::V1, format!(r#"{{"topic":"room:deep","event":"ping","ref":"2","payload":{deep}}}"#)),
        (Vsn::V1, format!(r#"{{"topic":"room:deep","event":"ping","ref":"2","payload":{{}},"x":{deep}}}"#)),
        (Vsn::V1, "{\"a\":".repeat(DEPTH)),
    ];
    for (vsn, message) in messages {
        let mut client = Client::joined(testbed.address(), vsn, "room:deep").await;
        client.send_text(&message).await;
        match client.socket.next().await {
            Event::Text(text) => assert!(text.contains("phx_reply") || text.contains("shout"), "{text:.100}"),
            Event::Close(1011, _) => {}
            event => panic!("{message:.40}: {}", brief(&event)),
        }
    }
    // A join's params are handed to user code, which may look at them.
    let mut client = Client::connect(testbed.address(), Vsn::V2).await;
    client.send_text(&format!(r#"["1","1","room:ident","phx_join",{deep}]"#)).await;
    let event = client.socket.next().await;
    assert!(matches!(event, Event::Text(_) | Event::Close(1011, _)), "{}", brief(&event));
    bystander.finish().await;
}

#[tokio::test]
async fn a_topic_of_a_megabyte_gets_an_answer() {
    let testbed = Testbed::start();
    let bystander = Bystander::start(&testbed).await;
    let mut client = Client::connect(testbed.address(), Vsn::V2).await;
    let topic = format!("room:{}", "x".repeat(MIB));
    client.send(json!(["1", "1", topic, "phx_join", {}])).await;
    let answer = client.next_message().await;
    assert!(answer[2] == topic && answer[3] == "phx_reply", "{:.100}", answer.to_string());
    let status = answer[4]["status"].as_str().unwrap();
    assert!(["ok", "error"].contains(&status), "{status}");
    // The other fields may be as long.
    let long = "y".repeat(MIB);
    client.send(json!(["1", long, topic, long, {}])).await;
    let answer = client.next_message().await;
    assert!(answer[3] == "phx_reply" || answer[3] == "phx_error", "{:.100}", answer.to_string());
    client.expect_heartbeat().await;
    bystander.finish().await;
}

#[tokio::test]
async fn ten_thousand_joins_on_one_socket_are_all_answered() {
    const JOINS: usize = 10_000;
    const BYTES_PER_JOIN_MAX: u64 = 8 * 1024;
    let testbed = Testbed::start();
    let bystander = Bystander::start(&testbed).await;
    let mut client = Client::connect(testbed.address(), Vsn::V2).await;
    let before = testbed.rss();
    for number in 0..JOINS {
        client.send(json!([number, number, format!("room:many-{number}"), "phx_join", {}])).await;
        if number % 100 == 99 {
            for _ in 0..100 {
                let answer = client.next_message().await;
                assert_eq!(answer[4], json!({"status": "ok", "response": {}}));
            }
        }
    }
    let grown = testbed.rss().saturating_sub(before);
    assert!(grown < BYTES_PER_JOIN_MAX * JOINS as u64, "{JOINS} joins took {grown} bytes");
    // The bystander has one join of its own.
    assert_eq!(testbed.stat("joins").await, JOINS as u64 + 1);
    client.send(json!([5000, "p", "room:many-5000", "ping", {"n": 1}])).await;
    let answer = json!({"status": "ok", "response": {"n": 1}});
    client.expect(json!([5000, "p", "room:many-5000", "phx_reply", answer])).await;
    drop(client);
    testbed.wait_for_stat("joins", 1, Duration::from_secs(10)).await;
    bystander.finish().await;
}

#[tokio::test]
async fn ten_thousand_pipelined_joins_over_the_limit_are_refused_one_by_one() {
    let testbed = Testbed::start();
    let bystander = Bystander::start(&testbed).await;
    let mut client = Client::connect_to(testbed.address(), "/socket_default", Vsn::V2, "").await;
    for number in 0..10_000 {
        client.send(json!([number, number, format!("room:over-{number}"), "phx_join", {}])).await;
        // Answers are read as they come: a client that reads nothing is another test's.
        if number % 100 == 99 {
            for _ in 0..100 {
                let answer = client.next_message().await;
                let refused = answer[4]["response"] == json!({"reason": "too many channels joined"});
                assert_eq!(refused, number >= 100, "{answer}");
            }
        }
    }
    assert_eq!(testbed.stat("joins").await, 101);
    client.expect_heartbeat().await;
    bystander.finish().await;
}

async fn flood_with_fragments(testbed: &Testbed, path: &str, count: usize) -> Vec<Event> {
    let mut socket = RawSocket::connect(testbed.address(), path).await;
    let mut bytes = Frame::text("[").more().encode();
    let fragment = Frame::new(CONTINUATION, " ").more().encode();
    bytes.extend(fragment.repeat(count));
    let mut events = Vec::new();
    socket.send_bytes(&bytes).await.expect("a server that has had enough still lets its client say the rest");
    while let Some(event) = socket.next_within(Duration::from_secs(10)).await {
        let end = event == Event::End;
        events.push(event);
        if end {
            break;
        }
    }
    events
}

#[tokio::test]
async fn a_million_tiny_fragments_are_refused() {
    let testbed = Testbed::start();
    let bystander = Bystander::start(&testbed).await;
    let before = testbed.rss();
    for path in ["/echo/websocket", "/socket/websocket?vsn=2.0.0"] {
        let events = flood_with_fragments(&testbed, path, 1_000_000).await;
        let refused = matches!(events[..], [Event::Close(1008 | 1009, _), Event::End]);
        assert!(refused, "{path}: {events:?}");
    }
    let grown = testbed.rss().saturating_sub(before);
    assert!(grown < 32 * MIB as u64, "the server grew by {grown} bytes");
    bystander.finish().await;
}

#[tokio::test]
async fn a_million_pings_unread_do_not_fill_memory() {
    let testbed = Testbed::start();
    let bystander = Bystander::start(&testbed).await;
    let before = testbed.rss();
    let socket = RawSocket::connect(testbed.address(), "/socket/websocket?vsn=2.0.0").await;
    let (mut reader, mut writer) = socket.into_stream().into_split();
    let pings = Frame::new(9, [b'p'; 125]).encode().repeat(10_000);
    let mut sent = 0;
    // Stops when the server stops reading, because we do not read its pongs, or when it hangs up.
    while sent < 100 {
        match timeout(Duration::from_secs(2), writer.write_all(&pings)).await {
            Ok(Ok(())) => sent += 1,
            _ => break,
        }
    }
    let grown = testbed.rss().saturating_sub(before);
    assert!(grown < 32 * MIB as u64, "after {sent}0,000 pings the server has grown by {grown} bytes");
    // What it has to say can still be read.
    let mut some = [0; 4096];
    let read = timeout(PATIENCE, reader.read(&mut some)).await;
    assert!(matches!(read, Ok(Ok(1..))), "{read:?}");
    bystander.finish().await;
}

/// Unparsable refs, topics and events of every JSON type must not kill anything.
#[tokio::test]
async fn messages_of_wrong_types_get_an_answer() {
    let testbed = Testbed::shared();
    let odd = [json!(null), json!(5), json!(1.5), json!(true), json!([]), json!({}), json!("")];
    let mut client = Client::joined(testbed.address(), Vsn::V2, "room:types").await;
    for value in &odd {
        for message in [
            json!(["1", value, "room:types", "ping", {}]),
            json!(["1", "2", value, "ping", {}]),
            json!([null, value, value, "phx_join", {}]),
        ] {
            client.send(message.clone()).await;
            let answer = client.next_message().await;
            assert_eq!((&answer[1], &answer[2]), (&message[1], &message[2]), "{message}");
            assert_eq!(answer[3], "phx_reply", "{message}");
        }
    }
    client.send(json!(["1", "3", "room:types", "ping", Value::Null])).await;
    client.expect(ok("1", "3", "room:types", Value::Null)).await;
    client.expect_heartbeat().await;
}
