//! Phoenix's long-poll dialect: the scenarios of its own suites (protocol description, 13.3 and 13.4).
//!
//! A POST that waits for a slow join (408) is not among them: the testbed has no slow callback.

mod messages;
mod posts;
mod requests;
mod sessions;

use std::time::Duration;

use serde_json::json;

use crate::support::{channels::ok, longpoll::LongPoll, testbed::Testbed};

/// What comes at once must not look like a wait for anybody's window, which is of ten seconds by default.
const AT_ONCE: Duration = Duration::from_secs(6);

async fn joined(testbed: &Testbed, mount: &str, topic: &str) -> LongPoll {
    let mut session = LongPoll::open(testbed.address(), mount).await;
    session.send(json!(["1", "1", topic, "phx_join", {}])).await;
    assert_eq!(session.poll().await.messages, [ok("1", "1", topic, json!({}))]);
    session
}
