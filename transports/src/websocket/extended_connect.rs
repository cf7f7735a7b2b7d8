//! The handshake over HTTP/2: an extended CONNECT (RFC 8441) in the place of an upgrade.
//!
//! There is no 101 and no key: the stream itself becomes the WebSocket once it is answered with 200. The server has to
//! allow it, with hyper's `http2::Builder::enable_connect_protocol`.

use http::{HeaderValue, Method, StatusCode, Version, header::SEC_WEBSOCKET_VERSION, request::Parts};
use hyper::ext::Protocol;

use crate::connect::Refusal;

/// What a GET over HTTP/2 is told, whatever fields of an upgrade it has: there are none in HTTP/2.
pub(super) const HINT: &str = "over HTTP/2 a WebSocket begins with an extended CONNECT";

/// Whether a request is a CONNECT over HTTP/2.
pub(super) fn is_connect(parts: &Parts) -> bool {
    parts.version == Version::HTTP_2 && parts.method == Method::CONNECT
}

/// Whether it is for a WebSocket.
///
/// # Errors
/// 405 for a CONNECT without a protocol, which would make a proxy of this server; 501 for one with another protocol, as
/// RFC 9220 has it; 400 for another version of WebSockets.
pub(super) fn check(parts: &Parts) -> Result<(), Refusal> {
    match parts.extensions.get::<Protocol>().map(Protocol::as_str) {
        Some("websocket") => {}
        Some(other) => {
            let reason = format!("the protocol {other:?} is not spoken here, websocket is");
            return Err(Refusal::status(StatusCode::NOT_IMPLEMENTED).with_body(reason));
        }
        None => {
            let reason = "CONNECT needs a :protocol, this is no proxy";
            return Err(Refusal::status(StatusCode::METHOD_NOT_ALLOWED).with_body(reason));
        }
    }
    match parts.headers.get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) {
        Some(b"13") => Ok(()),
        _ => {
            let reason = "'sec-websocket-version' header must equal '13'";
            Err(Refusal::status(StatusCode::BAD_REQUEST).with_body(reason))
        }
    }
}
