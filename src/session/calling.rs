//! Calling a channel: caught when it panics, timed, and in a span of its own where somebody listens. Callbacks are pinned by the caller:
//! some are large, and each move would copy them.
//!
//! Each message that a client sends has one short span, `lapwing.handle_in`, at the level `debug`, which ends with the callback. It is no child of
//! the connection's: that lasts for hours, and so would its trace. What the client's handshake said of its own trace is a field.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
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
pub(super) fn call<'a, F: Future>(
    join: &'a Join,
    callback: Callback,
    running: Pin<&'a mut F>,
) -> Calling<'a, F> {
    Calling { join, callback, began: None, running }
}

/// A callback that runs: in one future, as one for each of what is done here would cost more than all of it.
pub(super) struct Calling<'a, F> {
    join: &'a Join,
    callback: Callback,
    began: Option<Instant>,
    running: Pin<&'a mut F>,
}

impl<F: Future> Future for Calling<'_, F> {
    type Output = Result<F::Output, String>;

    /// Turns a panic into its message. The channel stays usable for its `leave`.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let began = *self.began.get_or_insert_with(Instant::now);
        let result = match catch_unwind(AssertUnwindSafe(|| self.running.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => Ok(result),
            Err(panic) => Err(panic_message(&*panic)),
        };
        let meter = self.join.meter();
        meter.called(self.callback, began.elapsed());
        if result.is_err() {
            meter.panicked(self.callback);
        }
        Poll::Ready(result)
    }
}

/// Runs the callback for an event of the client's in a span, for those who listen.
pub(super) async fn handle_traced<T>(
    join: &Join,
    event: &Name,
    running: Pin<&mut impl Future<Output = T>>,
) -> Result<T, String> {
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

/// The text of a panic, as a log shows it: it may repeat what a client sent.
pub(super) fn said(panic: &str) -> Quoted<'_> {
    Quoted::new(panic).up_to(512)
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
