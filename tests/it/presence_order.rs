//! States and diffs of presence, as clients get them that apply each as it comes.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use lapwing::{
    Channel, Context, Failure, Handled, Joining, Lapwing, Mount, Payload, PresenceDiff, PresenceError,
    PresenceOptions, PresenceState, Topic, noreply,
};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use crate::support::{
    PATIENCE,
    channels::{Client, Vsn, ok},
    lab,
    websocket::Event,
};

/// Shows itself and all others to whoever joins.
struct Present(String);

impl Channel for Present {
    type State = ();

    async fn join(_: &Topic, params: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self(params.parse::<Value>().unwrap()["name"].as_str().unwrap().to_owned()))
    }

    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        match cx.track_and_push_presences(&self.0, json!({})).await {
            Err(PresenceError::StateTooLong { .. }) => cx.push_presences_up_to(2).await.unwrap(),
            shown => drop(shown.unwrap()),
        }
        Ok(noreply())
    }

    async fn handle_in(&mut self, _: &str, _: Payload, _: &Context<Self>) -> Handled {
        Ok(noreply())
    }
}

/// One client's view of one topic: a state takes the place of what was there, a diff changes it.
#[derive(Default)]
struct View {
    keys: BTreeSet<String>,
    is_joined: bool,
    has_state: bool,
}

impl View {
    /// Takes what the server says.
    fn apply(&mut self, message: &Value) {
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        match message[3].as_str().unwrap() {
            "phx_reply" => self.is_joined = message[4]["status"] == "ok",
            "presence_state" => {
                self.keys = keys(&message[4]);
                self.has_state = true;
            }
            "presence_diff" => {
                self.keys.extend(keys(&message[4]["joins"]));
                self.keys.retain(|key| message[4]["leaves"].get(key).is_none());
            }
            other => panic!("nobody says {other}"),
        }
    }
}

/// Reads what is said on a topic until the view is as it has to be. What belongs to topics before it is passed over.
async fn view_until(
    client: &mut Client,
    topic: &str,
    view: &mut View,
    is_enough: impl Fn(&View) -> bool,
) -> bool {
    let deadline = tokio::time::Instant::now() + PATIENCE * 3;
    while !is_enough(view) {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        match client.socket.next_within(left).await {
            Some(Event::Text(text)) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                if message[2] == topic {
                    view.apply(&message);
                }
            }
            Some(event) => panic!("{event:?}"),
            None => return false,
        }
    }
    true
}

/// Two clients join one topic after the other, the second when the first has its reply. Returns how many of them do not
/// see both.
async fn pair(first: &mut Client, second: &mut Client, topic: &str) -> usize {
    let (mut of_first, mut of_second) = (View::default(), View::default());
    first.send(json!([topic, topic, topic, "phx_join", {"name": "first"}])).await;
    assert!(view_until(first, topic, &mut of_first, |view| view.is_joined).await);
    second.send(json!([topic, topic, topic, "phx_join", {"name": "second"}])).await;
    let sees_both = |view: &View| view.has_state && view.keys.len() == 2;
    let first_sees = view_until(first, topic, &mut of_first, sees_both).await;
    let second_sees = view_until(second, topic, &mut of_second, sees_both).await;
    usize::from(!first_sees) + usize::from(!second_sees)
}

/// Goes on with pairs until somebody misses somebody.
async fn crew(crew: usize, address: SocketAddr, pairs: usize) -> usize {
    let mut first = Client::connect(address, Vsn::V2).await;
    let mut second = Client::connect(address, Vsn::V2).await;
    for n in 0..pairs {
        let missing = pair(&mut first, &mut second, &format!("here:{crew}:{n}")).await;
        if missing > 0 {
            return missing;
        }
    }
    0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_misses_who_came_a_moment_later() {
    const CREWS: usize = 20;
    const PAIRS: usize = 2_000;
    let mount = Mount::new().channel::<Present>("here:*", ()).joins_max(PAIRS / CREWS);
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    let crews: Vec<_> = (0..CREWS).map(|n| tokio::spawn(crew(n, address, PAIRS / CREWS))).collect();
    let mut missing = 0;
    for crew in crews {
        missing += crew.await.unwrap();
    }
    assert_eq!(missing, 0, "of {} views", 2 * PAIRS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nor_where_names_are_fetched_first() {
    const CREWS: usize = 4;
    const PAIRS: usize = 100;
    let mount = Mount::new().channel::<Present>("here:*", ());
    let lapwing = Lapwing::builder()
        .mount("/socket", mount)
        .fetch(Duration::from_secs(60), |_, keys| async move {
            tokio::task::yield_now().await;
            keys.into_iter().map(|key| (key, Map::from_iter([("name".to_owned(), json!("Ada"))]))).collect()
        })
        .build()
        .unwrap();
    let address = lab::serve(&lapwing).await;
    let crews: Vec<_> = (0..CREWS).map(|n| tokio::spawn(crew(n, address, PAIRS / CREWS))).collect();
    let mut missing = 0;
    for crew in crews {
        missing += crew.await.unwrap();
    }
    assert_eq!(missing, 0, "of {} views", 2 * PAIRS);
}

#[tokio::test]
async fn a_diff_that_finds_no_room_among_those_that_wait_for_a_fetch_overtakes_none() {
    /// More than may wait.
    const OTHERS: usize = 4_200;
    let gate = Arc::new(Semaphore::new(0));
    let fetching = gate.clone();
    let lapwing = Lapwing::builder()
        .fetch(Duration::from_secs(60), move |_, _| {
            let gate = fetching.clone();
            async move {
                // Nothing goes out before the gate is open, or its time is over.
                let _open = gate.acquire().await;
                HashMap::new()
            }
        })
        .build()
        .unwrap();
    let mut subscription = lapwing.subscribe("watched");
    let watched = lapwing.track("watched", "ada", json!({})).await.unwrap();
    let mut others = Vec::new();
    for n in 0..OTHERS {
        others.push(lapwing.track(format!("other:{n}"), "key", json!({})).await.unwrap());
    }
    drop(watched);
    assert_eq!(lapwing.presence_count("watched").await.unwrap().metas, 0);
    gate.add_permits(1_000_000);
    let mut state = PresenceState::new();
    for expected in [1, 0] {
        let told = tokio::time::timeout(PATIENCE * 3, subscription.recv()).await.expect("the diff comes");
        let diff: PresenceDiff = told.unwrap().payload.parse().unwrap();
        diff.apply_to(&mut state);
        assert_eq!(state.len(), expected, "{diff:?}");
    }
}

#[tokio::test]
async fn a_state_is_encoded_once_for_all_who_ask_and_again_only_when_something_has_changed() {
    let options = PresenceOptions::default().tick(Duration::from_millis(500));
    let lapwing = Lapwing::builder().presence(options).build().unwrap();
    let meta = || json!({"about": "x".repeat(4_000)});
    let mut tracked = Vec::new();
    for n in 0..100 {
        tracked.push(lapwing.track("large", n.to_string(), meta()).await.unwrap());
    }
    let encoded = async || lapwing.presences("large").await.unwrap();
    let text = |state: &Payload| state.as_json().unwrap().as_str().as_ptr();
    let first = encoded().await;
    for _ in 0..100 {
        assert_eq!(text(&encoded().await), text(&first), "nothing has changed");
    }
    // However often it changes and is asked for, it is made anew once per tick.
    let (start, mut states) = (std::time::Instant::now(), vec![first]);
    for n in 0..6 {
        let change = lapwing.track("large", format!("new {n}"), meta()).await.unwrap();
        tracked.push(change);
        states.push(encoded().await);
        let now: PresenceState = states.last().unwrap().parse().unwrap();
        assert_eq!(now.len(), tracked.len(), "a state is never older than the asking");
    }
    let ticks = start.elapsed().as_millis() / 500;
    states.dedup_by_key(|state| text(state));
    assert!(states.len() as u128 <= ticks + 2, "{} encodings in {ticks} ticks", states.len());
}

#[tokio::test]
async fn a_state_that_is_too_long_is_refused_and_its_first_keys_are_not() {
    let options = PresenceOptions::default().state_bytes_max(2_000).meta_bytes_max(2_000);
    let mount = Mount::new().channel::<Present>("here:*", ());
    let lapwing = Lapwing::builder().presence(options).mount("/socket", mount).build().unwrap();
    let mut tracked = Vec::new();
    for n in 0..10 {
        let meta = json!({"about": "x".repeat(500)});
        tracked.push(lapwing.track("here:1", format!("key {n}"), meta).await.unwrap());
    }
    let refused = lapwing.presences("here:1").await;
    assert!(matches!(refused, Err(PresenceError::StateTooLong { bytes }) if bytes > 5_000), "{refused:?}");
    let address = lab::serve(&lapwing).await;
    let mut client = Client::connect(address, Vsn::V2).await;
    client.send(json!(["1", "1", "here:1", "phx_join", {"name": "me"}])).await;
    let mut view = View::default();
    // The channel pushes the first two keys when the state is refused.
    let has_first = |view: &View| view.has_state;
    assert!(view_until(&mut client, "here:1", &mut view, has_first).await);
    assert!(view.keys.len() <= 3 && view.keys.contains("key 0"), "{:?}", view.keys);
    assert_eq!(lapwing.presence_count("here:1").await.unwrap().metas, 11, "tracked all the same");
}

#[tokio::test]
async fn a_count_only_topic_pushes_numbers() {
    let options = PresenceOptions::default().count_only("here:*");
    let mount = Mount::new().channel::<Present>("here:*", ());
    let lapwing = Lapwing::builder().presence(options).mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    let mut client = Client::connect(address, Vsn::V2).await;
    client.send(json!(["1", "1", "here:1", "phx_join", {"name": "me"}])).await;
    client.expect(ok("1", "1", "here:1", json!({}))).await;
    client.expect(json!([null, null, "here:1", "presence_count", {"keys": 1, "metas": 1}])).await;
    client.expect(json!(["1", null, "here:1", "presence_count", {"keys": 1, "metas": 1}])).await;
}
