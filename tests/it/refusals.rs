//! How requests are refused: with what the RFCs ask for, and so that nobody is led astray, neither a cache, nor a browser
//! that guesses, nor a proxy.

use lapwing::transports::options::{LongpollOptions, ResumeOptions, TransportOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    PATIENCE, echo,
    http::{self, Response},
    longpoll::LongPoll,
    sessions::{Session, Transport},
    testbed::Testbed,
    websocket::{Event, Frame, RawSocket, SAMPLE_KEY},
};

const WEBSOCKET: &str = "/socket/websocket?vsn=2.0.0";

/// An upgrade with these lines in the place of the ordinary one, or beside it.
fn upgrade(path: &str, lines: &str) -> Vec<u8> {
    let has = |name: &str| lines.to_ascii_lowercase().contains(&format!("{name}:"));
    let mut head = format!("GET {path} HTTP/1.1\r\n{lines}");
    for (name, value) in [
        ("host", "h"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", SAMPLE_KEY),
    ] {
        if !has(name) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    (head + "\r\n").into_bytes()
}

async fn answer(request: &[u8]) -> Response {
    let testbed = Testbed::shared();
    http::exchange(testbed.address(), request, false).await.expect("an answer")
}

async fn get(path: &str, headers: &[(&str, &str)]) -> Response {
    http::request(Testbed::shared().address(), "GET", path, headers, None).await
}

#[tokio::test]
async fn a_client_of_another_version_is_told_which_one_there_is() {
    for line in
        ["Sec-WebSocket-Version: 8\r\n", "Sec-WebSocket-Version: 25\r\n", "Sec-WebSocket-Version:\r\n"]
    {
        let refused = answer(&upgrade(WEBSOCKET, line)).await;
        assert_eq!((refused.status, refused.header("sec-websocket-version")), (400, Some("13")), "{line}");
    }
    let other = answer(&upgrade(WEBSOCKET, "Connection: close\r\n")).await;
    assert_eq!((other.status, other.header("sec-websocket-version")), (400, None));
}

#[tokio::test]
async fn another_method_is_told_which_ones_there_are() {
    let testbed = Testbed::shared();
    let (longpoll, sse) = ("/socket/longpoll?lapwing=1&vsn=2.0.0", "/socket/sse?lapwing=1&vsn=2.0.0");
    for (path, methods, allowed) in [
        (longpoll, &["GET", "PUT", "DELETE", "PATCH"][..], "POST, OPTIONS"),
        (sse, &["PUT", "DELETE", "PATCH"], "GET, POST, OPTIONS"),
    ] {
        for &method in methods {
            let refused = http::request(testbed.address(), method, path, &[], None).await;
            assert_eq!((refused.status, refused.header("allow")), (405, Some(allowed)), "{method} {path}");
        }
    }
}

/// Bytes behind an upgrade are frames or nothing.
#[tokio::test]
async fn a_request_behind_a_refused_upgrade_is_not_served() {
    let testbed = Testbed::shared();
    for (path, lines) in [
        (WEBSOCKET, "Sec-WebSocket-Version: 8\r\n"),
        (WEBSOCKET, "Connection: keep-alive\r\n"),
        ("/socket_default/websocket?vsn=2.0.0", "Origin: https://evil.example\r\n"),
        ("/socket/websocket?vsn=2.0.0&refuse=1", ""),
        ("/socket/websocket?vsn=9", ""),
        ("/socket/longpoll?vsn=2.0.0", ""),
        ("/socket/sse?lapwing=1", ""),
        ("/nowhere/websocket", ""),
    ] {
        let mut bytes = upgrade(path, lines);
        bytes.extend(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut stream = TcpStream::connect(testbed.address()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut said = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the connection ends").unwrap();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{path}: {said}");
        assert!(said.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{path}: {said}");
    }
}

#[tokio::test]
async fn a_refusal_is_typed_kept_by_nobody_and_repeats_nothing() {
    const MARK: &str = "%3Cb%3E<b>x";
    let foreign = [("Origin", "https://evil.example/<b>x")];
    let refused = [
        (400, get(WEBSOCKET, &[("Connection", MARK)]).await),
        (400, answer(&upgrade(WEBSOCKET, &format!("Upgrade: {MARK}\r\n"))).await),
        (400, answer(&upgrade(WEBSOCKET, &format!("Sec-WebSocket-Version: {MARK}\r\n"))).await),
        (400, get("/socket/longpoll?lapwing=%3Cb%3Ex", &[]).await),
        (400, get("/socket/sse?lapwing=1&ticket=%3Cb%3Ex", &[]).await),
        (403, get("/socket_default/websocket?vsn=2.0.0", &foreign).await),
        (403, get("/socket_default/sse?lapwing=1", &foreign).await),
        (404, get("/nowhere/websocket/%3Cb%3Ex", &[]).await),
        (405, get("/socket/longpoll?lapwing=1", &[]).await),
        (200, get("/socket_default/longpoll?vsn=2.0.0", &foreign).await),
        (
            400,
            http::request(Testbed::shared().address(), "PUT", "/socket/longpoll?vsn=2.0.0", &[], None).await,
        ),
    ];
    for (status, refused) in refused {
        refused.assert_refuses(status);
    }
}

/// Those for which a request has to be large, or to come to a mount that is full.
#[tokio::test]
async fn a_refusal_of_too_much_is_typed_and_kept_by_nobody_too() {
    const FULL: usize = 0;
    let resume = ResumeOptions::default().body_bytes_max(1_000);
    let longpoll = LongpollOptions::default().body_bytes_max(1_000);
    let (_endpoint, address) =
        echo::serve(TransportOptions::default().resume(resume).longpoll(longpoll)).await;
    let session = Session::open(address, "/echo", Transport::Longpoll).await;
    session.post(&"<b>".repeat(1_000)).await.assert_refuses(413);

    let path = Transport::Sse.path("/echo");
    let large = [("x-large", &*"<b>".repeat(6_000))];
    http::request(address, "POST", &path, &large, Some(b"!ticket\n!open 5000")).await.assert_refuses(431);
    let offer = ("sec-websocket-protocol", "lapwing.1");
    let refused = RawSocket::handshake(address, "/echo/websocket", &[large[0], offer]).await.unwrap_err();
    refused.assert_refuses(431);

    let stock = LongPoll::open(address, "/echo").await;
    let path = format!("/echo/longpoll?token={}", stock.token);
    http::request(address, "POST", &path, &[], Some(&[b'<'; 2_000])).await.assert_refuses(400);

    let (_endpoint, address) = echo::serve(TransportOptions::default().sessions_max(FULL)).await;
    RawSocket::handshake(address, "/echo/websocket", &[]).await.unwrap_err().assert_refuses(503);
    http::get(address, "/echo/longpoll").await.assert_refuses(503);
}

#[tokio::test]
async fn an_offer_in_two_lines_is_one_list() {
    let testbed = Testbed::shared();
    let offers = [
        ("Sec-WebSocket-Protocol", "phoenix"),
        ("Sec-WebSocket-Protocol", "base64url.bearer.phx.dG9r, lapwing.1"),
    ];
    let mut socket = RawSocket::handshake(testbed.address(), WEBSOCKET, &offers).await.unwrap();
    assert_eq!(socket.response.header("sec-websocket-protocol"), Some("lapwing.1"));
    socket.send(Frame::text("!open 30000")).await;
    assert!(matches!(socket.next().await, Event::Text(line) if line.starts_with("!opened ")));
}

/// Browsers end a connection for which nothing of their offer was chosen.
#[tokio::test]
async fn a_token_that_a_mount_does_not_take_hinders_nobody() {
    let testbed = Testbed::shared();
    let offer = [("Sec-WebSocket-Protocol", "phoenix, base64url.bearer.phx.dG9r")];
    let socket = RawSocket::handshake(testbed.address(), WEBSOCKET, &offer).await.unwrap();
    assert_eq!(socket.response.header("sec-websocket-protocol"), Some("phoenix"));
}

#[tokio::test]
async fn a_path_in_an_origin_does_not_matter() {
    let testbed = Testbed::shared();
    let path = "/socket_default/websocket?vsn=2.0.0";
    let origin = format!("http://{}/chat", testbed.address());
    assert!(RawSocket::handshake(testbed.address(), path, &[("Origin", &origin)]).await.is_ok());
    let user = format!("http://{}@evil.example/chat", testbed.address());
    assert!(RawSocket::handshake(testbed.address(), path, &[("Origin", &user)]).await.is_err());
}

/// An image of another site's, which brings the user's cookies and no `Origin`.
#[tokio::test]
async fn a_page_of_another_site_begins_no_session_by_a_get() {
    let path = "/socket_default/longpoll?vsn=2.0.0";
    for site in ["cross-site", "same-site"] {
        let refused = get(path, &[("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", "no-cors")]).await;
        assert_eq!(refused.json()["status"], 403, "{site}");
    }
    for site in ["same-origin", "none"] {
        assert_eq!(get(path, &[("Sec-Fetch-Site", site)]).await.json()["status"], 410, "{site}");
    }
    // With an origin that may connect, the site is of no interest.
    let testbed = Testbed::shared();
    let origin = format!("http://{}", testbed.address());
    let allowed = get(path, &[("Origin", &origin), ("Sec-Fetch-Site", "same-site")]).await;
    assert_eq!(allowed.json()["status"], 410);
}

#[tokio::test]
async fn a_request_for_two_hosts_is_refused() {
    for path in [WEBSOCKET, "/socket/longpoll?vsn=2.0.0", "/socket/sse?lapwing=1"] {
        for second in ["h", "other"] {
            let refused = answer(&upgrade(path, &format!("Host: h\r\nHost: {second}\r\n"))).await;
            assert_eq!(refused.status, 400, "{path}: {}", refused.text());
        }
    }
}

#[tokio::test]
async fn an_upgrade_with_a_body_is_refused() {
    let frame = Frame::text("x").encode();
    for lines in [format!("Content-Length: {}\r\n", frame.len()), "Transfer-Encoding: chunked\r\n".to_owned()]
    {
        let mut bytes = upgrade("/echo/websocket", &lines);
        bytes.extend(&frame);
        let refused = answer(&bytes).await;
        assert_eq!(refused.status, 400, "{lines}: {}", refused.text());
    }
    let empty = upgrade("/echo/websocket", "Content-Length: 0\r\n");
    // Held, as the shared program ends with the last test that has it.
    let testbed = Testbed::shared();
    let stream = TcpStream::connect(testbed.address()).await.unwrap();
    assert!(RawSocket::from_stream(stream, &empty).await.is_ok());
}
