//! What the demo keeps and passes on has bounds of its own.

use serde_json::{Value, json};

use super::{joined, program::Program, reply_to};
use crate::support::channels::{Client, Vsn};

/// Joins and says why not, if not.
async fn refusal(client: &mut Client, topic: &str, user: &str, name: &str, color: &str) -> Value {
    let params = json!({"user": user, "name": name, "color": color});
    client.send(json!(["9", "9", topic, "phx_join", params])).await;
    reply_to(client, "9").await.pop().unwrap()[4]["response"]["reason"].clone()
}

#[tokio::test]
async fn names_of_rooms_and_members_have_lengths() {
    let program = Program::start("demo").await;
    let mut client = Client::connect(program.address, Vsn::V2).await;
    let room = |chars| format!("room:{}", "ü".repeat(chars));
    let long = "ü".repeat(65);
    for (topic, user, name, color, wanted) in [
        (room(65), "u", "n", "#123456", json!("the room's name is too long")),
        (room(1), long.as_str(), "n", "#123456", json!("user must have 1 to 64 characters")),
        (room(2), "", "n", "#123456", json!("user must have 1 to 64 characters")),
        (room(3), "u", &long[..66], "#123456", json!("a name has 1 to 32 characters")),
        (room(4), "u", " ", "#123456", json!("a name has 1 to 32 characters")),
        (room(5), "u", "n", "#12345", json!("a color is # and six hexadecimal digits")),
        (room(6), "u", "n", "url(//x)", json!("a color is # and six hexadecimal digits")),
        (room(64), &long[..128], &long[..64], "#123456", Value::Null),
    ] {
        assert_eq!(
            refusal(&mut client, &topic, user, name, color).await,
            wanted,
            "{topic} {user} {name} {color}"
        );
    }
}

#[tokio::test]
async fn messages_have_a_length_and_somebody_who_comes_late_gets_the_last_fifty() {
    let program = Program::start("demo").await;
    let mut client = joined(&program, "ada").await;
    let status = async |client: &mut Client, text: &str| {
        client.send(json!(["1", "2", "room:lobby", "say", {"text": text}])).await;
        reply_to(client, "2").await.pop().unwrap()[4]["status"].clone()
    };
    for (text, wanted) in [("", "error"), ("ü".repeat(2_001).as_str(), "error"), (&"ü".repeat(2_000), "ok")]
    {
        assert_eq!(status(&mut client, text).await, wanted, "{} characters", text.chars().count());
    }
    for n in 1..=50 {
        assert_eq!(status(&mut client, &n.to_string()).await, "ok");
    }
    let mut late = Client::connect(program.address, Vsn::V2).await;
    let mut params = super::member("bob");
    params["_since"] = json!("-100");
    late.send(json!(["1", "1", "room:lobby", "phx_join", params])).await;
    let answer = reply_to(&mut late, "1").await.pop().unwrap();
    assert_eq!(answer[4]["response"]["_replayed"], 50, "{answer}");
    late.send(json!(["1", "2", "room:lobby", "ping", {}])).await;
    let heard = reply_to(&mut late, "2").await;
    let said = heard.iter().filter(|message| message[3] == "said");
    let texts: Vec<&str> = said.map(|message| message[4]["text"].as_str().unwrap()).collect();
    assert_eq!(texts, (1..=50).map(|n| n.to_string()).collect::<Vec<_>>());
}
