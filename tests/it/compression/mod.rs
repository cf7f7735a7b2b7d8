//! What is compressed on its way to clients, and what is not: broadcasts, replies, pushes, secrets, joins, kept topics.

mod streams;

use std::{net::SocketAddr, time::Duration};

use lapwing::{
    Broadcast, Channel, Context, DeflateOptions, Failure, Handled, Joining, Keep, Lapwing, Mount, Payload,
    Topic, WebsocketOptions, noreply, reply,
};
use serde_json::{Value, json};

use crate::support::{
    channels::{BOTH, Client, Vsn, ok},
    lab,
    websocket::RawSocket,
};

const OFFER: (&str, &str) = ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits");

/// Says what it is told to in the way that it is told to.
struct Room;

impl Channel for Room {
    type State = ();

    const INTERCEPT: &'static [&'static str] = &["relayed"];

    async fn join(_: &Topic, params: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        joining.set_reply(params)?;
        Ok(Self)
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        match event {
            "reply" => return Ok(reply("ok", payload)),
            "reply_secret" => return Ok(reply("ok", payload).uncompressed()),
            "late" => cx.take_reply().unwrap().reply("ok", payload)?,
            "late_secret" => cx.take_reply().unwrap().uncompressed().reply("ok", payload)?,
            "push" => cx.push("said", payload)?,
            "push_secret" => cx.uncompressed().push("said", payload)?,
            "push_when_ready" => cx.push_when_ready("said", payload).await?,
            "broadcast" => _ = cx.broadcast("said", payload)?,
            "broadcast_secret" => _ = cx.uncompressed().broadcast("said", payload)?,
            "relay" => _ = cx.broadcast("relayed", payload)?,
            "relay_secret" => {
                _ = cx.publish(Broadcast::new(cx.topic(), "relayed", payload).uncompressed())?;
            }
            _ => return Err(Failure::reason("unknown event")),
        }
        Ok(noreply())
    }

    async fn handle_out(&mut self, _: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        cx.push("said", payload)?;
        Ok(noreply())
    }
}

/// Intercepts nothing: the members of its topics are sessions.
struct Plain;

impl Channel for Plain {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }
}

async fn serve() -> (Lapwing, SocketAddr) {
    let mount = Mount::new()
        .channel::<Room>("room:*", ())
        .channel::<Plain>("plain:*", ())
        .channel::<Plain>("kept:*", ())
        .keep("kept:*", Keep::last(5).for_at_most(Duration::from_secs(3600)))
        .websocket(WebsocketOptions::default().deflate(DeflateOptions::default()));
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    (lapwing, address)
}

/// A client that takes compressed messages, or one that does not.
async fn connect(address: SocketAddr, vsn: Vsn, offers: &[(&str, &str)]) -> Client {
    let path = format!("/socket/websocket?{}", vsn.query());
    let socket = RawSocket::handshake(address, &path, offers).await.expect("it opens");
    Client { socket, vsn }
}

fn rows(count: usize) -> Value {
    let row = |n: usize| {
        let (status, owner) = (["open", "done"][n % 2], format!("user-{}", n % 5));
        json!({"id": n * 7, "status": status, "owner": owner})
    };
    json!({"rows": (0..count).map(row).collect::<Vec<_>>()})
}

/// Sends an event, expects one message, and says whether that came compressed.
async fn is_compressed(client: &mut Client, event: &str, payload: &Value) -> bool {
    let before = client.socket.compressed.len();
    client.send(json!(["1", "7", "room:1", event, payload])).await;
    let message = client.next_message().await;
    let got = if client.vsn == Vsn::V1 { &message["payload"] } else { &message[4] };
    assert!(got == payload || got["response"] == *payload, "{event}: {got}");
    client.socket.compressed.len() > before
}

#[tokio::test]
async fn what_is_worth_it_is_compressed_and_no_secret_is() {
    let (_lapwing, address) = serve().await;
    let (large, middling, small) = (rows(40), rows(12), rows(1));
    assert!((256..1_024).contains(&middling.to_string().len()), "{}", middling.to_string().len());
    for vsn in BOTH {
        let mut client = connect(address, vsn, &[OFFER]).await;
        client.join("1", "room:1").await;
        for (event, from_1024, from_256) in [
            ("reply", true, false),
            ("reply_secret", false, false),
            ("late", true, false),
            ("late_secret", false, false),
            ("push", true, false),
            ("push_secret", false, false),
            ("push_when_ready", true, false),
            ("broadcast", true, true),
            ("broadcast_secret", false, false),
            ("relay", true, false),
            ("relay_secret", false, false),
        ] {
            for (payload, expected) in [(&large, from_1024), (&middling, from_256), (&small, false)] {
                let got = is_compressed(&mut client, event, payload).await;
                assert_eq!(got, expected, "{event} of {} bytes, {vsn:?}", payload.to_string().len());
            }
        }
    }
}

/// The topic's members are locked when a client is let in, and joins are where tokens are.
#[tokio::test]
async fn the_answer_to_a_join_is_never_compressed() {
    let (_lapwing, address) = serve().await;
    let mut client = connect(address, Vsn::V2, &[OFFER]).await;
    client.send(json!(["1", "1", "room:1", "phx_join", rows(100)])).await;
    client.expect(ok("1", "1", "room:1", rows(100))).await;
    assert!(client.socket.compressed.is_empty());
}

#[tokio::test]
async fn all_get_the_same_broadcast_each_in_the_form_that_it_takes() {
    let (lapwing, address) = serve().await;
    let mut clients = Vec::new();
    for vsn in BOTH {
        for offers in
            [&[OFFER][..], &[], &[OFFER], &[(OFFER.0, "permessage-deflate; server_max_window_bits=9")]]
        {
            let mut client = connect(address, vsn, offers).await;
            client.send(json!(["1", "1", "plain:1", "phx_join", {}])).await;
            client.expect(ok("1", "1", "plain:1", json!({}))).await;
            clients.push(client);
        }
    }
    let payload = rows(40);
    lapwing.broadcast("plain:1", "said", payload.clone()).unwrap();
    let mut sizes = Vec::new();
    for client in &mut clients {
        client.expect(json!([null, null, "plain:1", "said", payload])).await;
        sizes.push(client.socket.compressed.clone());
    }
    for of_version in sizes.chunks(4) {
        let [[first], [], [second], []] = [0, 1, 2, 3].map(|at| &of_version[at][..]) else {
            panic!("{sizes:?}");
        };
        assert_eq!(first, second, "the same bytes");
        assert!(first * 10 < payload.to_string().len() * 4, "{first} of {}", payload.to_string().len());
    }
}

/// What is replayed belongs to one client, and what tells its place is made with the topic locked.
#[tokio::test]
async fn kept_topics_are_compressed_for_those_who_do_not_ask() {
    let (lapwing, address) = serve().await;
    let payload = rows(40);
    let mut plain = connect(address, Vsn::V2, &[OFFER]).await;
    plain.send(json!(["1", "1", "kept:1", "phx_join", {}])).await;
    plain.expect(ok("1", "1", "kept:1", json!({}))).await;
    lapwing.broadcast("kept:1", "said", payload.clone()).unwrap();
    plain.expect(json!([null, null, "kept:1", "said", payload])).await;
    assert_eq!(plain.socket.compressed.len(), 1);
    let mut asking = connect(address, Vsn::V2, &[OFFER]).await;
    asking.send(json!(["1", "1", "kept:1", "phx_join", {"_since": "-5"}])).await;
    let reply = asking.next_message().await;
    assert_eq!(reply[4]["response"]["_replayed"], 1, "{reply}");
    asking.expect(json!([null, "@1", "kept:1", "said", payload])).await;
    lapwing.broadcast("kept:1", "said", payload.clone()).unwrap();
    asking.expect(json!([null, "@2", "kept:1", "said", payload])).await;
    assert!(asking.socket.compressed.is_empty());
    plain.expect(json!([null, null, "kept:1", "said", payload])).await;
    assert_eq!(plain.socket.compressed.len(), 2);
}

/// What is written is counted as it is written, and what waits is held in both forms and given back.
#[tokio::test]
async fn the_counts_are_of_what_is_written() {
    let (lapwing, address) = serve().await;
    let mut client = connect(address, Vsn::V2, &[OFFER]).await;
    client.send(json!(["1", "1", "plain:1", "phx_join", {}])).await;
    client.expect(ok("1", "1", "plain:1", json!({}))).await;
    let before = lapwing.stats().bytes_out;
    let payload = rows(400);
    for _ in 0..10 {
        lapwing.broadcast("plain:1", "said", payload.clone()).unwrap();
    }
    for _ in 0..10 {
        client.expect(json!([null, null, "plain:1", "said", payload])).await;
    }
    // Behind it: what was written before is counted by now.
    client.expect_heartbeat().await;
    client.expect_heartbeat().await;
    let written = lapwing.stats().bytes_out - before;
    let compressed: usize = client.socket.compressed.iter().sum();
    assert_eq!(client.socket.compressed.len(), 10);
    assert!((compressed as u64..compressed as u64 + 300).contains(&written), "{written} of {compressed}");
    assert_eq!(lapwing.stats().bytes_held, 0);
}
