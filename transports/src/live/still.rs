//! A session that goes to another node, or comes from one, as it stands here meanwhile.
//!
//! ```text
//!   source   here ── hold_still ──▶ still ── freeze ──▶ frozen ── release ──▶ gone
//!             ▲ ◀──── go_on ──────────┘                   │
//!             └───────────────── take_back ───────────────┘
//!   target   reserved ── thaw ──▶ thawed ── adopt ──▶ here
//! ```
//!
//! All of it is under the lock of the session's core, so that each frame of a client is either handed on before the session is held still, or
//! not taken here. What is frozen lies aside; in its place is a session that takes nothing ([`Frozen::stand_in`]).
//!
//! [`Frozen::stand_in`]: crate::session::frozen::Frozen::stand_in

use std::{
    error, fmt,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::{
    LiveSession,
    baggage::{Baggage, Name},
    calls::Call,
    stance::{Frost, Stance},
    waking::Core,
};
use crate::{
    budget::STEP,
    close::CloseReason,
    frame::Frame,
    policy::Few,
    session::{
        Attachment, Pushed,
        frozen::{self, ThawError, Thawed},
        life::Tick,
    },
};

/// Requests of one session that wait until it is decided where it goes on. A client has two under way, and a page that was loaded again two more.
const WAITING_MAX: usize = 16;

/// Why a session was not frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFrozen {
    /// It is closed, does not outlive its connections, or is under way already; or there are no other nodes.
    Over,
    /// The handler is in a call of it: wait until it is [settled](LiveSession::settled).
    Unsettled,
}

impl fmt::Display for NotFrozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Over => "the session is over, or cannot go to another node",
            Self::Unsettled => "the handler is in a call of the session",
        })
    }
}

impl error::Error for NotFrozen {}

/// Whether frames of the client are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taking {
    Now,
    /// Not for now.
    Still,
    /// Another node takes them.
    Gone,
}

impl Core {
    fn stance(&self) -> &Stance {
        self.moving().map_or(&Stance::Here, |moving| &moving.stance)
    }

    #[inline]
    pub(crate) fn taking(&self) -> Taking {
        match self.stance() {
            Stance::Here | Stance::Cut(_) => Taking::Now,
            Stance::Still | Stance::Frozen(_) | Stance::Reserved(_) => Taking::Still,
            Stance::Gone(_) => Taking::Gone,
        }
    }

    /// Whether frames of the client may be taken.
    #[inline]
    pub(crate) fn is_taking(&self) -> bool {
        self.taking() == Taking::Now
    }

    #[cfg(test)]
    pub(crate) fn moving_is_none(&self) -> bool {
        self.moving().is_none()
    }

    /// Whether the session could be frozen.
    pub(crate) fn is_movable(&self) -> bool {
        self.session.closed().is_none() && matches!(self.stance(), Stance::Here | Stance::Cut(_))
    }

    #[inline]
    pub(crate) fn is_frozen(&self) -> bool {
        matches!(self.stance(), Stance::Frozen(_))
    }

    /// Whether the session is frozen or another node's, so that what stands in its place says nothing.
    #[inline]
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.stance(), Stance::Frozen(_) | Stance::Gone(_))
    }

    /// Whether this attachment carried the session that is frozen now: it waits for what becomes of it.
    #[inline]
    pub(crate) fn is_suspended(&self, attachment: Attachment) -> bool {
        matches!(self.stance(), Stance::Frozen(frost) if frost.cut == attachment)
    }

    /// Whether this attachment carries the session no more since that was frozen, and not since another does.
    pub(crate) fn is_cut(&self, attachment: Attachment) -> bool {
        match self.stance() {
            Stance::Frozen(frost) => frost.cut == attachment,
            Stance::Cut(cut) | Stance::Gone(cut) => *cut == attachment,
            Stance::Here | Stance::Still | Stance::Reserved(_) => false,
        }
    }

    /// Why the session was closed. One that is frozen is not.
    #[inline]
    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.session.closed().filter(|_| !self.is_frozen())
    }

    /// The session is to be closed if it goes on here.
    pub(super) fn close_later(&mut self, reason: CloseReason) -> bool {
        let Some(frost) = self.frozen_mut().filter(|frost| frost.closed.is_none()) else { return false };
        frost.closed = Some(reason);
        true
    }

    /// Another attachment carries the session: whoever was cut is superseded now.
    pub(super) fn forget_cut(&mut self) {
        if matches!(self.stance(), Stance::Cut(_)) {
            self.set_stance(Stance::Here);
        }
    }

    /// By what tokens of other nodes the session is known.
    pub(crate) fn names(&self) -> &[Name] {
        self.moving().map_or(&[], |moving| &moving.names)
    }

    fn set_stance(&mut self, stance: Stance) -> Stance {
        let before = std::mem::replace(&mut self.calls().moving_mut().stance, stance);
        self.forget_plain();
        before
    }

    /// Keeps nothing of a session that is as any other.
    pub(super) fn forget_plain(&mut self) {
        if self.moving().is_some_and(|moving| matches!(moving.stance, Stance::Here) && moving.is_plain()) {
            self.calls().forget_moving();
        }
    }
}

impl<S> LiveSession<S> {
    /// Holds the session still before it goes to another node: from now on no frame of its client is taken, as if the handler took none. Frames
    /// to the client still flow. Returns whether it is, by this call: one that is closed, does not outlive its connections, or is on its way already,
    /// is not.
    pub fn hold_still(&self) -> bool {
        let mut core = self.core();
        let may_move = self.is_resumable() && core.session.closed().is_none() && core.is_taking();
        if may_move {
            core.set_stance(Stance::Still);
        }
        may_move
    }

    /// Ends that: frames of the client are taken again.
    pub fn go_on(&self) {
        let mut core = self.core();
        if matches!(core.stance(), Stance::Still) {
            core.set_stance(Stance::Here);
            core.wake_readers();
        }
    }

    /// Waits until the handler is in no call of this session, and none waits: then all frames that were taken have been handed on. Cancel safe.
    ///
    /// Only of a session that is [held still](Self::hold_still).
    pub async fn settled(&self) {
        std::future::poll_fn(|cx| {
            let mut core = self.core();
            if core.calls().is_settled() || core.is_taking() {
                return Poll::Ready(());
            }
            core.calls().add_pusher(cx.waker());
            Poll::Pending
        })
        .await;
    }

    /// A frame, and another that belongs to it, for a session that is closed, or is frozen: then it has them if it goes on here, as it does where the
    /// other node does not take it. If it goes there, they are lost with whoever has pushed them.
    #[cold]
    pub(super) fn push_aside(&self, core: &mut Core, frame: Frame, then: Option<Frame>) -> Pushed {
        let Some(frost) = core.frozen_mut() else { return Pushed::Closed };
        // Much may wait in what is frozen.
        [Some(&frame), then.as_ref()]
            .into_iter()
            .flatten()
            .for_each(|frame| frame.charge(&self.common.budget));
        frost.frozen.push(frame, then, &self.common.outbox)
    }

    /// Takes the session out of its place, as bytes. What carries it waits for what becomes of it.
    pub(crate) fn freeze(&self) -> Result<Bytes, NotFrozen> {
        let now = self.common.clock.now();
        let mut core = self.core();
        if !matches!(core.stance(), Stance::Here | Stance::Cut(_) | Stance::Still) {
            return Err(NotFrozen::Over);
        }
        if core.session.closed().is_none() && !core.calls().is_settled() {
            return Err(NotFrozen::Unsettled);
        }
        let session = std::mem::take(&mut core.session);
        let cut = session.attachment();
        match session.freeze(self.last_seen(), now) {
            Ok(frozen) => {
                let bytes = frozen.encode();
                core.session = frozen.stand_in();
                core.set_stance(Stance::Frozen(Box::new(Frost {
                    frozen,
                    cut,
                    closed: None,
                    waiting: Vec::new(),
                })));
                Ok(bytes)
            }
            Err(session) => {
                core.session = session;
                Err(NotFrozen::Over)
            }
        }
    }

    /// The session goes on here, as if its connection had been cut. Returns whether it was frozen.
    pub(crate) fn take_back(&self) -> bool {
        let now = self.common.clock.now();
        let mut core = self.core();
        let Some(frost) = core.take_frozen() else { return false };
        let Frost { frozen, cut, closed, waiting } = *frost;
        let Thawed { session, heard } = frozen.take_back(now);
        core.session = session;
        self.set_last_seen(heard);
        core.set_stance(Stance::Cut(cut));
        // Under the same lock: one that is to be closed takes nothing more, as another node may have it.
        let closed = closed.filter(|reason| core.session.close(*reason));
        core.cut();
        drop(core);
        waiting.into_iter().for_each(Waker::wake);
        if let Some(reason) = closed {
            self.handle_closed_for(reason);
        }
        true
    }

    /// The session is another node's: nothing is told of it any more. `None` if it was not frozen; else why it was to be closed meanwhile.
    pub(crate) fn release_frozen(&self) -> Option<Option<CloseReason>> {
        let mut core = self.core();
        let frost = core.take_frozen()?;
        core.set_stance(Stance::Gone(frost.cut));
        core.calls().end_unsaid();
        core.cut();
        drop(core);
        let Frost { closed, waiting, .. } = *frost;
        waiting.into_iter().for_each(Waker::wake);
        Some(closed)
    }

    /// By what tokens of other nodes the session is known: the number of the node, and the session's among those of that node.
    pub fn names(&self) -> Vec<(u64, u64)> {
        self.core().names().iter().map(Name::key).collect()
    }

    /// Waits until the session is not frozen. `false` if too many wait.
    pub(crate) fn poll_decided(&self, cx: &Context<'_>) -> Poll<bool> {
        let mut core = self.core();
        let Some(frost) = core.frozen_mut() else { return Poll::Ready(true) };
        if frost.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        if frost.waiting.len() >= WAITING_MAX {
            return Poll::Ready(false);
        }
        frost.waiting.push(cx.waker().clone());
        Poll::Pending
    }

    /// The session is to come from another node.
    pub(crate) fn reserve(&self) {
        self.core().set_stance(Stance::Reserved(None));
    }

    /// It has come; what was pushed before stands behind what it brings.
    pub(crate) fn thaw(
        &self,
        baggage: Baggage<'_>,
        few: &dyn Fn(&str, usize) -> Option<Few>,
    ) -> Result<(), ThawError> {
        let (now, limits) = (self.common.clock.now(), &self.common.outbox);
        let Thawed { session, heard } = frozen::thaw(baggage.session, now, limits, few)?;
        let mut core = self.core();
        if !matches!(core.stance(), Stance::Reserved(None)) {
            return Err(ThawError::Value);
        }
        let before = std::mem::replace(&mut core.session, session);
        if core.session.waiting_cost() > STEP {
            core.session.waiting().for_each(|frame| frame.charge(&self.common.budget));
        }
        for frame in before.waiting() {
            // One that finds no room closes it, and then it is not adopted.
            let _ = core.session.push(frame.clone(), limits);
        }
        if let Some(reason) = before.closed() {
            core.session.close(reason);
        }
        core.set_transport(baggage.transport);
        core.calls().moving_mut().names = baggage.names;
        core.set_stance(Stance::Reserved(Some(now)));
        self.set_last_seen(heard);
        Ok(())
    }

    /// It is this node's from now on. `false` if it has not come, or is closed.
    pub(crate) fn adopt(&self) -> bool {
        let mut core = self.core();
        let Stance::Reserved(Some(thawed)) = *core.stance() else { return false };
        if core.session.closed().is_some() {
            return false;
        }
        // The time until now was no silence of its client's.
        let waited = self.common.clock.now().0.wrapping_sub(thawed.0);
        self.set_last_seen(Tick(self.last_seen().0.wrapping_add(waited)));
        core.set_stance(Stance::Here);
        if core.session.is_away() {
            // The handler was told so elsewhere, and is told here when its client is back.
            core.calls().push(Call::Away);
        }
        true
    }

    /// It does not come: returns whether it was reserved, and takes no frame any more.
    pub(crate) fn discard(&self) -> bool {
        let mut core = self.core();
        let was_reserved = matches!(core.stance(), Stance::Reserved(_));
        if was_reserved {
            let cut = core.session.attachment();
            core.set_stance(Stance::Gone(cut));
            core.session.close(CloseReason::Draining);
            core.session.discard();
            core.calls().end_unsaid();
            core.cut();
        }
        was_reserved
    }
}

impl Core {
    fn frozen_mut(&mut self) -> Option<&mut Frost> {
        match &mut self.moving_mut()?.stance {
            Stance::Frozen(frost) => Some(frost),
            _ => None,
        }
    }

    /// The frozen session, to be decided about.
    fn take_frozen(&mut self) -> Option<Box<Frost>> {
        if !self.is_frozen() {
            return None;
        }
        match self.set_stance(Stance::Still) {
            Stance::Frozen(frost) => Some(frost),
            _ => None,
        }
    }
}
