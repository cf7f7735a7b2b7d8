//! What answers that refuse have in common: small, typed, kept by nobody, and without a word of what was asked.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Version,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, UPGRADE, X_CONTENT_TYPE_OPTIONS},
};

use super::body::Body;

/// An answer that is a status, with a reason for whoever reads it.
pub(crate) fn refusal(status: StatusCode, reason: impl Into<Bytes>) -> Response<Body> {
    let reason = reason.into();
    let is_bare = reason.is_empty();
    let mut response = Response::new(Body::from(reason));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if !is_bare {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The answer to a request for nothing that is here.
#[must_use]
pub fn not_found<B>(request: &Request<B>) -> Response<Body> {
    let response = refusal(StatusCode::NOT_FOUND, "not found");
    if wants_websocket(request) { without_upgrade(response) } else { response }
}

/// Whether a request wishes to become a WebSocket the way of HTTP/1.1.
pub(crate) fn wants_websocket<B>(request: &Request<B>) -> bool {
    let names_it = |value: &HeaderValue| {
        value
            .as_bytes()
            .split(|&byte| byte == b',')
            .any(|it| it.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    };
    request.version() < Version::HTTP_2 && request.headers().get_all(UPGRADE).iter().any(names_it)
}

/// The answer to such a request. If it is no upgrade, the connection ends: a proxy that opens a tunnel on the mere wish
/// would let whatever follows pass as requests that it never saw.
pub(crate) fn without_upgrade(mut response: Response<Body>) -> Response<Body> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether a request says in two ways for which host it is: then whoever is in front of us may have believed the other one
/// (RFC 9112, 3.2, and RFC 9113, 8.3.1).
pub(crate) fn is_ambiguous<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next(), request.uri().authority()) {
        (_, Some(_), _) => true,
        (Some(host), None, Some(authority)) if request.version() == Version::HTTP_2 => {
            !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
        }
        _ => false,
    }
}

/// No program may guess what an answer is, against what it says of itself.
pub(crate) fn forbid_sniffing(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
