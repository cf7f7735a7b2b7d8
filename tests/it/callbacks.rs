//! What becomes on the wire of what callbacks return: answers, failures of the client's making and of the program's.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use lapwing::{
    Channel, Context, Failure, Handled, Joining, Json, Lapwing, LeaveReason, Mount, Payload, Receive, Sender,
    StopReason, Topic, noreply, reply, stop,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::{
    channels::{BOTH, Client, Vsn, closed, ok, reply as replied},
    lab,
};

/// What the joins share with each other and with the test.
struct Shared {
    count: AtomicU64,
    senders: mpsc::UnboundedSender<Sender<Till>>,
}

/// Does what may fail.
struct Till;

#[derive(Deserialize)]
struct Pay {
    cents: u64,
    from: Person,
}

#[derive(Deserialize, Serialize)]
struct Person {
    name: String,
}

#[derive(Serialize)]
struct Paid<'a> {
    by: &'a str,
    count: u64,
}

#[derive(Debug)]
struct OutOfPaper(std::io::Error);

impl fmt::Display for OutOfPaper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing can be printed")
    }
}

impl std::error::Error for OutOfPaper {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

fn print() -> Result<(), OutOfPaper> {
    Err(OutOfPaper(std::io::Error::other("no paper")))
}

/// A map whose keys are no strings.
fn unwritable() -> Json<BTreeMap<(u8, u8), u8>> {
    Json(BTreeMap::from([((1, 2), 3)]))
}

impl Channel for Till {
    type State = Shared;

    async fn join(topic: &Topic, params: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        match topic.as_str() {
            "till:closed" => return Err(Failure::new(Json(Person { name: "nobody".into() }))),
            "till:broken" => print()?,
            "till:named" => joining.set_reply(Json(params.parse::<Person>()?))?,
            "till:unwritable" => joining.set_reply(unwritable())?,
            _ => {}
        }
        joining.state().senders.send(joining.sender())?;
        Ok(Self)
    }

    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        match cx.topic().as_str() {
            "till:over" => Ok(stop(StopReason::Normal)),
            "till:joined" => Err(Failure::reason("not yet")),
            _ => Ok(noreply()),
        }
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        match event {
            "pay" => {
                let Pay { cents, from } = payload.parse()?;
                let count = cx.state().count.fetch_add(cents, Ordering::Relaxed) + cents;
                Ok(reply("ok", Json(Paid { by: &from.name, count })))
            }
            "print" => {
                print()?;
                Ok(noreply())
            }
            "forward" => {
                cx.broadcast_from("forwarded", payload)?;
                Ok(reply("ok", json!({})))
            }
            "update" => {
                cx.update("nobody", json!({})).await?;
                Ok(noreply())
            }
            "unwritable" => Ok(reply("ok", unwritable())),
            "stop unwritable" => Ok(stop(StopReason::Normal).with_reply("ok", unwritable())),
            "late" => {
                let (late, second) = (cx.take_reply(), cx.take_reply());
                assert!(second.is_none(), "taken once");
                late.expect("an event can be answered").reply("ok", json!({"late": true}))?;
                Ok(reply("ok", json!({"late": false})))
            }
            "late and wrong" => {
                cx.take_reply().expect("an event can be answered").reply("ok", json!({}))?;
                Err(Failure::reason("nobody hears this"))
            }
            _ => Ok(reply("ok", json!({}))),
        }
    }

    async fn leave(&mut self, _: LeaveReason, _: &Context<Self>) -> Result<(), Failure> {
        print()?;
        Ok(())
    }
}

impl Receive<Person> for Till {
    async fn handle_info(&mut self, person: Person, cx: &Context<Self>) -> Handled {
        assert!(cx.take_reply().is_none(), "no event");
        cx.push("person", Json(&person))?;
        Ok(reply("ok", json!({"nobody": "asked"})))
    }
}

impl Receive<u32> for Till {
    async fn handle_info(&mut self, number: u32, cx: &Context<Self>) -> Handled {
        if number == 0 {
            print()?;
        }
        cx.push("number", json!({"n": number}))?;
        Ok(noreply())
    }
}

/// Is there to be listened to.
struct News;

impl Channel for News {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }
}

struct Lab {
    lapwing: Lapwing,
    address: std::net::SocketAddr,
    shared: Arc<Shared>,
    senders: mpsc::UnboundedReceiver<Sender<Till>>,
}

async fn lab() -> Lab {
    let (told, senders) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared { count: AtomicU64::new(0), senders: told });
    let mount = Mount::new().channel::<Till>("till:*", shared.clone()).channel::<News>("news", ());
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    Lab { lapwing, address, shared, senders }
}

/// Sends an event; the reply must be this.
async fn ask(client: &mut Client, event: &str, payload: Value, status: &str, response: Value) {
    client.send(json!(["1", event, "till:1", event, payload])).await;
    client.expect(replied(json!("1"), event, "till:1", status, response)).await;
}

#[tokio::test]
async fn an_error_of_a_callback_is_an_error_reply_and_the_join_goes_on() {
    let lab = lab().await;
    for vsn in BOTH {
        let mut client = Client::joined(lab.address, vsn, "till:1").await;
        let wrong =
            |field: &str, error: &str| json!({"reason": "invalid payload", "field": field, "error": error});
        for (payload, response) in [
            (json!({"cents": 5}), wrong("from", "missing")),
            (json!({"cents": 5, "from": {}}), wrong("from.name", "missing")),
            (
                json!({"cents": "5", "from": {"name": "ada"}}),
                wrong("cents", "invalid type: string \"5\", expected u64"),
            ),
        ] {
            ask(&mut client, "pay", payload, "error", response).await;
        }
        let internal = json!({"reason": "internal"});
        for event in ["print", "unwritable"] {
            ask(&mut client, event, json!({}), "error", internal.clone()).await;
        }
        let not_object = "payload of a push or broadcast is neither a JSON object nor bytes";
        ask(&mut client, "update", json!({}), "error", json!({"reason": "the key is not tracked"})).await;
        // It is another client who cannot be sent it.
        let _other = Client::joined(lab.address, Vsn::V2, "till:1").await;
        ask(&mut client, "forward", json!([1]), "error", json!({"reason": not_object})).await;
        ask(&mut client, "other", json!({}), "ok", json!({})).await;
    }
}

#[tokio::test]
async fn payloads_are_typed_both_ways_and_the_state_is_that_of_the_route() {
    let lab = lab().await;
    let (mut first, mut second) = (
        Client::joined(lab.address, Vsn::V2, "till:1").await,
        Client::joined(lab.address, Vsn::V1, "till:1").await,
    );
    let pay = |cents: u64| json!({"cents": cents, "from": {"name": "ada"}});
    ask(&mut first, "pay", pay(2), "ok", json!({"by": "ada", "count": 2})).await;
    ask(&mut second, "pay", pay(3), "ok", json!({"by": "ada", "count": 5})).await;
    assert_eq!(lab.shared.count.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn a_refused_join_is_told_why_if_that_is_the_clients_business() {
    let lab = lab().await;
    let mut client = Client::connect(lab.address, Vsn::V2).await;
    for (topic, params, response) in [
        ("till:closed", json!({}), json!({"name": "nobody"})),
        ("till:broken", json!({}), json!({"reason": "internal"})),
        ("till:unwritable", json!({}), json!({"reason": "internal"})),
        ("till:named", json!({}), json!({"reason": "invalid payload", "field": "name", "error": "missing"})),
    ] {
        client.send(json!(["1", "2", topic, "phx_join", params])).await;
        client.expect(replied(json!("1"), "2", topic, "error", response)).await;
    }
    client.send(json!(["1", "2", "till:named", "phx_join", {"name": "ada"}])).await;
    client.expect(ok("1", "2", "till:named", json!({"name": "ada"}))).await;
    assert_eq!(lab.lapwing.stats().joins, 1);
}

#[tokio::test]
async fn what_joined_returns_may_end_the_join_and_its_failure_ends_nothing() {
    let lab = lab().await;
    let mut client = Client::connect(lab.address, Vsn::V2).await;
    client.join("1", "till:over").await;
    client.expect(closed("1", "till:over")).await;
    client.join("2", "till:joined").await;
    client.send(json!(["2", "3", "till:joined", "other", {}])).await;
    client.expect(ok("2", "3", "till:joined", json!({}))).await;
}

#[tokio::test]
async fn an_event_is_answered_once_by_whoever_took_the_right_to() {
    let lab = lab().await;
    let mut client = Client::joined(lab.address, Vsn::V2, "till:1").await;
    ask(&mut client, "late", json!({}), "ok", json!({"late": true})).await;
    ask(&mut client, "late and wrong", json!({}), "ok", json!({})).await;
    // The right is the next event's anew.
    ask(&mut client, "late", json!({}), "ok", json!({"late": true})).await;
    client.expect_heartbeat().await;
}

#[tokio::test]
async fn a_channel_that_stops_stops_even_if_its_answer_cannot_be_written() {
    let lab = lab().await;
    let mut client = Client::joined(lab.address, Vsn::V2, "till:1").await;
    ask(&mut client, "stop unwritable", json!({}), "error", json!({"reason": "internal"})).await;
    client.expect(closed("1", "till:1")).await;
    // Its `leave` fails, which is for the log alone.
    client.join("2", "till:1").await;
}

#[tokio::test]
async fn a_channel_receives_messages_of_several_types_in_their_order() {
    let mut lab = lab().await;
    let mut client = Client::joined(lab.address, Vsn::V2, "till:1").await;
    let sender = lab.senders.recv().await.unwrap();
    for n in 1..=3 {
        sender.send(n).unwrap();
        sender.send(Person { name: n.to_string() }).unwrap();
        // One that fails ends nothing, and nobody is told.
        sender.send(0).unwrap();
    }
    for n in 1..=3 {
        client.expect(json!(["1", null, "till:1", "number", {"n": n}])).await;
        client.expect(json!(["1", null, "till:1", "person", {"name": n.to_string()}])).await;
    }
    client.expect_heartbeat().await;
}

#[tokio::test]
async fn a_channel_that_is_listened_to_needs_no_handler_and_says_so() {
    let lab = lab().await;
    let mut client = Client::joined(lab.address, Vsn::V2, "news").await;
    client.send(json!(["1", "2", "news", "say", {}])).await;
    client.expect(replied(json!("1"), "2", "news", "error", json!({"reason": "unmatched event"}))).await;
    lab.lapwing.broadcast("news", "flash", Json(Person { name: "ada".into() })).unwrap();
    client.expect(json!([null, null, "news", "flash", {"name": "ada"}])).await;
}
