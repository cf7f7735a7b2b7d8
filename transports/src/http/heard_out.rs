//! The body of a request over HTTP/1.1 that is answered before its end: what is still to come is read into the void.
//!
//! To close a connection with unread bytes is to reset it, and the reset overtakes the answer on its way to the client's
//! program, which then sees a failure in the place of a 413 (RFC 9112, 9.6). As long as somebody reads the body, hyper
//! keeps the connection, while the answer is on its way already. HTTP/2 needs none of this: there an answer that is whole
//! ends a request by itself.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf as _;
use http::{Request, Version, header::EXPECT};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::{runtime::Handle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::body::RequestBody;

/// Bytes that are read into the void. They cost no memory, only the client's time and ours; several times what a body may
/// have, so that a client which is wrong by a little always hears so.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Time for them, as long as a body may take at all, and for the next of them.
const TIME_MAX: Duration = Duration::from_secs(30);
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// A body that is read to its end by somebody.
#[derive(Debug)]
pub(crate) struct HeardOut<B: RequestBody> {
    body: Option<Pin<Box<B>>>,
    /// Who reads what the reader of the body leaves; nobody, where nothing needs to be read.
    rest: Option<Rest>,
}

/// Under whose eyes the rest is read.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    pub(crate) tasks: TaskTracker,
    /// Cancelled when nobody waits for anything that is not a session.
    pub(crate) draining: CancellationToken,
}

impl<B: RequestBody> HeardOut<B> {
    /// The request with its body, of which the rest is read if whoever answers it does not.
    pub(crate) fn of(request: Request<B>, rest: impl FnOnce() -> Rest) -> Request<Self> {
        // A client that waits to be asked for its body is not asked only to throw it away.
        let waits = request.headers().contains_key(EXPECT);
        let needed = request.version() < Version::HTTP_2 && !waits && !request.body().is_end_stream();
        request.map(|body| Self { body: Some(Box::pin(body)), rest: needed.then(rest) })
    }
}

impl<B: RequestBody> Body for HeardOut<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = body.as_mut().poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), |body| body.size_hint())
    }
}

impl<B: RequestBody> Drop for HeardOut<B> {
    fn drop(&mut self) {
        let (Some(body), Some(rest)) = (self.body.take(), self.rest.take()) else { return };
        if body.is_end_stream() {
            return;
        }
        // Without a runtime there is no connection to keep either.
        if let Ok(runtime) = Handle::try_current() {
            let Rest { tasks, draining } = rest;
            let heard = async move {
                draining.run_until_cancelled(timeout(TIME_MAX, hear_out(body))).await;
            };
            tasks.spawn_on(heard, &runtime);
        }
    }
}

/// Reads up to the end, or to a bound. A client that is gone is an end, too.
async fn hear_out<B: RequestBody>(mut body: Pin<Box<B>>) {
    let mut left = BYTES_MAX;
    while let Ok(Some(Ok(frame))) = timeout(SILENCE_MAX, body.frame()).await {
        let bytes = frame.data_ref().map_or(0, |data| data.remaining() as u64);
        let Some(less) = left.checked_sub(bytes) else { return };
        left = less;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
    };

    use bytes::Bytes;
    use tokio::time::Instant;

    use super::*;

    const PIECE: u64 = 1024 * 1024;

    /// A body of so many pieces of a megabyte, each after a pause, that counts what is read of it.
    struct Pieces {
        left: u64,
        pause: Duration,
        wait: Option<Pin<Box<tokio::time::Sleep>>>,
        read: Arc<AtomicU64>,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            let pause = self.pause;
            let wait = self.wait.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            std::task::ready!(wait.as_mut().poll(cx));
            self.wait = None;
            self.left -= 1;
            self.read.fetch_add(PIECE, Ordering::Relaxed);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; PIECE as usize])))))
        }
    }

    /// How many bytes are read of what is not answered for, and how long that takes.
    async fn left_over(pieces: u64, pause: Duration, set: impl FnOnce(&mut Request<()>)) -> (u64, Duration) {
        let read = Arc::new(AtomicU64::new(0));
        let mut request = Request::new(());
        set(&mut request);
        let request = request.map(|()| Pieces { left: pieces, pause, wait: None, read: read.clone() });
        let tasks = TaskTracker::new();
        let rest = Rest { tasks: tasks.clone(), draining: CancellationToken::new() };
        let start = Instant::now();
        drop(HeardOut::of(request, || rest));
        tasks.close();
        tasks.wait().await;
        (read.load(Ordering::Relaxed), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_reads_is_read_up_to_a_bound() {
        let no_pause = Duration::ZERO;
        assert_eq!(left_over(20, no_pause, |_| {}).await.0, 20 * PIECE);
        let (read, _) = left_over(100, no_pause, |_| {}).await;
        assert!((BYTES_MAX..=BYTES_MAX + PIECE).contains(&read), "{read}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_too_long_is_given_up() {
        let (read, took) = left_over(100, SILENCE_MAX * 2, |_| {}).await;
        assert_eq!((read, took.as_secs()), (0, SILENCE_MAX.as_secs()));
        let (read, took) = left_over(100, SILENCE_MAX / 2, |_| {}).await;
        assert!(read > 0 && took.as_secs() == TIME_MAX.as_secs(), "{read} {took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_needs_no_reading_is_not_read() {
        let asks = |request: &mut Request<()>| {
            request.headers_mut().insert(EXPECT, "100-continue".parse().unwrap());
        };
        assert_eq!(left_over(20, Duration::ZERO, asks).await.0, 0);
        assert_eq!(
            left_over(20, Duration::ZERO, |request| *request.version_mut() = Version::HTTP_2).await.0,
            0
        );
    }
}
