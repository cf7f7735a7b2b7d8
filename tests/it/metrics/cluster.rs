//! The numbers of a node of a cluster.

use lapwing::{
    Channel, ClusterOptions, Failure, Joining, Lapwing, Mount, Payload, Topic, cluster::Hub,
    testing::TestServer,
};
use serde_json::json;

use super::{count, gauge, until};

struct Room;

impl Channel for Room {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }
}

async fn node(hub: &Hub, name: &str) -> TestServer {
    let options = ClusterOptions::new("tests").name(name).ring_bytes_max(2_500);
    let cluster = options.start(hub.engine(name)).await.unwrap();
    let mount = Mount::new().channel::<Room>("room:*", ());
    TestServer::from(Lapwing::builder().cluster(cluster).mount("/socket", mount).build().unwrap())
}

#[tokio::test]
async fn what_goes_between_nodes_is_counted() {
    let hub = Hub::new();
    let [one, two] = [node(&hub, "one").await, node(&hub, "two").await];
    let nodes = |node: &TestServer| gauge(&node.metrics(), "lapwing_cluster_nodes", &[]);
    until("the nodes meet", || nodes(&one) == 2.0 && nodes(&two) == 2.0 && one.is_ready() && two.is_ready())
        .await;
    let join = two.join("room:1", json!({})).await.unwrap();
    let number = |node: &TestServer, name: &str, label: &str| count(&node.metrics(), name, &[label]);
    let published = |label| number(&one, "lapwing_cluster_published_total", label);
    let delivered = |label| number(&two, "lapwing_cluster_delivered_total", label);
    one.broadcast("room:1", "said", json!({"n": 1})).unwrap();
    join.expect("said", json!({"n": 1})).await;
    until("it is counted", || published("sent") == 1 && delivered("direct") == 1).await;
    let received = two.metrics();
    let Some(lapwing::metrics::Value::Histogram(read)) =
        received.value("lapwing_broadcast_receivers", &["node"])
    else {
        panic!("broadcasts of other nodes are counted")
    };
    assert_eq!((read.count(), read.sum), (1, 1));
    let up = |node: &TestServer| gauge(&node.metrics(), "lapwing_engine_up", &[]);
    assert_eq!((up(&one), gauge(&one.metrics(), "lapwing_ready", &[])), (1.0, 1.0));
    hub.stop();
    until("the engine is missed", || up(&one) == 0.0 && up(&two) == 0.0).await;
    assert_eq!(gauge(&one.metrics(), "lapwing_ready", &[]), 0.0);
    let long = "x".repeat(900);
    for n in 2..=4 {
        one.broadcast("room:1", "said", json!({"n": n, "text": long})).unwrap();
    }
    until("they are kept, and one is not", || published("later") == 2 && published("lost") == 1).await;
    assert!(gauge(&one.metrics(), "lapwing_cluster_ring_bytes", &[]) > 1_800.0);
    until("it is tried", || number(&one, "lapwing_engine_connects_total", "failed") > 0).await;
    hub.start();
    until("the gap is told", || {
        two.metrics().value("lapwing_cluster_gaps_total", &["overwritten"])
            == Some(&lapwing::metrics::Value::Count(1))
    })
    .await;
    until("the engine is there", || up(&one) == 1.0 && up(&two) == 1.0).await;
    assert_eq!(number(&one, "lapwing_engine_connects_total", "made"), 2);
    let round_trip = || one.metrics().value("lapwing_engine_round_trip_seconds", &[]).is_some();
    until("a beat has come back", round_trip).await;
    let too_large = one.broadcast("room:1", "said", json!({"text": "x".repeat(2_000_000)}));
    assert!(too_large.is_err());
    assert_eq!(number(&one, "lapwing_broadcasts_failed_total", "too_large"), 1);
}
