//! Tickets for `EventSource`: worth one GET, and soon nothing.

use std::{net::SocketAddr, time::Duration};

use lapwing::{Mount, SseOptions};

use super::{count, pause, serve};
use crate::support::{
    events::EventStream,
    http,
    sessions::{Attachment, Session, Transport, lines_of, post},
};

/// The ticket for a GET that says this.
async fn ticket(address: SocketAddr, line: &str) -> String {
    let answer = post(address, &Transport::Sse.path("/socket"), &format!("!ticket\n{line}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let lines = lines_of(&answer);
    assert_eq!(lines.len(), 1);
    lines[0].strip_prefix("!ticket ").expect("a ticket").to_owned()
}

fn path(ticket: &str) -> String {
    format!("/socket/sse?lapwing=1&ticket={ticket}")
}

async fn redeem(address: SocketAddr, ticket: &str) -> EventStream {
    EventStream::request(address, "GET", &path(ticket), &[], None).await
}

#[tokio::test]
async fn a_session_can_be_begun_and_resumed_by_ticket() {
    let (lapwing, address) = serve(Mount::new()).await;
    let opening = ticket(address, "!open 30000").await;
    let mut events = redeem(address, &opening).await;
    assert_eq!((events.status(), events.has_events()), (200, true));
    let greeting = events.next().await.unwrap();
    let token = greeting.split(' ').nth(1).unwrap().to_owned();
    let mut session = Session {
        address,
        mount: "/socket".into(),
        token,
        received: 0,
        sent: Vec::new(),
        attachment: Attachment::Sse(events),
    };
    session = super::join(session).await;
    let again = ticket(address, &format!("!resume {} {} 30000", session.token, session.received)).await;
    let mut before =
        std::mem::replace(&mut session.attachment, Attachment::Sse(redeem(address, &again).await));
    before.expect_end("!superseded", 4000).await;
    session.expect_control("!resumed 1").await;
    count(&mut session, 1).await;
    assert_eq!(lapwing.stats().resumed, 1);
}

#[tokio::test]
async fn a_ticket_works_once() {
    let (lapwing, address) = serve(Mount::new()).await;
    let ticket = ticket(address, "!open 30000").await;
    let first = redeem(address, &ticket).await;
    assert_eq!(first.status(), 200);
    for _ in 0..2 {
        assert_eq!(redeem(address, &ticket).await.status(), 400);
    }
    assert_eq!(lapwing.stats().sessions, 1);
}

#[tokio::test]
async fn a_ticket_is_worth_nothing_when_its_time_is_over() {
    let mount = Mount::new().sse(SseOptions::default().ticket_lifetime(Duration::from_millis(150)));
    let (_lapwing, address) = serve(mount).await;
    // The mount's clock goes slower where the program does not run: on a busy machine it takes longer.
    for ms in [250, 1_000, 4_000, 16_000] {
        let ticket = ticket(address, "!open 30000").await;
        pause(ms).await;
        if redeem(address, &ticket).await.status() == 400 {
            return;
        }
    }
    panic!("a ticket is good for ever");
}

#[tokio::test]
async fn what_is_no_ticket_is_400() {
    let (_lapwing, address) = serve(Mount::new()).await;
    let good = ticket(address, "!open 30000").await;
    for bad in ["", "x", &"A".repeat(43), &"A".repeat(5_000), &good[..42], &format!("{good}A"), "%41"] {
        assert_eq!(http::get(address, &path(bad)).await.status, 400, "{bad:.50}");
    }
    assert_eq!(http::get(address, "/socket/sse?lapwing=1").await.status, 400, "none at all");
    assert_eq!(redeem(address, &good).await.status(), 200, "the good one is still good");
}

#[tokio::test]
async fn of_too_many_tickets_the_oldest_are_forgotten() {
    let (_lapwing, address) = serve(Mount::new().sse(SseOptions::default().tickets_max(4))).await;
    let mut tickets = Vec::new();
    for _ in 0..200 {
        tickets.push(ticket(address, "!open 30000").await);
    }
    let newest = tickets.last().unwrap();
    assert_eq!(redeem(address, newest).await.status(), 200);
    let mut good = 0;
    for ticket in &tickets[..100] {
        good += usize::from(redeem(address, ticket).await.status() == 200);
    }
    assert_eq!(good, 0, "of the oldest half");
}

#[tokio::test]
async fn a_ticket_for_what_begins_no_stream_is_400_and_one_for_a_refusal_is_refused() {
    let (_lapwing, address) = serve(Mount::new()).await;
    for lines in ["", "!ping", "x", "!open", "!ticket", "!ticket\n!open 5", "!send x", "!open 5\n!ack 0"] {
        let answer = post(address, &Transport::Sse.path("/socket"), &format!("!ticket\n{lines}")).await;
        assert_eq!(answer.status, 400, "{lines}");
    }
    let ticket = ticket(address, &format!("!resume {} 0 5000\n\n", "A".repeat(38))).await;
    assert_eq!(redeem(address, &ticket).await.next().await.as_deref(), Some("!refused unknown"));
}

/// Ten thousand of them may wait: none may be as large as a body.
#[tokio::test]
async fn a_ticket_keeps_a_line_and_not_a_body() {
    let (_lapwing, address) = serve(Mount::new()).await;
    let token = "A".repeat(38);
    let frames = format!("!resume {token} 0 5000\n!from 1\n{}", "x".repeat(100_000));
    let unknown = format!("!resume {token} 0 5000\n{}", "!somethingnew\n".repeat(1_000));
    for lines in [frames, unknown] {
        let answer = post(address, &Transport::Sse.path("/socket"), &format!("!ticket\n{lines}")).await;
        assert_eq!(answer.status, 400, "{lines:.60}");
    }
}

#[tokio::test]
async fn a_ticket_carries_what_the_program_wants_to_know_of_the_client() {
    let (lapwing, address) = serve(Mount::new()).await;
    let open = |user: &str| format!("{}&user={user}", Transport::Sse.path("/socket"));
    let issue = async |user: &str| {
        let answer = post(address, &open(user), "!ticket\n!open 30000").await.text();
        answer.trim().strip_prefix("!ticket ").unwrap().to_owned()
    };
    let mut refused = redeem(address, &issue("nobody").await).await;
    assert_eq!(refused.next().await.as_deref(), Some("!refused forbidden"));
    let mut bob = redeem(address, &issue("bob").await).await;
    assert!(bob.next().await.unwrap().starts_with("!opened "));
    lapwing.disconnect("user:bob").unwrap();
    assert_eq!(bob.next().await.as_deref(), Some("!closed 1001 disconnected"));
}
