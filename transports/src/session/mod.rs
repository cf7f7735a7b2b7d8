//! One client's session as a pure state machine: what waits for the client, what it is known to have, what was
//! taken from it, who carries the session now, and why it ended.
//!
//! ```text
//!          push, take, handle_receipt      push at the bound: TooSlow
//!             ┌────────┐                  close(reason)
//!             ▼        │                        │
//!          ┌──────────────┐                     ▼
//!   new ──▶│     open     │────────────▶┌──────────────┐
//!          └──────────────┘             │    closed    │  takes no frame; the first reason stays
//!           attach, resume: the older    └──────────────┘
//!           attachment is superseded
//! ```
//!
//! A *plain* session lives as long as its one connection and drops a frame once it was written; a *resumable* one
//! keeps it until the client acknowledged it, so that another connection can go on where the last one stopped.
//!
//! Laws, for every order of calls (property-tested below):
//!
//! 1. *In order, once.* What [`Session::handle_receipt`] removes is always a prefix of what was pushed, and no
//!    frame is handed out again once it was proven received.
//! 2. *Nothing lost in silence.* Every pushed frame is removed by a receipt, or is still waiting, or the session
//!    is closed; after a close, `push` says so.
//! 3. *Bounded.* What was never sent, and what was sent and is not acknowledged, stay each within [`OutboxLimits`], but for the
//!    last frame of each, which may pass the bound in bytes ([`retained`]), and for what tells of dropped frames in their place.
//! 4. *One attachment.* At most one [`Attachment`] is current; an older one never becomes current again.
//! 5. *Taken once.* The numbers for which [`Session::take`] says [`Taken::Next`] are 1, 2, 3, and so on.
//!
//! 6. *The newest.* Of the states of one thing ([`Policy::Latest`]) at most one waits that the client cannot have yet, behind the last
//!    fence: the one that was pushed last ([`behind`]).
//! 7. *Said is said.* What the client may have under a number stays what it is.
//! 8. *A told gap.* Frames of a kind are dropped ([`Policy::Few`]) only for a client that is late ([`behind`]); those that are left are the newest,
//!    and what stands in the place of the others says how many they were.
//! 9. *Volatile* frames wait for nobody who is behind, and close no session.
//!
//! A resumable session that is open can go on at another place, with the same laws ([`frozen`]).
//!
//! `tests/laws/` has the same laws for both ends of a session on a network that cuts, delays and repeats.
//!
//! Frames are numbered from 1 by their order alone ([`Seq`]); the number is not in the frame, so that a
//! broadcast is encoded once for everybody.

pub mod backlog;
pub mod behind;
pub mod frozen;
mod index;
pub mod life;
pub mod outbox;
pub mod retained;

use self::life::{Life, LongLife};
use self::outbox::{Outbox, OutboxLimits, Waiting};
use self::retained::Retained;
#[cfg(doc)]
use crate::policy::Policy;
use crate::{close::CloseReason, frame::Frame};

/// How many frames of a session have gone one way: the number of the last of them, 0 before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// One transport's turn at carrying a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attachment(u32);

/// What became of a pushed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits in the outbox.
    Queued,
    /// It waits in the place of an older state of the same thing, as its [`Policy`] says.
    Replaced,
    /// It waits, and so many older frames of its kind were dropped for it, of which the client is told.
    Displaced(u32),
    /// It is of no use to a client that is behind, as its policy says, and was dropped.
    LeftOut,
    /// As much waited as may: the session is now closed with [`CloseReason::TooSlow`].
    Overflowed,
    /// As much waits as may: the frame was dropped, and the session goes on. Only of those who asked for that.
    Full,
    /// The session had been closed before; the frame was dropped.
    Closed,
}

impl Pushed {
    /// Whether it waits at the end, so that there is something more to send than before.
    #[cfg(feature = "net")]
    pub(crate) fn is_at_end(self) -> bool {
        matches!(self, Self::Queued | Self::Displaced(_))
    }
}

/// Why a client may not go on with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeError {
    /// The client needs frames that are gone.
    Gap,
    /// The client claims to have frames that were never pushed.
    Ahead,
}

/// What is to be done with a frame from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is the next one: hand it on.
    Next,
    /// It was taken before: drop it.
    Duplicate,
    /// Frames before it are missing: whoever sent it broke the protocol, or must go back.
    Early,
}

/// The state machine. See the module's documentation for its laws.
///
/// ```
/// use lapwing_transports::{frame::Frame, session::{Pushed, Seq, Session, outbox::OutboxLimits}};
///
/// let mut session = Session::default();
/// assert_eq!(session.push(Frame::text("a"), &OutboxLimits::default()), Pushed::Queued);
/// assert_eq!(session.last_pushed(), Seq(1));
/// session.handle_receipt(Seq(1));
/// assert!(session.waiting().next().is_none());
/// ```
#[derive(Debug, Default)]
pub struct Session {
    outbox: Outbox,
    /// The last frame that the client is known to have.
    received: Seq,
    attachment: Attachment,
    closed: Option<CloseReason>,
    life: Life,
    /// What only a session that outlives its connections has to count. Boxed, as most do not.
    counts: Option<Box<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    /// The last frame that was taken from the client.
    taken: Seq,
    /// The last frame that the current attachment has sent in full.
    sent: Seq,
    /// The last frame that the client says it has. It may have it from an older attachment, before the current one has
    /// sent it; the current one must still send it, as frames have no numbers but their order.
    acknowledged: Seq,
    retained: Retained,
    life: LongLife,
}

impl Session {
    /// A session that keeps what its client has not acknowledged.
    #[must_use]
    pub fn resumable() -> Self {
        Self { counts: Some(Box::default()), ..Self::default() }
    }

    /// Puts a frame at the end of what waits for the client, or does with it what its policy says.
    // For each member of a broadcast's topic: with a second caller, a session that is frozen, the compiler alone made it a call of 14 instructions.
    #[inline(always)]
    pub fn push(&mut self, frame: Frame, limits: &OutboxLimits) -> Pushed {
        if self.closed.is_some() {
            return Pushed::Closed;
        }
        self.forget_lateness();
        let mut frame = frame;
        if frame.policy().is_some() {
            frame = match self.push_by_policy(frame, limits) {
                Ok(pushed) => return pushed,
                Err(frame) => frame,
            };
        }
        if self.outbox.is_empty() || limits.admits(self.unsent()) {
            self.outbox.push(frame);
            return Pushed::Queued;
        }
        self.overflow()
    }

    /// No room is left for a frame that has to wait.
    #[cold]
    fn overflow(&mut self) -> Pushed {
        // Of a resumable session any frame may be half written, not only the first; what is kept is bounded.
        if !self.is_resumable() {
            self.outbox.truncate_to_first();
        }
        self.closed = Some(CloseReason::TooSlow);
        Pushed::Overflowed
    }

    /// Puts a frame at the end of what waits for the client, and another that belongs to it, or neither: where there is no room
    /// for both, nothing has changed. The policy of a frame counts where it is alone.
    pub fn try_push(&mut self, frame: Frame, then: Option<Frame>, limits: &OutboxLimits) -> Pushed {
        if self.closed.is_some() {
            return Pushed::Closed;
        }
        self.forget_lateness();
        let frame = match then {
            Some(_) => frame,
            None => match self.push_by_policy(frame, limits) {
                Ok(pushed) => return pushed,
                Err(frame) => frame,
            },
        };
        if !limits.admits_all(self.unsent(), 1 + usize::from(then.is_some())) {
            return Pushed::Full;
        }
        self.outbox.push(frame);
        if let Some(then) = then {
            self.outbox.push(then);
        }
        Pushed::Queued
    }

    /// Closes the session; frames that wait may still be delivered. Returns whether it was open.
    pub fn close(&mut self, reason: CloseReason) -> bool {
        let was_open = self.closed.is_none();
        self.closed.get_or_insert(reason);
        was_open
    }

    /// Makes a new attachment the current one, superseding the one before.
    pub fn attach(&mut self) -> Attachment {
        self.give_up_hand();
        self.attachment.0 = self.attachment.0.wrapping_add(1);
        self.attachment
    }

    /// Makes a new attachment the current one for a client that has the first `received` frames; what follows them
    /// is still waiting.
    ///
    /// # Errors
    /// See [`ResumeError`]; nothing has changed then.
    pub fn resume(&mut self, received: Seq) -> Result<Attachment, ResumeError> {
        if received > self.last_pushed() {
            return Err(ResumeError::Ahead);
        }
        if received < self.received {
            return Err(ResumeError::Gap);
        }
        self.give_up_hand();
        if let Some(counts) = &mut self.counts {
            counts.sent = received;
            counts.retained.restart();
        }
        self.handle_receipt(received);
        Ok(self.attach())
    }

    /// The current attachment of a resumable session has sent all frames up to `seq`, in full.
    pub fn handle_sent(&mut self, seq: Seq) {
        if let Some(counts) = &mut self.counts {
            let before = std::mem::replace(&mut counts.sent, seq);
            let acknowledged = counts.acknowledged;
            self.let_go(seq.0.saturating_sub(before.0));
            self.reach(seq);
            self.drop_received(acknowledged.min(seq));
        }
    }

    /// The client may have the frames up to `seq`.
    fn reach(&mut self, seq: Seq) {
        if let Some(counts) = &mut self.counts {
            let place = |seq: Seq| seq.0.saturating_sub(self.received.0) as usize;
            let frames = place(counts.retained.reached())..place(seq);
            let bytes = frames.map_while(|place| self.outbox.get(place)).map(|frame| frame.payload().len());
            counts.retained.reach(seq, bytes.sum());
        }
    }

    /// A frame came from the client: says whether it is the next one, and counts it if so.
    ///
    /// A plain session counts nothing: its one connection brings every frame once.
    pub fn take(&mut self, number: Seq) -> Taken {
        match &mut self.counts {
            None => Taken::Next,
            Some(counts) if number <= counts.taken => Taken::Duplicate,
            Some(counts) if number.0 == counts.taken.0 + 1 => {
                counts.taken = number;
                Taken::Next
            }
            Some(_) => Taken::Early,
        }
    }

    /// The number of the last frame that was taken from the client.
    #[must_use]
    pub fn last_taken(&self) -> Seq {
        self.counts.as_ref().map_or(Seq(0), |counts| counts.taken)
    }

    /// The client has all frames up to `seq`: they are dropped. A number from the past or beyond what was
    /// pushed changes nothing: a client that lies about the future would otherwise lose its own frames.
    pub fn handle_receipt(&mut self, seq: Seq) {
        if seq > self.last_pushed() {
            return;
        }
        match &mut self.counts {
            None => self.drop_received(seq),
            Some(counts) => {
                counts.acknowledged = counts.acknowledged.max(seq);
                let droppable = counts.acknowledged.min(counts.sent);
                self.drop_received(droppable);
            }
        }
    }

    fn drop_received(&mut self, seq: Seq) {
        let Some(count) = seq.0.checked_sub(self.received.0).filter(|count| *count > 0) else { return };
        let mut number = self.received;
        self.received = seq;
        let Some(counts) = &mut self.counts else {
            self.outbox.pop_while(|_| {
                number.0 += 1;
                number <= seq
            });
            return self.let_go(count);
        };
        self.outbox.pop_while(|frame| {
            number.0 += 1;
            if number <= seq {
                counts.retained.forget(number, frame);
            }
            number <= seq
        });
    }

    /// The oldest waiting frames, as long as each of them was, were delivered by a transport that proves delivery itself. Returns
    /// how many they are.
    #[inline]
    pub fn handle_written(&mut self, was_written: impl FnMut(&Frame) -> bool) -> usize {
        let written = self.outbox.pop_while(was_written);
        self.received.0 += written as u64;
        self.let_go(written as u64);
        written
    }

    /// Drops what waits, but for a frame that the current attachment may have sent half of: the session is over.
    pub fn shed(&mut self) {
        if let Some(counts) = &self.counts {
            let sent = counts.sent;
            self.drop_received(sent);
        }
        self.outbox.truncate_to_first();
    }

    /// Drops what waits: the session is over, and nobody will fetch it.
    pub fn discard(&mut self) {
        self.outbox = Outbox::default();
    }

    /// The frames that the client is not known to have, oldest first.
    #[inline]
    pub fn waiting(&self) -> impl Iterator<Item = &Frame> {
        self.outbox.iter()
    }

    /// The frames after `sent`, oldest first: what an attachment that has sent that many still has to send. None if
    /// some of them are gone, which happens to attachments that were superseded.
    pub fn waiting_after(&self, sent: Seq) -> impl Iterator<Item = &Frame> {
        let skip = sent.0.checked_sub(self.received.0).and_then(|skip| usize::try_from(skip).ok());
        self.outbox.iter_from(skip.unwrap_or(usize::MAX))
    }

    /// What the frames that wait take, with what each takes besides its payload.
    #[cfg(feature = "net")]
    pub(crate) fn waiting_cost(&self) -> usize {
        self.outbox.bytes() + self.outbox.len() * crate::frame::FRAME_BYTES
    }

    /// Returns whether less than half of what may wait to be sent does.
    #[inline]
    #[must_use]
    pub fn is_relaxed(&self, limits: &OutboxLimits) -> bool {
        let all = Waiting { frames: self.outbox.len(), bytes: self.outbox.bytes() };
        // What was sent and is not acknowledged need not be told apart as long as all of it is little.
        limits.is_relaxed(all) || (self.is_resumable() && limits.is_relaxed(self.unsent()))
    }

    /// Returns whether who waits for room goes on: little waits, and what takes two frames has room beside it. One that waits may be as large as
    /// all that may wait.
    #[cfg(feature = "net")]
    pub(crate) fn has_room(&self, limits: &OutboxLimits) -> bool {
        self.is_relaxed(limits) && limits.admits_all(self.unsent(), 2)
    }

    /// Returns whether no frame waits.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.outbox.is_empty()
    }

    /// The number of the last frame that was pushed.
    #[must_use]
    pub fn last_pushed(&self) -> Seq {
        Seq(self.received.0 + self.outbox.len() as u64)
    }

    /// The number of the oldest frame that no attachment has sent in full yet, or of the next one that is pushed.
    #[must_use]
    pub fn first_unsent(&self) -> Seq {
        Seq(self.last_pushed().0 - self.unsent().frames as u64 + 1)
    }

    /// The number of the last frame that the client is known to have.
    #[must_use]
    pub fn last_received(&self) -> Seq {
        self.received
    }

    /// Returns whether `attachment` still carries the session.
    #[must_use]
    pub fn is_current(&self, attachment: Attachment) -> bool {
        self.attachment == attachment
    }

    /// The attachment that carries the session, or did last.
    #[cfg(feature = "net")]
    pub(crate) fn attachment(&self) -> Attachment {
        self.attachment
    }

    /// Returns whether the session outlives its connections.
    #[must_use]
    pub fn is_resumable(&self) -> bool {
        self.counts.is_some()
    }

    /// The reason why the session was closed, if it was.
    #[must_use]
    pub fn closed(&self) -> Option<CloseReason> {
        self.closed
    }
}

#[cfg(test)]
mod tests;
