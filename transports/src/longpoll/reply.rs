//! The answers of Phoenix's long-poll dialect: HTTP 200 with the real status in a JSON body.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{
    HeaderValue, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONTENT_TYPE,
    },
};

use crate::{
    body::Body,
    frame::{Frame, FrameKind},
    refusal::{forbid_sniffing, refusal},
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

/// An answer to a poll or a connect: status, token and messages.
pub(super) fn messages<'a>(
    status: Status,
    token: &str,
    frames: impl Iterator<Item = &'a Frame>,
) -> Response<Body> {
    let mut json = Vec::with_capacity(128);
    json.extend_from_slice(b"{\"status\":");
    json.extend_from_slice((status as u16).to_string().as_bytes());
    json.extend_from_slice(b",\"token\":\"");
    json.extend_from_slice(token.as_bytes());
    json.extend_from_slice(b"\",\"messages\":[");
    for (index, frame) in frames.enumerate() {
        if index > 0 {
            json.push(b',');
        }
        push_message(&mut json, frame);
    }
    json.extend_from_slice(b"]}");
    respond(json)
}

/// An answer that is only a status, with a reason where that helps whoever reads it.
pub(super) fn status(status: Status, reason: Option<String>) -> Response<Body> {
    let status = status as u16;
    respond(match reason {
        None => format!("{{\"status\":{status}}}").into_bytes(),
        Some(reason) => serde_json::json!({ "status": status, "reason": reason }).to_string().into_bytes(),
    })
}

/// The answer to a preflight: what was asked for is allowed, and may be remembered for an hour.
pub(super) fn preflight(requested_headers: Option<&HeaderValue>) -> Response<Body> {
    let mut response = bare(StatusCode::OK);
    let headers = response.headers_mut();
    let requested = requested_headers.cloned().unwrap_or(HeaderValue::from_static(""));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, requested);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("get, post, options"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
    response
}

/// An answer without a body, for requests that the dialect does not know.
pub(super) fn bare(status: StatusCode) -> Response<Body> {
    let mut response = refusal(status, "");
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn respond(json: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(json));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    forbid_sniffing(headers);
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// A frame as a JSON string: text as it is, bytes in base64, as the client's own bytes come in.
fn push_message(json: &mut Vec<u8>, frame: &Frame) {
    match (frame.kind(), std::str::from_utf8(frame.payload())) {
        (FrameKind::Text, Ok(text)) => {
            serde_json::to_writer(json, text).expect("a string always serializes, and a Vec takes all");
        }
        _ => {
            let base64 = STANDARD.encode(frame.payload());
            json.push(b'"');
            json.extend_from_slice(base64.as_bytes());
            json.push(b'"');
        }
    }
}
