//! What HTTP/2 makes different: settings of a server, honest back-pressure, and what a reset means.

use std::{
    error::Error,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use h2::Reason;
use hyper::server::conn::http2;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use crate::turns::Turns;

use crate::patient::Patient;

use crate::close::CloseReason;

/// What a stream may send before it is read: a slow channel holds back 64 KiB, not its whole connection.
const STREAM_WINDOW: u32 = 64 * 1024;

/// Streams of a connection at a time. hyper's default is 200; all tabs of a browser share a connection here, and with a
/// proxy many browsers do.
const STREAMS_MAX: u32 = 1_000;

/// What a connection may send before it is read: enough that however many of its streams nobody reads, the others go
/// on. No more than as many connections of HTTP/1.1 would have in the kernel's buffers.
const CONNECTION_WINDOW: u32 = STREAMS_MAX * STREAM_WINDOW;

/// Streams that a client has reset before the server looked at them. One more ends the connection with
/// `ENHANCE_YOUR_CALM`. The default of 20 is soon reached where many clients share a connection.
const RESETS_MAX: usize = 1_000;

/// Bytes of the headers of a request, the query of a WebSocket's address among them; beyond it the answer is 431. As
/// hyper has it, said here so that it stays.
const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// Bytes of a stream that hyper buffers before it stops taking more. hyper's default is 400 KiB, for each stream.
const SEND_BUFFER: usize = 32 * 1024;

/// Bytes of a write. A stream takes a write of any size whole, so that only small ones tell how much it really takes.
const WRITE_BYTES_MAX: usize = 16 * 1024;

/// Silence of a client after which it is asked for a sign of life, and how long it may take to give one. Without, who
/// begins HTTP/2 and says no more stays for ever, and so does every client that vanished. Half of a session's window, so
/// that a dead connection is gone before its sessions are.
const SILENCE: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Sets what WebSockets and event streams need of a server's HTTP/2: extended CONNECT, windows that keep one slow stream
/// from stalling the others, small buffers, pings (and a timer for them). [`Turns`] is the executor for it.
///
/// A client that does not even finish the 24 bytes of HTTP/2's preface is not asked: bound the time until the first
/// request, as `examples/` do.
///
/// ```
/// use hyper::server::conn::http2;
/// use lapwing_transports::http2::Turns;
///
/// let mut server = http2::Builder::new(Turns::new());
/// lapwing_transports::http2::configure(&mut server);
/// ```
pub fn configure<E>(server: &mut http2::Builder<E>) {
    server
        .enable_connect_protocol()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_send_buf_size(SEND_BUFFER)
        .timer(Patient)
        .keep_alive_interval(SILENCE)
        .keep_alive_timeout(PING_TIMEOUT);
}

/// The reason why a stream's read or write failed, as a reason for the end of what it carried.
///
/// A client that resets a stream with `NO_ERROR` or `CANCEL` is read as the end of the stream, which without a close
/// frame is a lost connection, too. hyper offers no way to choose the reset that a server sends.
///
/// ```
/// use lapwing_transports::{close::CloseReason, http2::close_reason};
///
/// let reset = h2::Error::from(h2::Reason::PROTOCOL_ERROR);
/// assert_eq!(close_reason(&std::io::Error::other(reset)), CloseReason::Protocol(1002));
/// assert_eq!(close_reason(&std::io::Error::other("cut")), CloseReason::Lost);
/// ```
#[must_use]
pub fn close_reason(error: &io::Error) -> CloseReason {
    let mut cause: Option<&(dyn Error + 'static)> = error.get_ref().map(|cause| cause as _);
    while let Some(error) = cause {
        if let Some(reason) = error.downcast_ref::<h2::Error>().and_then(h2::Error::reason) {
            return of_reset(reason);
        }
        cause = error.source();
    }
    CloseReason::Lost
}

fn of_reset(reason: Reason) -> CloseReason {
    match reason {
        Reason::PROTOCOL_ERROR
        | Reason::FLOW_CONTROL_ERROR
        | Reason::FRAME_SIZE_ERROR
        | Reason::COMPRESSION_ERROR
        | Reason::STREAM_CLOSED => CloseReason::Protocol(1002),
        Reason::INTERNAL_ERROR => CloseReason::Internal,
        _ => CloseReason::Lost,
    }
}

/// A stream that takes a few kilobytes at a time.
pub(crate) struct Capped<Io>(pub(crate) Io);

impl<Io: AsyncRead + Unpin> AsyncRead for Capped<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Capped<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let bytes = &bytes[..bytes.len().min(WRITE_BYTES_MAX)];
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use hyper::{body::Incoming, service::service_fn};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::Instant,
    };

    use super::*;
    use crate::http::body::Body;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

    #[tokio::test(start_paused = true)]
    async fn who_begins_http2_and_says_no_more_is_hung_up_on() {
        for begun in [PREFACE.to_vec(), [PREFACE, SETTINGS].concat()] {
            let (mut client, io) = tokio::io::duplex(1 << 20);
            let mut server = http2::Builder::new(TokioExecutor::new());
            configure(&mut server);
            let fine =
                service_fn(async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new(Body::empty())));
            tokio::spawn(server.serve_connection(TokioIo::new(io), fine));
            let start = Instant::now();
            client.write_all(&begun).await.unwrap();
            let mut heard = Vec::new();
            let ended = tokio::time::timeout(Duration::from_secs(600), client.read_to_end(&mut heard));
            assert!(ended.await.is_ok(), "{} bytes and then silence keep a connection", begun.len());
            assert!(start.elapsed() >= SILENCE + PING_TIMEOUT, "{:?}", start.elapsed());
        }
    }
}
