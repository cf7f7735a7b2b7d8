//! Sessions that go to other nodes and come from them. [`crate::live::still`] has the states of one; which node has it is decided elsewhere.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::timeout;

use super::{Manager, admission::Denied, dice};
use crate::{
    close::CloseReason,
    connect::Transport,
    dialect::token::Token,
    elsewhere::Kind as TokenKind,
    handler::Handler,
    live::{
        Kind, LiveSession,
        baggage::{self, Baggage, Name},
        resumable::Resumable,
        still::NotFrozen,
    },
    policy::Few,
    session::frozen::ThawError,
};

type Session<H> = Arc<LiveSession<<H as Handler>::State>>;

/// How long a request waits for the decision where its session goes on: less than clients wait for an answer.
const DECISION_TIMEOUT: Duration = Duration::from_secs(2);

impl<H: Handler> Manager<H> {
    /// The open sessions that can go to another node.
    pub(crate) fn movable(&self) -> Vec<Session<H>> {
        let is_movable = |session: &Session<H>| session.is_resumable() && session.core().is_movable();
        match self.marks.elsewhere() {
            Some(_) => self.registry.snapshot().into_iter().filter(is_movable).collect(),
            None => Vec::new(),
        }
    }

    /// Takes a session out of its place, as bytes for another node.
    pub(crate) fn freeze(&self, session: &Session<H>) -> Result<Bytes, NotFrozen> {
        let names = self.names_of(session).ok_or(NotFrozen::Over)?;
        self.frozen.fetch_add(1, Ordering::Relaxed);
        match session.freeze() {
            Ok(frozen) => Ok(baggage::pack(session.transport(), names.into_iter(), &frozen)),
            Err(error) => {
                self.frozen.fetch_sub(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// A frozen session goes on here.
    pub(crate) fn take_back(&self, session: &Session<H>) {
        if session.take_back() {
            self.frozen.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A frozen session is another node's. Returns why it was to be closed meanwhile.
    pub(crate) fn release(&self, session: &Session<H>, heir: u64) -> Option<CloseReason> {
        if !session.core().is_frozen() {
            return None;
        }
        let names = self.names_of(session).unwrap_or_default();
        // At any time it is in one of these places, or its client would be told that nobody knows it.
        self.gone.add(&names, heir);
        let closed = session.release_frozen();
        if let Some(resumable) = session.resumable() {
            self.foreign.remove(&names, resumable.serial);
        }
        if closed.is_some() {
            self.registry.remove(session);
            self.frozen.fetch_sub(1, Ordering::Relaxed);
            self.common.counters.count_gone_elsewhere();
        }
        closed.flatten()
    }

    /// A session that is to come from another node, and that nobody can find; its place is kept. `None` if there are as many sessions as there may be,
    /// or as many bytes are held as let no new client in, or the system has no randomness to give.
    pub(crate) fn reserve(&self, state: H::State) -> Option<Session<H>> {
        let secret = dice::secret()?;
        if self.common.budget.is_strained() || !self.registry.reserve() {
            return None;
        }
        let serial = self.serials.fetch_add(1, Ordering::Relaxed);
        let kind = Kind::Resumable(Resumable::new(serial, secret));
        let session = LiveSession::new(self.common.clone(), Transport::Longpoll, kind, state);
        session.reserve();
        Some(Arc::new(session))
    }

    /// A reserved session has come. Whoever looks for it before it is [taken in](Self::adopt) comes later.
    pub(crate) fn thaw(
        &self,
        session: &Session<H>,
        bytes: &[u8],
        few: &dyn Fn(&str, usize) -> Option<Few>,
    ) -> Result<(), ThawError> {
        session.thaw(Baggage::read(bytes)?, few)?;
        if let Some(resumable) = session.resumable() {
            self.coming.add(session.core().names(), session.slot.get(), resumable.serial);
        }
        Ok(())
    }

    /// It can be found from now on.
    pub(crate) fn adopt(&self, session: &Session<H>) -> bool {
        // The sweep looks at it as soon as it is there. Where this node goes down it was promised before that, and goes to a third.
        if self.parting.is_cancelled() || !session.adopt() {
            self.end_unseen(session);
            return false;
        }
        self.registry.adopt(session);
        self.enter_names(session);
        self.has_come(session);
        self.common.counters.count_come_from_elsewhere();
        self.tell(session);
        // It may have been closed while it could not be found, or the end may have passed by.
        if self.parting.is_cancelled() {
            session.close(CloseReason::Draining);
        }
        if session.closed().is_some() {
            session.handle_closed();
        }
        true
    }

    /// A session has come and does not go on here. If it was closed on its way its client, who looks for it here, is told why.
    fn end_unseen(&self, session: &Session<H>) {
        if let Some(reason) = session.closed() {
            let words = session.last_words(reason);
            self.forget_names(session, session.core().names(), reason, words.as_deref());
        }
        self.discard(session);
    }

    /// It is not on its way any more: it is here, or does not come.
    fn has_come(&self, session: &Session<H>) {
        if let Some(resumable) = session.resumable() {
            self.coming.remove(session.core().names(), resumable.serial);
        }
    }

    /// Whoever has a token of another node finds the session here.
    fn enter_names(&self, session: &Session<H>) {
        let Some(resumable) = session.resumable() else { return };
        let mut core = session.core();
        // It may be over already, and then nobody else forgets them.
        if !core.calls().is_over() {
            self.foreign.add(core.names(), session.slot.get(), resumable.serial);
            self.gone.remove(core.names());
        }
    }

    /// A reserved session does not come: the handler is told that it is over.
    pub(crate) fn discard(&self, session: &Session<H>) {
        if session.discard() {
            self.has_come(session);
            self.registry.give_up();
            self.handler.closed(session, CloseReason::Draining);
        }
    }

    /// Waits while the session of a token is between two nodes.
    pub(crate) async fn until_decided(&self, token: &str) -> Result<(), Denied> {
        // Hardly ever is any session.
        if self.frozen.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        match self.locate(token) {
            Ok(located) => self.until_thawed(&located.session).await,
            // Who looks for it next is told.
            Err(_) => Ok(()),
        }
    }

    /// Waits while a session is between two nodes.
    pub(crate) async fn until_thawed(&self, session: &LiveSession<H::State>) -> Result<(), Denied> {
        if !session.core().is_frozen() {
            return Ok(());
        }
        let decided = std::future::poll_fn(|cx| session.poll_decided(cx));
        match timeout(DECISION_TIMEOUT, decided).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Denied::Later),
        }
    }

    /// This node's token for a session.
    pub(crate) fn token_of(&self, session: &LiveSession<H::State>) -> Option<String> {
        let token = own_token(session)?;
        Some(self.marks.write(TokenKind::Session, &token.bytes()))
    }

    /// By what tokens a session is known, this node's first. None without other nodes.
    pub(crate) fn names_of(&self, session: &LiveSession<H::State>) -> Option<Vec<Name>> {
        let own = Name { node: self.marks.elsewhere()?.here(), token: own_token(session)? };
        let core = session.core();
        Some(std::iter::once(own).chain(core.names().iter().copied()).collect())
    }

    /// The session is over: its other names are those of an ended one.
    pub(super) fn forget_names(
        &self,
        session: &LiveSession<H::State>,
        names: &[Name],
        reason: CloseReason,
        words: Option<&str>,
    ) {
        let Some(resumable) = session.resumable() else { return };
        for name in names {
            self.ended.remember(name.key(), name.token.secret, reason, words);
        }
        self.foreign.remove(names, resumable.serial);
    }
}

fn own_token<S>(session: &LiveSession<S>) -> Option<Token> {
    let Resumable { serial, secret, .. } = *session.resumable()?;
    Some(Token { slot: session.slot.get(), serial, secret })
}

#[cfg(not(shuttle))]
#[cfg(test)]
mod tests;
