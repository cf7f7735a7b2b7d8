//! The locks and atomics that joins and topics are handed over by: the standard library's, or those of the checker that
//! `scripts/interleavings` runs the models with.

use tokio::runtime::Handle;

#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, RwLock, atomic};
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::{Mutex, MutexGuard, RwLock, atomic};

/// Starts a task on a runtime; with the checker it is the checker who runs it.
pub(crate) fn spawn(runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
    #[cfg(all(test, shuttle))]
    drop((runtime, shuttle::future::spawn(task)));
    #[cfg(not(all(test, shuttle)))]
    drop(runtime.spawn(task));
}
