//! What must hold on every engine.

use std::time::Duration;

use bytes::Bytes;
use lapwing_cluster::{Config, PeerEnd, Sent, Spread, relay::RelayEnd};
use lapwing_cluster_driver::{
    AtStart, CallError, ClusterEvent, HalfOpen, NotCarried, NotConfirmed, Options, Relay, StartError,
};

use crate::{PATIENCE, Server, TestNode, eventually, eventually_is};

/// How many broadcasts are published while something happens.
const UNDER_FAULTS: usize = 1_500;

/// Three nodes that know each other, with a member on a topic each.
async fn three<S: Server>(server: &S, topic: &str) -> [TestNode; 3] {
    let one = TestNode::start("one", server.engine("one")).await;
    let two = TestNode::start("two", server.engine("two")).await;
    let three = TestNode::start("three", server.engine("three")).await;
    TestNode::meet(&[&one, &two, &three]).await;
    for node in [&one, &two, &three] {
        node.join(topic).await;
    }
    [one, two, three]
}

/// Publishes numbers, one each 2 ms; `meanwhile` is told how many were.
async fn publish_numbers(nodes: &[TestNode; 3], topic: &str, count: usize) {
    let mut pace = tokio::time::interval(Duration::from_millis(2));
    for number in 0..count {
        pace.tick().await;
        for node in nodes {
            node.publish(topic, &number.to_string());
        }
    }
}

/// Waits until everybody has heard all numbers of everybody else once and in order, and was told no gap.
async fn all_numbers_arrive(nodes: &[TestNode; 3], topic: &str, count: usize) {
    let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    for to in nodes {
        for from in nodes {
            if to.cluster.instance() == from.cluster.instance() {
                assert!(to.heard_of(from, topic).is_empty(), "a node hears itself");
                continue;
            }
            let progress = || to.heard_of(from, topic).len() >= count || !to.heard().gaps.is_empty();
            eventually("everything arrives", progress).await;
        }
        assert_eq!(to.heard().gaps, [], "nothing is lost: {:?}", to.cluster.stats());
        for from in nodes.iter().filter(|from| from.cluster.instance() != to.cluster.instance()) {
            assert_eq!(to.heard_of(from, topic), expected, "once and in order");
        }
        assert_eq!(to.heard().downs, [], "nobody is taken for dead");
    }
}

/// # Panics
/// If the engine breaks the contract, as all tests here.
pub async fn broadcasts_reach_all_others_once_and_in_order<S: Server>() {
    let server = S::start().await;
    let nodes = three(&server, "room:1").await;
    for number in 0..1_000 {
        for node in &nodes {
            assert_eq!(node.publish("room:1", &number.to_string()), Sent::Now);
        }
    }
    all_numbers_arrive(&nodes, "room:1", 1_000).await;
    let stats = nodes[0].cluster.stats();
    assert_eq!((stats.published, stats.delivered, stats.peers), (1_000, 2_000, 2));
    eventually("a beat comes back", || nodes[0].cluster.stats().round_trip.is_some()).await;
}

/// The other node publishes at the moment of the confirmation.
///
/// # Panics
/// See above.
pub async fn a_join_that_is_confirmed_misses_nothing<S: Server>() {
    let server = S::start().await;
    let linger = Duration::from_millis(500);
    let config = || Config::default().spread(Spread::Topics).linger(linger);
    let options = |name: &str| Options::new("contract").name(name).config(config());
    let joins = TestNode::with(options("joins"), server.engine("joins")).await;
    let publishes = TestNode::with(options("publishes"), server.engine("publishes")).await;
    TestNode::meet(&[&joins, &publishes]).await;
    for number in 0..300 {
        let topic = format!("room:{number}");
        joins.join(&topic).await;
        publishes.publish(&topic, "welcome");
    }
    eventually("each arrives", || joins.heard().broadcasts.len() == 300).await;
    assert_eq!(joins.heard().gaps, []);
    // Those who leave hear no more, once their channel has been given up.
    for number in 0..300 {
        joins.cluster.unsubscribe(&format!("room:{number}"));
    }
    tokio::time::sleep(linger + Duration::from_millis(100)).await;
    joins.join("room:300").await;
    eventually("the topics are given up", || {
        publishes.publish("room:7", "anybody?");
        publishes.publish("room:300", "anybody?");
        joins.heard_of(&publishes, "room:300").len() > joins.heard_of(&publishes, "room:7").len() + 10
    })
    .await;
}

/// # Panics
/// See above.
pub async fn a_killed_server_loses_and_doubles_nothing<S: Server>() {
    let mut server = S::start().await;
    let nodes = three(&server, "room:1").await;
    let kill = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.kill().await;
        eventually("all notice", || nodes.iter().all(|node| node.cluster.stats().up_for.is_none())).await;
        assert_eq!(nodes[0].publish("room:2", "nobody has it"), Sent::Later);
        assert!(!nodes[0].cluster.is_ready());
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.restart().await;
    };
    tokio::join!(publish_numbers(&nodes, "room:1", UNDER_FAULTS), kill);
    all_numbers_arrive(&nodes, "room:1", UNDER_FAULTS).await;
    for node in &nodes {
        assert!(node.cluster.stats().connects >= 2);
        let heard = node.heard();
        assert_eq!((heard.engine_ups, heard.engine_downs), (2, 1), "{:?}", node.cluster.stats());
    }
}

/// # Panics
/// See above.
pub async fn a_server_that_stops_for_two_seconds_loses_and_doubles_nothing<S: Server>() {
    let mut server = S::start().await;
    let nodes = three(&server, "room:1").await;
    let pause = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.pause();
        tokio::time::sleep(Duration::from_secs(2)).await;
        server.go_on();
    };
    tokio::join!(publish_numbers(&nodes, "room:1", UNDER_FAULTS), pause);
    all_numbers_arrive(&nodes, "room:1", UNDER_FAULTS).await;
}

/// # Panics
/// See above.
pub async fn connections_that_are_cut_again_and_again_lose_and_double_nothing<S: Server>() {
    let mut server = S::start().await;
    let nodes = three(&server, "room:1").await;
    let cut = async {
        for _ in 0..8 {
            // Some is published in between, and nobody is cut again who has not come back.
            tokio::time::sleep(Duration::from_millis(400)).await;
            let before: Vec<_> = nodes.iter().map(|node| node.cluster.stats().connects).collect();
            server.cut().await;
            eventually("all come back", || {
                nodes.iter().zip(&before).all(|(node, before)| node.cluster.stats().connects > *before)
            })
            .await;
        }
    };
    tokio::join!(publish_numbers(&nodes, "room:1", UNDER_FAULTS), cut);
    all_numbers_arrive(&nodes, "room:1", UNDER_FAULTS).await;
    assert!(nodes.iter().all(|node| node.cluster.stats().connects >= 9));
}

/// # Panics
/// See above.
pub async fn a_connection_that_only_looks_open_to_the_engine_is_replaced<S: Server>() {
    half_open::<S>(HalfOpen::ToEngine).await;
}

/// # Panics
/// See above.
pub async fn a_connection_that_only_looks_open_to_the_node_is_replaced<S: Server>() {
    half_open::<S>(HalfOpen::ToNode).await;
}

async fn half_open<S: Server>(direction: HalfOpen) {
    let mut server = S::start().await;
    let engine = server.breakable("broken").await;
    let broken = TestNode::start("broken", engine).await;
    let whole = TestNode::start("whole", server.engine("whole")).await;
    TestNode::meet(&[&broken, &whole]).await;
    broken.join("room:1").await;
    whole.join("room:1").await;
    // What was published between a join and the next beat could not be told from what was published before, after a loss.
    broken.publish("room:1", "hello");
    whole.publish("room:1", "hello");
    let have_heard = |count: usize| {
        whole.heard_of(&broken, "room:1").len() == count && broken.heard_of(&whole, "room:1").len() == count
    };
    eventually("both hear", || have_heard(1)).await;
    server.half_open("broken", direction);
    let broke = tokio::time::Instant::now();
    broken.publish("room:1", "from the broken one");
    whole.publish("room:1", "to the broken one");
    eventually("it is found", || broken.heard().engine_downs == 1).await;
    let found = broke.elapsed();
    // It is not found by chance: somebody has to wait for the echoes. The bound of 3 s is the issue's; a busy machine adds to it.
    assert!(found > Duration::from_millis(1_500), "{found:?}");
    eventually("what was said arrives", || have_heard(2)).await;
    eprintln!("{direction:?}: found after {found:?}, healed after {:?}", broke.elapsed());
    assert_eq!(whole.heard().gaps, []);
    assert_eq!(broken.heard().gaps, []);
}

/// # Panics
/// See above.
pub async fn a_node_that_departs_is_gone_at_once_and_one_that_dies_a_little_later<S: Server>() {
    let server = S::start().await;
    let [stays, departs, dies] = three(&server, "room:1").await;
    let (departed, dead) = (departs.cluster.instance(), dies.cluster.instance());

    departs.cluster.begin_drain();
    departs.publish("room:1", "last words");
    departs.cluster.shutdown(PATIENCE).await;
    let gone = [(departed, PeerEnd::Departed), (dead, PeerEnd::Silent)];
    eventually_is("it is gone at once", &gone[..1], || stays.heard().downs.clone()).await;
    assert_eq!(stays.heard_of(&departs, "room:1"), ["last words"]);
    assert_eq!(stays.heard().gaps, [], "it said everything");
    eventually("its program hears that it has ended", || departs.has_heard_all()).await;
    assert_eq!(departs.heard().engine_downs, 0, "which is no loss of the engine");
    let late = departs.cluster.call(None, "anybody?".into(), PATIENCE).await;
    assert_eq!(late, Err(CallError::Ended));
    assert_eq!(departs.cluster.subscribe("room:2").await, Err(NotConfirmed::Ended));

    dies.die();
    eventually_is("it is gone as well", &gone, || stays.heard().downs.clone()).await;
    assert_eq!(stays.heard().gaps.len(), 1, "whatever it had not handed over is told");
    assert_eq!(stays.cluster.peers(), []);
}

/// # Panics
/// See above.
pub async fn calls_are_answered_or_say_who_did_not<S: Server>() {
    let mut server = S::start().await;
    let [asks, two, three] = three(&server, "room:1").await;
    let (second, third) = (two.cluster.instance(), three.cluster.instance());

    let answers = asks.cluster.call(None, "who?".into(), PATIENCE).await.unwrap();
    let mut who: Vec<_> = answers.answers.iter().map(|(from, _)| *from).collect();
    who.sort_unstable();
    let mut expected = vec![second, third];
    expected.sort_unstable();
    assert_eq!((who, &answers.missing), (expected, &vec![]));
    assert!(answers.answers.iter().all(|(_, body)| body == "WHO?"));

    let one = asks.cluster.call(Some(third), "you?".into(), PATIENCE).await.unwrap();
    assert_eq!((one.answers, one.missing), (vec![(third, "YOU?".into())], vec![]));

    let silent = asks.cluster.call(Some(second), "hush".into(), Duration::from_millis(300)).await.unwrap();
    assert_eq!((silent.answers, silent.missing), (vec![], vec![second]));

    // While the server is away nobody hears it; once it is back everybody does, once.
    server.kill().await;
    eventually("it is noticed", || asks.cluster.stats().up_for.is_none()).await;
    let before = two.heard().calls;
    let (answers, ()) = tokio::join!(asks.cluster.call(None, "again".into(), PATIENCE), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.restart().await;
    });
    let answers = answers.unwrap();
    assert_eq!((answers.answers.len(), answers.missing), (2, vec![]));
    assert_eq!(two.heard().calls, before + 1);
}

/// # Panics
/// See above.
pub async fn presence_goes_to_all_or_to_one<S: Server>() {
    let server = S::start().await;
    let [one, two, three] = three(&server, "room:1").await;
    let from = one.cluster.instance();
    one.cluster.send_presence(Some(three.cluster.instance()), "to one".into());
    one.cluster.send_presence(None, "to all".into());
    eventually("both hear it", || !two.heard().presence.is_empty() && three.heard().presence.len() == 2)
        .await;
    assert_eq!(two.heard().presence, [(from, "to all".into())]);
    assert!(three.heard().presence.contains(&(from, "to one".into())));
    assert_eq!(one.heard().presence, [], "not to itself");
}

/// # Panics
/// See above.
pub async fn two_applications_hear_nothing_of_each_other<S: Server>() {
    let server = S::start().await;
    let one = TestNode::start("one", server.engine("one")).await;
    let two = TestNode::start("two", server.engine("two")).await;
    let other = TestNode::with(Options::new("contract2"), server.engine("other")).await;
    TestNode::meet(&[&one, &two]).await;
    for node in [&one, &two, &other] {
        node.join("room:1").await;
    }
    other.publish("room:1", "for nobody");
    one.publish("room:1", "for two");
    eventually("it arrives", || two.heard_of(&one, "room:1") == ["for two"]).await;
    // Beats of both have come by then.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let counts = |node: &TestNode| {
        let heard = node.heard();
        (heard.ups.len(), heard.broadcasts.len())
    };
    assert_eq!((counts(&other), counts(&two)), ((0, 0), (1, 1)));
}

/// # Panics
/// See above.
pub async fn a_program_that_does_not_listen_is_told_what_it_missed<S: Server>() {
    let server = S::start().await;
    let publishes = TestNode::start("publishes", server.engine("publishes")).await;
    let options = Options::new("contract").name("busy").events_max(50);
    let (busy, mut events) = options.start(server.engine("busy")).await.unwrap();
    tokio::time::timeout(PATIENCE, busy.ready()).await.unwrap();
    tokio::time::timeout(PATIENCE, busy.subscribe("room:1")).await.unwrap().unwrap();
    eventually("they know each other", || publishes.cluster.peers().len() == 1 && busy.peers().len() == 1)
        .await;
    for number in 0..500 {
        publishes.publish("room:1", &number.to_string());
    }
    eventually("there is no room", || busy.stats().overflowed > 0).await;
    // It is busy for longer than its questions are repeated: something is given up.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(busy.peers().len(), 1, "beats are heard all the same");

    let (mut next, mut gaps) = (0_u64, 0);
    while next < 500 {
        let event = tokio::time::timeout(PATIENCE, events.next()).await.expect("something comes").unwrap();
        match event {
            ClusterEvent::Broadcast { publish, .. } => {
                let number: u64 = std::str::from_utf8(&publish.payload).unwrap().parse().unwrap();
                assert!(number == next || (number > next && gaps > 0), "{number} after {next} in silence");
                next = number + 1;
                if next == 500 {
                    break;
                }
            }
            ClusterEvent::Gap(_) => gaps += 1,
            _ => {}
        }
        if next < 500 && gaps > 0 && busy.stats().held_bytes == 0 {
            publishes.publish("room:1", "499");
        }
    }
    assert!(gaps > 0 || busy.stats().repaired > 0, "{:?}", busy.stats());
}

/// # Panics
/// See above.
pub async fn a_start_without_a_server_fails_or_waits_as_set<S: Server>() {
    let mut server = S::start().await;
    server.kill().await;
    let refused = Options::new("contract").start(server.engine("refuses")).await;
    assert!(matches!(refused, Err(StartError::Engine(_))), "{refused:?}");

    let waits = Options::new("contract").at_start(AtStart::Wait).start(server.engine("waits")).await;
    let (cluster, _events) = waits.unwrap();
    assert!(!cluster.is_ready());
    assert_eq!(
        cluster.publish("room:1", "said", lapwing_cluster::wire::PayloadKind::Json, None, "1".into()),
        Sent::Later
    );
    eventually("it tries", || cluster.stats().connect_failures > 1).await;
    server.restart().await;
    tokio::time::timeout(PATIENCE, cluster.ready()).await.unwrap();
    eventually("what was kept is handed over", || cluster.stats().up_for.is_some()).await;
}

/// Sends bytes by a relay and gets what comes back, until its end.
async fn back_and_forth(relay: Relay, bytes: Bytes) -> (Vec<u8>, Result<(), RelayEnd>) {
    let up = async {
        // Its end is told to who hears.
        if relay.send(bytes).await.is_ok() {
            relay.finish();
        }
    };
    let down = async {
        let mut heard = Vec::new();
        loop {
            match relay.recv().await {
                Ok(Some(bytes)) => {
                    relay.used(bytes.len());
                    heard.extend_from_slice(&bytes);
                }
                Ok(None) => return (heard, Ok(())),
                Err(end) => return (heard, Err(end)),
            }
        }
    };
    tokio::join!(up, down).1
}

/// Several windows of bytes, by fifty relays at a time.
///
/// # Panics
/// See above.
pub async fn requests_are_carried_to_the_node_that_has_their_session<S: Server>() {
    let server = S::start().await;
    let [one, two, _three] = three(&server, "room:1").await;
    let owner = two.cluster.instance();
    let bytes = Bytes::from("abcdefghij".repeat(20_000));
    let relays = (0..50).map(|number| {
        let relay = one.cluster.carry(owner, format!("head {number}, ").into()).unwrap();
        tokio::spawn(back_and_forth(relay, bytes.clone()))
    });
    for (number, relay) in relays.collect::<Vec<_>>().into_iter().enumerate() {
        let (heard, end) = tokio::time::timeout(PATIENCE, relay).await.unwrap().unwrap();
        assert_eq!(end, Ok(()));
        let expected = [format!("HEAD {number}, ").as_bytes(), &bytes.to_ascii_uppercase()].concat();
        assert!(heard == expected, "{} of {} bytes", heard.len(), expected.len());
    }
    eventually("nothing is left", || one.cluster.relays() == (0, 0) && two.cluster.relays() == (0, 0)).await;
    assert_eq!(two.heard().relays, 50);
}

/// # Panics
/// See above.
pub async fn a_relay_whose_owner_dies_ends_at_once<S: Server>() {
    let server = S::start().await;
    let [one, two, three] = three(&server, "room:1").await;
    let (owner, departs) = (two.cluster.instance(), three.cluster.instance());
    let relay = one.cluster.carry(owner, "hush".into()).unwrap();
    let other = one.cluster.carry(departs, "hush".into()).unwrap();
    eventually("both have begun", || two.heard().relays + three.heard().relays == 2).await;
    two.die();
    // It waits for its relays as long as it may.
    three.cluster.shutdown(Duration::from_secs(2)).await;
    for (relay, owner) in [(relay, owner), (other, departs)] {
        let end = tokio::time::timeout(PATIENCE, relay.recv()).await.unwrap();
        assert_eq!(end, Err(RelayEnd::Gone));
        assert_eq!(one.cluster.carry(owner, "head".into()).unwrap_err(), NotCarried::Gone);
    }
}

/// # Panics
/// See above.
pub async fn relays_over_connections_that_are_cut_bring_over_a_beginning_or_all<S: Server>() {
    let mut server = S::start().await;
    let [one, two, _three] = three(&server, "room:1").await;
    let owner = two.cluster.instance();
    let bytes = Bytes::from("abcdefghij".repeat(10_000));
    let expected = ["HEAD".as_bytes(), &bytes.to_ascii_uppercase()].concat();
    let (mut whole, mut later, mut broken) = (0, 0, 0);
    let begun = tokio::time::Instant::now();
    while whole < 8 {
        assert!(begun.elapsed() < 4 * PATIENCE, "{whole} whole, {broken} broken, {later} later");
        if (later + broken) % 3 == 0 && whole % 4 == 1 {
            server.cut().await;
        }
        match one.cluster.carry(owner, "head".into()) {
            Ok(relay) => {
                let carried = back_and_forth(relay, bytes.clone());
                let (heard, end) = tokio::time::timeout(PATIENCE, carried).await.unwrap();
                assert!(expected.starts_with(&heard), "what is heard is a beginning");
                assert!(end.is_err() || heard == expected, "what ends well is all");
                *(if end.is_ok() { &mut whole } else { &mut broken }) += 1;
            }
            Err(NotCarried::Away) => {
                later += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    eventually("nothing is left", || one.cluster.relays() == (0, 0) && two.cluster.relays() == (0, 0)).await;
}
