//! The SSE transport: an event stream down. What goes up comes in POSTs, which `resumable` answers.

pub(crate) mod stream;
#[cfg(feature = "deflate")]
#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::Response;

use self::stream::EventStream;
use crate::{
    dialect::rejection::Rejection,
    handler::Handler,
    http::{answer, body::Body, encoding::Encoding},
    manager::{Manager, admission::Attached},
};

/// An event stream that carries a session.
pub(crate) fn stream<H: Handler>(
    manager: Arc<Manager<H>>,
    attached: Attached<H>,
    encoding: Encoding,
) -> Response<Body> {
    let is_gzip = encoding.is_gzip();
    let events = Body::stream(EventStream::new(manager, attached, is_gzip));
    encoding.said(is_gzip, answer::of_type(answer::EVENTS, events))
}

/// A stream of one event, which says why there is no other.
pub(crate) fn refusal(rejection: &Rejection) -> Response<Body> {
    answer::of_type(answer::EVENTS, Body::from(format!("data: {}\n\n", rejection.control())))
}
