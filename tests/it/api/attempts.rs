//! Attempts whose client did not stay, and what is told as it was said.

use std::{
    future::{Future as _, poll_fn},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, service::Service as _};
use lapwing::{ClusterOptions, Lapwing, api::ApiService, cluster::Hub, protocol::RawJson};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{KEY, Lab, mount, options};
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
    // Begun, and given up at once: the answer of the other node cannot be there yet.
    let mut attempt = Box::pin(disconnect_bob(&api));
    assert!(poll_fn(|cx| Poll::Ready(attempt.as_mut().poll(cx).is_pending())).await);
    drop(attempt);
    client.expect_close(1001).await;
    assert_eq!(disconnect_bob(&api).await, json!({"connections": 1, "missing": []}));
}

/// A large number, the order of keys, half of a surrogate pair, and what nests deeply.
#[tokio::test]
async fn what_was_said_is_told_as_it_was_said() {
    let lab = Lab::start(options()).await;
    let deep = format!("{}1{}", r#"{"in":"#.repeat(200), "}".repeat(200));
    let said = format!(r#""z":1.10,"a":12345678901234567890123,"deep":{deep}"#);
    let payload = format!(r#"{{"half":"\ud83d",{said}}}"#);
    let body = format!(r#"{{"topic": "kept:1", "event": "say", "payload": {payload}}}"#);
    assert_eq!(lab.ask("POST", "publish", Some(&body)).await.status, 200);
    let history = lab.ask("GET", "history?topic=kept:1", None).await.text();
    assert!(history.contains(&format!(r#""payload":{payload}"#)), "{history}");
    let meta = RawJson::new(&format!("{{{said}}}")).unwrap();
    let tracked = lab.lapwing.track("room:1", "ada", meta).await.unwrap();
    let presences = lab.ask("GET", "presence?topic=room:1", None).await;
    assert_eq!(presences.status, 200);
    assert!(presences.text().contains(&said), "{}", presences.text());
    drop(tracked);
}
