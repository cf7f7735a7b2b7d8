//! Where bytes come in: read as soon as they are there, handed on when their delay is over.

use std::{convert::Infallible, io, sync::Arc};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::AsyncReadExt,
    net::tcp::ReadHalf,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep_until},
};

use crate::{dice::Dice, life::Life, shared::Shared};

/// Bytes that have come from one end and were not handed on yet.
#[derive(Debug)]
pub(crate) struct Inlet {
    chunks: mpsc::UnboundedReceiver<Chunk>,
    /// The chunk whose delay is being waited for.
    next: Option<Chunk>,
    pub(crate) buffer: BytesMut,
    has_ended: bool,
}

/// Reads from a socket into an [`Inlet`]. Apart from it, since bytes that are under way do not wait for those
/// before them to be used.
#[derive(Debug)]
pub(crate) struct Pump<'a> {
    half: ReadHalf<'a>,
    chunks: mpsc::UnboundedSender<Chunk>,
    /// One permit for each byte that may be under way.
    room: Arc<Semaphore>,
    dice: Dice,
    /// When the last chunk is due: none overtakes it.
    last_due: Instant,
}

#[derive(Debug)]
struct Chunk {
    due: Instant,
    /// No bytes are the end.
    bytes: io::Result<Bytes>,
    _room: OwnedSemaphorePermit,
}

/// An inlet and its pump. `seed` decides the jitter.
pub(crate) fn inlet(half: ReadHalf<'_>, seed: u64) -> (Inlet, Pump<'_>) {
    let (tx, rx) = mpsc::unbounded_channel();
    let inlet = Inlet { chunks: rx, next: None, buffer: BytesMut::new(), has_ended: false };
    let room = Arc::new(Semaphore::new(UNDER_WAY_BYTES_MAX));
    (inlet, Pump { half, chunks: tx, room, dice: Dice::new(seed), last_due: Instant::now() })
}

impl Inlet {
    /// Waits for more bytes in the buffer; false says that no more will come.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn fill(&mut self) -> io::Result<bool> {
        if self.has_ended {
            return Ok(false);
        }
        if self.next.is_none() {
            self.next = self.chunks.recv().await;
        }
        if let Some(next) = &self.next {
            sleep_until(next.due).await;
        }
        let Some(chunk) = self.next.take() else { return Ok(false) };
        let bytes = chunk.bytes?;
        self.has_ended = bytes.is_empty();
        self.buffer.extend_from_slice(&bytes);
        Ok(!self.has_ended)
    }

    /// Reads and forgets until the end.
    pub(crate) async fn discard(&mut self) -> io::Result<()> {
        loop {
            self.buffer.clear();
            if !self.fill().await? {
                return Ok(());
            }
        }
    }
}

impl Pump<'_> {
    /// Pumps for as long as it is polled.
    pub(crate) async fn run(mut self, shared: &Shared, life: &Life) -> Infallible {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = self.half.read(&mut buffer).await;
            life.touch();
            let bytes = read.map(|len| Bytes::copy_from_slice(&buffer[..len]));
            let is_last = bytes.as_ref().map_or(true, Bytes::is_empty);
            let cost = bytes.as_ref().map_or(0, Bytes::len).max(CHUNK_COST_MIN);
            let due = self.due(shared);
            let room = self.room.clone().acquire_many_owned(u32::try_from(cost).unwrap_or(u32::MAX)).await;
            if let Ok(room) = room {
                // The inlet may be gone before its pump; then nobody wants the bytes.
                let _ = self.chunks.send(Chunk { due, bytes, _room: room });
            }
            if is_last {
                std::future::pending::<()>().await;
            }
        }
    }

    fn due(&mut self, shared: &Shared) -> Instant {
        let plan = shared.plan();
        let mut delay = plan.delay;
        if !plan.jitter.is_zero() {
            delay += plan.jitter.mul_f64(self.dice.roll());
        }
        self.last_due = self.last_due.max(Instant::now() + delay);
        self.last_due
    }
}

/// How much may be under way in one direction; then nothing more is read, and the sender has to wait.
const UNDER_WAY_BYTES_MAX: usize = 256 << 10;
const READ_BYTES: usize = 16 << 10;
/// The rough overhead of a chunk besides its bytes.
const CHUNK_COST_MIN: usize = 64;
