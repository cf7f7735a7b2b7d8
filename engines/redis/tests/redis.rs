//! The contract on a real Redis, and what only a Redis can do.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use std::{error::Error as _, process::Command};

use lapwing_cluster_driver::{ConnectError, HalfOpen, Options, StartError};
use lapwing_engine_contract::{
    KeepingServer, PATIENCE, Pipe, Process, Server, TestNode, contract, eventually, free_port, store_contract,
};
use lapwing_redis::Redis;

struct RedisServer {
    process: Process,
    pipe: Option<Pipe>,
}

impl RedisServer {
    async fn with(arguments: &[&str]) -> Self {
        let port = free_port();
        let process = Process::start("redis-server", port, |_| {
            let port = port.to_string();
            let own = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
            own.iter().chain(arguments).map(|argument| (*argument).to_owned()).collect()
        });
        Self { process: process.await, pipe: None }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.process.port())
    }

    /// Says a command with the tool that comes with the server.
    fn cli(&self, command: &str) -> String {
        let port = self.process.port().to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(command.split(' ')).output().unwrap();
        // What is kept is not all text.
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Server for RedisServer {
    type Engine = Redis;

    async fn start() -> Self {
        Self::with(&[]).await
    }

    fn engine(&self, _label: &str) -> Redis {
        Redis::at(&self.url()).unwrap()
    }

    async fn breakable(&mut self, _label: &str) -> Redis {
        let pipe = Pipe::to(self.process.port()).await;
        let redis = Redis::at(&format!("redis://{}", pipe.addr())).unwrap();
        self.pipe = Some(pipe);
        redis
    }

    fn half_open(&mut self, _label: &str, direction: HalfOpen) {
        self.pipe.as_ref().unwrap().half_open(direction);
    }

    async fn kill(&mut self) {
        self.process.kill();
    }

    async fn restart(&mut self) {
        self.process.begin().await;
    }

    fn pause(&mut self) {
        self.process.signal("STOP");
    }

    fn go_on(&mut self) {
        self.process.signal("CONT");
    }

    async fn cut(&mut self) {
        self.cli("CLIENT KILL TYPE pubsub");
    }
}

contract!(RedisServer);

impl KeepingServer for RedisServer {
    async fn start_keeping() -> Self {
        Self::with(&["--appendonly", "yes", "--appendfsync", "always"]).await
    }

    async fn restart_keeping(&mut self, with_data: bool) {
        self.process.kill();
        if !with_data {
            std::fs::remove_dir_all(self.process.folder().join("appendonlydir")).unwrap();
        }
        self.process.begin().await;
        eventually("it has read what it had", || self.cli("PING").trim() == "PONG").await;
    }

    async fn save(&mut self, topic: &str) {
        for kind in ["k", "m"] {
            let copied = self.cli(&format!("COPY lw:contract:{kind}:{topic} saved:{kind} REPLACE"));
            assert_eq!(copied.trim(), "1");
        }
    }

    async fn lose(&mut self, topic: &str, _: usize) {
        for kind in ["k", "m"] {
            let copied = self.cli(&format!("COPY saved:{kind} lw:contract:{kind}:{topic} REPLACE"));
            assert_eq!(copied.trim(), "1");
        }
    }

    async fn evict(&mut self, topic: &str) {
        assert_eq!(self.cli(&format!("DEL lw:contract:k:{topic}")).trim(), "1");
    }
}

mod store {
    use std::sync::Arc;

    use lapwing_cluster::{Channel, Instance, wire::Place};
    use lapwing_cluster_driver::store::{Append, Bounds, Page, Read, Refused, Store};

    use super::*;

    store_contract!(RedisServer);

    const BOUNDS: Bounds =
        Bounds { entries: 1_000, bytes: 100_000, age: std::time::Duration::from_secs(300) };

    async fn node(server: &RedisServer) -> (TestNode, Arc<dyn Store>) {
        let node = TestNode::start("one", server.engine("one")).await;
        let store = Arc::clone(node.cluster.store().unwrap());
        (node, store)
    }

    async fn append(node: &TestNode, store: &Arc<dyn Store>, numbers: std::ops::RangeInclusive<u64>) {
        let channel = Channel::Topics(node.cluster.key("t"));
        let append = |number| Append {
            topic: "t".into(),
            channel,
            publisher: Instance(1),
            number,
            entry: number.to_string().into(),
            bounds: BOUNDS,
        };
        store.append(&numbers.map(append).collect::<Vec<_>>()).await.unwrap();
    }

    async fn read(store: &Arc<dyn Store>, after: Option<Place>) -> Page {
        store
            .read(&Read {
                topic: "t".into(),
                channel: Channel::Control,
                after,
                entries_max: 1_000,
                bounds: BOUNDS,
            })
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_promoted_replica_that_lacks_the_end_is_told_from_its_master() {
        let mut master = RedisServer::start().await;
        let port = master.process.port().to_string();
        let replica = RedisServer::with(&["--replicaof", "127.0.0.1", &port]).await;
        eventually("the replica follows", || master.cli("INFO replication").contains("state=online")).await;
        let (node, store) = node(&master).await;
        append(&node, &store, 1..=50).await;
        eventually("the replica has them", || replica.cli("XLEN lw:contract:k:t").trim() == "50").await;
        replica.cli("REPLICAOF NO ONE");
        append(&node, &store, 51..=150).await;
        let before = read(&store, None).await;
        master.process.kill();

        let (node, store) = super::store::node(&replica).await;
        let refused =
            async |number: usize| read(&store, Some(before.entries[number - 1].place)).await.refused;
        assert_eq!([refused(50).await, refused(51).await], [None, Some(Refused::Epoch)]);
        append(&node, &store, 201..=320).await;
        for number in [51, 100, 150] {
            assert_eq!(refused(number).await, Some(Refused::Epoch), "{number} is another one there");
        }
        let rest = read(&store, Some(before.entries[39].place)).await;
        assert_eq!((rest.refused, rest.entries.len()), (None, 130));
    }

    #[tokio::test]
    async fn entries_that_somebody_deletes_are_told_as_trimmed() {
        let server = RedisServer::start().await;
        let (node, store) = node(&server).await;
        append(&node, &store, 1..=10).await;
        let page = read(&store, None).await;
        let ids = server.cli("XREVRANGE lw:contract:k:t + - COUNT 2");
        let ids: Vec<&str> =
            ids.lines().filter(|line| line.starts_with("10-") || line.starts_with("9-")).collect();
        assert_eq!(server.cli(&format!("XDEL lw:contract:k:t {} {}", ids[0], ids[1])).trim(), "2");
        let after = async |number: usize| read(&store, Some(page.entries[number - 1].place)).await;
        assert_eq!(after(10).await.refused, None, "it has all of them");
        assert_eq!(after(8).await.refused, Some(Refused::Trimmed));
        append(&node, &store, 11..=11).await;
        assert_eq!(after(8).await.refused, Some(Refused::Trimmed));
        assert_eq!(after(10).await.entries.len(), 1);
    }

    #[tokio::test]
    async fn keys_that_somebody_else_has_written_hold_nobody_up() {
        let server = RedisServer::start().await;
        let (node, store) = node(&server).await;
        append(&node, &store, 1..=2).await;
        let page = read(&store, None).await;
        server.cli("DEL lw:contract:k:t");
        server.cli("XADD lw:contract:k:t 99999-1 some thing");
        append(&node, &store, 3..=4).await;
        let again = read(&store, Some(page.end())).await;
        assert_eq!((again.refused, again.entries.len()), (Some(Refused::Epoch), 2));
        // A server that has lost the scripts is given them again.
        server.cli("SCRIPT FLUSH");
        let asked = Read {
            topic: "t".into(),
            channel: Channel::Control,
            after: None,
            entries_max: 1_000,
            bounds: BOUNDS,
        };
        assert!(store.read(&asked).await.is_err());
        assert_eq!(read(&store, None).await.entries.len(), 2);
    }

    #[tokio::test]
    async fn a_user_with_the_printed_permissions_can_keep_and_one_without_is_refused() {
        let server = RedisServer::start().await;
        server.cli(&Redis::acl_with_kept("contract", "keeps", "secret").unwrap());
        server.cli(&Redis::acl("contract", "plain", "secret").unwrap());
        let engine = |user: &str| {
            Redis::at(&format!("redis://{user}:secret@127.0.0.1:{}", server.process.port())).unwrap()
        };
        let keeps = TestNode::start("keeps", engine("keeps")).await;
        keeps.join("t").await;
        let store = Arc::clone(keeps.cluster.store().unwrap());
        append(&keeps, &store, 1..=3).await;
        // Another one, so that something is trimmed and forgotten, too.
        assert_eq!(read(&store, None).await.entries.len(), 3);
        eventually("they are published", || keeps.heard().kept.len() == 3).await;
        let plain = TestNode::start("plain", engine("plain")).await;
        let store = plain.cluster.store().unwrap();
        let refused = store
            .read(&Read {
                topic: "t".into(),
                channel: Channel::Control,
                after: None,
                entries_max: 1,
                bounds: BOUNDS,
            })
            .await;
        assert!(matches!(refused, Err(lapwing_cluster_driver::store::StoreError::Refused(_))), "{refused:?}");
    }
}

/// What a start says is wrong.
async fn refusal(redis: Redis) -> String {
    match Options::new("contract").start(redis).await {
        Err(StartError::Engine(error @ ConnectError::Refused(_))) => error.source().unwrap().to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_user_with_the_printed_permissions_can_do_everything_and_nothing_else() {
    let server = RedisServer::start().await;
    let answer = server.cli(&Redis::acl("contract", "node", "secret").unwrap());
    assert_eq!(answer.trim(), "OK");
    server.cli("ACL SETUSER default off");
    let url = |login: &str| format!("redis://{login}@127.0.0.1:{}", server.process.port());
    let engine = |login: &str| Redis::at(&url(login)).unwrap();

    let one = TestNode::start("one", engine("node:secret")).await;
    let two = TestNode::start("two", engine("node:secret")).await;
    TestNode::meet(&[&one, &two]).await;
    one.join("room:1").await;
    two.publish("room:1", "hello");
    eventually("it arrives", || one.heard_of(&two, "room:1") == ["hello"]).await;
    two.cluster.shutdown(PATIENCE).await;
    eventually("it departs", || one.cluster.peers().is_empty()).await;

    let said = refusal(engine("node:wrong")).await;
    assert!(said.contains("WRONGPASS") || said.contains("AuthenticationFailed"), "{said}");
    let said = refusal(Redis::at(&server.url()).unwrap()).await;
    assert!(said.contains("NOAUTH") || said.contains("disabled"), "{said}");
    let foreign = Options::new("foreign").start(engine("node:secret")).await;
    let Err(StartError::Engine(ConnectError::Refused(error))) = foreign else { panic!("{foreign:?}") };
    assert!(error.to_string().contains("no permissions to access one of the channels"), "{error}");
}

#[tokio::test]
async fn a_permission_that_is_taken_away_refuses_joins() {
    let server = RedisServer::start().await;
    server.cli("ACL SETUSER node reset on >secret &lw:contract:c &lw:contract:n:* &lw:contract:probe +@all");
    let url = format!("redis://node:secret@127.0.0.1:{}", server.process.port());
    let node = TestNode::start("one", Redis::at(&url).unwrap()).await;
    let joins: Vec<_> = (0..20).map(|number| node.cluster.subscribe(&format!("room:{number}"))).collect();
    for join in joins {
        let refused = tokio::time::timeout(PATIENCE, join).await.unwrap();
        assert_eq!(refused, Err(lapwing_cluster_driver::NotConfirmed::Refused));
    }
    assert!(node.cluster.is_ready(), "the rest goes on");
}

#[tokio::test]
async fn a_replica_is_not_taken_for_the_server() {
    let server = RedisServer::start().await;
    let port = server.process.port().to_string();
    let replica = RedisServer::with(&["--replicaof", "127.0.0.1", &port]).await;
    let start = Options::new("contract").start(replica.engine("")).await;
    let Err(StartError::Engine(ConnectError::Away(error))) = start else { panic!("{start:?}") };
    assert!(error.to_string().contains("replica"), "{error}");
    assert_eq!(replica.cli("REPLICAOF NO ONE").trim(), "OK");
    let node = TestNode::start("one", replica.engine("")).await;
    assert!(node.cluster.is_ready());
}

#[tokio::test]
async fn a_connection_is_encrypted_and_knows_whom_it_trusts() {
    let ours = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let port = free_port();
    let process = Process::start("redis-server", port, |folder| {
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, ours.cert.pem()).unwrap();
        std::fs::write(&key, ours.signing_key.serialize_pem()).unwrap();
        let (certificate, key) = (certificate.display(), key.display());
        let options = format!(
            "--port 0 --tls-port {port} --bind 127.0.0.1 --tls-auth-clients no --requirepass secret \
             --tls-cert-file {certificate} --tls-key-file {key} --tls-ca-cert-file {certificate}"
        );
        options.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    });
    let _process = process.await;
    let url = format!("rediss://:secret@localhost:{port}");
    let trusting = |roots: &str| Redis::at_trusting(&url, roots.as_bytes()).unwrap();
    let one = TestNode::start("one", trusting(&ours.cert.pem())).await;
    let two = TestNode::start("two", trusting(&ours.cert.pem())).await;
    TestNode::meet(&[&one, &two]).await;

    let others = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    for stranger in [trusting(&others.cert.pem()), Redis::at(&url).unwrap()] {
        let start = Options::new("contract").start(stranger).await;
        assert!(matches!(start, Err(StartError::Engine(_))), "{start:?}");
    }
    let plain = Redis::at(&format!("redis://:secret@localhost:{port}")).unwrap();
    assert!(Options::new("contract").start(plain).await.is_err());
}

#[tokio::test]
async fn the_nodes_follow_the_sentinels_to_the_new_master() {
    let mut master = RedisServer::start().await;
    let port = master.process.port().to_string();
    let replica = RedisServer::with(&["--replicaof", "127.0.0.1", &port]).await;
    eventually("the replica follows", || master.cli("INFO replication").contains("state=online")).await;
    let sentinel = free_port();
    let sentinels = Process::start("redis-server", sentinel, |folder| {
        let file = folder.join("sentinel.conf");
        let lines = format!(
            "port {sentinel}\nbind 127.0.0.1\nsentinel monitor ours 127.0.0.1 {port} 1\n\
             sentinel down-after-milliseconds ours 500\nsentinel failover-timeout ours 2000\n"
        );
        std::fs::write(&file, lines).unwrap();
        vec![file.display().to_string(), "--sentinel".to_owned()]
    });
    let _sentinels = sentinels.await;
    let url = format!("redis://127.0.0.1:{sentinel}");
    let engine = || Redis::sentinels(&[&url], "ours", None).unwrap();
    let one = TestNode::start("one", engine()).await;
    let two = TestNode::start("two", engine()).await;
    TestNode::meet(&[&one, &two]).await;
    two.join("room:1").await;
    one.publish("room:1", "before");
    eventually("it arrives", || two.heard_of(&one, "room:1") == ["before"]).await;

    master.process.kill();
    eventually("it is noticed", || !one.cluster.is_ready()).await;
    one.publish("room:1", "meanwhile");
    eventually("it arrives by the new one", || two.heard_of(&one, "room:1") == ["before", "meanwhile"]).await;
    assert!(replica.cli("PUBSUB CHANNELS").contains("lw:contract:c"));
    assert_eq!((one.heard().gaps.len(), two.heard().gaps.len()), (0, 0));
    assert_eq!(two.heard().downs, []);
}

#[tokio::test]
async fn a_password_is_in_no_text() {
    let redis = Redis::at("redis://node:secret@127.0.0.1:1").unwrap();
    let text = format!("{redis:?}");
    assert!(text.contains("127.0.0.1:1") && !text.contains("secret"), "{text}");
    let start = Options::new("contract").start(redis).await;
    assert!(!format!("{start:?}").contains("secret"));
    let bad = Redis::at("http://node:secret@127.0.0.1").map(|_| ()).unwrap_err();
    assert!(!format!("{bad:?} {bad}").contains("secret"));
}

#[tokio::test]
async fn a_node_that_departs_leaves_nothing_behind() {
    let server = RedisServer::start().await;
    let one = TestNode::start("one", server.engine("one")).await;
    one.join("room:1").await;
    assert_eq!(server.cli("PUBSUB CHANNELS lw:contract:*").lines().count(), 3);
    one.cluster.shutdown(PATIENCE).await;
    eventually("nothing is subscribed", || server.cli("PUBSUB CHANNELS lw:contract:*").trim().is_empty())
        .await;
    assert_eq!(server.cli("DBSIZE").trim(), "0");
}
