//! The locks and atomics that sessions are handed over by: the standard library's, or those of the checker that
//! `scripts/interleavings` runs the models with.

#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::{Mutex, MutexGuard};
