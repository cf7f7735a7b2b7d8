//! Bodies of requests: one buffer each, little for who has no session, and one that waits.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lapwing::transports::{
    close::CloseReason,
    connect::{ConnectRequest, Refusal},
    endpoint::Endpoint,
    frame::Message,
    handler::Handler,
    live::LiveSession,
    options::{LongpollOptions, ResumeOptions, TransportOptions},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{all_of, begin_post, direct, narrow, serve, until, until_all_is_given_back};
use crate::support::{
    PATIENCE,
    sessions::{Session, Transport, lines_of},
};

const BUDGET: usize = 8_000_000;

/// Pieces of one byte, as chunks.
fn chunked(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| [b'1', b'\r', b'\n', *byte, b'\r', b'\n']).collect()
}

#[tokio::test]
async fn a_body_without_a_session_is_refused_after_its_first_line() {
    let (endpoint, address) = serve(BUDGET, |options| options).await;
    for (first, wanted) in [
        ("x", "HTTP/1.1 400"),
        ("!open 30000\n", "HTTP/1.1 400"),
        ("!send AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n", "!refused unknown"),
        ("!resume AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA 0 0\n", "!refused unknown"),
        ("!nothing\n", "HTTP/1.1 400"),
    ] {
        let mut stream = narrow(address).await;
        let body = chunked(format!("{first}{}", "x".repeat(20_000)).as_bytes());
        begin_post(&mut stream, &Transport::Longpoll.path("/echo"), "Transfer-Encoding: chunked", &body)
            .await;
        assert_eq!(endpoint.bytes_held(), 0, "nothing is kept of what nobody is to get");
        // The body never ends, and is answered for all that.
        let mut answer = Vec::new();
        let answered = async {
            let mut buffer = [0; 1_024];
            while !String::from_utf8_lossy(&answer).contains(wanted) {
                let filled = stream.read(&mut buffer).await.unwrap_or(0);
                assert!(filled > 0, "{first:?}: {}", String::from_utf8_lossy(&answer));
                answer.extend_from_slice(&buffer[..filled]);
            }
        };
        tokio::time::timeout(Duration::from_secs(15), answered).await.expect("an answer in time");
    }
}

#[tokio::test]
async fn a_body_in_pieces_of_one_byte_takes_what_its_bytes_take() {
    let (endpoint, address) = serve(BUDGET, |options| options).await;
    let session = Session::open(address, "/echo", Transport::Longpoll).await;
    let body = format!("!send {}\n!from 1\n{}", session.token, "x".repeat(100_000));
    let mut stream = narrow(address).await;
    begin_post(
        &mut stream,
        &Transport::Longpoll.path("/echo"),
        "Transfer-Encoding: chunked",
        &chunked(body.as_bytes()),
    )
    .await;
    until("it has arrived", || endpoint.bytes_held() >= 96 * 1024).await;
    assert!(endpoint.bytes_held() <= 256 * 1024, "{} bytes", endpoint.bytes_held());
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    until("it is taken", || endpoint.sessions()[0].closed().is_some() || endpoint.bytes_held() < 120_000)
        .await;
    assert_eq!(session.post_lines("!close").await, ["!ack 1"]);
    drop(stream);
    until_all_is_given_back(&endpoint).await;
}

#[tokio::test]
async fn of_large_bodies_for_one_session_the_newest_is_read() {
    let (endpoint, address) = serve(BUDGET, |options| options).await;
    let session = Session::open(address, "/echo", Transport::Longpoll).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let body = format!("!send {}\n!from 1\n{}", session.token, "x".repeat(1_000_000));
        // The one before it has its turn by then.
        let mut stream = direct(address).await;
        let framing = format!("Content-Length: {}", body.len() + 1);
        begin_post(&mut stream, &Transport::Longpoll.path("/echo"), &framing, body.as_bytes()).await;
        until("it is held", || endpoint.bytes_held() >= 900_000).await;
        stalled.push(stream);
        until("the older ones are given up", || endpoint.bytes_held() <= 2_200_000).await;
    }
    stalled[19].write_all(b"x").await.unwrap();
    until_taken(&session).await;
    session.post_lines("!close").await;
    drop(stalled);
    until_all_is_given_back(&endpoint).await;
}

#[tokio::test]
async fn a_large_body_that_keeps_coming_is_given_up_for_a_newer_one() {
    let (endpoint, address) = serve(BUDGET, |options| options).await;
    let session = Session::open(address, "/echo", Transport::Longpoll).await;
    let body = format!("!send {}\n!from 1\n{}", session.token, "x".repeat(1_000_000));
    let framing = format!("Content-Length: {}", body.len() + 100_000);
    let mut older = narrow(address).await;
    begin_post(&mut older, &Transport::Longpoll.path("/echo"), &framing, body.as_bytes()).await;
    until("there is room for it", || endpoint.bytes_held() >= body.len()).await;
    let mut newer = narrow(address).await;
    begin_post(&mut newer, &Transport::Longpoll.path("/echo"), &framing, body.as_bytes()).await;
    let (mut reads, mut writes) = older.split();
    let keeps_coming = async {
        while writes.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        std::future::pending::<()>().await;
    };
    let told = async {
        let (mut answer, mut buffer) = (String::new(), [0; 1_024]);
        while !answer.contains("!ack 0") {
            let filled = reads.read(&mut buffer).await.unwrap_or(0);
            assert!(filled > 0, "{answer}");
            answer.push_str(&String::from_utf8_lossy(&buffer[..filled]));
        }
    };
    tokio::select! {
        // Less than a body may take at all.
        told = tokio::time::timeout(Duration::from_secs(20), told) => told.expect("the older one is told"),
        () = keeps_coming => unreachable!("it goes on for ever"),
    }
}

/// Waits until the server says that it has the first frame.
async fn until_taken(session: &Session) {
    for _ in 0..2_000 {
        if session.post_lines("!from 2").await == ["!ack 1"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the frame is not taken");
}

#[tokio::test]
async fn bodies_at_the_budget_are_refused_with_503_and_small_ones_are_not() {
    let (endpoint, address) = serve(1_000_000, |options| options).await;
    let session = Session::open(address, "/echo", Transport::Longpoll).await;
    let honest = Session::open(address, "/echo", Transport::Longpoll).await;
    let answer = session.post(&format!("!from 1\n{}", "x".repeat(3_000_000))).await;
    assert_eq!(answer.status, 503);
    assert_eq!(honest.post_lines("!from 1\nx").await, ["!ack 1"]);
    drop((session, honest));
    until("nothing is held", || endpoint.bytes_held() < 300_000).await;
}

#[tokio::test]
async fn stock_bodies_of_one_session_have_a_bound_together() {
    let (endpoint, address) =
        serve(BUDGET, |options| options.longpoll(LongpollOptions::default().body_bytes_max(500_000))).await;
    let path = "/echo/longpoll?vsn=2.0.0";
    let token = crate::support::http::get(address, path).await.json()["token"].as_str().unwrap().to_owned();
    let path = format!("{path}&token={token}");
    let mut stalled = Vec::new();
    for _ in 0..10 {
        let mut stream = narrow(address).await;
        begin_post(&mut stream, &path, "Content-Length: 400001", &vec![b'['; 400_000]).await;
        stalled.push(stream);
    }
    assert!(String::from_utf8_lossy(&all_of(&mut stalled[9]).await).starts_with("HTTP/1.1 503"));
    assert!(endpoint.bytes_held() <= 1_000_000, "{} bytes", endpoint.bytes_held());
    drop(stalled);
    until_all_is_given_back(&endpoint).await;
}

/// Takes nothing until it is told to.
struct Gated(Arc<AtomicBool>);

impl Handler for Gated {
    type State = ();

    async fn connect(&self, _: ConnectRequest) -> Result<(), Refusal> {
        Ok(())
    }

    fn received(&self, _: &Arc<LiveSession<()>>, _: Message<'_>) -> Result<(), CloseReason> {
        Ok(())
    }

    fn is_ready(&self, _: &LiveSession<()>) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

async fn serve_gated(gate: Arc<AtomicBool>, ready_timeout: Duration) -> (Endpoint<Gated>, SocketAddr) {
    let options = TransportOptions::default().resume(ResumeOptions::default().ready_timeout(ready_timeout));
    let endpoint = Endpoint::new(Gated(gate), options);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = endpoint.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(hyper_util::rt::TokioIo::new(stream), service.clone()));
        }
    });
    (endpoint, address)
}

#[tokio::test]
async fn of_posts_that_wait_the_newest_waits_and_the_others_are_told_where_the_session_stands() {
    let gate = Arc::new(AtomicBool::new(true));
    // Nobody is told for any other reason.
    let (endpoint, address) = serve_gated(gate.clone(), Duration::from_secs(3_600)).await;
    let session = Arc::new(Session::open(address, "/echo", Transport::Longpoll).await);
    session.poll(0, "").await;
    gate.store(false, Ordering::Release);
    let body = format!("!from 1\n{}", "x".repeat(1_000_000));
    let mut posts = tokio::task::JoinSet::new();
    for n in 0..12 {
        let (session, body) = (session.clone(), body.clone());
        posts.spawn(async move { lines_of(&session.post(&body).await) });
        if n > 0 {
            let told = tokio::time::timeout(PATIENCE, posts.join_next()).await.expect("told at once");
            // Whether the handler is busy is known to those only that came so far as to ask.
            assert_eq!(told.unwrap().unwrap()[0], "!ack 0");
        }
        assert!(endpoint.bytes_held() <= 5_000_000, "{} bytes", endpoint.bytes_held());
    }
    gate.store(true, Ordering::Release);
    endpoint.sessions()[0].resume_reading();
    assert_eq!(posts.join_next().await.unwrap().unwrap(), ["!ack 1"], "the newest was taken");
    session.post("!close").await;
    until("all is given back", || endpoint.bytes_held() == 0).await;
}

#[tokio::test]
async fn a_post_that_waits_for_too_long_is_told_where_the_session_stands() {
    let gate = Arc::new(AtomicBool::new(false));
    let (endpoint, address) = serve_gated(gate.clone(), Duration::from_millis(300)).await;
    let session = Session::open(address, "/echo", Transport::Longpoll).await;
    assert_eq!(session.post_lines("!from 1\nx\ny").await, ["!ack 0", "!busy 0"]);
    gate.store(true, Ordering::Release);
    assert_eq!(session.post_lines("!from 1\nx\ny").await, ["!ack 2"]);
    assert_eq!(endpoint.bytes_held(), 0);
}
