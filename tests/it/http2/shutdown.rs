//! The end of a server: sessions first, paced, each with its reason; then the connection, with a GOAWAY.

use std::time::{Duration, Instant};

use hyper::{Method, server::conn::http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use lapwing::{
    Channel, CheckOrigin, Context, Drain, Failure, Handled, Joining, Lapwing, Mount, Payload, Topic,
    WebsocketOptions, noreply,
};
use tokio::{net::TcpListener, time::timeout};

use crate::support::{
    PATIENCE,
    http2::{Connection, Next, Unheard},
    testbed::Testbed,
};

#[tokio::test]
async fn all_wires_hear_why_before_their_connection_ends() {
    let testbed = Testbed::start();
    let connection = Connection::connect(testbed.address()).await;
    let mut websocket = connection.websocket("/socket/websocket?vsn=2.0.0").await;
    let sse = "/socket/sse?lapwing=1&vsn=2.0.0";
    let mut events = connection.open(Method::POST, sse, "!open 30000").await;
    assert!(events.next_event().await.unwrap().starts_with("!opened"));
    let longpoll = "/socket/longpoll?lapwing=1&vsn=2.0.0";
    let opened = connection.request(Method::POST, longpoll, "!open 30000").await.text();
    let token = opened.split(' ').nth(1).unwrap().to_owned();
    let body = format!("!resume {token} 0 30000");
    let poll = connection.request(Method::POST, longpoll, &body);
    let terminate = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        testbed.terminate();
    };
    let (polled, ()) = tokio::join!(poll, terminate);
    assert_eq!(polled.text(), "!resumed 0\n!closed 1012 draining\n");
    assert_eq!(websocket.next().await, Next::Close(1012));
    websocket.close();
    assert_eq!(websocket.next().await, Next::End);
    assert_eq!(events.next_event().await.unwrap(), "!closed 1012 draining");
    assert_eq!(events.next_event().await, None);
    connection.ended().await.expect("a GOAWAY without an error");
}

struct Room;

impl Channel for Room {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Room)
    }

    async fn handle_in(&mut self, _: &str, _: Payload, _: &Context<Self>) -> Handled {
        Ok(noreply())
    }
}

const BATCH: usize = 10;
const PAUSE: Duration = Duration::from_millis(500);

#[tokio::test]
async fn the_sessions_of_a_connection_end_in_batches_and_its_streams_go_on_until_then() {
    let drain = Drain::default().batch(BATCH).interval(PAUSE);
    let mount = Mount::new().channel::<Room>("room:*", ()).check_origin(CheckOrigin::Off).drain(drain);
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let graceful = GracefulShutdown::new();
    let (service, watcher) = (lapwing.service(), graceful.watcher());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut server = http2::Builder::new(TokioExecutor::new());
        lapwing::transports::http2::configure(&mut server);
        server.timer(TokioTimer::new());
        let _ = watcher.watch(server.serve_connection(TokioIo::new(stream), service)).await;
    });
    let connection = Connection::connect(address).await;
    let mut closing = tokio::task::JoinSet::new();
    for _ in 0..3 * BATCH {
        let mut stream = connection.websocket("/socket/websocket?vsn=2.0.0").await;
        closing.spawn(async move {
            assert_eq!(stream.next().await, Next::Close(1012));
            let when = Instant::now();
            stream.close();
            assert_eq!(stream.next().await, Next::End);
            when
        });
    }
    let shutdown = tokio::spawn(async move {
        lapwing.shutdown().await;
        graceful.shutdown().await;
    });
    let first = closing.join_next().await.unwrap().unwrap();
    assert!(!connection.is_over(), "the connection outlives its first sessions");
    assert_eq!(connection.get("/nothing").await.status, 404, "and takes requests");
    let last = closing.join_all().await.into_iter().max().unwrap();
    assert!(last - first > PAUSE * 3 / 2, "three batches within {:?}", last - first);
    timeout(PATIENCE, shutdown).await.expect("the server ends in time").unwrap();
    connection.ended().await.expect("a GOAWAY without an error");
}

/// Neither what a client is told that has no session, nor the close of one that has, gets through a window of no bytes.
#[tokio::test]
async fn streams_that_take_no_byte_do_not_keep_a_server_from_going_down() {
    const SHORT: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_secs(3_600);
    // Either the streams have had their time, or the server has.
    for (linger, time, dropped) in [(SHORT, LONG, 0), (LONG, SHORT, 2)] {
        let websocket = WebsocketOptions::default().linger(linger);
        let mount = Mount::new().check_origin(CheckOrigin::Off).websocket(websocket);
        let lapwing = Lapwing::builder().mount("/socket", mount).shutdown_timeout(time).build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = lapwing.service();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut server = http2::Builder::new(TokioExecutor::new());
            lapwing::transports::http2::configure(&mut server);
            server.timer(TokioTimer::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
        let _unheard = Unheard::begin(tokio::net::TcpStream::connect(address).await.unwrap(), address).await;
        let report = timeout(PATIENCE, lapwing.shutdown()).await.expect("the server ends in time");
        assert_eq!(report.connections, dropped, "linger {linger:?}, {time:?} in all");
    }
}
