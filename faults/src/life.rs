//! How long a connection may live.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    sync::SetOnce,
    time::{Instant, sleep_until},
};

use crate::{
    plan::Plan,
    shared::{Control, Shared},
};

/// The dates in the life of a connection.
#[derive(Debug)]
pub(crate) struct Life {
    opened: Instant,
    /// How often all connections had been cut when it was opened.
    cuts: u64,
    /// How often all had been frozen.
    freezes: u64,
    /// When the last byte came or went, in microseconds since `opened`.
    last_byte_us: AtomicU64,
    upgraded: SetOnce<Instant>,
}

/// How a connection ends that does not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Reset,
    /// Nothing passes any more.
    Freeze,
}

impl Life {
    pub(crate) fn begin(shared: &Shared) -> Self {
        let control = shared.control.borrow();
        Self {
            opened: Instant::now(),
            cuts: control.cuts,
            freezes: control.freezes,
            last_byte_us: AtomicU64::new(0),
            upgraded: SetOnce::new(),
        }
    }

    /// A byte came or went.
    pub(crate) fn touch(&self) {
        let us = u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last_byte_us.store(us, Ordering::Relaxed);
    }

    /// A 101 has passed.
    pub(crate) fn upgrade(&self) {
        // A connection is upgraded once: what follows is no HTTP.
        let _ = self.upgraded.set(Instant::now());
    }

    /// Waits for what ends the connection from outside.
    pub(crate) async fn verdict(&self, shared: &Shared) -> Verdict {
        let mut control = shared.control.clone();
        loop {
            let now = control.borrow_and_update().clone();
            let end = self.end(&now.plan);
            if self.is_cut(&now) || end.is_some_and(|end| end <= Instant::now()) {
                return Verdict::Reset;
            }
            if now.plan.is_half_open || now.freezes != self.freezes {
                return Verdict::Freeze;
            }
            tokio::select! {
                changed = control.changed() => if changed.is_err() {
                    // The owner is gone, and this task is about to be aborted.
                    std::future::pending::<()>().await;
                },
                () = at(end) => {}
                _ = self.upgraded.wait(), if !self.upgraded.initialized() => {}
            }
        }
    }

    /// Waits until all connections are to be reset, whatever state they are in.
    pub(crate) async fn cut(&self, shared: &Shared) {
        shared.control_with(|control| self.is_cut(control)).await;
    }

    fn is_cut(&self, control: &Control) -> bool {
        control.cuts != self.cuts || control.plan.is_down
    }

    /// When the connection is to be reset, as things stand.
    fn end(&self, plan: &Plan) -> Option<Instant> {
        let last_byte = self.opened + Duration::from_micros(self.last_byte_us.load(Ordering::Relaxed));
        let ends = [
            plan.kill_after.map(|age| self.opened + age),
            plan.kill_idle.map(|idle| last_byte + idle),
            plan.kill_websocket.zip(self.upgraded.get()).map(|(age, upgraded)| *upgraded + age),
        ];
        ends.into_iter().flatten().min()
    }
}

async fn at(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}
