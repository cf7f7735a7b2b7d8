//! Who has the channel of a join, and what waits for it, from the first task of the join to the last that it leaves behind.
//!
//! ```text
//!                 park(): nothing waits
//!             ┌──────────────◀─────────────┐
//!           idle                        running ◀── new()      what comes waits in the mailbox
//!             └──────────────▶─────────────┘
//!                        arrive()
//!
//!   idle, running ── kill() ──▶ killed      a task has the channel, and ends instead of waiting or parking
//!         any ────── end() ───▶ ended       nothing is taken any more, and the mailbox is given back
//!       ended ────── clear() ─▶ cleared     the join that replaces this one may begin
//! ```
//!
//! This is a value: it starts no task and tells nobody anything. The join has it under its lock and does what it says. Its laws,
//! which `tests` holds it to:
//!
//! * The channel has one holder: a task, or the turn itself.
//! * What was taken is handled once and in order, or given back by the end.
//! * A channel is parked only if there is nothing to do for it.
//! * A kill reaches a task that waits, and one is made for it where there is none.
//! * Reading is paused and resumed in turns, and resumed at the end.
//! * That a broadcast had no room is the next that the task hears of, and is never passed over.
//! * There is one end, nothing is taken behind it, and nothing is cleared before it.
//! * A close is owed from the ok on until the client was told of the end.

#[cfg(test)]
mod tests;

use std::task::Waker;

use crate::join::mailbox::{ChannelMailbox, Deposited, Mailbox, MailboxLimits};

/// The turn of a join, whose channel is a `C`.
pub(super) struct Turn<C> {
    mailbox: Mailbox,
    holder: Holder<C>,
    stage: Stage,
    /// Something from a topic had no room: the join has to end.
    overflowed: bool,
    /// The mailbox was full, and the session does not read.
    pausing: bool,
    /// The client has its ok and was not told of an end.
    owes_close: bool,
}

/// Who has the channel.
enum Holder<C> {
    /// Nobody.
    Idle(C),
    /// A task, which is to be woken only to be killed, while a callback waits for something.
    Task(Option<Box<Waker>>),
}

/// How far a join has come. It never goes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Live,
    /// Its task is to end at once, whatever its callback waits for.
    Killed,
    Ended,
    Cleared,
}

/// Where a message goes.
#[must_use]
pub(super) enum Arrival<C> {
    /// To nobody: the join is over.
    Over,
    /// To a task that is to be made of the channel.
    Begins(C),
    /// Into the mailbox, for the task that has the channel.
    Waits,
}

/// Who is to be told of a kill.
#[must_use]
pub(super) enum Killed<'a, C> {
    /// The task that waits.
    Wakes(&'a Waker),
    /// A task that is to be made of the channel.
    Begins(C),
    /// Nobody: a task comes by, or the join is over.
    Known,
}

/// The next step of a join's task.
pub(crate) enum Next {
    Message(ChannelMailbox),
    Overflowed,
    Nothing,
}

/// What a join that ends has left.
pub(super) struct Left<C> {
    pub(super) mailbox: Mailbox,
    pub(super) channel: Option<C>,
    /// Reading was paused, and is to be resumed.
    pub(super) resumes: bool,
}

impl<C> Turn<C> {
    /// The turn of a join that begins: its first task makes the channel.
    pub(super) fn new() -> Self {
        Self {
            mailbox: Mailbox::default(),
            holder: Holder::Task(None),
            stage: Stage::Live,
            overflowed: false,
            pausing: false,
            owes_close: false,
        }
    }

    /// Something has come. If it waits, it has to be pushed.
    pub(super) fn arrive(&mut self) -> Arrival<C> {
        if self.is_ended() {
            return Arrival::Over;
        }
        match self.begin() {
            Some(channel) => Arrival::Begins(channel),
            None => Arrival::Waits,
        }
    }

    /// Puts a message of the client's into the mailbox. Returns whether nothing more is to be read from the client until
    /// [`next`](Self::next) or [`end`](Self::end) says so.
    #[must_use]
    pub(super) fn push_of_client(&mut self, message: ChannelMailbox, limits: &MailboxLimits) -> bool {
        self.mailbox.push(message);
        let pauses = !self.pausing && self.mailbox.is_full(limits);
        self.pausing |= pauses;
        pauses
    }

    /// Whether there is room for a message of the program's own.
    pub(super) fn has_room_for_info(&self, limits: &MailboxLimits) -> bool {
        self.mailbox.has_room_for_info(limits)
    }

    /// Puts a message of the program's own into the mailbox, where there is room for it.
    pub(super) fn push_info(&mut self, message: ChannelMailbox) {
        self.mailbox.push(message);
    }

    /// Puts what comes from a topic into the mailbox, or does with it what its policy says. A broadcaster never waits, and a gap must not be passed over in silence: where
    /// there is no room the join ends with an error, upon which the client joins again.
    pub(super) fn push_from_topic(&mut self, message: ChannelMailbox, limits: &MailboxLimits) -> Deposited {
        self.mailbox.push_by_policy(message, limits).unwrap_or_else(|_| {
            self.overflowed = true;
            Deposited::Waits
        })
    }

    /// Takes what the task is to do next, and says whether reading from the client is to be resumed.
    pub(super) fn next(&mut self, limits: &MailboxLimits) -> (Next, bool) {
        if self.overflowed {
            return (Next::Overflowed, false);
        }
        let Some(message) = self.mailbox.pop() else { return (Next::Nothing, false) };
        let resumes = self.pausing && self.mailbox.is_relaxed(limits);
        self.pausing &= !resumes;
        (Next::Message(message), resumes)
    }

    /// Takes what is left for a join that does no more.
    pub(super) fn next_left(&mut self) -> Option<ChannelMailbox> {
        self.mailbox.pop()
    }

    /// Whether there is nothing to do for the channel.
    pub(super) fn may_park(&self) -> bool {
        self.mailbox.is_empty() && !self.overflowed && !self.is_killed()
    }

    /// Takes the channel from its task, which has looked whether it [may](Self::may_park).
    pub(super) fn park(&mut self, channel: C) {
        self.holder = Holder::Idle(channel);
    }

    /// A callback waits for something, and its task is to be woken to be killed. Returns whether it may wait.
    #[must_use]
    pub(super) fn wait(&mut self, waker: &Waker) -> bool {
        if let Holder::Task(known) = &mut self.holder
            && !known.as_ref().is_some_and(|known| known.will_wake(waker))
        {
            *known = Some(Box::new(waker.clone()));
        }
        !self.is_killed()
    }

    /// The join is to end without a last callback.
    pub(super) fn kill(&mut self) -> Killed<'_, C> {
        self.stage = self.stage.max(Stage::Killed);
        match self.begin() {
            Some(channel) => Killed::Begins(channel),
            None => match &self.holder {
                Holder::Task(Some(waker)) => Killed::Wakes(waker),
                _ => Killed::Known,
            },
        }
    }

    /// The join is over: gives back what it had, the first time.
    pub(super) fn end(&mut self) -> Option<Left<C>> {
        if self.is_ended() {
            return None;
        }
        self.stage = Stage::Ended;
        Some(Left {
            channel: self.begin(),
            mailbox: std::mem::take(&mut self.mailbox),
            resumes: std::mem::take(&mut self.pausing),
        })
    }

    /// Nothing is left of the join, which has ended.
    pub(super) fn clear(&mut self) {
        self.stage = Stage::Cleared;
    }

    /// So many bytes of the client's are held until they are settled, unless the join is over. Returns whether they are.
    #[must_use]
    pub(super) fn owe(&mut self, bytes: usize) -> bool {
        if self.is_ended() {
            return false;
        }
        self.mailbox.owe(bytes);
        true
    }

    /// So many bytes of the client's were handled. Returns how many of them were still held.
    pub(super) fn settle(&mut self, bytes: usize) -> usize {
        self.mailbox.settle(bytes)
    }

    /// The client has its ok.
    pub(super) fn set_joined(&mut self) {
        self.owes_close = true;
    }

    /// The client was told of the end.
    pub(super) fn set_told(&mut self) {
        self.owes_close = false;
    }

    /// Whether the client believes that it is joined.
    pub(super) fn owes_close(&self) -> bool {
        self.owes_close
    }

    /// Whether the task is to end, or has.
    pub(super) fn is_killed(&self) -> bool {
        self.stage >= Stage::Killed
    }

    pub(super) fn is_ended(&self) -> bool {
        self.stage >= Stage::Ended
    }

    pub(super) fn is_cleared(&self) -> bool {
        self.stage == Stage::Cleared
    }

    /// Whether nobody has the channel.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.holder, Holder::Idle(_))
    }

    /// Takes the channel for a task, if nobody has it.
    fn begin(&mut self) -> Option<C> {
        match std::mem::replace(&mut self.holder, Holder::Task(None)) {
            Holder::Idle(channel) => Some(channel),
            task @ Holder::Task(_) => {
                self.holder = task;
                None
            }
        }
    }
}
