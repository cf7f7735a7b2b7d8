//! Topics that are kept on three servers.

use lapwing_cluster_driver::AtStart;

use super::{
    kept::{append, channel, entries, jetstream, page},
    *,
};

/// Three servers that know of each other, and their ports. None of them runs yet.
struct Three {
    ports: [u16; 3],
    routes: [u16; 3],
    servers: Vec<Process>,
}

impl Three {
    fn new() -> Self {
        let ports = || [free_port(), free_port(), free_port()];
        Self { ports: ports(), routes: ports(), servers: Vec::new() }
    }

    /// Starts the next one.
    async fn start_another(&mut self) {
        let at = self.servers.len();
        let own = self.routes[at];
        let others = self.routes.iter().filter(|port| **port != own);
        let routes = others.map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect::<Vec<_>>().join(", ");
        let lines = |folder: &Path| {
            format!(
                "server_name: n{at}\n{}\ncluster {{ name: c, listen: \"127.0.0.1:{own}\", routes: [{routes}] }}",
                jetstream(folder)
            )
        };
        self.servers.push(server(self.ports[at], lines).await);
    }

    /// A node's way to one of them.
    fn engine(&self, at: usize) -> Nats {
        let nats = Nats::at(&format!("nats://127.0.0.1:{}", self.ports[at])).unwrap();
        nats.keeping(KeptStream::new().replicas(3))
    }
}

#[tokio::test]
async fn a_stream_of_three_replicas_waits_for_the_third_server() {
    let mut three = Three::new();
    three.start_another().await;
    three.start_another().await;
    // Two of three are enough to choose who leads, and that one then says that there are too few.
    let tried = async || Options::new("contract").start(three.engine(0)).await;
    let asked = tokio::time::Instant::now();
    let said = loop {
        assert!(asked.elapsed() < PATIENCE, "nobody leads");
        match tried().await {
            Err(StartError::Engine(error @ ConnectError::Away(_))) => {
                let said = error.source().unwrap().to_string();
                if said.contains("KeptStream::replicas") {
                    break said;
                }
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(said.contains("10005"), "{said}");
    let (cluster, events) =
        Options::new("contract").at_start(AtStart::Wait).start(three.engine(0)).await.unwrap();
    let node = TestNode::listening(cluster, events);
    three.start_another().await;
    tokio::time::timeout(PATIENCE, node.cluster.ready()).await.unwrap();
    let store = std::sync::Arc::clone(node.cluster.store().unwrap());
    let at = channel(&node);
    append(&store, &entries(at, 1, 1..=3, 1)).await;
    assert_eq!(page(&store, at, None).await.entries.len(), 3);
}

/// With the server alone that is asked where a topic stands before it has the others agree, two nodes were given one place.
#[tokio::test]
async fn nodes_that_append_at_once_to_three_replicas_are_given_a_place_each() {
    const EACH: u64 = 40;
    let mut three = Three::new();
    for _ in 0..3 {
        three.start_another().await;
    }
    let mut appending = Vec::new();
    for publisher in 1..=3 {
        let engine = three.engine(publisher as usize - 1);
        appending.push(tokio::spawn(async move {
            let options = Options::new("contract").at_start(AtStart::Wait);
            let (cluster, events) = options.start(engine).await.unwrap();
            let node = TestNode::listening(cluster, events);
            tokio::time::timeout(PATIENCE, node.cluster.ready()).await.unwrap();
            let store = std::sync::Arc::clone(node.cluster.store().unwrap());
            let at = channel(&node);
            let unused = page(&store, at, None).await;
            assert_eq!(unused.after.number, 0);
            for number in 1..=EACH {
                let before = page(&store, at, None).await.end();
                append(&store, &entries(at, publisher, number..=number, 1)).await;
                let since = page(&store, at, Some(before)).await;
                assert_eq!(since.refused, None, "nobody's place is taken by another entry");
            }
            (node, store)
        }));
    }
    let mut nodes = Vec::new();
    for appending in appending {
        nodes.push(appending.await.unwrap());
    }
    let (node, store) = &nodes[0];
    let page = page(store, channel(node), None).await;
    assert_eq!((page.after.number, page.entries.len() as u64), (0, 3 * EACH), "each once");
}
