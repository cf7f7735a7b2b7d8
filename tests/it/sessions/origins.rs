//! Pages of other origins begin nothing, and carry nothing on, even with the token.

use lapwing::{CheckOrigin, Mount};

use super::{joined, serve};
use crate::support::{
    http,
    sessions::{TRANSPORTS, Transport},
    websocket::RawSocket,
};

fn mount() -> Mount {
    Mount::new().check_origin(CheckOrigin::list(["https://good.example"]).unwrap())
}

#[tokio::test]
async fn a_foreign_page_gets_403_for_whatever_it_asks() {
    let (lapwing, address) = serve(mount()).await;
    let mut session = joined(address, Transport::Websocket).await;
    let evil = [("origin", "https://evil.example")];
    let bodies = [
        "!open 5000".to_owned(),
        "!ticket\n!open 5000".to_owned(),
        format!("!resume {} 0 5000", session.token),
        format!("!send {}\n!close", session.token),
    ];
    for transport in [Transport::Sse, Transport::Longpoll] {
        for body in &bodies {
            let path = transport.path("/socket");
            let answer = http::request(address, "POST", &path, &evil, Some(body.as_bytes())).await;
            assert_eq!(answer.status, 403, "{transport:?} {body:.10}");
        }
        for method in ["GET", "OPTIONS"] {
            let answer = http::request(address, method, &transport.path("/socket"), &evil, None).await;
            assert_eq!(answer.status, 403, "{method} {transport:?}");
        }
    }
    super::count(&mut session, 1).await;
    assert_eq!(lapwing.stats().sessions, 1);
}

#[tokio::test]
async fn a_foreign_page_gets_no_websocket_of_the_dialect() {
    let (_lapwing, address) = serve(mount()).await;
    let path = Transport::Websocket.path("/socket");
    for (origin, wanted) in [("https://evil.example", Some(403)), ("https://good.example", None)] {
        let headers = [("origin", origin), ("sec-websocket-protocol", "lapwing.1")];
        let refused = RawSocket::handshake(address, &path, &headers).await.err();
        assert_eq!(refused.map(|response| response.status), wanted, "{origin}");
    }
}

/// The ticket was issued to a good page; that does not make it good for another.
#[tokio::test]
async fn a_foreign_page_cannot_use_a_ticket_and_does_not_spend_it() {
    let (_lapwing, address) = serve(mount()).await;
    let good = [("origin", "https://good.example")];
    let path = Transport::Sse.path("/socket");
    let issued = http::request(address, "POST", &path, &good, Some(b"!ticket\n!open 5000")).await.text();
    let path = format!("/socket/sse?lapwing=1&ticket={}", issued.trim().strip_prefix("!ticket ").unwrap());
    let evil = http::request(address, "GET", &path, &[("origin", "https://evil.example")], None).await;
    assert_eq!(evil.status, 403);
    let stream = crate::support::events::EventStream::request(address, "GET", &path, &good, None).await;
    assert_eq!(stream.status(), 200);
}

#[tokio::test]
async fn a_session_may_go_on_from_any_origin_that_may_connect() {
    let (_lapwing, address) = serve(mount()).await;
    let mut session = joined(address, Transport::Sse).await;
    for transport in TRANSPORTS {
        session.resume(transport).await;
    }
    let good = [("origin", "https://good.example")];
    let body = format!("!resume {} {} 0", session.token, session.received);
    let path = Transport::Longpoll.path("/socket");
    let answer = http::request(address, "POST", &path, &good, Some(body.as_bytes())).await;
    assert_eq!(answer.text(), "!resumed 1\n");
}
