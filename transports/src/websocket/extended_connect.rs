//! The handshake over HTTP/2: an extended CONNECT (RFC 8441) in the place of an upgrade.
//!
//! There is no 101 and no key: the stream itself becomes the WebSocket once it is answered with 200. The server has to
//! allow it, with hyper's `http2::Builder::enable_connect_protocol`.

use http::{
    HeaderValue, Method, Response, StatusCode, Version,
    header::{ALLOW, SEC_WEBSOCKET_VERSION},
    request::Parts,
};
use hyper::ext::Protocol;

use super::handshake;
use crate::http::{body::Body, refusal::refusal};

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
pub(super) fn check(parts: &Parts) -> Result<(), Box<Response<Body>>> {
    match parts.extensions.get::<Protocol>().map(Protocol::as_str) {
        Some("websocket") => {}
        Some(_) => {
            let reason = "this protocol is not spoken here, websocket is";
            return Err(Box::new(refusal(StatusCode::NOT_IMPLEMENTED, reason)));
        }
        None => {
            let reason = "CONNECT needs a :protocol, this is no proxy";
            let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, reason);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return Err(Box::new(response));
        }
    }
    match parts.headers.get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) {
        Some(b"13") => Ok(()),
        _ => {
            let reason = "'sec-websocket-version' header must equal '13'";
            let mut response = refusal(StatusCode::BAD_REQUEST, reason);
            response.headers_mut().insert(SEC_WEBSOCKET_VERSION, handshake::VERSION);
            Err(Box::new(response))
        }
    }
}
