//! Polls of a resumable session.

use lapwing::transports::options::TransportOptions;
use std::time::{Duration, Instant};

use lapwing::{LongpollOptions, Mount};
use serde_json::json;

use super::{AT_ONCE, broadcast, broadcasted, join, joined, pause, serve};
use crate::support::{
    channels::ok,
    echo,
    sessions::{Session, Transport, lines_of, text},
};

const HOLD: Duration = Duration::from_millis(600);

fn mount() -> Mount {
    Mount::new().longpoll(LongpollOptions::default().window(HOLD))
}

#[tokio::test]
async fn a_poll_waits_for_the_hold_and_says_that_there_is_nothing() {
    let (_lapwing, address) = serve(mount()).await;
    let session = joined(address, Transport::Longpoll).await;
    let asked = Instant::now();
    let answer = session.poll(30_000, "").await;
    assert_eq!(answer.text(), "!resumed 1\n");
    let took = asked.elapsed();
    assert!(took >= HOLD && took < HOLD + AT_ONCE, "{took:?}");
    assert_eq!(answer.header("content-length"), Some("11"));
    assert_eq!(answer.header("transfer-encoding"), None);
}

#[tokio::test]
async fn a_poll_is_answered_at_once_when_something_waits_or_comes() {
    let (lapwing, address) = serve(Mount::new()).await;
    let session = joined(address, Transport::Longpoll).await;
    broadcast(&lapwing, 1);
    let asked = Instant::now();
    let waited = session.poll(30_000, "").await;
    assert_eq!(lines_of(&waited), ["!resumed 1".to_owned(), broadcasted(1).to_string()]);
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    // The answer may be lost, and more come meanwhile: all of it comes again.
    let again = session.poll(30_000, "").await;
    assert_eq!(again.text(), waited.text());
    broadcast(&lapwing, 2);
    let more = session.poll(30_000, "").await;
    assert_eq!(more.text(), format!("{}{}\n", waited.text(), broadcasted(2)));
    assert_eq!(more.header("content-length"), Some(more.body.len().to_string().as_str()));
    let session = Session { received: 3, ..session };
    let (answer, ()) = tokio::join!(session.poll(30_000, ""), async {
        pause(100).await;
        broadcast(&lapwing, 3);
    });
    assert_eq!(lines_of(&answer), ["!resumed 1".to_owned(), broadcasted(3).to_string()]);
    assert!(asked.elapsed() < AT_ONCE + AT_ONCE, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_beat_of_0_does_not_wait() {
    let (_lapwing, address) = serve(Mount::new()).await;
    let session = joined(address, Transport::Longpoll).await;
    let asked = Instant::now();
    for _ in 0..3 {
        assert_eq!(session.poll(0, "").await.text(), "!resumed 1\n");
    }
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_second_poll_supersedes_the_first() {
    let (lapwing, address) = serve(Mount::new()).await;
    let session = joined(address, Transport::Longpoll).await;
    let first = async {
        let asked = Instant::now();
        (session.poll(30_000, "").await.text(), asked.elapsed())
    };
    let second = async {
        pause(150).await;
        session.poll(30_000, "").await.text()
    };
    let shout = async {
        pause(300).await;
        broadcast(&lapwing, 1);
    };
    let ((first, took), second, ()) = tokio::join!(first, second, shout);
    assert_eq!((first.as_str(), second), ("!superseded\n", format!("!resumed 1\n{}\n", broadcasted(1))));
    assert!(took < AT_ONCE, "{took:?}");
}

/// A client that may have only one request at a time.
#[tokio::test]
async fn a_poll_can_bring_frames_and_is_answered_with_what_they_cause() {
    let (_, address) = echo::serve(TransportOptions::default()).await;
    let mut session = Session::open(address, "/echo", Transport::Longpoll).await;
    for (beat, first) in [(0, 1), (30_000, 3)] {
        let asked = Instant::now();
        let answer = session.poll(beat, &format!("!ack {}\n!from {first}\na\nb", first - 1)).await;
        assert_eq!(lines_of(&answer), [format!("!resumed {}", first + 1).as_str(), "a", "b"], "beat {beat}");
        assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
        // The same again, as its answer was lost: taken once, answered twice.
        let again = session.poll(beat, &format!("!from {first}\na\nb")).await;
        assert_eq!(again.text(), answer.text(), "beat {beat}");
        session.received += 2;
        session.sent.extend([text("a"), text("b")]);
    }
    session.send(text("e")).await;
    assert_eq!(session.next().await, text("e"));
}

#[tokio::test]
async fn a_poll_with_a_gap_in_its_frames_says_where_to_go_on() {
    let (_, address) = echo::serve(TransportOptions::default()).await;
    let session = Session::open(address, "/echo", Transport::Longpoll).await;
    assert_eq!(session.poll(0, "!from 5\ne").await.text(), "!resumed 0\n");
    assert_eq!(session.poll(0, "!from 1\na\n!from 5\ne").await.text(), "!resumed 1\na\n");
}

#[tokio::test]
async fn a_ping_wakes_a_poll() {
    let (_lapwing, address) = serve(Mount::new()).await;
    let session = joined(address, Transport::Longpoll).await;
    let (answer, posted) = tokio::join!(session.poll(30_000, ""), async {
        pause(100).await;
        session.post_lines("!ping").await
    });
    assert_eq!((answer.text().as_str(), posted), ("!resumed 1\n!pong 1\n", vec!["!ack 1".to_owned()]));
    let asked = Instant::now();
    assert_eq!(session.poll(30_000, "!ping").await.text(), "!resumed 1\n!pong 1\n");
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn the_end_of_a_session_wakes_its_poll() {
    for end in ["disconnect", "drain", "close", "bad message"] {
        let (lapwing, address) = serve(Mount::new()).await;
        let session =
            join(Session::open_as(address, "/socket", Transport::Longpoll, "&user=bob", 30_000).await).await;
        let asked = Instant::now();
        let ending = async {
            pause(100).await;
            match end {
                "disconnect" => lapwing.disconnect("user:bob").unwrap(),
                "drain" => drop(lapwing.shutdown().await),
                "close" => drop(session.post("!close").await),
                _ => drop(session.post("!from 2\ngarbage").await),
            }
        };
        let (answer, ()) = tokio::join!(session.poll(30_000, ""), ending);
        let wanted = match end {
            "disconnect" => "!resumed 1\n!closed 1001 disconnected\n",
            "drain" => "!resumed 1\n!closed 1012 draining\n",
            "close" => "!resumed 1\n!closed 1000 client\n",
            _ => "!resumed 2\n!closed 1011 bad_message\n",
        };
        assert_eq!(answer.text(), wanted, "{end}");
        assert!(asked.elapsed() < AT_ONCE, "{end}: {:?}", asked.elapsed());
        assert_eq!(session.poll(0, "").await.text(), "!refused closed\n", "{end}");
        super::until(|| lapwing.stats().sessions == 0, || "the session is still there".into()).await;
    }
}

#[tokio::test]
async fn replies_and_broadcasts_come_in_one_answer_in_order() {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut session = joined(address, Transport::Longpoll).await;
    session.send_json(json!(["1", "2", "room:1", "count", {}])).await;
    session.expect_json(ok("1", "2", "room:1", json!({"count": 1}))).await;
    (0..50).for_each(|n| broadcast(&lapwing, n));
    let answer = lines_of(&session.poll(30_000, "").await);
    assert_eq!(answer.len(), 51);
    for (n, line) in (0..50).zip(&answer[1..]) {
        assert_eq!(*line, broadcasted(n).to_string());
    }
}

/// A client that hung up is not waited for, and what it did not get is not lost.
#[tokio::test]
async fn a_poll_that_was_broken_off_loses_nothing() {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut session = joined(address, Transport::Longpoll).await;
    let broken = tokio::time::timeout(Duration::from_millis(100), session.poll(30_000, "")).await;
    assert!(broken.is_err());
    broadcast(&lapwing, 1);
    session.expect_json(broadcasted(1)).await;
}
