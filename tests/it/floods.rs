//! Channels that say much as soon as somebody has joined: it all comes, and nobody joins again and again for it.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use lapwing::{
    Channel, Context, Failure, Handled, Joining, Keep, Lapwing, Mount, Payload, PushError, Topic, noreply,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    pressure::next_message,
    support::{
        channels::{Client, Vsn, ok},
        lab,
        longpoll::LongPoll,
        sessions::{Session, TRANSPORTS},
    },
};

/// Says rows to a client that has joined.
struct Greeter(Asked);

#[derive(Deserialize)]
struct Asked {
    rows: usize,
    bytes: usize,
    /// Whether it pushes each when there is room, or as many as there is room for and then the others.
    is_patient: bool,
}

impl Channel for Greeter {
    /// The joins so far.
    type State = AtomicUsize;

    async fn join(_: &Topic, params: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        joining.state().fetch_add(1, Ordering::Relaxed);
        Ok(Self(params.parse()?))
    }

    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        let text = "x".repeat(self.0.bytes);
        for row in 0..self.0.rows {
            let payload = json!({"row": row, "text": text});
            if self.0.is_patient {
                cx.push_when_ready("row", payload).await?;
                continue;
            }
            while let Err(error) = cx.push("row", payload.clone()) {
                let PushError::Full = error else { return Err(error.into()) };
                cx.ready().await?;
            }
        }
        Ok(noreply())
    }
}

/// Says nothing by itself.
struct Quiet;

impl Channel for Quiet {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }
}

/// The first are more frames than may wait, the last more bytes.
const FLOODS: [(usize, usize); 3] = [(5_000, 10), (10, 600_000), (30, 600_000)];

fn requests() -> impl Iterator<Item = (usize, Value)> {
    let each = |(rows, bytes)| [true, false].map(|is_patient| (rows, bytes, is_patient));
    FLOODS.into_iter().flat_map(each).map(|(rows, bytes, is_patient)| {
        let params = json!({"rows": rows, "bytes": bytes, "is_patient": is_patient});
        (rows, json!(["1", "1", "rows:1", "phx_join", params]))
    })
}

async fn serve() -> (Lapwing, SocketAddr, Arc<AtomicUsize>) {
    let joins = Arc::new(AtomicUsize::new(0));
    let mount = Mount::new().channel::<Greeter>("rows:*", joins.clone());
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    (lapwing, address, joins)
}

fn joined() -> Value {
    ok("1", "1", "rows:1", json!({}))
}

fn heartbeat() -> Value {
    json!([null, "2", "phoenix", "heartbeat", {}])
}

fn answered() -> Value {
    json!([null, "2", "phoenix", "phx_reply", {"status": "ok", "response": {}}])
}

/// So many clients have joined once each, and nobody was closed.
fn assert_undisturbed(lapwing: &Lapwing, joins: &AtomicUsize, clients: usize) {
    assert_eq!((joins.load(Ordering::Relaxed), lapwing.stats().slow.closed), (clients, 0));
}

#[tokio::test]
async fn a_stock_client_gets_all_that_its_channel_says_when_it_has_joined_and_joins_once() {
    let (lapwing, address, joins) = serve().await;
    for (rows, join) in requests() {
        let mut client = Client::connect(address, Vsn::V2).await;
        client.send(join).await;
        client.expect(joined()).await;
        for row in 0..rows {
            assert_eq!(client.next_message().await[4]["row"], row);
        }
        client.expect_heartbeat().await;
    }
    assert_undisturbed(&lapwing, &joins, requests().count());
}

#[tokio::test]
async fn a_stock_client_that_polls_gets_all_that_its_channel_says_when_it_has_joined_and_joins_once() {
    let (lapwing, address, joins) = serve().await;
    for (rows, join) in requests() {
        let mut client = LongPoll::open(address, "/socket").await;
        client.send(join).await;
        let mut messages = VecDeque::new();
        while messages.len() <= rows {
            messages.extend(client.poll().await.messages);
        }
        assert_eq!(messages.pop_front(), Some(joined()));
        for row in 0..rows {
            assert_eq!(messages.pop_front().unwrap()[4]["row"], row);
        }
        client.send(heartbeat()).await;
        assert_eq!(client.poll().await.messages, [answered()]);
    }
    assert_undisturbed(&lapwing, &joins, requests().count());
}

#[tokio::test]
async fn a_resumable_session_gets_all_that_its_channel_says_when_it_has_joined_and_joins_once() {
    let (lapwing, address, joins) = serve().await;
    for transport in TRANSPORTS {
        for (rows, join) in requests() {
            let (mut session, mut resumed) = (Session::open(address, "/socket", transport).await, 0);
            session.send_json(join).await;
            assert_eq!(next_message(&mut session, &mut resumed).await, joined());
            for row in 0..rows {
                assert_eq!(next_message(&mut session, &mut resumed).await[4]["row"], row, "{transport:?}");
            }
            session.send_json(heartbeat()).await;
            assert_eq!(next_message(&mut session, &mut resumed).await, answered());
            assert_eq!(resumed, 0, "{transport:?}");
            session.say("!close").await;
        }
    }
    assert_undisturbed(&lapwing, &joins, TRANSPORTS.len() * requests().count());
}

/// Which is more than may wait for it: the joins wait until there is room. It asks for all of them before it takes anything.
#[tokio::test]
async fn a_page_that_comes_back_to_many_kept_topics_is_given_all_that_it_missed() {
    const TOPICS: usize = 50;
    const MISSED: u64 = 200;
    let mount = Mount::new().channel::<Quiet>("kept:*", ()).keep("kept:*", Keep::last(300));
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    let say = |topic: &str, n: u64| lapwing.broadcast(topic, "said", json!({"n": n})).unwrap().position;
    let mut client = LongPoll::open(address, "/socket").await;
    for number in 0..TOPICS {
        let topic = format!("kept:{number}");
        let before = say(&topic, 0).unwrap().to_string();
        for n in 1..=MISSED {
            say(&topic, n);
        }
        client.send(json!(["1", "1", topic, "phx_join", {"_since": before}])).await;
    }
    let mut got: HashMap<String, u64> = HashMap::new();
    let mut messages = VecDeque::new();
    for _ in 0..TOPICS as u64 * (1 + MISSED) {
        while messages.is_empty() {
            messages.extend(client.poll().await.messages);
        }
        let message = messages.pop_front().unwrap();
        let topic = message[2].as_str().unwrap().to_owned();
        match got.get_mut(&topic) {
            Some(last) => {
                *last += 1;
                assert_eq!((&message[3], &message[4]["n"]), (&json!("said"), &json!(*last)), "{topic}");
            }
            None => {
                let response = &message[4]["response"];
                let recovered = (&response["_recovered"], &response["_replayed"]);
                assert_eq!(recovered, (&json!(true), &json!(MISSED)), "{topic}: {response}");
                got.insert(topic, 0);
            }
        }
    }
    client.send(heartbeat()).await;
    messages.extend(client.poll().await.messages);
    assert_eq!(messages, [answered()]);
    assert_eq!(lapwing.stats().slow.closed, 0);
}
