//! Each error that the OpenAPI document says an operation may answer with, provoked, and no other.

use std::{sync::Arc, time::Duration};

use lapwing::{
    ClusterOptions, Keep, Lapwing, Mount, PresenceOptions,
    api::OPENAPI,
    cluster::Hub,
    pubsub::{Deliver, PubSub, PubSubError, PubSubMsg},
};
use serde_json::{Value, json};

use super::{
    KEY, Lab,
    document::{assert_fits, content},
    mount, options,
};
use crate::support::http::{self, Response};

/// A link to other nodes that is down.
struct Unlucky;

impl PubSub for Unlucky {
    fn start(&self, _: Deliver) {}

    fn publish(&self, _: &PubSubMsg) -> Result<(), PubSubError> {
        Err(PubSubError("the link is down".into()))
    }
}

/// Requests that are what an operation wants.
struct Operation<'d> {
    path: &'d str,
    method: String,
    body: Option<String>,
}

impl Operation<'_> {
    /// What it is asked when nothing is wrong.
    fn asked(&self) -> String {
        let path = self.path.trim_start_matches('/');
        let topic = if path == "history" { "kept:1" } else { "room:1" };
        if self.body.is_none() && path != "stats" && path != "openapi.json" {
            format!("{path}?topic={topic}")
        } else {
            path.to_owned()
        }
    }

    async fn ask(&self, lab: &Lab) -> Response {
        lab.ask(&self.method, &self.asked(), self.body.as_deref()).await
    }

    /// Makes it answer with a status.
    async fn provoke(&self, status: &str) -> Response {
        let path = self.path.trim_start_matches('/');
        match (status, path) {
            ("400", _) => {
                let wrong = self.body.as_ref().map(|_| r#"{"nonsense": 1}"#);
                let lab = Lab::start(options()).await;
                lab.ask(&self.method, &format!("{path}?nonsense=1"), wrong).await
            }
            ("401", _) => {
                let lab = Lab::start(options()).await;
                let body = self.body.as_deref().map(str::as_bytes);
                http::request(lab.api, &self.method, &format!("/api/{}", self.asked()), &[], body).await
            }
            ("405", _) => {
                let other = if self.method == "POST" { "GET" } else { "POST" };
                Lab::start(options()).await.ask(other, path, None).await
            }
            ("408", _) => {
                let lab = Lab::start(options().body_timeout(Duration::from_millis(50))).await;
                let head = format!(
                    "POST /api/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 10\r\n\r\n{{"
                );
                http::exchange(lab.api, head.as_bytes(), false).await.unwrap()
            }
            ("409", _) => {
                let (lab, key) = (Lab::start(options()).await, [("idempotency-key", "1")]);
                let body = self.body.as_deref();
                assert_eq!(lab.ask_with("POST", path, &key, body).await.status, 200);
                lab.ask_with("POST", path, &key, Some(&format!("{} ", body.unwrap()))).await
            }
            ("413", "presence") => self.of_too_many_presences().await,
            ("413", _) => self.ask(&Lab::start(options().body_bytes_max(10)).await).await,
            ("404", "history") => Lab::start(options()).await.ask("GET", "history?topic=room:1", None).await,
            ("410", "history") => {
                let lab = Lab::start(options()).await;
                let first = lab.lapwing.position("kept:1").unwrap();
                for n in 0..5 {
                    lab.post("publish", json!({"topic": "kept:1", "event": "say", "payload": {"n": n}}))
                        .await;
                }
                lab.ask("GET", &format!("history?topic=kept:1&after={first}"), None).await
            }
            ("503", "presence" | "count") => {
                let lab = Lab::start(options()).await;
                lab.lapwing.shutdown().await;
                self.ask(&lab).await
            }
            ("503", "history") => self.without_its_store().await,
            ("503", _) => {
                let lapwing = Lapwing::builder().pubsub(Arc::new(Unlucky)).mount("/socket", mount()).build();
                self.ask(&Lab::of(lapwing.unwrap(), options()).await).await
            }
            (status, path) => panic!("nobody knows how {path} answers {status}"),
        }
    }

    async fn of_too_many_presences(&self) -> Response {
        let few = PresenceOptions::default().meta_bytes_max(100).state_bytes_max(1_000);
        let lapwing = Lapwing::builder().presence(few).mount("/socket", mount()).build().unwrap();
        let mut tracked = Vec::new();
        for n in 0..100 {
            tracked.push(lapwing.track("room:1", format!("user-{n}"), json!({})).await.unwrap());
        }
        self.ask(&Lab::of(lapwing, options()).await).await
    }

    async fn without_its_store(&self) -> Response {
        let hub = Hub::new();
        let cluster = ClusterOptions::new("tests").name("one").call_timeout(Duration::from_millis(100));
        let cluster = cluster.start(hub.engine("one")).await.unwrap();
        let mount = Mount::new().keep("kept:*", Keep::last(3));
        let lapwing = Lapwing::builder().cluster(cluster).mount("/socket", mount).build().unwrap();
        hub.stop();
        self.ask(&Lab::of(lapwing, options()).await).await
    }
}

#[tokio::test]
async fn each_error_of_the_document_can_be_had_and_is_as_it_says() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut codes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let (method, operation) = methods.as_object().unwrap().iter().next().unwrap();
        let example = &content(&operation["requestBody"])["example"];
        let body = (method == "post").then(|| example.to_string());
        let asked = Operation { path, method: method.to_uppercase(), body };
        let well = asked.ask(&Lab::start(options()).await).await;
        assert_eq!(well.status, 200, "{path}: {}", well.text());
        for (status, response) in operation["responses"].as_object().unwrap() {
            if status == "200" {
                continue;
            }
            let refused = asked.provoke(status).await;
            let what = format!("{path} {status}");
            assert_eq!(refused.status.to_string(), *status, "{what}: {}", refused.text());
            assert_fits(&document, &content(response)["schema"], &refused.json(), &what);
            codes.push(refused.json()["error"]["code"].as_str().unwrap().to_owned());
        }
    }
    // Of the words that an error may have, one is for paths that are none.
    let nowhere = Lab::start(options()).await.ask("GET", "nowhere", None).await;
    codes.push(nowhere.json()["error"]["code"].as_str().unwrap().to_owned());
    let words =
        &document["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"];
    for word in words.as_array().unwrap() {
        assert!(codes.iter().any(|code| code == word), "{word} never comes");
    }
}

/// A batch is done as far as it goes: what fails is told in its place.
#[tokio::test]
async fn a_message_of_a_batch_that_fails_is_told_in_its_place() {
    let lapwing = Lapwing::builder().pubsub(Arc::new(Unlucky)).mount("/socket", mount()).build().unwrap();
    let lab = Lab::of(lapwing, options()).await;
    let messages =
        json!({"messages": [{"topic": "room:1", "event": "say"}, {"topic": "room:2", "event": "say"}]});
    let results = lab.post("batch", messages).await["results"].clone();
    assert_eq!(results.as_array().unwrap().len(), 2);
    for result in results.as_array().unwrap() {
        assert_eq!(result["error"]["code"], "unavailable", "{result}");
    }
}
