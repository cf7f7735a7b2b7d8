//! Attempts whose client did not stay.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, service::Service as _};
use lapwing::{ClusterOptions, Lapwing, api::ApiService, cluster::Hub};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{KEY, mount, options};
use crate::support::{
    PATIENCE,
    channels::{Client, Vsn},
    lab,
};

async fn node(hub: &Hub, name: &str) -> Lapwing {
    let cluster = ClusterOptions::new("tests").name(name).start(hub.engine(name)).await.unwrap();
    Lapwing::builder().cluster(cluster).mount("/socket", mount()).build().unwrap()
}

async fn disconnect_bob(api: &ApiService) -> Value {
    let request = Request::post("/api/disconnect")
        .header("authorization", format!("Bearer {KEY}"))
        .header("idempotency-key", "1")
        .body(Full::new(Bytes::from_static(br#"{"id": "bob"}"#)))
        .unwrap();
    let response = api.call(request).await.unwrap();
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

/// Otherwise those who have come back would be ended again.
#[tokio::test]
async fn what_a_client_did_not_wait_for_goes_on_and_is_done_once() {
    let hub = Hub::new();
    let (one, two) = (node(&hub, "one").await, node(&hub, "two").await);
    let know_each_other = async {
        while [&one, &two].iter().any(|node| !node.is_ready() || node.cluster().unwrap().nodes.len() < 2) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, know_each_other).await.expect("they know each other");
    let mut client = Client::connect_to(lab::serve(&one).await, "/socket", Vsn::V2, "user=bob&").await;
    client.join("1", "room:1").await;
    let api = one.api(options());
    // The answer of the other node cannot be there at once.
    timeout(Duration::ZERO, disconnect_bob(&api)).await.unwrap_err();
    client.expect_close(1001).await;
    assert_eq!(disconnect_bob(&api).await, json!({"connections": 1, "missing": []}));
}
