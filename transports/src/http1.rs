//! What a server's HTTP/1.1 needs, beside [`http2`](crate::http2): bounds on the head of a request, in bytes and in time.

use std::time::Duration;

use hyper::server::conn::http1;

use crate::patient::Patient;

/// Bytes of the head of a request, the query of a WebSocket's address among them; beyond it the answer is 431. As over
/// HTTP/2. hyper's default is 400 KiB, and a head may be held for as long as a ticket or a `connect` takes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Time for a head, from the end of the request before it. A client that says nothing for so long is hung up on, so it is
/// also how long a connection is kept for a next request: longer than the pause between two polls.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Sets what a mount expects of a server's HTTP/1.1: heads of 16 KiB in 10 seconds, and buffers of that size.
///
/// ```
/// use hyper::server::conn::http1;
///
/// let mut server = http1::Builder::new();
/// lapwing_transports::http1::configure(&mut server);
/// ```
pub fn configure(server: &mut http1::Builder) {
    server
        .timer(Patient)
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use hyper::{body::Incoming, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
        time::Instant,
    };

    use super::*;
    use crate::http::body::Body;

    /// The other end of a connection that is served with these settings.
    fn served() -> DuplexStream {
        let (client, io) = tokio::io::duplex(1 << 20);
        let mut server = http1::Builder::new();
        configure(&mut server);
        let fine = service_fn(async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new(Body::empty())));
        tokio::spawn(async move { server.serve_connection(TokioIo::new(io), fine).await });
        client
    }

    async fn answer(head: &[u8]) -> String {
        let mut client = served();
        client.write_all(head).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn head(bytes: usize) -> Vec<u8> {
        let begin = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: ";
        format!("{begin}{}\r\n\r\n", "x".repeat(bytes - begin.len() - 4)).into_bytes()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_of_16_kib_is_served_and_a_longer_one_is_not() {
        assert!(answer(&head(HEAD_BYTES_MAX - 1)).await.starts_with("HTTP/1.1 200"));
        assert!(answer(&head(HEAD_BYTES_MAX + 1)).await.starts_with("HTTP/1.1 431"));
        assert!(answer(&head(20 * HEAD_BYTES_MAX)).await.starts_with("HTTP/1.1 431"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_is_given_up() {
        for begun in [&b""[..], b"GET / HTTP/1.1\r\nHost: x\r\n"] {
            let start = Instant::now();
            assert!(!answer(begun).await.starts_with("HTTP/1.1 200"));
            assert!((HEAD_TIMEOUT..2 * HEAD_TIMEOUT).contains(&start.elapsed()), "{:?}", start.elapsed());
        }
    }
}
