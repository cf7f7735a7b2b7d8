//! What a server waits for when it goes down, and what it does not.

use std::{future, time::Duration};

use lapwing::{
    Accept, Channel, ConnectRequest, Context, Failure, Handled, Joining, Lapwing, LeaveReason, Mount,
    Payload, PresenceError, Refusal, ShutdownReport, Topic, WebsocketOptions, noreply,
};
use serde_json::json;
use tokio::{net::TcpListener, time::timeout};

use crate::support::{
    channels::{Client, Vsn},
    http, lab,
    sessions::{Line, Session, Transport, post, upgrade},
    websocket::{Event, Frame, RawSocket},
};

/// Longer than any bound here, and than a busy machine adds.
const PATIENCE: Duration = Duration::from_secs(40);

const WEBSOCKET: &str = "/socket/websocket?vsn=2.0.0";

/// A mount whose program never decides.
fn undecided() -> Mount {
    Mount::new().connect(|_: ConnectRequest| future::pending::<Result<Accept, Refusal>>())
}

async fn serve(mount: Mount) -> (Lapwing, std::net::SocketAddr) {
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    (lapwing, address)
}

async fn shut_down(lapwing: &Lapwing) -> ShutdownReport {
    timeout(PATIENCE, lapwing.shutdown()).await.expect("a server goes down in the time that it gives")
}

/// A channel whose last callback never ends, if it was joined as `room:stubborn`.
struct Room;

impl Channel for Room {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        if *cx.topic() == "room:tracked" {
            cx.track("somebody", json!({})).await.unwrap();
        }
        Ok(noreply())
    }

    async fn handle_in(&mut self, _: &str, _: Payload, _: &Context<Self>) -> Handled {
        Ok(noreply())
    }

    async fn leave(&mut self, _: LeaveReason, cx: &Context<Self>) -> Result<(), Failure> {
        if *cx.topic() == "room:stubborn" {
            future::pending().await
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_connect_that_never_ends_does_not_keep_a_server_from_going_down() {
    let (lapwing, address) = serve(undecided()).await;
    let mut socket = upgrade(address, &Transport::Websocket.path("/socket")).await;
    socket.send(Frame::text("!open 30000")).await;
    // Answered behind the greeting, which has been read then.
    assert_eq!(socket.next_within(Duration::from_millis(200)).await, None);
    shut_down(&lapwing).await;
    assert!(matches!(socket.next().await, Event::Close(..) | Event::End));
}

#[tokio::test]
async fn who_asks_a_server_that_goes_down_is_refused_in_a_way_that_balancers_understand() {
    let (lapwing, address) = serve(Mount::new()).await;
    shut_down(&lapwing).await;
    assert_eq!(http::get(address, "/socket/longpoll?vsn=2.0.0").await.status, 503);
    let refused = RawSocket::handshake(address, WEBSOCKET, &[]).await.unwrap_err();
    assert_eq!(refused.status, 503);
}

#[tokio::test]
async fn a_client_that_does_not_end_its_side_does_not_keep_a_server_from_going_down() {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut refused = upgrade(address, &Transport::Websocket.path("/socket")).await;
    refused.send(Frame::text("!resume nobodys 0 30000")).await;
    let mut told = RawSocket::connect(address, WEBSOCKET).await;
    let mut silent = upgrade(address, &Transport::Websocket.path("/socket")).await;
    // The clients have had their time, which is `linger`: nobody had to be dropped.
    assert!(shut_down(&lapwing).await.is_clean());
    assert_eq!(refused.next().await, Event::Text("!refused unknown".into()));
    assert_eq!(refused.next().await, Event::Close(4001, String::new()));
    assert_eq!(told.next().await, Event::Close(1012, String::new()));
    assert_eq!(silent.next().await, Event::Close(1012, String::new()));
}

/// A client that answers is all that a server waits for.
#[tokio::test]
async fn a_server_whose_clients_answer_goes_down_at_once() {
    let linger = Duration::from_secs(3_600);
    let (lapwing, address) = serve(Mount::new().websocket(WebsocketOptions::default().linger(linger))).await;
    let mut socket = RawSocket::connect(address, WEBSOCKET).await;
    let answers = tokio::spawn(async move {
        assert_eq!(socket.next().await, Event::Close(1012, String::new()));
        socket.send(Frame::close(1012, "")).await;
        assert_eq!(socket.next().await, Event::End);
    });
    assert!(shut_down(&lapwing).await.is_clean());
    answers.await.unwrap();
}

#[tokio::test]
async fn a_program_that_does_not_decide_is_not_waited_for() {
    let (lapwing, address) = serve(undecided().connect_timeout(Duration::from_millis(100))).await;
    let refusal = RawSocket::handshake(address, WEBSOCKET, &[]).await.unwrap_err();
    assert_eq!(refusal.status, 503);
    let stock = http::get(address, "/socket/longpoll?vsn=2.0.0").await;
    assert_eq!(stock.text(), r#"{"status":403}"#);
    for (transport, answer) in
        [(Transport::Sse, "data: !refused full\n\n"), (Transport::Longpoll, "!refused full\n")]
    {
        assert_eq!(post(address, &transport.path("/socket"), "!open 30000").await.text(), answer);
    }
    let mut socket = upgrade(address, &Transport::Websocket.path("/socket")).await;
    socket.send(Frame::text("!open 30000")).await;
    assert_eq!(socket.next().await, Event::Text("!refused full".into()));
    assert_eq!(lapwing.stats().sessions, 0);
}

#[tokio::test]
async fn a_server_goes_down_within_its_time_and_says_who_was_left() {
    const TIME: Duration = Duration::from_millis(500);
    let mount =
        Mount::new().channel::<Room>("room:*", ()).websocket(WebsocketOptions::default().linger(far()));
    let alone = Mount::new().channel::<Room>("room:*", ()).without_drain();
    let lapwing = Lapwing::builder()
        .mount("/socket", mount)
        .mount("/alone", alone)
        .shutdown_timeout(TIME)
        .build()
        .unwrap();
    let address = lab::serve(&lapwing).await;
    let mut silent = Client::joined(address, Vsn::V2, "room:stubborn").await;
    let mut spared = Client::connect_to(address, "/alone", Vsn::V2, "").await;
    spared.expect_heartbeat().await;
    let report = shut_down(&lapwing).await;
    assert_eq!((report.connections, report.sessions, report.joins), (1, 1, 1));
    assert!(!report.is_clean());
    silent.expect_close(1012).await;
    spared.join("1", "room:1").await;
    assert!(lapwing.presence_count("room:1").await.is_ok(), "who is left has what it needs");
}

#[tokio::test]
async fn a_server_that_went_down_has_nothing_running() {
    let mount = Mount::new().channel::<Room>("room:*", ());
    let fetch = |_, _| async { std::collections::HashMap::new() };
    let lapwing = Lapwing::builder().fetch(far(), fetch).mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let mut client = Client::joined(address, Vsn::V2, "room:tracked").await;
    assert_eq!(client.next_message().await[3], "presence_diff");
    let shutdown = tokio::spawn({
        let lapwing = lapwing.clone();
        async move { shut_down(&lapwing).await }
    });
    client.expect_close(1012).await;
    drop(client);
    assert!(shutdown.await.unwrap().is_clean());
    let tracked = lapwing.track("room:tracked", "late", json!({})).await;
    assert!(matches!(tracked, Err(PresenceError::Closed)), "{tracked:?}");
    assert_eq!(lapwing.shutdown().await, ShutdownReport::default(), "a second time changes nothing");
    // The connection's own task, which is the test server's, may need a moment.
    let ended = async {
        while metrics.num_alive_tasks() > before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, ended).await.expect("no task is left");
}

fn far() -> Duration {
    Duration::from_secs(3_600)
}

/// As `Lapwing::shutdown` says it.
#[tokio::test]
async fn axum_goes_down_behind_the_sessions() {
    let (lapwing, _) = serve(Mount::new().channel::<Room>("room:*", ())).await;
    let app = axum::Router::new().nest_service("/socket", lapwing.at("/socket").unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        axum::serve(listener, app)
            .with_graceful_shutdown(async move {
                let _ = stopped.await;
                lapwing.shutdown().await;
            })
            .await
    });
    let mut stock = Client::joined(address, Vsn::V2, "room:1").await;
    let mut sessions = Vec::new();
    for transport in [Transport::Websocket, Transport::Sse] {
        sessions.push(Session::open(address, "/socket", transport).await);
    }
    stop.send(()).unwrap();
    stock.expect_close(1012).await;
    for session in &mut sessions {
        assert_eq!(session.next().await, Line::Control("!closed 1012 draining".into()));
    }
    drop((stock, sessions));
    timeout(PATIENCE, server).await.expect("axum ends in time").unwrap().unwrap();
}
