//! The contract on a real NATS, and what only a NATS can do.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

mod kept;
mod replicas;

use std::{error::Error as _, path::Path};

use lapwing_cluster_driver::{ConnectError, HalfOpen, NotConfirmed, Options, StartError};
use lapwing_engine_contract::{PATIENCE, Pipe, Process, Server, TestNode, contract, eventually, free_port};
use lapwing_nats::{KeptStream, Nats};

struct NatsServer {
    process: Process,
    /// Everybody goes through it: the server has no command that cuts.
    pipe: Pipe,
    broken: Option<Pipe>,
    /// Where its nodes keep topics, if they do.
    stream: Option<KeptStream>,
}

impl NatsServer {
    async fn with(lines: impl FnOnce(&Path) -> String, stream: Option<KeptStream>) -> Self {
        let process = server(free_port(), lines).await;
        let pipe = Pipe::to(process.port()).await;
        Self { process, pipe, broken: None, stream }
    }
}

/// A server with lines of configuration, and the port that it listens on.
async fn server(port: u16, lines: impl FnOnce(&Path) -> String) -> Process {
    let process = Process::start("nats-server", port, |folder| {
        let file = folder.join("nats.conf");
        std::fs::write(&file, format!("listen: \"127.0.0.1:{port}\"\n{}\n", lines(folder))).unwrap();
        vec!["--config".to_owned(), file.display().to_string()]
    });
    process.await
}

impl Server for NatsServer {
    type Engine = Nats;

    async fn start() -> Self {
        Self::with(|_| String::new(), None).await
    }

    fn engine(&self, _label: &str) -> Nats {
        let nats = Nats::at(&format!("nats://{}", self.pipe.addr())).unwrap();
        match &self.stream {
            Some(stream) => nats.keeping(stream.clone()),
            None => nats,
        }
    }

    async fn breakable(&mut self, _label: &str) -> Nats {
        let pipe = Pipe::to(self.process.port()).await;
        let nats = Nats::at(&format!("nats://{}", pipe.addr())).unwrap();
        self.broken = Some(pipe);
        nats
    }

    fn half_open(&mut self, _label: &str, direction: HalfOpen) {
        self.broken.as_ref().unwrap().half_open(direction);
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
        self.pipe.cut();
    }
}

contract!(NatsServer);

#[tokio::test]
async fn a_user_with_the_printed_permissions_can_do_everything_and_nothing_else() {
    let permissions = Nats::permissions("contract").unwrap();
    let process = server(free_port(), |_| {
        format!("authorization {{ users: [ {{ user: \"node\", password: \"s:cret\", permissions: {permissions} }} ] }}")
    })
    .await;
    let engine = |login: &str| Nats::at(&format!("nats://{login}127.0.0.1:{}", process.port())).unwrap();
    let one = TestNode::start("one", engine("node:s%3Acret@")).await;
    let two = TestNode::start("two", engine("node:s%3Acret@")).await;
    TestNode::meet(&[&one, &two]).await;
    one.join("room:1").await;
    two.publish("room:1", "hello");
    eventually("it arrives", || one.heard_of(&two, "room:1") == ["hello"]).await;

    for (app, login, why) in [
        ("contract", "node:wrong@", "Authorization Violation"),
        ("contract", "", "Authorization Violation"),
        ("foreign", "node:s%3Acret@", "Permissions Violation for Subscription to \"lw.foreign.probe\""),
    ] {
        let start = Options::new(app).start(engine(login)).await;
        let Err(StartError::Engine(error @ ConnectError::Refused(_))) = start else { panic!("{start:?}") };
        let said = error.source().unwrap().to_string();
        assert!(said.contains(why), "{said}");
        assert!(!format!("{error:?}").contains("cret"));
    }
    assert!(!format!("{:?}", engine("node:s%3Acret@")).contains("cret"));
}

#[tokio::test]
async fn a_topic_that_may_not_be_subscribed_refuses_joins_and_the_rest_goes_on() {
    let process = server(free_port(), |_| {
        let allowed = r#"["lw.contract.c", "lw.contract.n.*", "lw.contract.probe"]"#;
        let user = format!("user: a, password: b, permissions: {{ publish: \">\", subscribe: {allowed} }}");
        format!("authorization {{ users: [ {{ {user} }} ] }}")
    })
    .await;
    let url = format!("nats://a:b@127.0.0.1:{}", process.port());
    let node = TestNode::start("one", Nats::at(&url).unwrap()).await;
    let joins: Vec<_> = (0..20).map(|number| node.cluster.subscribe(&format!("room:{number}"))).collect();
    for join in joins {
        let refused = tokio::time::timeout(PATIENCE, join).await.unwrap();
        assert_eq!(refused, Err(NotConfirmed::Refused));
    }
    assert!(node.cluster.is_ready());
}

#[tokio::test]
async fn a_token_is_enough() {
    let process = server(free_port(), |_| "authorization { token: \"t@ken\" }".to_owned()).await;
    let url = format!("nats://t%40ken@127.0.0.1:{}", process.port());
    let node = TestNode::start("one", Nats::at(&url).unwrap()).await;
    assert!(node.cluster.is_ready());
}

#[tokio::test]
async fn a_connection_is_encrypted_and_knows_whom_it_trusts() {
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let ours = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let process = server(free_port(), |folder| {
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, ours.cert.pem()).unwrap();
        std::fs::write(&key, ours.signing_key.serialize_pem()).unwrap();
        format!("tls {{ cert_file: {:?}, key_file: {:?} }}", certificate, key)
    })
    .await;
    let url = format!("tls://localhost:{}", process.port());
    let mut roots = RootCertStore::empty();
    roots.add(ours.cert.der().clone()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let config = std::sync::Arc::new(config);
    let engine = || Nats::at(&url).unwrap().with_tls(std::sync::Arc::clone(&config));
    let one = TestNode::start("one", engine()).await;
    // The server asks for it, whatever the address says.
    let plain = Nats::at(&url.replace("tls:", "nats:")).unwrap();
    let two = TestNode::start("two", plain.with_tls(std::sync::Arc::clone(&config))).await;
    TestNode::meet(&[&one, &two]).await;
    one.join("room:1").await;
    let large = "x".repeat(500_000);
    two.publish("room:1", &large);
    eventually("it arrives", || one.heard_of(&two, "room:1") == [large.as_str()]).await;
    assert!(Options::new("contract").start(Nats::at(&url).unwrap()).await.is_err(), "not trusted");
}

#[tokio::test]
async fn a_broadcast_that_the_server_does_not_take_is_told_and_the_rest_goes_on() {
    let process = server(free_port(), |_| "max_payload: 20000".to_owned()).await;
    let engine = || Nats::at(&format!("nats://127.0.0.1:{}", process.port())).unwrap();
    let one = TestNode::start("one", engine()).await;
    let two = TestNode::start("two", engine()).await;
    TestNode::meet(&[&one, &two]).await;
    one.join("room:1").await;
    two.publish("room:1", "before");
    eventually("it arrives", || one.heard_of(&two, "room:1") == ["before"]).await;
    two.publish("room:1", &"x".repeat(30_000));
    two.publish("room:1", "behind");
    eventually("it goes on", || one.heard_of(&two, "room:1") == ["before", "behind"]).await;
    assert_eq!(one.heard().gaps.len(), 1);
    assert_eq!((one.cluster.stats().connects, two.cluster.stats().connects), (1, 1));
}

#[tokio::test]
async fn nodes_leave_a_server_that_is_about_to_end_for_another_and_lose_nothing() {
    let (first, second) = (free_port(), free_port());
    let (first_route, second_route) = (free_port(), free_port());
    let lines = |own: u16, other: u16| {
        format!(
            "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"1s\"\n\
             cluster {{ name: c, listen: \"127.0.0.1:{own}\", routes: [\"nats://127.0.0.1:{other}\"] }}"
        )
    };
    let lame = server(first, |_| lines(first_route, second_route)).await;
    let _whole = server(second, |_| lines(second_route, first_route)).await;
    let one =
        TestNode::start("one", Nats::at(&format!("nats://127.0.0.1:{first},127.0.0.1:{second}")).unwrap())
            .await;
    let two = TestNode::start("two", Nats::at(&format!("nats://127.0.0.1:{second}")).unwrap()).await;
    TestNode::meet(&[&one, &two]).await;
    one.join("room:1").await;
    two.join("room:1").await;
    for number in 0..1_000 {
        one.publish("room:1", &number.to_string());
        two.publish("room:1", &number.to_string());
        if number == 300 {
            lame.signal("USR2");
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let expected: Vec<_> = (0..1_000).map(|number| number.to_string()).collect();
    eventually("one has left", || one.cluster.stats().connects == 2).await;
    eventually("everything arrives", || {
        one.heard_of(&two, "room:1") == expected && two.heard_of(&one, "room:1") == expected
    })
    .await;
    assert_eq!((one.heard().gaps.len(), two.heard().gaps.len()), (0, 0));
    assert!(one.cluster.stats().last_error.unwrap().contains("about to end"));
}
