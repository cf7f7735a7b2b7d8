//! The last words of a connection, when no session is behind it any more: writes them, shuts the sending side down, and
//! hears the peer out as [`Closing`] has it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tracing::trace;

use super::{
    closing::{Closing, Input},
    scratch,
};
use crate::{handler::Handler, manager::Manager};

/// Reads of one poll: then other tasks get their turn.
const TURNS_MAX: usize = 16;

/// A connection that has nothing left but to end.
#[must_use = "whoever drops it cuts the peer off"]
pub(super) struct Farewell<Io> {
    io: Io,
    closing: Closing,
    last_words: Vec<u8>,
    written: usize,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Farewell<Io> {
    /// `closing` has nothing to wait for; `last_words` are what is left of the close frame and of what is before it.
    pub(super) fn new(io: Io, closing: Closing, last_words: Vec<u8>) -> Self {
        debug_assert!(closing.is_finishing());
        Self { io, closing, last_words, written: 0 }
    }

    /// Says it, and waits for the peer's end as long as `linger` allows and the server is not cut off.
    pub(super) async fn say<H: Handler>(self, manager: &Manager<H>) {
        let said = manager.common.clock.timeout(manager.websocket_options().linger, self);
        if !matches!(manager.cut.run_until_cancelled(said).await, Some(Some(()))) {
            trace!("websocket cut off: the peer did not end it in time");
        }
    }

    fn poll_speak(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.last_words.len() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.last_words[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => self.written += taken,
            }
        }
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Reads into the void, once.
    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let heard = scratch::with_read(|buffer| {
            let mut read = ReadBuf::new(buffer);
            Pin::new(&mut self.io).poll_read(cx, &mut read).map_ok(|()| read.filled().len())
        });
        match heard {
            Poll::Ready(Ok(0)) => self.closing.handle_peer_end(),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(_)) => self.closing.handle_lost(),
            Poll::Pending => {
                self.closing.handle_quiet();
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Future for Farewell<Io> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        for _ in 0..TURNS_MAX {
            if this.closing.is_finishing() {
                match this.poll_speak(cx) {
                    Poll::Ready(Ok(())) => this.closing.handle_shut_down(),
                    Poll::Ready(Err(_)) => this.closing.handle_lost(),
                    Poll::Pending => {}
                }
            }
            let is_quiet = this.closing.input() != Input::Discard || this.poll_hear(cx).is_pending();
            if this.closing.is_done() {
                return Poll::Ready(());
            }
            if is_quiet {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
