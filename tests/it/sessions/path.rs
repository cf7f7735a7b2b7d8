//! What a client tells of the path between it and the server, for people.

use std::time::Duration;

use lapwing::{Lapwing, Mount, PathReport, transports::connect};

use super::{serve, until};
use crate::support::sessions::{Session, TRANSPORTS, Transport};

fn path(lapwing: &Lapwing) -> Option<PathReport> {
    lapwing.sessions().next().and_then(|session| session.path)
}

#[tokio::test]
async fn what_a_client_tells_of_its_path_is_there_for_people_and_changes_nothing() {
    for transport in TRANSPORTS {
        let (lapwing, address) = serve(Mount::new()).await;
        let mut session = Session::open(address, "/socket", transport).await;
        assert_eq!(path(&lapwing), None, "{transport:?}");
        session.say("!path 35 websocket:refused pigeon:lost sse:silent longpoll:slower:250").await;
        session.settle().await;
        let told = path(&lapwing).unwrap();
        let failures: Vec<_> = told.failures.iter().map(|it| (it.transport, &*it.how, it.after)).collect();
        let slower = (connect::Transport::Longpoll, "slower", Some(Duration::from_millis(250)));
        let wanted = [
            (connect::Transport::Websocket, "refused", None),
            (connect::Transport::Sse, "silent", None),
            slower,
        ];
        assert_eq!(failures, wanted);
        assert_eq!(told.round_trip, Some(Duration::from_millis(35)));
        // The newest counts, whatever carries the session.
        session.resume(Transport::Sse).await;
        session.say("!path 0 longpoll:mute").await;
        let is_newest = || path(&lapwing).is_some_and(|told| told.failures[0].how == "mute");
        until(is_newest, || format!("{:?}", path(&lapwing))).await;
        session.say("!close").await;
        until(|| lapwing.stats().sessions == 0, || "the session goes on".into()).await;
    }
}
