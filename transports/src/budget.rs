//! Bytes held for the clients of a mount, counted in one place.
//!
//! Whatever grows because a client sends, or does not read, is counted here: frames that wait, messages and bodies that
//! have not arrived in full, answers that are being written, heads that are remembered, and what the handler says that it
//! holds ([`LiveSession::hold`]).
//!
//! ```text
//!   0 ─────────────── relief ───────────── bytes_max
//!       all is well      │  new sessions are   │  what grows because a client sends
//!                        │  refused, and the   │  fails: its connection, its request
//!                        │  largest debtors    │
//!                        │  are closed         │
//! ```
//!
//! A frame that the program pushes is taken even beyond the bound: the outbox has one of its own, and the sweep, which is
//! woken as soon as relief is needed, closes those that hold it. Each session owes up to 4 KiB that are not
//! counted, so that idle clients and small messages never touch the counter that all share.
//!
//! [`LiveSession::hold`]: crate::live::LiveSession::hold

use std::{
    error, fmt,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, AtomicIsize, AtomicU32, Ordering},
    },
    task::{Poll, Waker},
};

use crate::sync::Mutex;

/// The unit in which sessions are counted: what a session owes below it is not.
pub(crate) const STEP: usize = 4_096;

/// The mount holds as many bytes as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverBudget;

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("as many bytes are held for clients as may be")
    }
}

impl error::Error for OverBudget {}

/// The bytes that are held for the clients of a mount, and how many may be.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Below zero for a moment, when of two who change one debt at the same time the one who gives back is first.
    held: AtomicIsize,
    bytes_max: usize,
    /// Whether relief was needed since somebody last waited for that.
    alarm: AtomicBool,
    sleeper: Mutex<Option<Waker>>,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            held: AtomicIsize::new(0),
            bytes_max,
            alarm: AtomicBool::new(false),
            sleeper: Mutex::default(),
        }
    }

    /// The bytes that are held now.
    pub(crate) fn held(&self) -> usize {
        usize::try_from(self.held.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Whether there are too many to let more clients in.
    pub(crate) fn is_strained(&self) -> bool {
        self.held() >= self.relief()
    }

    /// How many have to be given back until all is well: some more than it takes to be no longer strained, so that
    /// sessions are not closed one at a time.
    pub(crate) fn excess(&self) -> usize {
        if self.is_strained() { self.held().saturating_sub(self.bytes_max / 4 * 3) } else { 0 }
    }

    /// Waits until relief is needed, since the last call or from now on. Not more than one task may wait.
    pub(crate) async fn strained(&self) {
        std::future::poll_fn(|cx| {
            // The waker is left first, so that an alarm between the two lines is not missed.
            *self.sleeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
            if self.alarm.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Counts bytes that cannot be refused.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.add(bytes);
        Charge { budget: self.clone(), bytes }
    }

    /// Counts bytes, if they may be held.
    pub(crate) fn try_charge(self: &Arc<Self>, bytes: usize) -> Result<Charge, OverBudget> {
        let mut charge = Charge { budget: self.clone(), bytes: 0 };
        charge.try_resize(bytes)?;
        Ok(charge)
    }

    /// Counts bytes that cannot be refused. Returns how many are held with them.
    pub(crate) fn add(&self, bytes: usize) -> usize {
        let before = self.held.fetch_add(bytes as isize, Ordering::Relaxed);
        let now = before.saturating_add_unsigned(bytes);
        let (before, now) = (usize::try_from(before).unwrap_or(0), usize::try_from(now).unwrap_or(0));
        if before < self.relief() && now >= self.relief() {
            self.ring();
        }
        now
    }

    fn try_add(&self, bytes: usize) -> Result<(), OverBudget> {
        if self.add(bytes) > self.bytes_max {
            self.remove(bytes);
            return Err(OverBudget);
        }
        Ok(())
    }

    /// Gives back bytes that were counted.
    pub(crate) fn remove(&self, bytes: usize) {
        self.held.fetch_sub(bytes as isize, Ordering::Relaxed);
    }

    fn relief(&self) -> usize {
        self.bytes_max - self.bytes_max / 8
    }

    fn ring(&self) {
        self.alarm.store(true, Ordering::Release);
        if let Some(sleeper) = self.sleeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            sleeper.wake();
        }
    }
}

/// Bytes that are counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts so many bytes instead, if they may be held.
    pub(crate) fn try_resize(&mut self, bytes: usize) -> Result<(), OverBudget> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.budget.try_add(more)?,
            None => self.budget.remove(self.bytes - bytes),
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.remove(self.bytes);
    }
}

/// What one session owes: counted by the budget in whole [`STEP`]s.
#[derive(Debug, Default)]
pub(crate) struct Debt(AtomicU32);

impl Debt {
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed) as usize
    }

    /// Owes more, if it may be held.
    pub(crate) fn hold(&self, bytes: usize, budget: &Budget) -> Result<(), OverBudget> {
        // No session comes near: the budget of a mount is passed long before.
        let more = u32::try_from(bytes).ok().filter(|more| *more <= u32::MAX / 2).ok_or(OverBudget)?;
        let before = self.0.fetch_add(more, Ordering::Relaxed) as usize;
        let counted = (before + bytes) / STEP * STEP - before / STEP * STEP;
        if counted > 0 && budget.add(counted) > budget.bytes_max {
            self.release(bytes, budget);
            return Err(OverBudget);
        }
        Ok(())
    }

    /// Owes less.
    pub(crate) fn release(&self, bytes: usize, budget: &Budget) {
        let before = self.0.fetch_sub(bytes as u32, Ordering::Relaxed) as usize;
        debug_assert!(before >= bytes, "more is released than was held");
        let counted = before / STEP * STEP - before.saturating_sub(bytes) / STEP * STEP;
        if counted > 0 {
            budget.remove(counted);
        }
    }

    /// The session is gone, and what it still owed with it.
    pub(crate) fn settle(&mut self, budget: &Budget) {
        let counted = *self.0.get_mut() as usize / STEP * STEP;
        if counted > 0 {
            budget.remove(counted);
        }
        *self.0.get_mut() = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(bytes_max: usize) -> Arc<Budget> {
        Arc::new(Budget::new(bytes_max))
    }

    #[test]
    fn a_charge_is_given_back_when_it_is_dropped_and_refused_beyond_the_bound() {
        let budget = budget(1_000);
        let mut charge = budget.try_charge(600).unwrap();
        assert_eq!(budget.try_charge(401).unwrap_err(), OverBudget);
        assert_eq!(budget.held(), 600, "a charge that is refused counts nothing");
        charge.try_resize(1_000).unwrap();
        assert_eq!(charge.try_resize(1_001), Err(OverBudget));
        charge.try_resize(10).unwrap();
        assert_eq!(budget.held(), 10);
        drop(charge);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn what_cannot_be_refused_is_counted_beyond_the_bound() {
        let budget = budget(1_000);
        let charge = budget.charge(5_000);
        assert_eq!((budget.held(), budget.is_strained(), budget.excess()), (5_000, true, 4_250));
        drop(charge);
        assert_eq!((budget.held(), budget.is_strained(), budget.excess()), (0, false, 0));
    }

    #[test]
    fn small_debts_are_not_counted_and_larger_ones_in_whole_steps() {
        let (budget, mut debt) = (budget(10 * STEP), Debt::default());
        debt.hold(STEP - 1, &budget).unwrap();
        assert_eq!(budget.held(), 0);
        debt.hold(1, &budget).unwrap();
        assert_eq!(budget.held(), STEP);
        debt.hold(2 * STEP + 5, &budget).unwrap();
        assert_eq!((budget.held(), debt.bytes()), (3 * STEP, 3 * STEP + 5));
        debt.release(6, &budget);
        assert_eq!(budget.held(), 2 * STEP);
        assert_eq!(debt.hold(9 * STEP, &budget), Err(OverBudget));
        assert_eq!((budget.held(), debt.bytes()), (2 * STEP, 3 * STEP - 1), "what is refused is not owed");
        debt.settle(&budget);
        assert_eq!((budget.held(), debt.bytes()), (0, 0));
    }

    #[test]
    fn debts_that_change_at_the_same_time_leave_nothing_behind() {
        let (budget, debt) = (budget(usize::MAX), Debt::default());
        std::thread::scope(|scope| {
            for worker in 0..4usize {
                let (budget, debt) = (&budget, &debt);
                scope.spawn(move || {
                    for turn in 0..5_000usize {
                        let bytes = (turn * 37 + worker * 1_013) % 9_000;
                        debt.hold(bytes, budget).unwrap();
                        debt.release(bytes, budget);
                    }
                });
            }
        });
        assert_eq!((budget.held(), debt.bytes()), (0, 0));
    }

    #[tokio::test]
    async fn the_one_who_waits_is_woken_once_each_time_relief_is_needed() {
        let budget = budget(800);
        let is_ringing = |budget: &Arc<Budget>| {
            let waiting = budget.clone();
            async move {
                tokio::select! { biased; () = waiting.strained() => true, () = std::future::ready(()) => false }
            }
        };
        let _below = budget.charge(699);
        assert!(!is_ringing(&budget).await);
        let task = tokio::spawn({
            let budget = budget.clone();
            async move { budget.strained().await }
        });
        tokio::task::yield_now().await;
        let relief = budget.charge(1);
        task.await.unwrap();
        let _more = budget.charge(50);
        assert!(!is_ringing(&budget).await, "it is known already");
        drop((relief, _more));
        let _again = budget.charge(1);
        assert!(is_ringing(&budget).await);
    }
}
