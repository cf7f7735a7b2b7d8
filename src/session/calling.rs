//! Calling a channel: caught when it panics, timed, and in a span of its own where somebody listens. Callbacks are pinned by the caller:
//! some are large, and each move would copy them.
//!
//! Each message that a client sends has one short span, `lapwing.handle_in`, at the level `debug`, which ends with the callback. It is no child of
//! the connection's: that lasts for hours, and so would its trace. What the client's handshake said of its own trace is a field.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::Poll,
    time::Instant,
};

use lapwing_transports::quoted::Quoted;
use tracing::{Instrument as _, Span, field::Empty};

use crate::{
    join::{Join, meter::Callback},
    protocol::{Name, name_limits::quoted},
    session::trace::TraceParent,
};

/// Runs a callback, with its name for what is made of the result.
pub(super) async fn called<T>(
    join: &Join,
    callback: Callback,
    running: Pin<&mut impl Future<Output = T>>,
) -> (Callback, Result<T, String>) {
    (callback, call(join, callback, running).await)
}

/// Runs a callback, and counts how long that takes.
pub(super) async fn call<T>(
    join: &Join,
    callback: Callback,
    running: Pin<&mut impl Future<Output = T>>,
) -> Result<T, String> {
    let start = Instant::now();
    let result = catch(running).await;
    join.meter().called(callback, start.elapsed());
    if result.is_err() {
        join.meter().panicked(callback);
    }
    result
}

/// Runs the callback for an event of the client's in a span. Nothing is made where nobody listens.
pub(super) async fn handle_event<T>(
    join: &Join,
    event: &Name,
    running: Pin<&mut impl Future<Output = T>>,
) -> Result<T, String> {
    if !is_traced() {
        return call(join, Callback::HandleIn, running).await;
    }
    let span = span_of(join, event);
    let result = call(join, Callback::HandleIn, running).instrument(span.clone()).await;
    if result.is_err() {
        span.record("error.type", "panic");
    }
    result
}

/// What the spans are filtered by.
const TARGET: &str = "lapwing::message";

/// Whether anybody listens to them.
pub(super) fn is_traced() -> bool {
    tracing::span_enabled!(target: TARGET, tracing::Level::DEBUG)
}

/// A root: what polls the task is no part of what the client asked for.
fn span_of(join: &Join, event: &Name) -> Span {
    let span = tracing::debug_span!(
        target: TARGET,
        parent: None,
        "lapwing.handle_in",
        otel.kind = "consumer",
        messaging.system = "phoenix",
        messaging.operation.name = "handle_in",
        "messaging.operation.type" = "process",
        messaging.destination.template = join.route(),
        messaging.destination.name = %join.quoted_topic(),
        lapwing.event = %quoted(event),
        lapwing.join = join.id.0,
        lapwing.handshake.traceparent = Empty,
        "error.type" = Empty,
    );
    if let Some(parent) = join.with_assigns(|assigns| TraceParent::of(assigns)) {
        span.record("lapwing.handshake.traceparent", parent.as_str());
    }
    span
}

/// Runs a callback and turns a panic into its message. The channel stays usable for its `leave`.
async fn catch<T>(mut callback: Pin<&mut impl Future<Output = T>>) -> Result<T, String> {
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| callback.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic_message(&*panic))),
    })
    .await
}

/// The text of a panic, as a log shows it: it may repeat what a client sent.
pub(super) fn said(panic: &str) -> Quoted<'_> {
    Quoted::new(panic).up_to(512)
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
