//! An executor for connections of HTTP/2: what one of them begins takes turns with what others do.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

use hyper::rt::Executor;
use tokio::{sync::Semaphore, task::yield_now};

/// Requests of a connection that are begun at a time. Each is begun in the order in which it came.
const AT_A_TIME: usize = 8;

/// Runs the streams of one connection as tasks of tokio, of which only a few at a time begin: a client may open a thousand in one
/// packet, and as many tasks at once would be before anybody else's. Clones are for the same connection.
///
/// ```
/// use hyper::server::conn::http2;
/// use lapwing_transports::http2::Turns;
///
/// let mut server = http2::Builder::new(Turns::new());
/// lapwing_transports::http2::configure(&mut server);
/// ```
#[derive(Clone, Debug)]
pub struct Turns(Arc<Semaphore>);

impl Turns {
    /// An executor for one connection.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_A_TIME)))
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> Executor<F> for Turns
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let turns = self.0.clone();
        tokio::spawn(async move {
            let mut stream = pin!(stream);
            // Nobody closes it.
            let turn = turns.acquire().await;
            let first = poll_fn(|cx| Poll::Ready(stream.as_mut().poll(cx))).await;
            // The next one begins when everybody else who is ready has had a turn.
            yield_now().await;
            drop(turn);
            match first {
                Poll::Ready(output) => output,
                Poll::Pending => stream.await,
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// On one thread, somebody who comes behind a crowd waits for some of it only.
    #[tokio::test]
    async fn who_comes_behind_a_thousand_streams_waits_for_a_few() {
        let begun = Arc::new(Mutex::new(Vec::new()));
        let turns = Turns::new();
        for number in 0..1_000 {
            let begun = begun.clone();
            turns.execute(async move {
                begun.lock().unwrap().push(number);
                std::future::pending::<()>().await;
            });
        }
        let count = || begun.lock().unwrap().len();
        let seen = tokio::spawn(async { tokio::task::yield_now().await });
        seen.await.unwrap();
        assert!(count() <= 4 * AT_A_TIME, "{} came first", count());
        while count() < 1_000 {
            tokio::task::yield_now().await;
        }
        assert!(begun.lock().unwrap().is_sorted(), "in order");
    }
}
