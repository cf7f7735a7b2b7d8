//! The extended CONNECT: what opens a WebSocket, and what is refused, with which words.

use h2::Reason;
use hyper::Method;

use crate::support::{
    channels::ok,
    frames::{END_HEADERS, HEADERS, RST_STREAM, Raw, encode, field},
    http::Response,
    http2::{Connection, Next, Stream},
    testbed::Testbed,
};
use serde_json::json;

const PATH: &str = "/socket/websocket?vsn=2.0.0";
const VERSION: (&str, &str) = ("sec-websocket-version", "13");

/// A refusal with this status.
async fn refused(status: u16, protocol: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let testbed = Testbed::shared();
    let connection = Connection::connect(testbed.address()).await;
    let response = connection.connect_for(Some(protocol), path, headers).await.into_response().await;
    assert_serves(&connection).await;
    response.assert_refuses(status);
    response
}

/// The connection goes on, whatever became of one of its streams.
async fn assert_serves(connection: &Connection) {
    assert_eq!(connection.get("/health").await.text(), "ok");
}

/// A stream carries channels.
async fn assert_joins(stream: &mut Stream) {
    stream.send(r#"["1","1","room:h2","phx_join",{}]"#);
    let reply: serde_json::Value = serde_json::from_str(&stream.next_text().await).unwrap();
    assert_eq!(reply, ok("1", "1", "room:h2", json!({})));
}

#[tokio::test]
async fn an_extended_connect_opens_a_websocket_without_key_or_upgrade() {
    let testbed = Testbed::shared();
    let connection = Connection::connect(testbed.address()).await;
    let mut stream = connection.websocket(PATH).await;
    for name in ["upgrade", "connection", "sec-websocket-accept", "content-length", "sec-websocket-protocol"]
    {
        assert!(!stream.headers.contains_key(name), "{name}");
    }
    assert_joins(&mut stream).await;
}

#[tokio::test]
async fn the_session_dialect_is_selected_among_the_offers() {
    let testbed = Testbed::shared();
    let connection = Connection::connect(testbed.address()).await;
    let offers = [("sec-websocket-protocol", "phoenix, lapwing.1")];
    let mut stream = connection.websocket_as(PATH, &offers).await;
    assert_eq!(stream.headers["sec-websocket-protocol"], "lapwing.1");
    stream.send("!open 30000");
    assert!(stream.next_text().await.starts_with("!opened "));
}

#[tokio::test]
async fn the_end_of_a_websocket_is_the_end_of_its_stream_alone() {
    let testbed = Testbed::shared();
    let connection = Connection::connect(testbed.address()).await;
    let mut one = connection.websocket(PATH).await;
    let mut other = connection.websocket(PATH).await;
    one.close();
    assert_eq!(one.next().await, Next::Close(1000));
    assert_eq!(one.next().await, Next::End);
    assert_joins(&mut other).await;
}

#[tokio::test]
async fn another_protocol_is_refused_with_501_and_a_reason() {
    let response = refused(501, "connect-udp", PATH, &[VERSION]).await;
    assert_eq!(response.text(), "this protocol is not spoken here, websocket is");
}

#[tokio::test]
async fn a_plain_connect_to_a_host_is_refused_since_this_is_no_proxy() {
    let testbed = Testbed::shared();
    let connection = Connection::connect(testbed.address()).await;
    // By RFC 9113 a plain CONNECT has an authority and neither scheme nor path.
    let request = hyper::Request::builder().method(Method::CONNECT).uri("example.com:443").body(()).unwrap();
    let (response, up) = connection.begin(request, false).await.unwrap();
    let response = Stream::answered(response, up).await.unwrap().into_response().await;
    assert_eq!(response.status, 404);
    assert_serves(&connection).await;
}

#[tokio::test]
async fn a_connect_without_a_protocol_to_a_mount_is_an_error_of_its_stream() {
    // By RFC 9113 one with a scheme and a path is malformed: h2 resets it before anybody looks at it.
    let testbed = Testbed::shared();
    let mut raw = Raw::connect(testbed.address()).await;
    raw.websocket(1, "/echo/websocket").await;
    let fields = [
        field(":method", "CONNECT"),
        field(":scheme", "http"),
        field(":path", PATH),
        field(":authority", "test"),
        field("sec-websocket-version", "13"),
    ];
    assert!(raw.send(&encode(HEADERS, END_HEADERS, 3, &fields.concat())).await);
    assert_eq!(Reason::from(raw.expect(RST_STREAM, 3).await.reason()), Reason::PROTOCOL_ERROR);
    raw.assert_echoes(1).await;
}

#[tokio::test]
async fn an_extended_connect_to_no_mount_is_not_found() {
    refused(404, "websocket", "/nowhere/websocket", &[VERSION]).await;
}

#[tokio::test]
async fn an_extended_connect_to_another_wire_is_refused() {
    refused(400, "websocket", "/socket/longpoll?vsn=2.0.0", &[VERSION]).await;
    refused(405, "websocket", "/socket/sse?lapwing=1", &[VERSION]).await;
}

#[tokio::test]
async fn another_version_of_websockets_is_refused_with_400_and_the_right_one() {
    for headers in [&[][..], &[("sec-websocket-version", "12")]] {
        let response = refused(400, "websocket", PATH, headers).await;
        assert_eq!(response.text(), "'sec-websocket-version' header must equal '13'");
        assert_eq!(response.header("sec-websocket-version"), Some("13"));
    }
}

#[tokio::test]
async fn a_page_of_a_foreign_origin_is_refused_with_403() {
    let foreign = [VERSION, ("origin", "https://evil.example")];
    refused(403, "websocket", "/socket_default/websocket?vsn=2.0.0", &foreign).await;
    refused(403, "websocket", "/socket_origin/websocket?vsn=2.0.0", &foreign).await;
}

#[tokio::test]
async fn a_page_of_the_same_origin_is_let_in_by_its_authority() {
    let testbed = Testbed::shared();
    let connection = Connection::connect(testbed.address()).await;
    let origin = format!("http://{}", testbed.address());
    let headers = [("origin", origin.as_str())];
    let mut stream = connection.websocket_as("/socket_default/websocket?vsn=2.0.0", &headers).await;
    assert_joins(&mut stream).await;
}

#[tokio::test]
async fn a_refusal_of_the_program_has_its_status() {
    refused(403, "websocket", "/socket/websocket?vsn=2.0.0&refuse=1", &[VERSION]).await;
}

#[tokio::test]
async fn a_get_is_told_how_a_websocket_begins_over_http2() {
    let testbed = Testbed::shared();
    let connection = Connection::connect(testbed.address()).await;
    let response = connection.get(PATH).await;
    let reason = "over HTTP/2 a WebSocket begins with an extended CONNECT";
    assert_eq!((response.status, &response.text()[..]), (400, reason));
    assert_serves(&connection).await;
}

/// Who is in front of the server may have believed the other one.
#[tokio::test]
async fn a_request_whose_host_is_not_its_authority_is_refused() {
    let testbed = Testbed::shared();
    let response = refused(400, "websocket", PATH, &[VERSION, ("host", "other")]).await;
    assert_eq!(response.text(), "a request is for one host");
    let connection = Connection::connect(testbed.address()).await;
    for path in ["/socket/longpoll?vsn=2.0.0", "/socket/sse?lapwing=1"] {
        let request = hyper::Request::get(path).header("host", "other").body(()).unwrap();
        let (response, up) = connection.begin(request, true).await.unwrap();
        Stream::answered(response, up).await.unwrap().into_response().await.assert_refuses(400);
    }
    let host = testbed.address().to_string();
    assert_joins(&mut connection.websocket_as(PATH, &[("host", &host)]).await).await;
}
