//! One join after the other on the same topic of one client.
//!
//! ```text
//!   old ◀──predecessor── new          new.kin: whom it waits for
//!    └─────successor────▶ Start       old.kin: what begins when it has ended; a newer one takes its place
//!    └─────waiting──────▶ the one task that waits and begins what is there then
//! ```
//!
//! So however fast a client joins a topic again, there are three joins of it at most: one that ends, one that waits, and
//! the newest, which makes the waiting one give up.

use std::{sync::Arc, task::Waker};

use super::{Join, mailbox::counted_at_once, stop};
use crate::{
    join::{leave_reason::LeaveReason, refs::Refs},
    protocol::Payload,
};

/// The relation of a join to others of its client and topic.
#[derive(Default)]
pub(super) struct Kin {
    /// The join that this one waits for.
    predecessor: Option<Arc<Join>>,
    /// The join that begins when this one has ended. One at most: a newer one takes the place of one that still waits.
    successor: Option<Start>,
    /// The task that waits for the end and begins the successor.
    pub(super) waiting: Option<Waker>,
}

/// The state in which a new join begins.
pub(crate) struct Start {
    pub(crate) running: Running,
    pub(crate) params: Payload,
    /// The refs of the join message, to be echoed in its reply.
    pub(crate) refs: Refs,
}

impl Start {
    pub(crate) fn new(join: Arc<Join>, params: Payload, refs: Refs) -> Self {
        join.node().join_started();
        // If that is too much, the session is over, and soon this.
        let _ = join.hold(counted_at_once(params.size()));
        Self { running: Running::new(join), params, refs }
    }
}

/// The join of a task, or of one that is to begin. However that ends, dropped with the runtime or killed, nobody goes on
/// waiting for the join.
pub(crate) struct Running {
    pub(crate) join: Arc<Join>,
    /// The join goes on without a task.
    pub(crate) goes_on: bool,
}

impl Running {
    pub(crate) fn new(join: Arc<Join>) -> Self {
        Self { join, goes_on: false }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.goes_on {
            self.join.withdraw();
            self.join.end();
            self.join.node().join_ended();
        }
    }
}

/// The outcome for a join that another one replaces.
pub(crate) enum Replaced {
    /// It was asked to end. A task has to wait for that, and to begin the new one then.
    Ends,
    /// It waited for an older one, and will never begin: the new one waits in its place.
    NeverBegins(Start),
}

impl Join {
    /// Puts a new join into the place of this one, which ends first. The session's joins are locked meanwhile.
    pub(crate) fn replace(self: &Arc<Self>, mut start: Start) -> Replaced {
        let predecessor = self.state().kin.as_ref().and_then(|kin| kin.predecessor.clone());
        if let Some(old) = predecessor {
            start.running.join.state().kin.get_or_insert_default().predecessor = Some(old.clone());
            match old.exchange_successor(self, start) {
                Ok(waiting) => return Replaced::NeverBegins(waiting),
                // It has begun meanwhile.
                Err(not_taken) => start = not_taken,
            }
        }
        start.running.join.state().kin.get_or_insert_default().predecessor = Some(self.clone());
        self.state().kin.get_or_insert_default().successor = Some(start);
        stop(self, LeaveReason::DuplicateJoin);
        Replaced::Ends
    }

    /// Lets another join begin after this one than the one that waits, if that is the one that is meant.
    fn exchange_successor(&self, waiting: &Arc<Self>, start: Start) -> Result<Start, Start> {
        let mut state = self.state();
        match state.kin.as_mut().and_then(|kin| kin.successor.as_mut()) {
            Some(successor) if Arc::ptr_eq(&successor.running.join, waiting) => {
                Ok(std::mem::replace(successor, start))
            }
            _ => Err(start),
        }
    }

    /// Takes what is to begin after this join.
    pub(crate) fn take_successor(&self) -> Option<Start> {
        self.state().kin.as_mut()?.successor.take()
    }

    /// Takes the join that this one replaced.
    pub(crate) fn take_predecessor(&self) -> Option<Arc<Self>> {
        let mut state = self.state();
        let predecessor = state.kin.as_mut()?.predecessor.take();
        state.kin.take_if(|kin| kin.successor.is_none() && kin.waiting.is_none());
        predecessor
    }
}
