//! The services that balancers, supervisors and scrapers ask, and what they say in each state.

use std::{io::Write as _, process::Command};

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use lapwing::{
    Channel, ClusterOptions, Failure, Joining, Lapwing, Mount, Payload, StatusService, Topic,
    cluster::Hub,
    metrics::{Metrics, catalog},
    testing::TestServer,
    transports::body::Body,
};
use serde_json::{Value, json};
use tower_service::Service as _;

use super::until;
use crate::support::{
    channels::{Client, Vsn},
    lab,
};

struct Room;

impl Channel for Room {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }
}

async fn ask(mut service: StatusService, method: Method, accept: &str) -> Response<Body> {
    let request = Request::builder().method(method).header("accept", accept).body(()).unwrap();
    service.call(request).await.unwrap()
}

async fn said(service: StatusService) -> (u16, String) {
    let response = ask(service, Method::GET, "*/*").await;
    let status = response.status().as_u16();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn answer(status: u16, text: &str) -> (u16, String) {
    (status, text.to_owned())
}

#[tokio::test]
async fn a_server_that_goes_down_lives_and_is_not_ready() {
    let lapwing = Lapwing::builder().mount("/socket", Mount::new()).build().unwrap();
    let address = lab::serve(&lapwing).await;
    let mut client = Client::connect(address, Vsn::V2).await;
    assert_eq!(said(lapwing.live_service()).await, answer(200, "live"));
    assert_eq!(said(lapwing.ready_service()).await, answer(200, "ready"));
    let draining = tokio::spawn({
        let lapwing = lapwing.clone();
        async move { lapwing.shutdown().await }
    });
    until("it drains", || !lapwing.is_ready()).await;
    assert_eq!(said(lapwing.ready_service()).await, answer(503, "draining"));
    assert_eq!(said(lapwing.live_service()).await, answer(200, "live"));
    client.expect_close(1012).await;
    draining.await.unwrap();
    assert_eq!(said(lapwing.ready_service()).await, answer(503, "draining"));
    assert_eq!(said(lapwing.live_service()).await, answer(200, "live"));
}

#[tokio::test]
async fn a_node_without_its_engine_lives_and_is_not_ready() {
    let hub = Hub::new();
    let cluster = ClusterOptions::new("tests").name("one").start(hub.engine("one")).await.unwrap();
    let lapwing = Lapwing::builder().cluster(cluster).build().unwrap();
    until("the engine is there", || lapwing.is_ready()).await;
    assert_eq!(said(lapwing.ready_service()).await, answer(200, "ready"));
    hub.stop();
    until("it is missed", || !lapwing.is_ready()).await;
    assert_eq!(said(lapwing.ready_service()).await, answer(503, "engine"));
    assert_eq!(said(lapwing.live_service()).await, answer(200, "live"));
    hub.start();
    until("the engine is back", || lapwing.is_ready()).await;
    lapwing.shutdown().await;
    assert_eq!(said(lapwing.ready_service()).await, answer(503, "draining"));
}

#[tokio::test]
async fn a_status_is_read_and_nothing_else() {
    let lapwing = Lapwing::builder().build().unwrap();
    for service in [lapwing.live_service(), lapwing.ready_service(), lapwing.metrics_service()] {
        assert_eq!(ask(service.clone(), Method::HEAD, "*/*").await.status(), 200);
        let refused = ask(service, Method::POST, "*/*").await;
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["allow"]),
            (405, &"GET, HEAD".parse().unwrap())
        );
    }
}

/// A server on which everything has a number.
async fn busy() -> TestServer {
    let hub = Hub::new();
    let cluster = ClusterOptions::new("tests").name("one").start(hub.engine("one")).await.unwrap();
    let mount = Mount::new().channel::<Room>("room:*", ()).channel::<Room>("a \"quoted\\ route", ());
    let mount = mount.keep("kept:*", lapwing::Keep::last(10));
    let lapwing = Lapwing::builder().cluster(cluster).mount("/socket", mount).build().unwrap();
    let server = TestServer::from(lapwing);
    server.join("room:1", json!({})).await.unwrap();
    server.broadcast("room:1", "said", json!({})).unwrap();
    server
}

#[tokio::test]
async fn a_scraper_gets_the_text_that_it_accepts() {
    let server = busy().await;
    let prometheus_asks =
        "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    for (accept, content_type, is_open) in [
        ("*/*", Metrics::PROMETHEUS, false),
        ("text/plain", Metrics::PROMETHEUS, false),
        (prometheus_asks, Metrics::OPENMETRICS, true),
    ] {
        let response = ask(server.metrics_service(), Method::GET, accept).await;
        assert_eq!(response.headers()["content-type"], content_type, "{accept}");
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text.ends_with(b"# EOF\n"), is_open);
    }
}

/// Prometheus' own tool reads it, and finds nothing that its conventions advise against.
#[tokio::test]
async fn promtool_is_content() {
    let server = busy().await;
    let mut promtool = Command::new(std::env::var("PROMTOOL").unwrap_or_else(|_| "promtool".into()));
    promtool.args(["check", "metrics"]);
    promtool.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    promtool.stderr(std::process::Stdio::piped());
    let mut child = promtool.spawn().expect("promtool is there: Debian's package `prometheus` has it");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(server.metrics().to_prometheus().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// Each metric has a number, but for those that nothing has caused.
#[tokio::test]
async fn all_metrics_are_told() {
    let metrics = busy().await.metrics();
    let silent: Vec<_> = metrics
        .families()
        .iter()
        .filter(|family| family.samples.is_empty())
        .map(|family| family.description.name)
        .collect();
    let may_be = ["lapwing_cluster_gaps_total", "lapwing_engine_round_trip_seconds"];
    assert!(silent.iter().all(|name| may_be.contains(name)), "{silent:?}");
}

/// The dashboard asks for metrics and labels that there are.
#[test]
fn the_dashboard_is_made_of_metrics_that_there_are() {
    let dashboard: Value = serde_json::from_str(include_str!("../../../docs/grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut asked = Vec::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert!(panel["title"].is_string() && panel["gridPos"]["w"].is_u64(), "{panel}");
        for target in panel["targets"].as_array().unwrap() {
            asked.push(target["expr"].as_str().unwrap().to_owned());
        }
    }
    assert!(asked.len() > 20, "{} expressions", asked.len());
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for expression in &asked {
        let words: Vec<_> =
            expression.split(|c| !is_word(c)).filter(|word| word.starts_with("lapwing_")).collect();
        assert!(!words.is_empty(), "{expression}");
        for word in words {
            let name = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
            let known = |name: &str| catalog::ALL.iter().find(|description| description.name == name);
            let description = known(word).or_else(|| known(name?));
            let description = description.unwrap_or_else(|| panic!("{word} in {expression}"));
            // The labels by which it is summed up.
            let by = expression.split(" by (").nth(1).and_then(|rest| rest.split(')').next()).unwrap_or("");
            for label in by.split(',').map(str::trim).filter(|label| !label.is_empty()) {
                assert!(label == "le" || description.labels.contains(&label), "{label} in {expression}");
            }
        }
    }
    let all = asked.join(" ");
    let missing: Vec<_> =
        catalog::ALL.iter().map(|description| description.name).filter(|name| !all.contains(name)).collect();
    assert!(missing.is_empty(), "the dashboard says nothing of {missing:?}");
}
