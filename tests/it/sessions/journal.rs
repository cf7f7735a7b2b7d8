//! What a server notes of a session's life.

use std::time::SystemTime;

use lapwing::{Happening, JournalEntry, Lapwing, Mount};
use serde_json::json;

use super::{serve, until};
use crate::support::{
    channels::ok,
    sessions::{Session, Transport},
};

fn told(entry: &JournalEntry) -> String {
    match &entry.what {
        Happening::Opened { transport } => format!("opened {}", transport.name()),
        Happening::Carried { transport } => format!("carried {}", transport.name()),
        Happening::Joined { topic } => format!("joined {topic}"),
        Happening::Refused { topic } => format!("refused {topic}"),
        Happening::Left { topic, reason } => format!("left {topic} {reason}"),
        Happening::Closed { reason } => format!("closed {}", reason.word()),
        other => format!("{other:?}"),
    }
}

async fn expect(lapwing: &Lapwing, wanted: &[&str]) {
    let entries = || lapwing.journal(0).iter().map(|entry| told(entry)).collect::<Vec<_>>();
    until(|| entries() == wanted, || format!("{:?}", entries())).await;
}

#[tokio::test]
async fn a_life_is_noted_in_its_order() {
    let (lab, address) = serve(Mount::new()).await;
    let before = SystemTime::now();
    let query = "&user=ada";
    let mut session = Session::open_as(address, "/socket", Transport::Websocket, query, 30_000).await;
    session.send_json(json!(["1", "1", "room:1", "phx_join", {}])).await;
    session.expect_json(ok("1", "1", "room:1", json!({}))).await;
    session.resume(Transport::Sse).await;
    // A poll after a poll is no move.
    session.resume(Transport::Longpoll).await;
    session.poll(0, "").await;
    session.post("!close").await;
    let life = [
        "opened websocket",
        "carried websocket",
        "joined \"room:1\"",
        "carried sse",
        "carried longpoll",
        "closed client",
        "left \"room:1\" disconnected",
    ];
    expect(&lab, &life).await;
    let entries = lab.journal(0);
    assert!(entries.iter().all(|entry| entry.socket_id.as_deref() == Some("\"user:ada\"")));
    assert!(entries.iter().all(|entry| entry.transport_id == entries[0].transport_id));
    assert!(entries[0].at >= before && entries.is_sorted_by_key(|entry| entry.number));
    assert_eq!(lab.journal(entries[4].number).len(), 2);
}

#[tokio::test]
async fn nothing_is_noted_unless_the_program_asks_for_it() {
    let lapwing = Lapwing::builder().mount("/socket", Mount::new()).build().unwrap();
    let address = crate::support::lab::serve(&lapwing).await;
    let session = Session::open(address, "/socket", Transport::Sse).await;
    session.post("!close").await;
    until(|| lapwing.stats().sessions == 0, || "the session lives".to_owned()).await;
    assert!(lapwing.journal(0).is_empty());
}
