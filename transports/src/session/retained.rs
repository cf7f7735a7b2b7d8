//! What a resumable session has sent and keeps until its client acknowledges it.
//!
//! ```text
//!   the outbox:  │ sent by some attachment: unacknowledged │ never sent: unsent │
//!             received                                  reached          last pushed
//! ```
//!
//! Both parts have a bound of their own ([`OutboxLimits`]), since they say different things: what is unsent grows because the client
//! does not read, what is unacknowledged because it has had no reason yet to say what it has. A client is closed for the
//! first alone. Before the second is at its bound the client is asked, and at the bound the attachment waits for the answer.
//!
//! A frame that was sent by one attachment and has to be sent again by the next does not become unsent: a session that many
//! frames are kept of would be closed for coming back.

use super::{
    Seq, Session,
    outbox::{OutboxLimits, Waiting},
};
use crate::frame::Frame;

/// The counts of what was sent.
#[derive(Debug, Default)]
pub(super) struct Retained {
    /// The last frame that an attachment has sent in full, or that the client claims to have.
    reached: Seq,
    /// Payload bytes of the frames that are kept up to it.
    bytes: usize,
    /// How far the attachment had come when the client was last asked what it has.
    asked: Seq,
}

impl Retained {
    /// Frames with so many bytes are kept up to `reached`, and no question is open.
    pub(super) fn of(reached: Seq, bytes: usize) -> Self {
        Self { reached, bytes, asked: Seq(0) }
    }

    pub(super) fn reached(&self) -> Seq {
        self.reached
    }

    /// The frames up to `sent` were sent; those that were not before have so many bytes.
    pub(super) fn reach(&mut self, sent: Seq, bytes: usize) {
        self.bytes += bytes;
        self.reached = self.reached.max(sent);
    }

    /// This frame is not kept any more.
    pub(super) fn forget(&mut self, number: Seq, frame: &Frame) {
        if number <= self.reached {
            self.bytes -= frame.payload().len();
        } else {
            self.reached = number;
        }
    }

    /// Another attachment begins: an answer to a question of the last one may never come.
    pub(super) fn restart(&mut self) {
        self.asked = Seq(0);
    }
}

impl Session {
    /// How much no attachment has sent in full yet.
    #[must_use]
    pub fn unsent(&self) -> Waiting {
        if self.counts.is_none() {
            return Waiting { frames: self.outbox.len(), bytes: self.outbox.bytes() };
        }
        let kept = self.unacknowledged();
        // What is dropped at the end of a session is counted no further.
        Waiting {
            frames: self.outbox.len().saturating_sub(kept.frames),
            bytes: self.outbox.bytes().saturating_sub(kept.bytes),
        }
    }

    /// How much was sent and is not known to have arrived. Nothing of a plain session, which forgets what it has sent.
    #[must_use]
    pub fn unacknowledged(&self) -> Waiting {
        let Some(counts) = &self.counts else { return Waiting::default() };
        let frames = counts.retained.reached.0.saturating_sub(self.received.0);
        Waiting { frames: frames as usize, bytes: counts.retained.bytes }
    }

    /// The frames after `sent` that an attachment may send now, oldest first: all, but for those of an open session that would
    /// be more than may be unacknowledged.
    pub fn sendable_after(&self, sent: Seq, limits: &OutboxLimits) -> impl Iterator<Item = &Frame> {
        let mut unacknowledged = self.unacknowledged();
        let bounded_after = match &self.counts {
            Some(counts) if self.closed.is_none() => counts.retained.reached.max(sent).0 - sent.0,
            _ => u64::MAX,
        };
        self.waiting_after(sent).zip(0_u64..).map_while(move |(frame, index)| {
            if index < bounded_after {
                return Some(frame);
            }
            let may_send = limits.may_send(unacknowledged);
            unacknowledged.frames += 1;
            unacknowledged.bytes += frame.payload().len();
            may_send.then_some(frame)
        })
    }

    /// Whether the current attachment has frames to send, and has to hear first what the client has.
    #[must_use]
    #[inline]
    pub fn is_held(&self, limits: &OutboxLimits) -> bool {
        let Some(counts) = self.counts.as_ref().filter(|_| self.closed.is_none()) else { return false };
        let is_behind = counts.sent < counts.retained.reached;
        !is_behind && self.last_pushed() > counts.sent && !limits.may_send(self.unacknowledged())
    }

    /// Whether the client may say more, as far as what waits for it is concerned: while little does, and, where it has to say what
    /// it has, for a while longer, as that may be behind whatever else it has said.
    #[must_use]
    pub fn is_to_be_heard(&self, limits: &OutboxLimits) -> bool {
        self.is_relaxed(limits) || (self.is_held(limits) && !limits.is_crowded(self.unsent()))
    }

    /// Whether the client is to be asked what it has: much is unacknowledged, and no question is open.
    #[inline]
    #[must_use]
    pub fn is_question_due(&self, limits: &OutboxLimits) -> bool {
        let Some(counts) = &self.counts else { return false };
        // What it has said it has, and gets once more, is no reason to ask.
        let is_answered = counts.acknowledged >= counts.retained.asked;
        limits.is_to_be_asked(self.unacknowledged()) && is_answered && counts.sent > counts.acknowledged
    }

    /// The client is asked what it has, behind all that the current attachment has sent.
    pub fn handle_asked(&mut self) {
        if let Some(counts) = &mut self.counts {
            counts.retained.asked = counts.sent;
        }
    }
}
