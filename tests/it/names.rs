//! What clients call things: how long that may be, and halves of characters in it.

use lapwing::{
    Channel, Context, Failure, Handled, Joining, Lapwing, Mount, NameLimits, Payload, PresenceState, Topic,
    protocol::{FiveKey, SerializerList, V1},
    reply,
};
use serde_json::{Value, json};

use crate::support::{
    channels::{BOTH, Client, Vsn, binary_push, ok, reply as replied},
    lab,
};

/// Says what it was told, as a program reads it.
struct Parrot;

impl Channel for Parrot {
    type State = ();

    async fn join(topic: &Topic, params: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        joining.set_reply(json!({"topic": topic.as_str(), "params": params.parse::<Value>().unwrap()}))?;
        Ok(Self)
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        if event == "track" {
            cx.track("me", payload).await.unwrap();
            let state: PresenceState = cx.presences().await.unwrap().parse().unwrap();
            return Ok(reply("ok", json!({"name": state["me"].metas[0]["name"]})));
        }
        match payload.as_binary() {
            Some(bytes) => Ok(reply("ok", json!({"event": event, "bytes": bytes.len()}))),
            None => Ok(reply("ok", json!({"event": event, "payload": payload.parse::<Value>().unwrap()}))),
        }
    }
}

async fn serve(limits: NameLimits) -> (Lapwing, std::net::SocketAddr) {
    let mount =
        || Mount::new().channel::<Parrot>("room:*", ()).channel::<Parrot>("\u{fffd}", ()).names(limits);
    let five_key = SerializerList::new().with("~> 2.0.0", FiveKey).with("~> 1.0.0", V1);
    let lapwing = Lapwing::builder()
        .mount("/socket", mount())
        .mount("/five", mount().serializers(five_key))
        .build()
        .unwrap();
    let address = lab::serve(&lapwing).await;
    (lapwing, address)
}

#[tokio::test]
async fn a_name_that_is_too_long_is_answered_with_an_error_and_kept_nowhere() {
    let (lapwing, address) = serve(NameLimits::default()).await;
    let large = "x".repeat(1024 * 1024);
    let fitting = format!("room:{}", "x".repeat(1_019));
    for vsn in BOTH {
        let mut client = Client::connect(address, vsn).await;
        for n in 0..20 {
            let (n, topic) = (n.to_string(), format!("room:{n}{large}"));
            client.send(json!([n, n, topic, "phx_join", {}])).await;
            let reason = json!({"reason": "topic too long"});
            client.expect(replied(json!(n), &n, &topic, "error", reason)).await;
        }
        assert_eq!((lapwing.stats().joins, lapwing.stats().topics), (0, 0));
        client.send(json!(["1", "1", fitting, "phx_join", {}])).await;
        client.expect(ok("1", "1", &fitting, json!({"topic": fitting, "params": {}}))).await;
        client.send(json!(["1", "2", fitting, "e".repeat(256), {}])).await;
        client.expect(replied(json!("1"), "2", &fitting, "error", json!({"reason": "event too long"}))).await;
        let long = "9".repeat(254);
        client.send(json!(["1", long, fitting, "say", {}])).await;
        client.expect(replied(json!("1"), &long, &fitting, "error", json!({"reason": "ref too long"}))).await;
        client.send(json!([long, "3", fitting, "say", {}])).await;
        let reason = json!({"reason": "join_ref too long"});
        client.expect(replied(json!(long), "3", &fitting, "error", reason)).await;
        client.send(json!(["1", "4", fitting, "e".repeat(255), {}])).await;
        client.expect(ok("1", "4", &fitting, json!({"event": "e".repeat(255), "payload": {}}))).await;
        client.send(json!(["1", "5", fitting, "phx_leave", {}])).await;
        client.expect(ok("1", "5", &fitting, json!({}))).await;
    }
}

#[tokio::test]
async fn the_bounds_of_names_hold_for_every_serializer() {
    let limits = NameLimits::new().topic_bytes_max(6).event_bytes_max(8).ref_bytes_max(4);
    let (_lapwing, address) = serve(limits).await;
    let mut client = Client::connect(address, Vsn::V2).await;
    client.send(json!(["1", "1", "room:1", "phx_join", {}])).await;
    client.expect(ok("1", "1", "room:1", json!({"topic": "room:1", "params": {}}))).await;
    client.send_binary(&binary_push("1", "2", "room:1", "say", &[0; 2_000])).await;
    client.expect(ok("1", "2", "room:1", json!({"event": "say", "bytes": 2_000}))).await;
    for (reference, topic, event, field) in [
        ("2", "room:12", "say", "topic"),
        ("2", "room:1", "say it to", "event"),
        ("234", "room:1", "say", "ref"),
    ] {
        client.send_binary(&binary_push("1", reference, topic, event, &[0; 2_000])).await;
        let reason = json!({"reason": format!("{field} too long")});
        client.expect(replied(json!("1"), reference, topic, "error", reason)).await;
    }
    let mut client = Client::connect_to(address, "/five", Vsn::V2, "").await;
    client.send_text(r#"{"join_ref":"1","ref":"1","topic":"room:12","event":"phx_join","payload":{}}"#).await;
    let answer = client.next_message().await;
    assert_eq!(answer["payload"], json!({"status": "error", "response": {"reason": "topic too long"}}));
}

#[tokio::test]
async fn half_an_emoji_is_read_as_the_replacement_character_wherever_it_stands() {
    let (_lapwing, address) = serve(NameLimits::default()).await;
    let mut client = Client::connect(address, Vsn::V2).await;
    client.send_text(r#"["1","1","room:1","phx_join",{"name":"Ada \ud83d"}]"#).await;
    let params = json!({"name": "Ada \u{fffd}"});
    client.expect(ok("1", "1", "room:1", json!({"topic": "room:1", "params": params}))).await;
    client.send_text(r#"["1","2","room:1","say",{"text":"cut \ud83d","whole":"\ud83d\ude00"}]"#).await;
    let payload = json!({"text": "cut \u{fffd}", "whole": "😀"});
    client.expect(ok("1", "2", "room:1", json!({"event": "say", "payload": payload}))).await;
    client.send_text(r#"["1","\ude00","room:1","\ud83d",{}]"#).await;
    let response = json!({"event": "\u{fffd}", "payload": {}});
    client.expect(ok("1", "\u{fffd}", "room:1", response)).await;
    client.send_text(r#"["1","3","room:1","track",{"name":"\ud83d"}]"#).await;
    // The diff passes on what was sent, which is JSON; the program reads it.
    loop {
        let message = client.socket.next().await;
        let crate::support::websocket::Event::Text(text) = message else { panic!("{message:?}") };
        if text.contains("phx_reply") {
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap()[4]["response"]["name"], "\u{fffd}");
            break;
        }
    }

    for (mount, vsn) in [("/socket", "vsn=1.0.0"), ("/five", "vsn=2.0.0")] {
        let path = format!("{mount}/websocket?{vsn}");
        let socket = crate::support::websocket::RawSocket::connect(address, &path).await;
        let mut client = Client { socket, vsn: Vsn::V2 };
        client
            .send_text(
                r#"{"join_ref":"1","ref":"1","topic":"\ud800","event":"phx_join","payload":{"a":"\udfff"}}"#,
            )
            .await;
        let answer = client.next_message().await;
        let response = json!({"topic": "\u{fffd}", "params": {"a": "\u{fffd}"}});
        assert_eq!((&answer["topic"], &answer["payload"]["response"]), (&json!("\u{fffd}"), &response));
    }
}
