//! Where bytes go out, at the pace that is set.

use std::{io, time::Duration};

use tokio::{io::AsyncWriteExt, net::tcp::WriteHalf, time::sleep};

use crate::{life::Life, shared::Shared};

/// The way out to one end.
#[derive(Debug)]
pub(crate) struct Outlet<'a> {
    half: WriteHalf<'a>,
    to: End,
    shared: &'a Shared,
    life: &'a Life,
    /// How many bytes have gone out.
    pub(crate) sent: u64,
}

/// The ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Client,
    Server,
}

impl<'a> Outlet<'a> {
    pub(crate) fn new(half: WriteHalf<'a>, to: End, shared: &'a Shared, life: &'a Life) -> Self {
        Self { half, to, shared, life, sent: 0 }
    }

    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let rate = self.shared.plan().trickle.map(|rate| rate.get());
            let len = rate.map_or(bytes.len() as u64, |rate| rate / SLICES_PER_S).max(1);
            let (now, later) = bytes.split_at(usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len()));
            self.half.write_all(now).await?;
            self.count(now.len() as u64);
            bytes = later;
            if let Some(rate) = rate {
                sleep(Duration::from_secs_f64(now.len() as f64 / rate as f64)).await;
            }
        }
        Ok(())
    }

    /// Tells the other side that nothing more comes.
    pub(crate) async fn shutdown(&mut self) {
        // An error means that the other side is gone, and knows.
        let _ = self.half.shutdown().await;
    }

    fn count(&mut self, len: u64) {
        self.life.touch();
        self.sent += len;
        let mut counters = self.shared.tally.now();
        match self.to {
            End::Client => counters.bytes_to_clients += len,
            End::Server => counters.bytes_to_server += len,
        }
    }
}

/// In how many steps a second a trickle goes; slower ones go byte by byte.
const SLICES_PER_S: u64 = 50;
