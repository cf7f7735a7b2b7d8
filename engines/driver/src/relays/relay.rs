//! One side of a relay, as its program holds it.

use std::{
    fmt,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use lapwing_cluster::{
    Instance,
    relay::{NotSent, RelayEnd, RelayKey, Role},
};

use super::RelayTable;

/// One side of a relay: pieces both ways, in order. One task may send while another receives.
///
/// Dropping it cuts the relay, unless it is the owner's and [`finish`](Self::finish) was called, in which case what was sent still arrives.
pub struct Relay {
    key: RelayKey,
    table: Arc<RelayTable>,
    is_finished: AtomicBool,
}

impl Relay {
    pub(super) fn new(key: RelayKey, table: Arc<RelayTable>) -> Self {
        Self { key, table, is_finished: AtomicBool::new(false) }
    }

    /// The other node.
    #[must_use]
    pub fn peer(&self) -> Instance {
        self.key.peer
    }

    /// Waits for the next piece; none if the other side sends nothing more. Say with [`used`](Self::used) when it is not held any more: the
    /// other side may send as much as that. Cancel safe.
    ///
    /// # Errors
    /// The relay has ended before that.
    pub async fn recv(&self) -> Result<Option<Bytes>, RelayEnd> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The same for a future of one's own; the last task that asked is woken.
    ///
    /// # Errors
    /// See [`recv`](Self::recv).
    pub fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, RelayEnd>> {
        let mut state = self.table.lock();
        let Some(mailbox) = state.mailboxes.get_mut(&self.key) else {
            return Poll::Ready(Err(RelayEnd::Gone));
        };
        if let Some(piece) = mailbox.pieces.pop_front() {
            return Poll::Ready(Ok(Some(piece)));
        }
        match mailbox.end {
            Some(RelayEnd::Done) => return Poll::Ready(Ok(None)),
            _ if mailbox.is_finished => return Poll::Ready(Ok(None)),
            Some(end) => return Poll::Ready(Err(end)),
            None => {}
        }
        let before = mailbox.reader.replace(cx.waker().clone());
        drop(state);
        // Whatever goes with it may be a relay's.
        drop(before);
        Poll::Pending
    }

    /// Whether it has ended otherwise than by its last piece, whatever of it was not received. The last task that asked this, or for a piece, is woken.
    pub fn poll_lost(&self, cx: &mut Context<'_>) -> bool {
        let mut state = self.table.lock();
        let Some(mailbox) = state.mailboxes.get_mut(&self.key) else { return true };
        let is_whole = mailbox.is_finished || mailbox.end == Some(RelayEnd::Done);
        if mailbox.end.is_some() && !is_whole {
            return true;
        }
        let before = mailbox.reader.replace(cx.waker().clone());
        drop(state);
        drop(before);
        false
    }

    /// So many bytes of the pieces that came, or of the head, are not held any more.
    pub fn used(&self, bytes: usize) {
        let mut state = self.table.lock();
        state.relays.handle_used(self.key, bytes);
        self.table.hand_over(state);
    }

    /// Waits until the relay has ended, whatever of it was not received. One task may wait for that beside those that send and receive.
    /// Cancel safe.
    pub async fn ended(&self) {
        poll_fn(|cx| {
            let mut state = self.table.lock();
            let mailbox = state.mailboxes.get_mut(&self.key).filter(|mailbox| mailbox.end.is_none());
            let Some(mailbox) = mailbox else { return Poll::Ready(()) };
            let before = mailbox.watcher.replace(cx.waker().clone());
            drop(state);
            drop(before);
            Poll::Pending
        })
        .await;
    }

    /// Sends bytes, in as many pieces as they need, and waits for room. Dropping the future leaves out what was not sent.
    ///
    /// # Errors
    /// The relay has ended before that.
    pub async fn send(&self, mut bytes: Bytes) -> Result<(), RelayEnd> {
        poll_fn(|cx| self.poll_send(cx, &mut bytes)).await
    }

    /// The same for a future of one's own: what was sent is taken off the front. The last task that asked is woken.
    ///
    /// # Errors
    /// See [`send`](Self::send).
    pub fn poll_send(&self, cx: &mut Context<'_>, bytes: &mut Bytes) -> Poll<Result<(), RelayEnd>> {
        while !bytes.is_empty() {
            ready!(self.poll_send_piece(cx, bytes))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_send_piece(&self, cx: &mut Context<'_>, bytes: &mut Bytes) -> Poll<Result<(), RelayEnd>> {
        let mut state = self.table.lock();
        let Some(mailbox) = state.mailboxes.get(&self.key) else { return Poll::Ready(Err(RelayEnd::Gone)) };
        if let Some(end) = mailbox.end {
            return Poll::Ready(Err(end));
        }
        let piece = bytes.slice(..bytes.len().min(self.table.piece_bytes_max));
        let len = piece.len();
        match state.relays.send(self.key, piece) {
            Ok(is_repeated) => {
                drop(bytes.split_to(len));
                if is_repeated {
                    state.gather.handle_repeated();
                }
                self.table.hand_over(state);
                Poll::Ready(Ok(()))
            }
            Err(NotSent::Full) => {
                let mailbox = state.mailboxes.get_mut(&self.key);
                let before = mailbox.and_then(|mailbox| mailbox.writer.replace(cx.waker().clone()));
                drop(state);
                drop(before);
                Poll::Pending
            }
            Err(_) => Poll::Ready(Err(RelayEnd::Gone)),
        }
    }

    /// Sends nothing more. With the owner's last piece the relay is over.
    pub fn finish(&self) {
        let mut state = self.table.lock();
        // One that has ended needs no end.
        let _ = state.relays.finish(self.key);
        self.is_finished.store(true, Ordering::Relaxed);
        self.table.hand_over(state);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let mut state = self.table.lock();
        // Dropped when the lock is given back.
        let _mailbox = state.mailboxes.remove(&self.key);
        if self.key.role == Role::Owner && self.is_finished.load(Ordering::Relaxed) {
            // What was received and is not used goes with it.
            state.relays.handle_used(self.key, usize::MAX);
        } else {
            state.relays.cut(self.key);
        }
        self.table.hand_over(state);
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("key", &self.key).finish_non_exhaustive()
    }
}
