//! Ending sessions: when they were closed, when their connection is gone, when the mount is.

use std::sync::Arc;

use super::Manager;
use crate::{close::CloseReason, handler::Handler, live::LiveSession, session::Attachment};

/// How many ended sessions the handler is told of before the runtime gets to do something else.
const ENDED_AT_ONCE: usize = 32;

impl<H: Handler> Manager<H> {
    /// Tells the handler of sessions that were closed, whoever carries them.
    pub(super) async fn end_closed(&self, slots: &[u32]) {
        for slots in slots.chunks(ENDED_AT_ONCE) {
            let sessions = slots.iter().filter_map(|slot| self.registry.get(*slot));
            // A slot may have been given to another session meanwhile.
            for session in sessions.filter(|session| session.closed().is_some()) {
                self.end_unless_carried(&session);
            }
            tokio::task::yield_now().await;
        }
    }

    fn end_unless_carried(&self, session: &Arc<LiveSession<H::State>>) {
        if session.is_resumable() {
            self.end_resumable(session);
            // Whoever carries it says the last word to the client, and then takes it out.
            if !session.core().is_attached() {
                self.registry.remove(session);
            }
            return;
        }
        // A poll may still fetch what waits, and then it, or the sweep, takes the session out.
        let mut core = session.core();
        let reason = core.session.closed().unwrap_or(CloseReason::Internal);
        core.calls().close(reason);
        drop(core);
        self.tell(session);
    }

    /// Ends a session that is closed and that no connection will end; does nothing if somebody else has.
    pub(crate) fn end_session(&self, session: &Arc<LiveSession<H::State>>, reason: CloseReason) {
        let was_there = self.registry.remove(session);
        if session.is_resumable() {
            self.end_resumable(session);
        } else if was_there {
            let mut core = session.core();
            core.detach(self.common.clock.now());
            core.calls().close(reason);
            drop(core);
            self.tell(session);
        }
    }

    /// Tells the handler that a resumable session is over, once.
    pub(crate) fn end_resumable(&self, session: &Arc<LiveSession<H::State>>) {
        let Some(resumable) = session.resumable() else { return };
        let mut core = session.core();
        if core.is_absent() {
            // What was closed stands in the place of a session that goes on.
            return;
        }
        let reason = core.session.closed().unwrap_or(CloseReason::Internal);
        let is_first = core.calls().close(reason);
        if is_first {
            // Whoever comes second takes it out at once, and it is to be in one of the two places at any time.
            let words = session.last_words(reason);
            let name = (self.marks.here(), resumable.serial);
            self.ended.remember(name, resumable.secret, reason, words.as_deref());
            self.forget_names(session, core.names(), reason, words.as_deref());
        }
        drop(core);
        if is_first {
            self.tell(session);
        }
    }

    /// A connection that carried a resumable session is gone.
    pub(crate) fn detach(&self, session: &Arc<LiveSession<H::State>>, attachment: Attachment) {
        let mut core = session.core();
        if !core.session.is_current(attachment) {
            return;
        }
        core.detach(self.common.clock.now());
        let is_over = core.session.closed().is_some();
        drop(core);
        if is_over {
            self.end_resumable(session);
            self.registry.remove(session);
        }
    }

    /// Ends the sessions that nothing carries.
    pub(crate) fn end_all(&self) {
        for session in self.registry.snapshot() {
            // Nobody is left to decide about it.
            self.take_back(&session);
            session.close(CloseReason::Draining);
            self.end_session(&session, CloseReason::Draining);
        }
    }
}

impl<H: Handler> Drop for Manager<H> {
    /// The sessions that nothing carries end with their mount. Nobody could come back to one, and each that has state would
    /// keep itself alive by it.
    fn drop(&mut self) {
        self.end_all();
    }
}
