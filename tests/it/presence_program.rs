//! Presence as the program uses it: bounds, additions, counts, presences of its own.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lapwing::{
    Channel, Context, Count, Failure, Handled, Joining, Lapwing, Mount, Payload, PresenceDiff, PresenceError,
    PresenceOptions, PresenceState, Topic, reply,
};
use serde_json::{Map, Value, json};

use crate::support::{
    channels::{Client, Vsn, ok},
    lab,
};

/// Tracks what it is told to.
struct Room;

impl Channel for Room {
    type State = ();
    const INTERCEPT: &'static [&'static str] = &["presence_diff"];

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        let given: Value = payload.parse().unwrap();
        let key = given["key"].as_str().unwrap_or_default();
        let done = match event {
            "track" => cx.track(key, given["meta"].clone()).await.map(drop),
            "update" => cx.update(key, given["meta"].clone()).await.map(drop),
            "untrack" => cx.untrack(key).await,
            "list" => return Ok(reply("ok", cx.presences_up_to(2).await.unwrap())),
            "get" => return Ok(reply("ok", cx.presence(key).await.unwrap())),
            other => panic!("no clause for {other}"),
        };
        match done {
            Ok(()) => Ok(reply("ok", json!({}))),
            Err(error) => Ok(reply("error", json!({"reason": error.to_string()}))),
        }
    }
}

async fn serve(build: impl FnOnce(lapwing::Builder) -> lapwing::Builder) -> (Lapwing, Client) {
    let lapwing = build(Lapwing::builder().mount("/socket", Mount::new().channel::<Room>("room:*", ())))
        .build()
        .unwrap();
    let address = lab::serve(&lapwing).await;
    let client = Client::joined(address, Vsn::V2, "room:1").await;
    (lapwing, client)
}

/// Sends an event and returns the reply, passing over whatever comes before it.
async fn ask(client: &mut Client, event: &str, payload: Value) -> Value {
    client.send(json!(["1", event, "room:1", event, payload])).await;
    loop {
        let message = client.next_message().await;
        if message[3] == "phx_reply" {
            return message[4].clone();
        }
    }
}

#[tokio::test]
async fn what_cannot_be_tracked_is_an_error_that_says_why_and_harms_nothing() {
    let options = PresenceOptions::default().per_join_max(2);
    let (lapwing, mut client) = serve(|builder| builder.presence(options)).await;
    let long = "k".repeat(257);
    let wide = "m".repeat(5_000);
    for (key, meta, reason) in [
        (long.as_str(), json!({}), "a key of 257 bytes is too long: 256 at most"),
        ("a", json!({"wide": wide}), "a meta of 5011 bytes is too long"),
        ("a", json!([1]), "the meta is not a JSON object"),
    ] {
        let answer = ask(&mut client, "track", json!({"key": key, "meta": meta})).await;
        assert_eq!(answer, json!({"status": "error", "response": {"reason": reason}}));
    }
    for (event, key, reason) in [
        ("track", "__proto__", Some("the key is a name that breaks old clients")),
        ("track", "constructor", Some("the key is a name that breaks old clients")),
        ("track", "räume:北", None),
        ("track", "räume:北", Some("the key is tracked already")),
        ("update", "nobody", Some("the key is not tracked")),
        ("track", "", None),
        ("track", "one too many", Some("the join tracks as many presences as it may")),
        ("untrack", "", None),
        ("track", "there is room again", None),
    ] {
        let answer = ask(&mut client, event, json!({"key": key, "meta": {}})).await;
        let wanted = reason.map_or(
            json!({"status": "ok", "response": {}}),
            |reason| json!({"status": "error", "response": {"reason": reason}}),
        );
        assert_eq!(answer, wanted, "{event} {key}");
    }
    let state: PresenceState = lapwing.presences("room:1").await.unwrap().parse().unwrap();
    let mut keys: Vec<_> = state.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["räume:北", "there is room again"]);
    assert_eq!(lapwing.stats().presences, 2);
}

#[tokio::test]
async fn names_of_every_object_may_be_keys_where_all_clients_are_new() {
    let options = PresenceOptions::default().allow_prototype_keys();
    let (lapwing, mut client) = serve(|builder| builder.presence(options)).await;
    let answer = ask(&mut client, "track", json!({"key": "__proto__", "meta": {}})).await;
    assert_eq!(answer["status"], "ok");
    let state: PresenceState = lapwing.presences("room:1").await.unwrap().parse().unwrap();
    assert!(state.contains_key("__proto__"));
}

#[tokio::test]
async fn a_crash_takes_the_presences_of_its_join_along() {
    let (lapwing, mut client) = serve(|builder| builder).await;
    assert_eq!(ask(&mut client, "track", json!({"key": "ada", "meta": {}})).await["status"], "ok");
    assert_eq!(lapwing.stats().presences, 1);
    client.send(json!(["1", "9", "room:1", "no such event", {}])).await;
    let gone = async {
        while lapwing.presence_count("room:1").await.unwrap().metas > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, gone).await.expect("nothing of a crashed join is left");
}

#[tokio::test]
async fn an_engine_with_too_much_to_do_says_so_and_goes_on() {
    let options = PresenceOptions::default().queue_max(1);
    let lapwing = Lapwing::builder().presence(options).build().unwrap();
    // All are asked for before any answer is awaited, faster than a thread takes them.
    let mut asked: Vec<_> =
        (0..2_000).map(|n| Box::pin(lapwing.track("room:1", n.to_string(), json!({})))).collect();
    let outcomes = futures_util::future::join_all(asked.iter_mut()).await;
    let (tracked, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert!(
        !tracked.is_empty() && !refused.is_empty(),
        "{} tracked, {} refused",
        tracked.len(),
        refused.len()
    );
    assert!(refused.iter().all(|outcome| matches!(outcome, Err(PresenceError::Busy))));
    let count = async {
        loop {
            match lapwing.presence_count("room:1").await {
                Ok(count) => return count.metas,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    assert_eq!(count.await, tracked.len(), "what was accepted was done, and nothing else");
}

#[tokio::test]
async fn a_diff_that_grows_too_large_goes_out_before_its_time() {
    let options = PresenceOptions::default().tick(Duration::from_secs(3_600)).burst(1).diff_bytes_max(1_000);
    let lapwing = Lapwing::builder().presence(options).build().unwrap();
    let mut subscription = lapwing.subscribe("room:1");
    let first = lapwing.track("room:1", "first", json!({})).await.unwrap();
    subscription.recv().await.unwrap();
    let small = lapwing.track("room:1", "small", json!({})).await.unwrap();
    let early = tokio::time::timeout(crate::support::SILENCE, subscription.recv()).await;
    assert!(early.is_err(), "a small change waits for its tick");
    let large = lapwing.track("room:1", "large", json!({"wide": "m".repeat(1_000)})).await.unwrap();
    let diff: PresenceDiff = subscription.recv().await.unwrap().payload.parse().unwrap();
    assert_eq!(diff.joins.len(), 2, "both that waited");
    drop((first, small, large));
}

#[tokio::test]
async fn what_is_fetched_is_in_lists_and_diffs_and_asked_for_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let (lapwing, mut client) = serve(|builder| {
        builder.fetch(Duration::from_secs(60), move |topic, keys| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                assert_eq!(topic, "room:1");
                let name = |key: &String| Map::from_iter([("name".to_owned(), json!(format!("Dr {key}")))]);
                keys.iter().map(|key| (key.clone(), name(key))).collect::<HashMap<_, _>>()
            }
        })
    })
    .await;
    client.send(json!(["1", "2", "room:1", "track", {"key": "ada", "meta": {}}])).await;
    let (mut answered, mut diffs) = (false, Vec::new());
    while !answered || diffs.is_empty() {
        let message = client.next_message().await;
        match message[3].as_str().unwrap() {
            "presence_diff" => diffs.push(message[4].clone()),
            _ => answered = message[4]["status"] == "ok",
        }
    }
    assert_eq!(diffs[0]["joins"]["ada"]["name"], "Dr ada");
    assert!(diffs[0]["joins"]["ada"]["metas"][0]["phx_ref"].is_string());
    for _ in 0..3 {
        let state: Value = lapwing.presences("room:1").await.unwrap().parse().unwrap();
        assert_eq!(state["ada"]["name"], "Dr ada");
    }
    let one = ask(&mut client, "get", json!({"key": "ada"})).await;
    assert_eq!(one["response"]["name"], "Dr ada");
    assert_eq!(calls.load(Ordering::SeqCst), 1, "the first answer is remembered");
}

#[tokio::test]
async fn a_count_only_topic_tells_numbers_and_no_names() {
    let options = PresenceOptions::default().count_only("room:*");
    let (lapwing, mut client) = serve(|builder| builder.presence(options)).await;
    client.send(json!(["1", "2", "room:1", "track", {"key": "ada", "meta": {}}])).await;
    client.expect(json!([null, null, "room:1", "presence_count", {"keys": 1, "metas": 1}])).await;
    client.expect(ok("1", "2", "room:1", json!({}))).await;
    let job = lapwing.track("room:1", "ada", json!({})).await.unwrap();
    client.expect(json!([null, null, "room:1", "presence_count", {"keys": 1, "metas": 2}])).await;
    drop(job);
    client.expect(json!([null, null, "room:1", "presence_count", {"keys": 1, "metas": 1}])).await;
    let count = lapwing.presence_count("room:1").await.unwrap();
    assert_eq!(count, Count { keys: 1, metas: 1 });
}

#[tokio::test]
async fn the_programs_own_presences_are_seen_like_any_and_diffs_add_up_to_the_state() {
    let (lapwing, mut client) = serve(|builder| builder).await;
    let mut subscription = lapwing.subscribe("room:1");
    let mut jobs = Vec::new();
    for n in 0..3 {
        jobs.push(lapwing.track("room:1", format!("job {n}"), json!({"done": 0})).await.unwrap());
    }
    jobs[0].update(json!({"done": 50})).await.unwrap();
    assert_eq!(jobs[0].key(), "job 0");
    jobs.pop();
    let listed = ask(&mut client, "list", json!({})).await;
    assert_eq!(listed["response"].as_object().unwrap().len(), 2, "no more than asked for");

    let mut state = PresenceState::new();
    let added_up = async {
        while state.len() != 2 || !state.contains_key("job 0") || state["job 0"].metas[0]["done"] != 50 {
            let diff: PresenceDiff = subscription.recv().await.unwrap().payload.parse().unwrap();
            diff.apply_to(&mut state);
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, added_up).await.expect("the diffs add up");
    let listed: PresenceState = lapwing.presences("room:1").await.unwrap().parse().unwrap();
    assert_eq!(state, listed);
    drop(jobs);
    let gone = async {
        while lapwing.presence_count("room:1").await.unwrap().metas > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, gone).await.expect("what is dropped is not present");
}
