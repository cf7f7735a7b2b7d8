//! What the answers of the session dialect have in common: lines, and headers that keep proxies from spoiling them.

use http::{
    HeaderValue, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER,
    },
};

use super::{body::Body, refusal::forbid_sniffing};
use crate::dialect::server::ServerControl;

/// Of plain lines.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// Of an event stream.
pub(crate) const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

/// An answer with a content type. It may not be kept, changed or held back on the way, and any page may read it: what it
/// says was asked for with a secret, not with a cookie.
pub(crate) fn of_type(content_type: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    forbid_sniffing(headers);
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// An answer of lines.
pub(crate) fn of_lines(lines: Body) -> Response<Body> {
    of_type(TEXT, lines)
}

/// An answer of one control line.
pub(crate) fn line(line: ServerControl<'_>) -> Response<Body> {
    of_lines(Body::from(format!("{line}\n")))
}

/// An answer that is only a status, with the reason for whoever reads it.
pub(crate) fn status(status: StatusCode, reason: &str) -> Response<Body> {
    let mut response = of_type(TEXT, Body::from(reason.to_owned()));
    *response.status_mut() = status;
    response
}

/// An answer that says to try again soon.
pub(crate) fn later(reason: &str) -> Response<Body> {
    let mut response = status(StatusCode::SERVICE_UNAVAILABLE, reason);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// An answer to another method than those of a transport.
pub(crate) fn not_allowed(methods: &'static str) -> Response<Body> {
    let mut response = status(StatusCode::METHOD_NOT_ALLOWED, "POST is the method here");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// The answer to a preflight: what was asked for is allowed, and may be remembered for an hour.
pub(crate) fn preflight(requested_headers: Option<&HeaderValue>) -> Response<Body> {
    let mut response = of_type(TEXT, Body::empty());
    let headers = response.headers_mut();
    let requested = requested_headers.cloned().unwrap_or(HeaderValue::from_static(""));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, requested);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
    response
}
