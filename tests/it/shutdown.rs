//! What a server waits for when it goes down, and what it does not.

use std::{
    future,
    time::{Duration, Instant},
};

use lapwing::{Accept, ConnectRequest, Lapwing, Mount, Refusal};
use tokio::time::timeout;

use crate::support::{
    http, lab,
    sessions::{Wire, post, upgrade},
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

async fn shut_down(lapwing: &Lapwing) -> Duration {
    let start = Instant::now();
    timeout(PATIENCE, lapwing.shutdown()).await.expect("a server goes down in the time that it gives");
    start.elapsed()
}

#[tokio::test]
async fn a_connect_that_never_ends_does_not_keep_a_server_from_going_down() {
    let (lapwing, address) = serve(undecided()).await;
    let mut socket = upgrade(address, &Wire::Websocket.path("/socket")).await;
    socket.send(Frame::text("!open 30000")).await;
    // Answered behind the greeting, which has been read then.
    assert_eq!(socket.next_within(Duration::from_millis(200)).await, None);
    shut_down(&lapwing).await;
    assert!(matches!(socket.next().await, Event::Close(..) | Event::End));
}

#[tokio::test]
async fn a_client_that_does_not_end_its_side_does_not_keep_a_server_from_going_down() {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut refused = upgrade(address, &Wire::Websocket.path("/socket")).await;
    refused.send(Frame::text("!resume nobodys 0 30000")).await;
    let mut told = RawSocket::connect(address, WEBSOCKET).await;
    let mut silent = upgrade(address, &Wire::Websocket.path("/socket")).await;
    shut_down(&lapwing).await;
    assert_eq!(refused.next().await, Event::Text("!refused unknown".into()));
    assert_eq!(refused.next().await, Event::Close(4001, String::new()));
    assert_eq!(told.next().await, Event::Close(1012, String::new()));
    assert_eq!(silent.next().await, Event::Close(1012, String::new()));
}

/// A client that answers is all that a server waits for.
#[tokio::test]
async fn a_server_whose_clients_answer_goes_down_at_once() {
    let linger = Duration::from_secs(3_600);
    let (lapwing, address) = serve(Mount::new().websocket(|websocket| websocket.linger = linger)).await;
    let mut socket = RawSocket::connect(address, WEBSOCKET).await;
    let answers = tokio::spawn(async move {
        assert_eq!(socket.next().await, Event::Close(1012, String::new()));
        socket.send(Frame::close(1012, "")).await;
        assert_eq!(socket.next().await, Event::End);
    });
    shut_down(&lapwing).await;
    answers.await.unwrap();
}

#[tokio::test]
async fn a_program_that_does_not_decide_is_not_waited_for() {
    let (lapwing, address) = serve(undecided().connect_timeout(Duration::from_millis(100))).await;
    let refusal = RawSocket::handshake(address, WEBSOCKET, &[]).await.unwrap_err();
    assert_eq!(refusal.status, 503);
    let stock = http::get(address, "/socket/longpoll?vsn=2.0.0").await;
    assert_eq!(stock.text(), r#"{"status":403}"#);
    for wire in [Wire::Sse, Wire::Longpoll] {
        assert_eq!(post(address, &wire.path("/socket"), "!open 30000").await.text(), "!refused full\n");
    }
    let mut socket = upgrade(address, &Wire::Websocket.path("/socket")).await;
    socket.send(Frame::text("!open 30000")).await;
    assert_eq!(socket.next().await, Event::Text("!refused full".into()));
    assert_eq!(lapwing.stats().sessions, 0);
}
