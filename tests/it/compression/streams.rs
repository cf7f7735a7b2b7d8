//! Event streams and answers to polls as gzip: for whom, what in them is compressed, and that everything is there at once.

use std::{io::Read as _, net::SocketAddr};

use flate2::{Decompress, FlushDecompress, read::GzDecoder};
use hyper::{Method, Request, server::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use lapwing::{DeflateOptions, Lapwing, LongpollOptions, Mount, SseOptions, WebsocketOptions};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Plain, Room, rows};
use crate::support::{
    channels::BOTH,
    events::EventStream,
    http::{self, Response},
    http2::{Connection, Stream},
    lab,
    longpoll::{LongPoll, TokenIn},
    sessions::{Transport, lines_of, post},
};

const GZIP: (&str, &str) = ("accept-encoding", "gzip, deflate, br, zstd");

async fn serve() -> (Lapwing, SocketAddr) {
    serve_with(async |lapwing| lab::serve(lapwing).await).await
}

async fn serve_with(serve: impl AsyncFnOnce(&Lapwing) -> SocketAddr) -> (Lapwing, SocketAddr) {
    let options = DeflateOptions::default();
    let mount = Mount::new()
        .channel::<Room>("room:*", ())
        .channel::<Plain>("plain:*", ())
        .websocket(WebsocketOptions::default().deflate(options))
        .sse(SseOptions::default().gzip(options))
        .longpoll(LongpollOptions::default().gzip(options));
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = serve(&lapwing).await;
    (lapwing, address)
}

async fn serve_http2(lapwing: &Lapwing) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (address, lapwing) = (listener.local_addr().expect("a bound address"), lapwing.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut server = http2::Builder::new(TokioExecutor::new());
            lapwing::transports::http2::configure(&mut server);
            server.timer(TokioTimer::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), lapwing.service()));
        }
    });
    address
}

fn unzipped(mut member: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(&mut member).read_to_end(&mut plain).expect("it is gzip, with the right CRC and length");
    assert!(member.is_empty(), "{} bytes are left", member.len());
    plain
}

fn has(bytes: &[u8], literal: &str) -> bool {
    bytes.windows(literal.len()).any(|window| window == literal.as_bytes())
}

/// An answer that is said to depend on what is accepted, as it was before it was encoded; and whether it was.
fn read(mut response: Response) -> (Response, bool) {
    assert_eq!(response.header("vary"), Some("accept-encoding"), "{response:?}");
    let is_gzip = response.header("content-encoding").inspect(|value| assert_eq!(*value, "gzip")).is_some();
    if is_gzip {
        response.body = unzipped(&response.body);
    }
    (response, is_gzip)
}

/// A session that an event stream carries, read as a browser does: each event as soon as it has come.
struct Events {
    address: SocketAddr,
    stream: EventStream,
    inflate: Decompress,
    plain: Vec<u8>,
    token: String,
    sent: u64,
}

impl Events {
    async fn open(address: SocketAddr) -> Events {
        let path = Transport::Sse.path("/socket");
        let stream = EventStream::request(address, "POST", &path, &[GZIP], Some("!open 30000")).await;
        assert!(stream.has_events());
        assert_eq!(
            (stream.header("content-encoding"), stream.header("vary")),
            (Some("gzip"), Some("accept-encoding"))
        );
        let (inflate, plain) = (Decompress::new(false), Vec::new());
        let mut events = Events { address, stream, inflate, plain, token: String::new(), sent: 0 };
        let greeting = events.next().await;
        events.token = greeting.split(' ').nth(1).expect("a token").to_owned();
        events
    }

    /// The data of the next event.
    async fn next(&mut self) -> String {
        loop {
            if let Some(at) = self.plain.windows(2).position(|window| window == b"\n\n") {
                let event: Vec<_> = self.plain.drain(..at + 2).collect();
                if !event.starts_with(b":") {
                    let event = String::from_utf8(event).expect("events are UTF-8");
                    return event.trim_end().strip_prefix("data: ").expect("an event of a line").to_owned();
                }
            } else {
                assert!(self.stream.fill_body().await, "there is another event");
                let new = &self.stream.unread()[10 + self.inflate.total_in() as usize..];
                self.plain.reserve(4_000_000);
                self.inflate
                    .decompress_vec(new, &mut self.plain, FlushDecompress::Sync)
                    .expect("it is DEFLATE");
            }
        }
    }

    async fn next_json(&mut self) -> Value {
        let line = self.next().await;
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("a message: {line:.100}"))
    }

    async fn send(&mut self, message: Value) {
        self.sent += 1;
        let body = format!("!send {}\n!from {}\n{message}", self.token, self.sent);
        assert_eq!(post(self.address, &Transport::Sse.path("/socket"), &body).await.status, 200);
    }

    async fn join(&mut self, topic: &str) {
        self.send(json!(["1", "1", topic, "phx_join", {}])).await;
        assert_eq!(self.next_json().await[4]["status"], "ok");
    }

    /// What has come of the body so far, as it came.
    fn raw(&self) -> &[u8] {
        self.stream.unread()
    }
}

#[tokio::test]
async fn what_is_worth_it_is_compressed_in_an_event_stream_and_no_secret_is() {
    let (_lapwing, address) = serve().await;
    let mut events = Events::open(address).await;
    assert!(has(events.raw(), &events.token), "a token is as it is");
    assert!(events.raw().len() > 2_048, "what proxies hold back is there");
    // Answers to joins are where tokens are.
    events.send(json!(["1", "1", "room:1", "phx_join", rows(100)])).await;
    assert_eq!(events.next_json().await[4]["response"], rows(100));
    assert!(has(events.raw(), &rows(100).to_string()));
    for (event, from_1024, from_256) in [
        ("reply", true, false),
        ("reply_secret", false, false),
        ("push", true, false),
        ("push_secret", false, false),
        ("broadcast", true, true),
        ("broadcast_secret", false, false),
    ] {
        for (payload, expected) in [(rows(41), from_1024), (rows(13), from_256), (rows(1), false)] {
            let before = events.raw().len();
            events.send(json!(["1", "7", "room:1", event, payload])).await;
            let message = events.next_json().await;
            let broadcast = &message[4];
            assert!(*broadcast == payload || broadcast["response"] == payload, "{event}: {message}");
            let raw = &events.raw()[before..];
            let is_compressed = !has(raw, &payload.to_string());
            assert_eq!(is_compressed, expected, "{event} of {} bytes", payload.to_string().len());
            assert!(!is_compressed || raw.len() * 10 < payload.to_string().len() * 6, "{} bytes", raw.len());
        }
    }
}

#[tokio::test]
async fn the_same_block_is_in_streams_and_polls_and_is_a_websockets_message() {
    let (lapwing, address) = serve().await;
    let payload = rows(40);
    let broadcast = || lapwing.broadcast("plain:1", "said", payload.clone()).unwrap();
    let mut blocks = Vec::new();
    for _ in 0..2 {
        let mut events = Events::open(address).await;
        events.join("plain:1").await;
        let before = events.raw().len();
        broadcast();
        assert_eq!(events.next_json().await[4], payload);
        // Without what is stored around it.
        let event = &events.raw()[before..];
        blocks.push(event[5 + b"data: ".len()..event.len() - 5 - b"\n\n".len()].to_vec());
    }
    assert!(blocks[0] == blocks[1] && blocks[0].len() * 10 < payload.to_string().len() * 4);
    let polled = Transport::Longpoll.path("/socket");
    let opened = poll(address, "!open 30000").await;
    let token = lines_of(&opened)[0].split(' ').nth(1).unwrap().to_owned();
    let join = json!(["1", "1", "plain:1", "phx_join", {}]);
    post(address, &polled, &format!("!send {token}\n!from 1\n{join}")).await;
    let (joined, is_gzip) = read(poll(address, &format!("!resume {token} 0 30000")).await);
    assert!(!is_gzip && joined.text().contains("phx_reply"), "nothing in it is compressed");
    broadcast();
    let raw = poll(address, &format!("!resume {token} 1 30000")).await;
    assert!(raw.body.windows(blocks[0].len()).any(|window| window == blocks[0]), "the same block");
    let (answer, is_gzip) = read(raw);
    assert!(is_gzip);
    let [greeting, message] = &lines_of(&answer)[..] else { panic!("{}", answer.text()) };
    assert!(
        greeting.starts_with("!resumed ") && serde_json::from_str::<Value>(message).unwrap()[4] == payload
    );
    let len = blocks[0].len() as u64 - 4;
    let mut socket = super::connect(address, BOTH[1], &[super::OFFER]).await;
    socket.join("1", "plain:1").await;
    broadcast();
    socket.expect(json!([null, null, "plain:1", "said", payload])).await;
    assert_eq!(socket.socket.compressed.last().map(|bytes| *bytes as u64), Some(len));
}

async fn poll(address: SocketAddr, body: &str) -> Response {
    let path = Transport::Longpoll.path("/socket");
    http::request(address, "POST", &path, &[GZIP], Some(body.as_bytes())).await
}

/// Polls as a stock client does: the answer as it was encoded, and read.
async fn polled(client: &mut LongPoll, accept: &[(&str, &str)]) -> (Vec<u8>, Value, bool) {
    let raw = client.request("GET", &client.token, accept, None).await;
    let bytes = raw.body.clone();
    let (answer, is_gzip) = read(raw);
    let answer = answer.json();
    assert_eq!(answer["status"], 200);
    client.token = answer["token"].as_str().expect("a token").to_owned();
    assert!(has(&bytes, &client.token), "the token is as it is");
    (bytes, answer, is_gzip)
}

#[tokio::test]
async fn stock_clients_that_accept_it_are_answered_in_gzip_where_that_is_smaller() {
    let (lapwing, address) = serve().await;
    let (payload, secret) = (rows(40), json!({"code": "7f3a09"}));
    for (vsn, token_in) in BOTH.into_iter().zip([TokenIn::Query, TokenIn::Header]) {
        let mut client = LongPoll::open_as(address, "/socket", vsn, "", token_in).await;
        client.send(json!(["1", "1", "room:1", "phx_join", rows(100)])).await;
        let (_, joined, is_gzip) = polled(&mut client, &[GZIP]).await;
        assert!(
            !is_gzip && joined["messages"][0].as_str().unwrap().contains("user-4"),
            "joins are as they are"
        );
        client.send(json!(["2", "2", "plain:1", "phx_join", {}])).await;
        polled(&mut client, &[GZIP]).await;
        // What was pushed while the client did not take it so is as it is; of a broadcast it depends on when a walk looked.
        for (accept, is_compressed) in [
            (&[GZIP][..], Some(true)),
            (&[], Some(false)),
            (&[GZIP], None),
            (&[GZIP], Some(true)),
            (&[("accept-encoding", "gzip;q=0")], Some(false)),
        ] {
            client.send(json!(["1", "3", "room:1", "push", payload])).await;
            client.send(json!(["1", "4", "room:1", "push_secret", secret])).await;
            lapwing.broadcast("plain:1", "told", payload.clone()).unwrap();
            let (mut messages, mut gzips, mut came) = (Vec::new(), 0, 0);
            while messages.len() < 3 {
                let (bytes, answer, is_gzip) = polled(&mut client, accept).await;
                came += bytes.len();
                gzips += u64::from(is_gzip);
                for message in answer["messages"].as_array().unwrap() {
                    let text = message.as_str().unwrap();
                    assert!(!text.contains("7f3a09") || has(&bytes, "7f3a09"), "it was not compressed");
                    messages.push(text.to_owned());
                }
            }
            let length: usize = messages.iter().map(String::len).sum();
            assert_eq!(
                messages.iter().filter(|text| text.contains(&payload.to_string())).count(),
                2,
                "{messages:?}"
            );
            let got = (gzips > 0, came < length);
            assert!(
                is_compressed.is_none_or(|is| got == (is, is)),
                "{accept:?}: {got:?}, {came} of {length}"
            );
        }
        client.send(json!(["1", "9", "room:1", "push", payload])).await;
        polled(&mut client, &[GZIP]).await;
        // Pushes at once; broadcasts when a walk has seen it.
        for is_broadcast in [false, true] {
            let mut is_compressed = false;
            for _ in 0..20 {
                if is_broadcast {
                    lapwing.broadcast("plain:1", "told", payload.clone()).unwrap();
                } else {
                    client.send(json!(["1", "9", "room:1", "push", payload])).await;
                }
                let (bytes, answer, is_gzip) = polled(&mut client, &[GZIP]).await;
                let length = answer["messages"][0].as_str().unwrap().len();
                is_compressed = is_gzip && bytes.len() * 10 < length * 6;
                if is_compressed {
                    break;
                }
                assert!(is_broadcast, "{} of {length}", bytes.len());
            }
            assert!(is_compressed, "is_broadcast: {is_broadcast}");
        }
    }
}

#[tokio::test]
async fn over_http2_it_is_the_same() {
    let (lapwing, address) = serve_with(async |lapwing| serve_http2(lapwing).await).await;
    let connection = Connection::connect(address).await;
    let open = async |transport: Transport, body: String| {
        let request =
            Request::builder().method(Method::POST).uri(transport.path("/socket")).header(GZIP.0, GZIP.1);
        let (response, mut up) = connection.begin(request.body(()).unwrap(), false).await.unwrap();
        up.send_data(body.into(), true).unwrap();
        Stream::answered(response, up).await.unwrap()
    };
    let opened = open(Transport::Longpoll, "!open 30000".into()).await.into_response().await;
    let token = lines_of(&opened)[0].split(' ').nth(1).unwrap().to_owned();
    let join = json!(["1", "1", "plain:1", "phx_join", {}]);
    open(Transport::Longpoll, format!("!send {token}\n!from 1\n{join}")).await.into_response().await;
    let joined = open(Transport::Longpoll, format!("!resume {token} 0 30000")).await.into_response().await;
    assert!(joined.text().contains("phx_reply"));
    let stream = open(Transport::Sse, format!("!resume {token} 1 30000")).await;
    // Some of them fit into no piece.
    let payloads = [rows(40), rows(4_000), json!({"text": "x".repeat(3_000_000)}), rows(1)];
    for payload in &payloads {
        lapwing.broadcast("plain:1", "said", payload.clone()).unwrap();
    }
    let (answer, _) = tokio::join!(stream.into_response(), lapwing.shutdown());
    let (answer, is_gzip) = read(answer);
    assert!(is_gzip);
    let text = answer.text();
    let events: Vec<_> = text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    let said: Vec<Value> = events
        .iter()
        .filter(|line| line.contains("\"said\""))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        said.iter().map(|message| &message[4]).collect::<Vec<_>>(),
        payloads.iter().collect::<Vec<_>>()
    );
    assert!(events.last().unwrap().starts_with("!closed "), "{:.200}", events.last().unwrap());
}

/// What does not accept it, and mounts that do not do it.
#[tokio::test]
async fn without_it_everything_is_as_it_was() {
    let (_lapwing, address) = serve().await;
    let off = Mount::new().channel::<Plain>("plain:*", ());
    let off = lab::serve(&Lapwing::builder().mount("/socket", off).build().unwrap()).await;
    let path = Transport::Sse.path("/socket");
    for (address, accept, vary) in [
        (address, "identity", Some("accept-encoding")),
        (address, "gzip;q=0, *", Some("accept-encoding")),
        (off, GZIP.1, None),
    ] {
        let headers = [("accept-encoding", accept)];
        let mut stream = EventStream::request(address, "POST", &path, &headers, Some("!open 30000")).await;
        assert_eq!((stream.header("content-encoding"), stream.header("vary")), (None, vary), "{accept}");
        assert!(stream.next().await.is_some_and(|line| line.starts_with("!opened ")), "{accept}");
    }
}

/// The GET says what its client accepts, not the POST that asked for the ticket.
#[tokio::test]
async fn an_event_source_is_answered_as_it_asks_itself() {
    let (_lapwing, address) = serve().await;
    let path = Transport::Sse.path("/socket");
    for (of_post, of_get) in [(&[][..], &[GZIP][..]), (&[GZIP], &[])] {
        let ticket = http::request(address, "POST", &path, of_post, Some(b"!ticket\n!open 30000")).await;
        let ticket = ticket.text().trim().strip_prefix("!ticket ").expect("a ticket").to_owned();
        let stream =
            EventStream::request(address, "GET", &format!("{path}&ticket={ticket}"), of_get, None).await;
        assert_eq!(
            stream.header("content-encoding"),
            (!of_get.is_empty()).then_some("gzip"),
            "{}",
            stream.head
        );
    }
}
