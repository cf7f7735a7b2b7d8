//! Who gets a session: opening a new one, finding one again, taking its frames, ending it.

use std::sync::{Arc, atomic::Ordering};

use http::{StatusCode, request::Parts};
use tracing::debug;

use super::{
    Beat, Resumable,
    lines::{Opened, Refused, ServerControl},
    token::{Secret, Token},
};
use crate::{
    calls::Call,
    close::CloseReason,
    connect::Transport,
    frame::Message,
    handler::Handler,
    live::LiveSession,
    manager::Manager,
    session::{Attachment, ResumeError, Seq, Taken},
};

type Session<H> = Arc<LiveSession<<H as Handler>::State>>;

/// A session with one connection's turn at carrying it.
pub(crate) struct Attached<H: Handler> {
    pub(crate) session: Session<H>,
    pub(crate) attachment: Attachment,
    /// How many frames the client had when it attached: the next one down is the one after.
    pub(crate) sent: Seq,
    /// How many frames of the client the server had.
    pub(crate) taken: Seq,
    /// The first line to the client.
    pub(crate) greeting: String,
}

/// Why a frame from a client goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// Frames before it are missing.
    Early,
    /// The session is over, or is from now on.
    Closed,
}

impl<H: Handler> Manager<H> {
    /// Begins a resumable session, if the handler wants this client.
    pub(crate) async fn open(
        self: &Arc<Self>,
        transport: Transport,
        parts: Parts,
        auth_token: Option<String>,
        beat: u64,
    ) -> Result<Attached<H>, Refused> {
        let refuse = |refused| {
            self.common.counters.resume_refused(refused);
            refused
        };
        if self.draining.is_cancelled() || self.common.budget.is_strained() {
            return Err(refuse(Refused::Full));
        }
        let connected = self.connect(transport, true, parts, auth_token).await;
        let state = connected.map_err(|refusal| {
            let is_passing = refusal.status == StatusCode::SERVICE_UNAVAILABLE;
            refuse(if is_passing { Refused::Full } else { Refused::Forbidden })
        })?;
        let secret = Secret::random().ok_or_else(|| refuse(Refused::Full))?;
        let serial = self.serials.fetch_add(1, Ordering::Relaxed);
        let resumable = Resumable::new(serial, secret, Beat::new(beat, self.resume_options()));
        let session = LiveSession::resumable(self.common.clone(), transport, resumable, state);
        let session = self.enter(session, None).map_err(|_| refuse(Refused::Full))?;
        let attachment = session.core().session.attach();
        self.opened(&session);
        let token = Token { slot: session.slot.load(Ordering::Relaxed), serial, secret }.encode();
        let opened = Opened {
            token: &token,
            window_ms: self.resume_options().window.as_millis(),
            hold_ms: self.options.longpoll.as_ref().map_or(0, |longpoll| longpoll.window.as_millis()),
            frame_bytes_max: self.options.resumable_frame_bytes_max(),
            body_bytes_max: self.resume_options().body_bytes_max,
        };
        let greeting = ServerControl::Opened(opened).to_string();
        Ok(Attached { session, attachment, sent: Seq(0), taken: Seq(0), greeting })
    }

    /// Counts a refusal that was found out elsewhere.
    pub(crate) fn refused(&self, refused: Refused) -> Refused {
        self.common.counters.resume_refused(refused);
        refused
    }

    /// Carries a session on for a client that has the first `received` frames.
    pub(crate) fn resume(
        &self,
        transport: Transport,
        token: &str,
        received: Seq,
        beat: u64,
    ) -> Result<Attached<H>, Refused> {
        let refuse = |refused: Refused| {
            debug!(transport = transport.name(), reason = refused.word(), "resume refused");
            self.common.counters.resume_refused(refused);
            refused
        };
        let session = self.find(token).map_err(refuse)?;
        session.touch();
        session.prove();
        let mut core = session.core();
        let attachment = core.session.resume(received).map_err(|error| {
            refuse(match error {
                ResumeError::Gap => Refused::Gap,
                ResumeError::Ahead => Refused::Ahead,
            })
        })?;
        let taken = core.session.last_taken();
        // One poll after the other is no move.
        let moved = transport != Transport::Longpoll || !core.is_carried_by(transport);
        core.attached(transport);
        if let Some(resumable) = &session.resumable {
            // A poll with a beat of 0 does not want to wait, and says nothing about the stream that comes next.
            if beat > 0 {
                resumable.set_beat(Beat::new(beat, self.resume_options()));
            }
            if resumable.is_away.swap(false, Ordering::Relaxed) {
                core.calls().push(Call::Back);
            }
        }
        drop(core);
        self.tell(&session);
        if moved {
            self.common.counters.resumed.fetch_add(1, Ordering::Relaxed);
        }
        let greeting = ServerControl::Resumed(taken).to_string();
        Ok(Attached { session, attachment, sent: received, taken, greeting })
    }

    /// The live session that a token is for.
    pub(crate) fn find(&self, token: &str) -> Result<Session<H>, Refused> {
        let token = Token::decode(token).ok_or(Refused::Unknown)?;
        let session = self.registry.get(token.slot).filter(|session| {
            let resumable = session.resumable.as_ref();
            resumable.is_some_and(|it| it.serial == token.serial && it.secret.matches(&token.secret))
        });
        match session {
            Some(session) if session.closed().is_none() => Ok(session),
            // It is about to be put where the ended ones are.
            Some(session) => Err(match session.closed() {
                Some(CloseReason::TooSlow | CloseReason::OverBudget) => Refused::Gap,
                Some(CloseReason::Expired) => Refused::Expired,
                _ => Refused::Closed,
            }),
            None => Err(self.ended.explain(&token)),
        }
    }

    /// A frame with its number came from a client of a resumable session: hands it on if it is the next one.
    pub(crate) fn take(
        &self,
        session: &Session<H>,
        number: Seq,
        message: Message<'_>,
    ) -> Result<(), Rejected> {
        let mut core = session.core();
        if core.session.closed().is_some() {
            return Err(Rejected::Closed);
        }
        // Counted and handed on in the same order, since what cannot be handed on at once waits behind what was counted before.
        match core.session.take(number) {
            Taken::Next => self.hand_on(session, core, message).map_err(|_| Rejected::Closed),
            Taken::Duplicate => Ok(()),
            Taken::Early => Err(Rejected::Early),
        }
    }

    /// Tells the handler that a resumable session is over, once.
    pub(crate) fn end_resumable(&self, session: &Session<H>) {
        let Some(resumable) = &session.resumable else { return };
        let mut core = session.core();
        let reason = core.session.closed().unwrap_or(CloseReason::Internal);
        let is_first = core.calls().close(reason);
        drop(core);
        if is_first {
            self.ended.remember(resumable.serial, resumable.secret, reason);
            self.tell(session);
        }
    }

    /// A connection that carried a resumable session is gone.
    pub(crate) fn detach(&self, session: &Session<H>, attachment: Attachment) {
        let mut core = session.core();
        if !core.session.is_current(attachment) {
            return;
        }
        core.detach();
        if let Some(resumable) = &session.resumable {
            resumable.handle_detached(self.common.clock.now());
        }
        let is_over = core.session.closed().is_some();
        drop(core);
        if is_over {
            self.end_resumable(session);
            self.registry.remove(session);
        }
    }
}
