//! Nothing that would let somebody into a session is ever logged, at any level.

use std::{
    io,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lapwing::Mount;
use tracing_subscriber::fmt::MakeWriter;

use super::{count, join, serve};
use crate::support::{
    events::EventStream,
    http,
    sessions::{Attachment, Session, TRANSPORTS, Transport, lines_of, post},
};

/// Everything that anybody logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Goes through all that a token or a ticket is good for; returns both kinds.
async fn go_through_everything() -> (Vec<String>, Vec<String>) {
    let (_lapwing, address) = serve(Mount::new()).await;
    let (mut tokens, mut tickets) = (Vec::new(), Vec::new());
    for transport in TRANSPORTS {
        let mut session =
            join(Session::open_as(address, "/socket", transport, "&user=bob", 5_000).await).await;
        tokens.push(session.token.clone());
        for (n, to) in (1..).zip(TRANSPORTS) {
            session.resume(to).await;
            count(&mut session, n).await;
        }
        assert_eq!(session.try_resume(transport, 999).await.err().as_deref(), Some("!refused ahead"));
        session.post("!ack x").await;
        session.post("\"").await;
        session.post("!from 900\nx").await;
        let body = format!("!ticket\n!resume {} {} 5000", session.token, session.received);
        let ticket = lines_of(&post(address, &Transport::Sse.path("/socket"), &body).await).remove(0);
        let ticket = ticket.strip_prefix("!ticket ").unwrap().to_owned();
        let path = format!("/socket/sse?lapwing=1&vsn=2.0.0&ticket={ticket}");
        tickets.push(ticket);
        let evil = [("origin", "https://evil.example")];
        assert_eq!(http::request(address, "GET", &path, &evil, None).await.status, 403);
        session.attachment = Attachment::Sse(EventStream::request(address, "GET", &path, &[], None).await);
        session.expect_control("!resumed 4").await;
        assert_eq!(http::get(address, &path).await.status, 400);
        let elsewhere = path.replace("/socket/", "/other/");
        assert_eq!(http::get(address, &elsewhere).await.status, 400);
        // A client that puts them where they do not belong.
        let wrong = format!("/socket/longpoll?lapwing=1&token={}&ticket={}", session.token, tickets[0]);
        post(address, &wrong, "!open 5000").await;
        http::get(address, &wrong).await;
        session.say("!close").await;
        session.cut();
        assert_eq!(session.refusal(transport).await, "closed");
        session.mount = "/other".into();
        assert_eq!(session.refusal(transport).await, "unknown");
    }
    (tokens, tickets)
}

#[tokio::test]
async fn no_token_and_no_ticket_is_ever_logged() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let (tokens, tickets) = {
        // For this thread, on which client and server run.
        let _guard = tracing::subscriber::set_default(subscriber);
        // While there is one listener alone, `tracing` asks the first thread that comes by a place whether anybody listens,
        // and that may be another test's. With two it asks both of them.
        let _second = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(std::io::sink).finish());
        tracing::callsite::rebuild_interest_cache();
        go_through_everything().await
    };
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for happened in ["connected", "resume refused", "origin not allowed"] {
        assert!(log.contains(happened), "{happened:?} was not logged: {log}");
    }
    assert_eq!((tokens.len(), tickets.len()), (3, 3));
    let lower = log.to_lowercase();
    for secret in tokens.iter().chain(&tickets) {
        assert!(!log.contains(secret.as_str()), "{secret} was logged");
        // A part of it is as bad, and so are its bytes in any of the usual ways to print them.
        assert!(!log.contains(&secret[17..]), "the secret half of {secret} was logged");
        let bytes = URL_SAFE_NO_PAD.decode(secret).unwrap();
        let bytes = &bytes[bytes.len() - 12..];
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!lower.contains(&hex), "{secret} was logged in hexadecimal");
        let list = format!("{bytes:?}");
        assert!(!log.contains(list.trim_matches(['[', ']'])), "{secret} was logged as a list");
    }
}
