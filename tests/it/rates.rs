//! How fast clients may be, and how much of a mount one of them may have.

use std::{net::SocketAddr, time::Duration};

use lapwing::{Accept, Channel, Failure, Joining, Lapwing, Mount, Payload, Rate, Rates, Sender, Topic};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::support::{
    PATIENCE,
    channels::{Client, Vsn, reply},
    http, lab,
    sessions::{Attachment, Line, Session, TRANSPORTS, attach},
    websocket::{Event, Frame},
};

/// So many, and then no more for as long as any test lasts.
fn only(burst: u32) -> Rate {
    Rate::new(1, Duration::from_secs(600)).burst(burst)
}

async fn serve(rates: Rates) -> (Lapwing, SocketAddr) {
    let mount = Mount::new().rates(rates).connect(|request| async move {
        let id = request.param("user").map(str::to_owned);
        Ok(id.into_iter().fold(Accept::new(), Accept::id))
    });
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    (lapwing, address)
}

fn heartbeat(reference: Value) -> Value {
    json!([null, reference, "phoenix", "heartbeat", {}])
}

fn answer(reference: &str) -> Value {
    reply(Value::Null, reference, "phoenix", "ok", json!({}))
}

#[tokio::test]
async fn a_client_that_says_too_much_is_closed_on_every_wire_and_no_other_is() {
    let (_lapwing, address) = serve(Rates::none().events(only(5))).await;
    let mut other = Client::connect(address, Vsn::V2).await;
    let mut client = Client::connect(address, Vsn::V2).await;
    for n in 0..6 {
        client.send(heartbeat(n.to_string().into())).await;
    }
    for n in 0..5 {
        client.expect(answer(&n.to_string())).await;
    }
    assert_eq!(client.socket.next().await, Event::Close(4429, String::new()));
    for transport in TRANSPORTS {
        let mut session = Session::open(address, "/socket", transport).await;
        for n in 0..5 {
            session.send_json(heartbeat(n.to_string().into())).await;
            session.expect_json(answer(&n.to_string())).await;
        }
        session.send_json(heartbeat("5".into())).await;
        match &mut session.attachment {
            Attachment::Longpoll(_) => {
                let Line::Control(line) = session.next().await else { panic!("the session goes on") };
                assert!(line == "!closed 4429 too_fast" || line == "!refused closed", "{line}");
            }
            attachment => attachment.expect_end("!closed 4429 too_fast", 4429).await,
        }
    }
    other.send(heartbeat("1".into())).await;
    other.expect(answer("1")).await;
}

#[tokio::test]
async fn what_is_too_much_can_be_answered() {
    let (_lapwing, address) = serve(Rates::none().events(only(2)).answering()).await;
    let mut client = Client::connect(address, Vsn::V2).await;
    for n in ["1", "2", "3", "4"] {
        client.send(heartbeat(n.into())).await;
    }
    for n in ["1", "2"] {
        client.expect(answer(n)).await;
    }
    for n in ["3", "4"] {
        let told = json!({"reason": "too fast"});
        client.expect(reply(Value::Null, n, "phoenix", "error", told)).await;
    }
    client.send(heartbeat(Value::Null)).await;
    assert_eq!(client.socket.next().await, Event::Close(4429, String::new()));
}

#[tokio::test]
async fn joins_have_a_rate_of_their_own() {
    let (_lapwing, address) = serve(Rates::none().joins(only(2))).await;
    let mut client = Client::connect(address, Vsn::V2).await;
    for (n, reason) in
        [("1", "unmatched topic"), ("2", "unmatched topic"), ("3", "too many joins"), ("4", "too many joins")]
    {
        client.send(json!([n, n, "room:1", "phx_join", {}])).await;
        let join_ref = if reason == "too many joins" { n.into() } else { Value::Null };
        client.expect(reply(join_ref, n, "room:1", "error", json!({"reason": reason}))).await;
    }
    client.expect_heartbeat().await;
}

async fn refusal(address: SocketAddr, query: &str) -> Option<String> {
    let path = format!("/socket/longpoll?lapwing=1&vsn=2.0.0{query}");
    let (_, line) = attach(address, TRANSPORTS[2], &path, "!open 30000").await;
    line.strip_prefix("!refused full 4429 ").map(str::to_owned)
}

async fn until_there_are(lapwing: &Lapwing, sessions: usize) {
    let wait = async {
        while lapwing.stats().sessions != sessions {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("so many sessions");
}

#[tokio::test]
async fn an_id_has_so_many_sessions_and_gets_one_back_with_each_that_ends() {
    let (lapwing, address) = serve(Rates::none().sessions_per_id(3)).await;
    let mut sessions = Vec::new();
    for transport in TRANSPORTS {
        sessions.push(Session::open_as(address, "/socket", transport, "&user=bob", 30_000).await);
    }
    for _ in 0..3 {
        assert_eq!(refusal(address, "&user=bob").await.as_deref(), Some("too many sessions of this user"));
    }
    assert_eq!(refusal(address, "&user=eve").await, None);
    assert_eq!(refusal(address, "").await, None);
    sessions[0].say("!close").await;
    until_there_are(&lapwing, 4).await;
    // The connection may hold what is left of its session for a moment.
    let admitted = async {
        while refusal(address, "&user=bob").await.is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, admitted).await.expect("there is room again");
}

/// Gives handles to its joins away.
struct Reached;

impl Channel for Reached {
    type State = UnboundedSender<Sender<Reached>>;

    async fn join(_: &Topic, _: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        joining.state().send(joining.sender()).ok();
        Ok(Self)
    }
}

#[tokio::test]
async fn a_handle_that_outlives_its_session_has_no_share() {
    let (handles, mut kept) = unbounded_channel();
    let rates = Rates::none().sessions_per_id(1).sessions_per_address(2);
    let connect = |_| async { Ok(Accept::new().id("bob")) };
    let mount = Mount::new().rates(rates).connect(connect).channel::<Reached>("reached", handles);
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    let mut client = Client::joined(address, Vsn::V2, "reached").await;
    let handle = kept.recv().await.unwrap();
    assert_eq!(refusal(address, "").await.as_deref(), Some("too many sessions of this user"));
    client.socket.send(Frame::close(1000, "")).await;
    until_there_are(&lapwing, 0).await;
    assert_eq!(refusal(address, "").await, None);
    drop(handle);
}

#[tokio::test]
async fn an_address_has_so_many_sessions() {
    let (_lapwing, address) = serve(Rates::none().sessions_per_address(2)).await;
    let _clients = [Client::connect(address, Vsn::V2).await, Client::connect(address, Vsn::V2).await];
    assert_eq!(refusal(address, "").await.as_deref(), Some("too many sessions of this address"));
    let response = http::get(address, "/socket/websocket?vsn=2.0.0").await;
    assert_eq!((response.status, response.text()), (429, "too many sessions of this address".into()));
}

#[tokio::test]
async fn who_comes_too_often_is_told_when_to_come_again_and_counted_as_that() {
    let rates = Rates::none().connects_per_address(Rate::new(1, Duration::from_secs(1_000)));
    let (lapwing, address) = serve(rates).await;
    let connect = |address, user: &'static str| async move {
        http::get(address, &format!("/socket/websocket?vsn=2.0.0&user={user}")).await
    };
    let retry_after =
        |refused: &http::Response| refused.header("retry-after").map(|secs| secs.parse::<u64>().unwrap());
    let first = connect(address, "bob").await;
    assert_eq!((first.status, retry_after(&first)), (400, None), "it is let in, and is no upgrade");
    let refused = connect(address, "bob").await;
    assert_eq!((refused.status, refused.text()), (429, "too many connections from this address".into()));
    assert!(retry_after(&refused).is_some_and(|secs| (900..=1_000).contains(&secs)), "{refused:?}");
    let counted = "lapwing_connects_refused_total{mount=\"/socket\",reason=\"rate\"}";
    assert!(lapwing.openmetrics().contains(&format!("{counted} 1\n")), "{}", lapwing.openmetrics());

    let (lapwing, address) = serve(Rates::none().sessions_per_id(1)).await;
    let _session = Session::open_as(address, "/socket", TRANSPORTS[0], "&user=bob", 30_000).await;
    let refused = connect(address, "bob").await;
    assert_eq!((refused.status, retry_after(&refused)), (429, Some(5)), "{refused:?}");
    assert!(lapwing.openmetrics().contains(&format!("{counted} 1\n")), "{}", lapwing.openmetrics());
}

/// What a stock client's attempt is answered, whose proxy says that it comes from there.
async fn connect_from(address: SocketAddr, forwarded: &str) -> u64 {
    let headers = [("x-forwarded-for", forwarded)];
    let response = http::request(address, "GET", "/socket/longpoll?vsn=2.0.0", &headers, None).await;
    let answer: Value = serde_json::from_str(&response.text()).unwrap();
    answer["status"].as_u64().unwrap()
}

#[tokio::test]
async fn addresses_are_counted_apart_and_proxies_are_believed_if_they_are_trusted() {
    let rates = Rates::none().connects_per_address(only(3));
    let (_lapwing, address) = serve(rates.clone().behind("127.0.0.0/8")).await;
    for n in 0..1_000 {
        let other = format!("198.51.{}.{}", n / 250, n % 250);
        assert_eq!(connect_from(address, &other).await, 410, "others are let in");
    }
    for status in [410, 410, 410, 403, 403] {
        assert_eq!(connect_from(address, "1.2.3.4, 203.0.113.7").await, status);
    }
    // Whatever a client has written before what its proxy says.
    for forged in
        ["é", "10.0.0.1, 127.0.0.1", "\"unknown", "[::1", ",,,", "1.2.3.4.5", "203.0.113.7, 198.51.0.1"]
    {
        assert_eq!(connect_from(address, &format!("{forged}, 203.0.113.7")).await, 403, "{forged}");
    }
    let (_lapwing, address) = serve(rates).await;
    for (n, status) in [(1, 410), (2, 410), (3, 410), (4, 403), (5, 403)] {
        assert_eq!(connect_from(address, &format!("203.0.113.{n}")).await, status, "anybody may write that");
    }
}
