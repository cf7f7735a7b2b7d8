//! Topics that are kept in a stream of JetStream.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lapwing_cluster::{Channel, Instance, Key, wire::Place};
use lapwing_cluster_driver::{
    Options,
    store::{Append, Bounds, Page, Read, Refused, Store, StoreError},
};
use lapwing_engine_contract::{KeepingServer, store_contract};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;

/// Lines of a server's configuration, with everything in its folder.
pub(super) fn jetstream(folder: &Path) -> String {
    format!("jetstream {{ store_dir: {:?} }}", folder.join("kept"))
}

/// A server that keeps topics, in files.
async fn keeping() -> NatsServer {
    NatsServer::with(jetstream, Some(KeptStream::new())).await
}

/// Asks JetStream something on a connection of its own.
async fn ask(port: u16, subject: &str, body: &Value) -> Value {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let text = format!(
        "CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\nSUB answer 1\r\nPUB $JS.API.{subject} answer {}\r\n{body}\r\n",
        body.len(),
    );
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    loop {
        let count = tokio::time::timeout(PATIENCE, socket.read_buf(&mut read)).await.unwrap().unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&read));
        let text = String::from_utf8_lossy(&read);
        let answer = text.split_once("MSG answer 1 ").and_then(|(_, rest)| rest.split_once("\r\n"));
        if let Some((len, payload)) = answer
            && payload.len() >= len.trim().parse().unwrap()
        {
            return serde_json::from_str(payload.trim_end()).unwrap();
        }
    }
}

impl NatsServer {
    async fn ask(&self, subject: &str, body: Value) -> Value {
        ask(self.process.port(), subject, &body).await
    }

    /// The subject of a topic of the application "contract".
    fn subject(&self, topic: &str) -> String {
        let key =
            lapwing_cluster::TopicHasher::new("contract").key(lapwing_cluster::Spread::default(), topic);
        format!("lw.contract.k.p.{}.{topic}", key.0)
    }
}

impl KeepingServer for NatsServer {
    async fn start_keeping() -> Self {
        keeping().await
    }

    async fn restart_keeping(&mut self, with_data: bool) {
        self.process.kill();
        if !with_data {
            std::fs::remove_dir_all(self.process.folder().join("kept")).unwrap();
        }
        self.process.begin().await;
    }

    async fn save(&mut self, _: &str) {
        self.process.kill();
        let folder = self.process.folder();
        copy(&folder.join("kept"), &folder.join("saved"));
        self.process.begin().await;
    }

    async fn lose(&mut self, _: &str, _: usize) {
        self.process.kill();
        let folder = self.process.folder();
        std::fs::remove_dir_all(folder.join("kept")).unwrap();
        std::fs::rename(folder.join("saved"), folder.join("kept")).unwrap();
        self.process.begin().await;
    }

    async fn evict(&mut self, topic: &str) {
        // The last entry says where the topic stands.
        let all_but_one = json!({"filter": self.subject(topic), "keep": 1});
        let purged = self.ask("STREAM.PURGE.lw_contract_kept", all_but_one).await;
        assert_eq!(purged["success"], true, "{purged}");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

mod contract {
    use super::*;

    store_contract!(NatsServer);
}

pub(super) const BOUNDS: Bounds = Bounds { entries: 1_000, bytes: 100_000, age: Duration::from_secs(300) };

/// A node, and what it keeps.
async fn node(server: &NatsServer) -> (TestNode, Arc<dyn Store>) {
    let node = TestNode::start("one", server.engine("one")).await;
    let store = Arc::clone(node.cluster.store().unwrap());
    (node, store)
}

pub(super) fn channel(node: &TestNode) -> Channel {
    Channel::Topics(node.cluster.key("t"))
}

pub(super) fn entries(
    channel: Channel,
    publisher: u64,
    numbers: RangeInclusive<u64>,
    size: usize,
) -> Vec<Append> {
    let append = |number: u64| Append {
        topic: "t".into(),
        channel,
        publisher: Instance(publisher),
        number,
        entry: format!("{number:>size$}").into(),
        bounds: BOUNDS,
    };
    numbers.map(append).collect()
}

pub(super) async fn read(
    store: &Arc<dyn Store>,
    channel: Channel,
    after: Option<Place>,
) -> Result<Page, StoreError> {
    store.read(&Read { topic: "t".into(), channel, after, entries_max: 1_000, bounds: BOUNDS }).await
}

/// What a start says is wrong.
async fn refusal(nats: Nats) -> String {
    match Options::new("contract").start(nats).await {
        Err(StartError::Engine(error @ ConnectError::Refused(_))) => error.source().unwrap().to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn where_jetstream_is_off_or_may_not_be_used_a_start_fails_and_says_what_to_do() {
    let plain = NatsServer::with(|_| String::new(), Some(KeptStream::new())).await;
    let said = refusal(plain.engine("")).await;
    assert!(said.contains("JetStream is off on this server: start nats-server with -js"), "{said}");

    let permissions = Nats::permissions("contract").unwrap();
    let with_kept = Nats::permissions_with_kept("contract").unwrap();
    let accounts = |folder: &Path| {
        format!(
            "{}\naccounts {{ with: {{ jetstream: enabled, users: [ {{ user: keeps, password: s, permissions: {with_kept} }}, \
             {{ user: plain, password: s, permissions: {permissions} }} ] }}, without: {{ users: [ {{ user: other, password: s }} ] }} }}",
            jetstream(folder),
        )
    };
    let server = NatsServer::with(accounts, Some(KeptStream::new())).await;
    let engine = |user: &str| {
        Nats::at(&format!("nats://{user}:s@127.0.0.1:{}", server.process.port()))
            .unwrap()
            .keeping(KeptStream::new())
    };
    let said = refusal(engine("other")).await;
    assert!(said.contains("jetstream: enabled"), "{said}");
    let said = refusal(engine("plain")).await;
    assert!(said.contains("Permissions Violation") && said.contains("Nats::permissions_with_kept"), "{said}");

    let keeps = TestNode::start("keeps", engine("keeps")).await;
    keeps.join("t").await;
    let store = Arc::clone(keeps.cluster.store().unwrap());
    store.append(&entries(channel(&keeps), 1, 1..=3, 1)).await.unwrap();
    assert_eq!(read(&store, channel(&keeps), None).await.unwrap().entries.len(), 3);
    eventually("they are published", || keeps.heard().kept.len() == 3).await;
}

#[tokio::test]
async fn a_stream_that_has_no_room_or_is_another_is_refused() {
    let small =
        |folder: &Path| format!("jetstream {{ store_dir: {:?}, max_file_store: 10M }}", folder.join("kept"));
    let server = NatsServer::with(small, Some(KeptStream::new())).await;
    let said = refusal(server.engine("")).await;
    assert!(said.contains("KeptStream::bytes_max"), "{said}");
    let other = json!({"name": "lw_contract_kept", "subjects": ["else.>"], "storage": "memory", "retention": "limits", "discard": "old"});
    let made = server.ask("STREAM.CREATE.lw_contract_kept", other).await;
    assert_eq!(made["did_create"], true, "{made}");
    let said = refusal(server.engine("")).await;
    assert!(said.contains("lw_contract_kept") && said.contains("takes other subjects"), "{said}");
    server.ask("STREAM.DELETE.lw_contract_kept", Value::Null).await;
    let nats = server.engine("").keeping(KeptStream::new().bytes_max(1_000_000).in_memory());
    let node = TestNode::start("one", nats).await;
    assert!(node.cluster.is_ready());
    let info = server.ask("STREAM.INFO.lw_contract_kept", Value::Null).await;
    assert_eq!(
        [&info["config"]["storage"], &info["config"]["max_bytes"]],
        [&json!("memory"), &json!(1_000_000)]
    );
}

#[tokio::test]
async fn a_stream_in_memory_a_purged_one_and_a_deleted_one_are_told_from_the_one_before() {
    let mut server = NatsServer::with(jetstream, Some(KeptStream::new().in_memory())).await;
    let (node, store) = node(&server).await;
    let at = channel(&node);
    for what in ["restart", "purge", "delete"] {
        let unused = page(&store, at, None).await.end();
        append(&store, &entries(at, 1, 1..=5, 1)).await;
        let before = page(&store, at, Some(unused)).await;
        assert_eq!((before.refused, before.entries.len()), (None, 5), "{what}");
        match what {
            "restart" => server.restart_keeping(true).await,
            "purge" => drop(server.ask("STREAM.PURGE.lw_contract_kept", json!({})).await),
            _ => drop(server.ask("STREAM.DELETE.lw_contract_kept", Value::Null).await),
        }
        for place in [unused, before.entries[2].place, before.end()] {
            let after = page(&store, at, Some(place)).await;
            assert_eq!((after.refused, after.entries.len()), (Some(Refused::Epoch), 0), "{what} {place:?}");
        }
        append(&store, &entries(at, 2, 1..=9, 1)).await;
        for place in [unused, before.entries[2].place, before.end()] {
            let after = page(&store, at, Some(place)).await;
            assert_eq!((after.refused, after.entries.len()), (Some(Refused::Epoch), 9), "{what} {place:?}");
        }
        server.ask("STREAM.PURGE.lw_contract_kept", json!({})).await;
    }
}

/// Appends until it is done: the stream may have to be made first.
pub(super) async fn append(store: &Arc<dyn Store>, entries: &[Append]) {
    let asked = tokio::time::Instant::now();
    while let Err(error) = store.append(entries).await {
        assert!(asked.elapsed() < PATIENCE, "{error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Reads until it is done.
pub(super) async fn page(store: &Arc<dyn Store>, channel: Channel, after: Option<Place>) -> Page {
    let asked = tokio::time::Instant::now();
    loop {
        match read(store, channel, after).await {
            Ok(page) => return page,
            Err(error) => assert!(asked.elapsed() < PATIENCE, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn many_nodes_that_append_to_one_topic_at_once_all_get_their_places() {
    const EACH: u64 = 50;
    let server = keeping().await;
    let (one, store) = node(&server).await;
    one.join("t").await;
    let at = channel(&one);
    let mut appending = Vec::new();
    for publisher in 1..=4 {
        let engine = server.engine("");
        appending.push(tokio::spawn(async move {
            let node = TestNode::start("more", engine).await;
            let store = Arc::clone(node.cluster.store().unwrap());
            // One at a time, and without a pause, as nodes do that are under load.
            for number in 1..=EACH {
                append(&store, &entries(at, publisher, number..=number, 1)).await;
            }
        }));
    }
    for appending in appending {
        appending.await.unwrap();
    }
    let page = read(&store, at, None).await.unwrap();
    assert_eq!((page.after.number, page.entries.len() as u64), (0, 4 * EACH));
    eventually("all is published", || one.heard().kept.len() as u64 == 4 * EACH).await;
    // What several connections append at once may be published in another order than it is kept; nodes read what is missing then.
    let mut published = one.heard().kept.clone();
    published.sort_by_key(|kept| kept.place.number);
    assert!(published == page.entries, "all of them once");
}

#[tokio::test]
async fn an_append_that_was_not_confirmed_is_kept_once_whatever_came_behind_it() {
    const OTHERS: u64 = 10;
    let server = keeping().await;
    let (one, store) = node(&server).await;
    let at = channel(&one);
    // Another one, that nothing happens to.
    let direct = Nats::at(&format!("nats://127.0.0.1:{}", server.process.port())).unwrap();
    let two = TestNode::start("two", direct.keeping(KeptStream::new())).await;
    let others = Arc::clone(two.cluster.store().unwrap());
    let bounds = Bounds { entries: 5, ..BOUNDS };
    let batch = |publisher, numbers| {
        let mut batch = entries(at, publisher, numbers, 1);
        batch.iter_mut().for_each(|append| append.bounds = bounds);
        batch
    };
    let last =
        async || server.ask("STREAM.INFO.lw_contract_kept", Value::Null).await["state"]["last_seq"].clone();
    for round in 1..=5 {
        // So that it knows where the topic stands.
        append(&store, &batch(1, 4 * round - 3..=4 * round - 3)).await;
        let unsure = batch(1, 4 * round - 2..=4 * round);
        let before = last().await;
        server.pipe.half_open(HalfOpen::ToNode);
        let mut appending = std::pin::pin!(store.append(&unsure));
        let taken = async {
            while last().await == before {
                tokio::task::yield_now().await;
            }
        };
        let appended = tokio::select! {
            appended = &mut appending => appended,
            () = taken => {
                server.pipe.cut();
                appending.await
            }
        };
        assert!(appended.is_err(), "the answer is lost");
        // So many that the stream has forgotten the entry of which nobody knows.
        append(&others, &batch(2, OTHERS * (round - 1) + 1..=OTHERS * round)).await;
        append(&store, &unsure).await;
        let top = page(&store, at, None).await.end();
        assert_eq!(top.number, (4 + OTHERS) * round, "each once");
    }
}

#[tokio::test]
async fn an_entry_that_the_server_does_not_take_leaves_its_place_empty() {
    let lines = |folder: &Path| format!("max_payload: 20000\n{}", jetstream(folder));
    let server = NatsServer::with(lines, Some(KeptStream::new())).await;
    let (one, store) = node(&server).await;
    let at = channel(&one);
    let mut batch = entries(at, 1, 1..=1, 1);
    batch.extend(entries(at, 1, 2..=2, 20_000));
    batch.extend(entries(at, 1, 3..=3, 19_000));
    store.append(&batch).await.unwrap();
    let page = read(&store, at, None).await.unwrap();
    assert_eq!(page.entries.iter().map(|kept| kept.entry.len()).collect::<Vec<_>>(), [1, 0, 19_000]);
}

#[tokio::test]
async fn limits_of_the_stream_follow_those_of_the_topics_and_messages_of_others_hold_nobody_up() {
    let server = keeping().await;
    let (one, store) = node(&server).await;
    let at = channel(&one);
    let config = async || server.ask("STREAM.INFO.lw_contract_kept", Value::Null).await["config"].clone();
    assert_eq!(config().await["max_msgs_per_subject"], 1);
    store.append(&entries(at, 1, 1..=3, 1)).await.unwrap();
    assert_eq!(config().await["max_msgs_per_subject"], 1_000);
    let long = Bounds { age: Duration::from_secs(100_000), entries: 7, ..BOUNDS };
    let asked = Read { topic: "t".into(), channel: at, after: None, entries_max: 1, bounds: long };
    store.read(&asked).await.unwrap();
    let config = config().await;
    assert_eq!(
        [&config["max_msgs_per_subject"], &config["max_age"]],
        [&json!(1_000), &json!(200_000_000_000_000_u64)]
    );

    let mut socket = TcpStream::connect(("127.0.0.1", server.process.port())).await.unwrap();
    let text = format!("CONNECT {{}}\r\nPUB {} 5\r\nhello\r\nPING\r\n", server.subject("t"));
    socket.write_all(text.as_bytes()).await.unwrap();
    let last = json!({"last_by_subj": server.subject("t")});
    let hello = STANDARD.encode("hello");
    for _ in 0..500 {
        if server.ask("STREAM.MSG.GET.lw_contract_kept", last.clone()).await["message"]["data"] == hello {
            break;
        }
    }
    let before = read(&store, at, None).await.unwrap();
    assert_eq!((before.end().number, before.entries.len()), (0, 0), "what is there is in no order");
    store.append(&entries(at, 1, 4..=5, 1)).await.unwrap();
    assert_eq!(read(&store, at, None).await.unwrap().entries.len(), 2);
    assert_eq!(read(&store, at, Some(before.end())).await.unwrap().refused, None);
    // Nobody can publish on a topic with such a name, and who asks for it is answered.
    let longest = Read { topic: "x".repeat(3_000).into(), channel: Channel::Topics(Key(1)), ..asked };
    assert_eq!(store.read(&longest).await.unwrap().end().number, 0);
}
