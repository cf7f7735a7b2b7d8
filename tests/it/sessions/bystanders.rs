//! What one client does to its session, or to the tokens of others, is nothing that others notice.

use std::time::Duration;

use crate::support::{
    bystander::Bystander,
    http,
    sessions::{Line, Session, TRANSPORTS, Transport, lines_of, post, text, upgrade},
    testbed::Testbed,
    websocket::Frame,
};

/// A resumable session that must go on, whatever the others do.
async fn victim(testbed: &Testbed) -> Session {
    let mut session = Session::open(testbed.address(), "/socket", Transport::Sse).await;
    session.send(text(r#"["1","1","room:victim","phx_join",{}]"#)).await;
    assert_eq!(session.next_json().await[4]["status"], "ok");
    session
}

async fn expect_alive(session: &mut Session) {
    session.send(text(r#"["1","9","room:victim","ping",{"n":9}]"#)).await;
    assert_eq!(session.next_json().await[4]["response"]["n"], 9);
}

#[tokio::test]
async fn a_client_that_guesses_tokens_ends_nobody() {
    let testbed = Testbed::start();
    let bystander = Bystander::start(&testbed).await;
    let mut victim = victim(&testbed).await;
    let mut hostile = Session::open(testbed.address(), "/socket", Transport::Websocket).await;
    // The place and the number are no secret, and the first bytes of one's own token say what the next will be.
    let (own, place) = (hostile.token.clone(), victim.token[..16].to_owned());
    for token in [format!("{place}{}", &own[16..]), format!("{place}{}", "A".repeat(22)), place.clone()] {
        for line in ["!close", "!ack 1", "!from 2\ngarbage"] {
            let body = format!("!send {token}\n{line}");
            let answer = post(testbed.address(), &Transport::Sse.path("/socket"), &body).await;
            assert_eq!(lines_of(&answer), ["!refused unknown"]);
        }
        hostile.token = token;
        for transport in TRANSPORTS {
            assert_eq!(hostile.refusal(transport).await, "unknown");
        }
    }
    expect_alive(&mut victim).await;
    bystander.finish().await;
}

#[tokio::test]
async fn hundreds_of_half_begun_sessions_hold_nobody_up() {
    let testbed = Testbed::start();
    let bystander = Bystander::start(&testbed).await;
    let mut victim = victim(&testbed).await;
    let path = Transport::Websocket.path("/socket");
    let mut silent = Vec::new();
    for n in 0..200 {
        let mut socket = upgrade(testbed.address(), &path).await;
        match n % 4 {
            0 => {}
            1 => socket.send(Frame::text("!open 5000")).await,
            2 => socket.send(Frame::text("!open 5000").more()).await,
            _ => socket.send(Frame::text("!resume x 0 0")).await,
        }
        silent.push(socket);
        if n % 20 == 0 {
            post(testbed.address(), &Transport::Sse.path("/socket"), "!ticket\n!open 5000").await;
            post(testbed.address(), &Transport::Longpoll.path("/socket"), "!open 5000").await;
        }
    }
    expect_alive(&mut victim).await;
    drop(silent);
    expect_alive(&mut victim).await;
    bystander.finish().await;
}

#[tokio::test]
async fn garbage_of_every_kind_ends_nobody_else() {
    let testbed = Testbed::start();
    let bystander = Bystander::start(&testbed).await;
    let mut victim = victim(&testbed).await;
    let address = testbed.address();
    for transport in [Transport::Sse, Transport::Longpoll] {
        for body in [&b"\xff\xfe"[..], b"!", &[b'\n'; 5_000], &[b'!'; 5_000], &[b'*'; 5_000], &[b'"'; 5_000]]
        {
            let answer = http::request(address, "POST", &transport.path("/socket"), &[], Some(body)).await;
            assert_eq!(answer.status, 400, "{transport:?} {:?}", &body[..2.min(body.len())]);
        }
    }
    for transport in TRANSPORTS {
        let mut hostile = Session::open(address, "/socket", transport).await;
        hostile.send(Line::Text("garbage".into())).await;
        if transport == Transport::Websocket {
            // Else the next connection might be heard before this one.
            while hostile.attachment.next().await != Line::End {}
        }
        assert_eq!(hostile.refusal(Transport::Longpoll).await, "closed", "{transport:?}");
    }
    // One that fetches nothing of what it asks for.
    let mut stuck = Session::open(address, "/socket", Transport::Sse).await;
    stuck.send(text(r#"["1","1","room:stuck","phx_join",{}]"#)).await;
    let large = format!(r#"["1","2","room:stuck","ping",{{"x":"{}"}}]"#, "x".repeat(500_000));
    for _ in 0..30 {
        stuck.sent.push(text(&large));
        let number = stuck.sent.len();
        stuck.post(&format!("!from {number}\n{large}")).await;
    }
    expect_alive(&mut victim).await;
    tokio::time::timeout(Duration::from_secs(5), expect_alive(&mut victim)).await.unwrap();
    bystander.finish().await;
}
