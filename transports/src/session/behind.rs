//! What becomes of a frame where the client is behind, as its [`Policy`] says: it takes the place of another, or is left out.
//!
//! ```text
//!   the outbox:  │ sent, or in hand │ unsent: S1  E  S2  E │          S1', a newer state of the same thing as S1, is pushed
//!                                     unsent: S1' E  S2  E            each of the others keeps its place, and so its number
//! ```
//!
//! * What an attachment has sent stays what it is, and so does what it has *in hand*: copied into a write that is under way, or part of
//!   an answer whose length was told. Another attachment has to send the same under the same number.
//! * A newer state takes the older one's place, and not the end: a thing whose state changes all the time would never be told to
//!   a client with whom something always waits. So it may come before what was pushed between the two. Nothing else changes
//!   its order, and no state passes a [fence](crate::frame::Frame::as_fence).
//! * Where the oldest of a kind are dropped, what tells of them stands in the place of the first, and those behind the others move up:
//!   they were not sent, and have no number yet.
//! * *Behind* is a client whose way takes no more for now, that nothing carries, or for whom half of what may wait does. A frame that
//!   was pushed a moment ago, and that its attachment has not come to yet, makes nobody slow.
//! * To be behind for a moment costs nothing that a client who reads would miss: frames of a kind are dropped where nothing carries the
//!   session, where half of what may wait does, or where a client is behind and *late*, which is what the sweep says of one for whom the
//!   same frame has waited since it came by before. So a burst waits for whoever reads, in full, however fast it is said.

use super::{Pushed, Seq, Session, outbox::OutboxLimits};
use crate::{
    frame::Frame,
    policy::{Few, Key, Policy},
};

impl Session {
    /// The current attachment is about to send so many frames behind those that it has sent.
    pub fn handle_in_hand(&mut self, frames: usize) {
        self.life.in_hand = u16::try_from(frames).unwrap_or(u16::MAX);
    }

    /// The current attachment can send nothing for now, and has sent a part of so many frames.
    pub fn handle_stalled(&mut self, begun: usize) {
        self.handle_in_hand(begun);
        self.life.stall();
    }

    /// The current attachment could send something again.
    pub fn handle_flowing(&mut self) {
        self.life.flow();
    }

    /// The sweep comes by: the oldest frame that is unsent was so when it came by before, or it was not.
    pub fn handle_swept(&mut self, is_late: bool) {
        self.life.set_late(is_late);
    }

    /// Another frame comes: who has taken all that there was before is late for nothing.
    #[inline]
    pub(super) fn forget_lateness(&mut self) {
        if self.life.is_late() && self.unsent().frames == 0 {
            self.life.set_late(false);
        }
    }

    /// So many frames that were in hand are sent.
    pub(super) fn let_go(&mut self, frames: u64) {
        // At its bound the number says "all of them".
        if self.life.in_hand < u16::MAX {
            self.life.in_hand = self.life.in_hand.saturating_sub(u16::try_from(frames).unwrap_or(u16::MAX));
        }
    }

    /// The attachment that has frames in hand is not the current one any more: the client may get them by it all the same.
    pub(super) fn give_up_hand(&mut self) {
        if self.counts.is_some() {
            let last = self.last_told().min(self.last_pushed());
            self.reach(last);
            self.life.in_hand = 0;
        }
    }

    /// Does with a frame what its policy says, where that is not to put it at the end.
    ///
    /// # Errors
    /// The frame, if it is to be put there.
    pub(super) fn push_by_policy(&mut self, frame: Frame, limits: &OutboxLimits) -> Result<Pushed, Frame> {
        match frame.policy() {
            None | Some(Policy::Dropped(..)) => Err(frame),
            Some(Policy::Few(few)) => {
                let few = few.clone();
                self.push_one_of_few(frame, &few, limits)
            }
            Some(Policy::Volatile) if self.is_behind(limits) => Ok(Pushed::LeftOut),
            Some(Policy::Volatile) => Err(frame),
            Some(Policy::Latest(key)) => {
                let place = self.outbox.place_of(self.first_untold(), key);
                match place {
                    Some(place) if self.has_room_at(place, limits) => {
                        self.outbox.replace(place, frame);
                        Ok(Pushed::Replaced)
                    }
                    _ => Err(frame),
                }
            }
        }
    }

    /// The last frame that the client may have: it was sent, or is in hand.
    fn last_told(&self) -> Seq {
        let in_hand = match self.life.in_hand {
            u16::MAX => u64::MAX,
            in_hand => in_hand.into(),
        };
        match &self.counts {
            None => Seq(self.received.0.saturating_add(in_hand)),
            Some(counts) => Seq(counts.sent.0.saturating_add(in_hand)).max(counts.retained.reached()),
        }
    }

    /// The first place in the outbox of what the client cannot have.
    fn first_untold(&self) -> usize {
        let told = self.last_told().0.saturating_sub(self.received.0);
        usize::try_from(told).unwrap_or(usize::MAX)
    }

    /// Puts a frame at the end, and drops the oldest of its kind where the client is late and as many wait as may.
    fn push_one_of_few(&mut self, frame: Frame, few: &Few, limits: &OutboxLimits) -> Result<Pushed, Frame> {
        let unsent = self.unsent();
        if !limits.admits(unsent) || !self.is_late(limits) {
            return Err(frame);
        }
        let kin = self.kin(few.key());
        let surplus = (kin.count + 1).saturating_sub(few.frames_max());
        let Some(oldest) = kin.oldest.filter(|_| surplus > 0) else { return Err(frame) };
        let dropped = kin.dropped.map_or(0, |(_, count)| count).saturating_add(surplus as u64);
        let Some(told) = few.tell(dropped) else { return Err(frame) };
        let told = Frame::told(told).with_policy(Policy::Dropped(few.key().clone(), dropped));
        let is_kin =
            |frame: &Frame| matches!(frame.policy(), Some(Policy::Few(few_of)) if few_of.key() == few.key());
        match kin.dropped {
            Some((place, _)) => {
                self.outbox.replace(place, told);
                self.outbox.remove_first(oldest, surplus, is_kin);
            }
            None => {
                self.outbox.replace(oldest, told);
                self.outbox.remove_first(oldest, surplus - 1, is_kin);
            }
        }
        self.outbox.push(frame);
        Ok(Pushed::Displaced(u32::try_from(surplus).unwrap_or(u32::MAX)))
    }

    /// What waits of a kind that the client cannot have, behind the last fence.
    fn kin(&self, key: &Key) -> Kin {
        let mut kin = Kin::default();
        for place in (self.first_untold()..self.outbox.len()).rev() {
            let Some(frame) = self.outbox.get(place).filter(|frame| !frame.is_fence()) else { break };
            match frame.policy() {
                Some(Policy::Few(few)) if few.key() == key => {
                    kin.count += 1;
                    kin.oldest = Some(place);
                }
                Some(Policy::Dropped(of, count)) if of == key && kin.dropped.is_none() => {
                    kin.dropped = Some((place, *count));
                }
                _ => {}
            }
        }
        kin
    }

    /// Whether it is behind, and not for a moment only.
    fn is_late(&self, limits: &OutboxLimits) -> bool {
        let unsent = self.unsent();
        if !limits.is_relaxed(unsent) {
            return true;
        }
        match self.life.takes_frames() {
            Some(takes_now) if self.is_carried() => {
                self.life.is_late() && (!takes_now || self.is_held(limits))
            }
            Some(_) => true,
            None => self.life.is_late(),
        }
    }

    fn is_behind(&self, limits: &OutboxLimits) -> bool {
        let unsent = self.unsent();
        if !limits.is_relaxed(unsent) || !limits.admits(unsent) {
            return true;
        }
        match self.life.takes_frames() {
            Some(takes_now) => !takes_now || self.is_held(limits),
            // It asks again soon, and gets one thing that is of use then.
            None => unsent.frames > 0,
        }
    }

    /// Whether a frame may be put into the place of another, beside all the others.
    fn has_room_at(&self, place: usize, limits: &OutboxLimits) -> bool {
        let mut others = self.unsent();
        others.frames -= 1;
        others.bytes -= self.outbox.get(place).map_or(0, |frame| frame.payload().len());
        limits.admits(others)
    }
}

/// What waits of a kind.
#[derive(Default)]
struct Kin {
    count: usize,
    /// The place of the oldest.
    oldest: Option<usize>,
    /// The place of what tells of those that were dropped, and how many they were.
    dropped: Option<(usize, u64)>,
}
