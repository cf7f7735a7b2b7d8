//! The answers of Phoenix's long-poll dialect: HTTP 200 with the real status in a JSON body.

use http::{
    HeaderValue, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER,
    },
};

use crate::{
    bodies::{inbound::Unread, writing::Around},
    http::{
        body::Body,
        refusal::{forbid_sniffing, refusal},
    },
};

/// The status in the body of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok = 200,
    NoMessages = 204,
    BadMessage = 400,
    Forbidden = 403,
    TimedOut = 408,
    Gone = 410,
    TooLarge = 413,
}

/// What is around the messages of an answer to a poll or a connect: status and token.
pub(super) fn around(status: Status, token: &str) -> Around {
    let mut head = Vec::with_capacity(128);
    head.extend_from_slice(b"{\"status\":");
    head.extend_from_slice((status as u16).to_string().as_bytes());
    head.extend_from_slice(b",\"token\":\"");
    head.extend_from_slice(token.as_bytes());
    head.extend_from_slice(b"\",\"messages\":[");
    Around { head, tail: b"]}".to_vec() }
}

/// An answer to a poll without messages.
pub(super) fn no_messages(status: Status, token: &str) -> Response<Body> {
    let Around { mut head, tail } = around(status, token);
    head.extend_from_slice(&tail);
    json(Body::from(head))
}

/// The answer to a POST whose body was not read to its end.
pub(super) fn unread(unread: Unread) -> Response<Body> {
    match unread {
        // Without a word, as Phoenix answers.
        Unread::TooLarge | Unread::LineTooLong | Unread::Cut => refused(StatusCode::BAD_REQUEST, ""),
        Unread::TooLate => status(Status::TimedOut, None),
        Unread::OverBudget => later(),
        Unread::Unwanted => status(Status::Gone, None),
    }
}

/// An answer that is only a status, with a reason where that helps whoever reads it.
pub(super) fn status(status: Status, reason: Option<String>) -> Response<Body> {
    let status = status as u16;
    json(Body::from(match reason {
        None => format!("{{\"status\":{status}}}").into_bytes(),
        Some(reason) => serde_json::json!({ "status": status, "reason": reason }).to_string().into_bytes(),
    }))
}

/// The answer to a preflight: what was asked for is allowed, and may be remembered for an hour.
pub(super) fn preflight(requested_headers: Option<&HeaderValue>) -> Response<Body> {
    let mut response = refused(StatusCode::OK, "");
    let headers = response.headers_mut();
    let requested = requested_headers.cloned().unwrap_or(HeaderValue::from_static(""));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, requested);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("get, post, options"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
    response
}

/// An answer that says to try again soon, without a word: stock clients log each body that is no JSON.
pub(super) fn later() -> Response<Body> {
    let mut response = refused(StatusCode::SERVICE_UNAVAILABLE, "");
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The answer to a method that the dialect does not know: without a word, as Phoenix answers.
pub(super) fn unknown_method() -> Response<Body> {
    refused(StatusCode::BAD_REQUEST, "")
}

/// An answer that is no JSON, to requests that the dialect does not know, and where nothing is known of the session.
pub(super) fn refused(status: StatusCode, reason: &'static str) -> Response<Body> {
    let mut response = refusal(status, reason);
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// An answer of JSON.
pub(super) fn json(json: Body) -> Response<Body> {
    let mut response = Response::new(json);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    forbid_sniffing(headers);
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
