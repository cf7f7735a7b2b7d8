//! Who gets a session: the handler is asked, a new one is opened, an old one found again and carried on.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
};

use http::{StatusCode, request::Parts};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{Manager, dice};
use crate::{
    close::CloseReason,
    connect::{ConnectRequest, NotAdmitted, PathVariables, Refusal, Transport},
    dialect::{
        VERSION_PARAM,
        lines::NUMBER_MAX,
        rejection::Rejection,
        server::{Opened, Refused, ServerControl},
        token::Token,
    },
    elsewhere::Carried,
    forms::Forms,
    handler::Handler,
    http::{origin::Origin, query},
    live::{Kind, LiveSession, resumable::Resumable},
    quoted::Quoted,
    session::{Attachment, ResumeError, Seq, life::Beat},
};

type Session<H> = Arc<LiveSession<<H as Handler>::State>>;

/// Why a client does not get a session.
#[derive(Debug)]
pub(crate) enum Denied {
    /// It is told so.
    Refused(Rejection),
    /// Its session is on its way to another node, and it is to come again soon.
    Later,
}

impl<T: Into<Rejection>> From<T> for Denied {
    fn from(rejection: T) -> Self {
        Self::Refused(rejection.into())
    }
}

/// The session that a token is for.
pub(crate) struct Located<H: Handler> {
    pub(crate) session: Session<H>,
    /// Whether it is another node's token, as the session has come from there.
    is_foreign: bool,
}

/// A session with one connection's turn at carrying it.
pub(crate) struct Attached<H: Handler> {
    pub(crate) session: Session<H>,
    pub(crate) attachment: Attachment,
    /// How many frames the client had when it attached: the next one down is the one after.
    pub(crate) sent: Seq,
    /// How many frames of the client the server had.
    pub(crate) taken: Seq,
    /// The first lines to the client.
    pub(crate) greeting: String,
}

impl<H: Handler> Manager<H> {
    /// Whether a page of the request's origin may connect; counted if not.
    pub(crate) fn allows_origin(&self, parts: &Parts) -> bool {
        let allowed = self.options.check_origin.allows(&Origin::of(parts), self.options.host.as_deref());
        if !allowed {
            self.common.counters.refuse(NotAdmitted::Origin);
            let origin = parts
                .headers
                .get("origin")
                .map_or(Cow::Borrowed(""), |origin| String::from_utf8_lossy(origin.as_bytes()));
            let (origin, path) = (Quoted::new(&origin), Quoted::new(parts.uri.path()));
            debug!(%origin, %path, "refused: origin not allowed");
        }
        allowed
    }

    /// Lets the handler decide about a client.
    pub(crate) async fn connect(
        &self,
        transport: Transport,
        is_resumable: bool,
        parts: Parts,
        auth_token: Option<String>,
    ) -> Result<H::State, Refusal> {
        self.check_open()?;
        let counted = |refusal: &Refusal| {
            self.common.counters.refuse(refusal.counted_as);
        };
        let request = self.request(transport, is_resumable, parts, auth_token).inspect_err(counted)?;
        self.decided(self.handler.connect(request)).await.inspect_err(counted)
    }

    /// Whether anybody may come at all; counted if not.
    pub(crate) fn check_open(&self) -> Result<(), Refusal> {
        let reason = if self.draining.is_cancelled() {
            NotAdmitted::Draining
        } else if self.common.budget.is_strained() {
            NotAdmitted::Budget
        } else {
            return Ok(());
        };
        self.common.counters.refuse(reason);
        Err(Refusal::unavailable().with_count(reason))
    }

    /// What the handler is shown of a request.
    fn request(
        &self,
        transport: Transport,
        is_resumable: bool,
        parts: Parts,
        auth_token: Option<String>,
    ) -> Result<ConnectRequest, Refusal> {
        let query = parts.uri.query().unwrap_or_default();
        let mut params = query::parse(query, &self.options.query).map_err(|error| {
            debug!(%error, "connect refused: bad query");
            let refusal = Refusal::new(StatusCode::BAD_REQUEST).with_count(NotAdmitted::Query);
            refusal.with_body(error.to_string())
        })?;
        let Parts { uri, headers, mut extensions, .. } = parts;
        if let Some(PathVariables(variables)) = extensions.remove() {
            params.extend(variables);
        }
        if is_resumable {
            params.remove(VERSION_PARAM);
        }
        Ok(ConnectRequest { transport, is_resumable, params, uri, headers, extensions, auth_token })
    }

    /// Waits for the handler's decision, for as long as it may take.
    async fn decided<T>(&self, decision: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        let decided = timeout(self.options.connect_timeout, decision);
        match self.cut.run_until_cancelled(decided).await {
            Some(Ok(decision)) => decision,
            Some(Err(_)) => {
                debug!(timeout = ?self.options.connect_timeout, "connect refused: it was not decided in time");
                Err(Refusal::unavailable().with_count(NotAdmitted::Timeout))
            }
            None => Err(Refusal::unavailable().with_count(NotAdmitted::Draining)),
        }
    }

    /// The auth token of a request that is no upgrade, if the mount takes any.
    pub(crate) fn auth_token(&self, parts: &Parts) -> Option<String> {
        let token = parts.headers.get("x-phoenix-authtoken").and_then(|value| value.to_str().ok());
        token.filter(|_| self.options.auth_token).map(str::to_owned)
    }

    /// Begins a resumable session, if the handler wants this client.
    pub(crate) async fn open(
        self: &Arc<Self>,
        transport: Transport,
        parts: Parts,
        auth_token: Option<String>,
        beat: u64,
    ) -> Result<Attached<H>, Rejection> {
        let refuse = |word: Refused| self.refused(word.into());
        // A head that is not read costs less.
        self.check_open().map_err(|_| refuse(Refused::Full))?;
        let connected = self.connect(transport, true, parts, auth_token).await;
        let state = connected.map_err(|refusal| self.refused(refusal.rejection()))?;
        let login_ms = self.handler.login_lasts(&state).map(|time| number(time.as_millis()));
        let secret = dice::secret().ok_or_else(|| refuse(Refused::Full))?;
        let serial = self.serials.fetch_add(1, Ordering::Relaxed);
        let resumable = Resumable::new(serial, secret);
        let session = LiveSession::new(self.common.clone(), transport, Kind::Resumable(resumable), state);
        let session = self.enter(session).ok_or_else(|| refuse(Refused::Full))?;
        let attachment = {
            let mut core = session.core();
            core.session.set_beat(Beat::new(beat, self.resume_options().window));
            core.session.attach()
        };
        self.opened(&session);
        self.handler.carried(&session, transport);
        let token = self.token_of(&session).unwrap_or_default();
        let longpoll = self.options.longpoll.as_ref();
        let opened = Opened {
            token: &token,
            window_ms: number(self.resume_options().window.as_millis()),
            hold_ms: longpoll.map_or(0, |longpoll| number(longpoll.window.as_millis())),
            frame_bytes_max: number(self.options.resumable_frame_bytes_max() as u128),
            body_bytes_max: number(self.resume_options().body_bytes_max as u128),
            login_ms,
        };
        let greeting = ServerControl::Opened(opened).to_string();
        Ok(Attached { session, attachment, sent: Seq(0), taken: Seq(0), greeting })
    }

    /// Counts a refusal that was found out elsewhere.
    pub(crate) fn refused(&self, rejection: Rejection) -> Rejection {
        self.common.counters.resume_refused(rejection.word);
        rejection
    }

    /// Carries a session on for a client that has the first `received` frames, unless the handler refuses this request.
    pub(crate) async fn resume(
        &self,
        transport: Transport,
        (parts, auth_token): (Parts, Option<String>),
        token: &str,
        received: Seq,
        beat: u64,
    ) -> Result<Attached<H>, Denied> {
        let by = parts.extensions.get::<Carried>().map(|carried| carried.by);
        if self.handler.checks_resumes() {
            let session = self.find(token).map_err(|denied| self.denied(denied))?;
            self.check_resume(&session, transport, parts, auth_token).await?;
        }
        self.carry_on((transport, by), token, received, beat)
    }

    /// Asks the handler about a request that comes to carry a session on. One that is refused ends the session: whoever has its
    /// token has no right to it.
    async fn check_resume(
        &self,
        session: &Session<H>,
        transport: Transport,
        parts: Parts,
        auth_token: Option<String>,
    ) -> Result<(), Rejection> {
        if transport == Transport::Longpoll && session.is_polled() {
            return Ok(());
        }
        let decided = match self.request(transport, true, parts, auth_token) {
            Ok(request) => self.decided(self.handler.resuming(session, request)).await,
            Err(refusal) => Err(refusal),
        };
        decided.map_err(|refusal| {
            debug!(transport = transport.name(), status = refusal.status.as_u16(), "resume refused");
            let rejection = refusal.rejection();
            // Who could not decide has not refused.
            if rejection.word != Refused::Full {
                session.close(CloseReason::Disconnected);
            }
            self.refused(rejection)
        })
    }

    /// `by` is the other node by way of which the request has come.
    fn carry_on(
        &self,
        (transport, by): (Transport, Option<u64>),
        token: &str,
        received: Seq,
        beat: u64,
    ) -> Result<Attached<H>, Denied> {
        let refuse = |denied: Denied| {
            debug!(transport = transport.name(), ?denied, "resume refused");
            self.denied(denied)
        };
        let Located { session, is_foreign } = self.locate(token).map_err(refuse)?;
        session.touch();
        let mut core = session.core();
        if core.is_absent() {
            // Frozen since it was looked for.
            return Err(refuse(Denied::Later));
        }
        core.session.handle_proof();
        let attachment = core.session.resume(received).map_err(|error| {
            refuse(match error {
                ResumeError::Gap => Refused::Gap.into(),
                ResumeError::Ahead => Refused::Ahead.into(),
            })
        })?;
        let taken = core.session.last_taken();
        // One poll after the other is no move.
        let before = core.transport();
        let moved = transport != Transport::Longpoll || before != transport;
        core.attached(transport);
        // Polls come by any node, each by itself.
        core.note_carrier(by.filter(|_| transport != Transport::Longpoll), self.common.clock.now());
        // A poll like the one before takes the same; any other attachment says what it takes.
        if moved {
            session.set_forms(Forms::NONE);
        }
        // A poll with a beat of 0 does not want to wait, and says nothing about the stream that comes next.
        if beat > 0 {
            core.session.set_beat(Beat::new(beat, self.resume_options().window));
        }
        drop(core);
        self.tell(&session);
        if moved {
            self.common.counters.moved(before, transport);
            self.handler.carried(&session, transport);
        }
        let mut greeting = ServerControl::Resumed(taken).to_string();
        if let Some(token) = self.token_of(&session).filter(|_| is_foreign) {
            greeting = format!("{greeting}\n{}", ServerControl::Token(&token));
        }
        Ok(Attached { session, attachment, sent: received, taken, greeting })
    }

    /// Counts why a client does not get a session, if it is told.
    pub(crate) fn denied(&self, denied: Denied) -> Denied {
        if let Denied::Refused(rejection) = &denied {
            self.common.counters.resume_refused(rejection.word);
        }
        denied
    }

    /// The live session that a token is for.
    pub(crate) fn find(&self, token: &str) -> Result<Session<H>, Denied> {
        self.locate(token).map(|located| located.session)
    }

    /// The same, and whose token it is.
    pub(super) fn locate(&self, token: &str) -> Result<Located<H>, Denied> {
        let (node, token) = self.marks.session(token).ok_or(Refused::Unknown)?;
        let Some(located) = self.look_up(node, &token) else {
            // A request for one that has gone was carried here, or it has gone just now; or it comes, and is not taken in yet.
            let is_between =
                self.gone.heir(node, token.serial).is_some() || self.coming.find(node, &token).is_some();
            return Err(if is_between { Denied::Later } else { self.ended.explain(node, &token).into() });
        };
        match located.session.closed() {
            None => Ok(located),
            Some(_) if located.session.core().is_absent() => Err(Denied::Later),
            // It is about to be put where the ended ones are.
            Some(reason) => {
                Err(Rejection::of_ended(reason, located.session.last_words(reason).as_deref()).into())
            }
        }
    }

    /// Whether the session is here that a token of this node is for.
    pub(super) fn is_here(&self, node: u64, token: &Token) -> bool {
        self.look_up(node, token).is_some()
    }

    fn look_up(&self, node: u64, token: &Token) -> Option<Located<H>> {
        let own = (node == self.marks.here()).then(|| self.registry.get(token.slot)).flatten();
        let own = own.filter(|session| {
            let resumable = session.resumable();
            resumable.is_some_and(|it| it.serial == token.serial && it.secret.matches(&token.secret))
        });
        if let Some(session) = own {
            return Some(Located { session, is_foreign: false });
        }
        let place = self.foreign.find(node, token)?;
        let session = self.registry.get(place.slot)?;
        let is_it = session.resumable().is_some_and(|it| it.serial == place.serial);
        is_it.then_some(Located { session, is_foreign: true })
    }

    /// Takes a session in, unless there are as many as there may be.
    pub(crate) fn enter(&self, session: LiveSession<H::State>) -> Option<Arc<LiveSession<H::State>>> {
        // Nothing is told before that it was opened.
        let _ = session.core().calls().begin();
        let Some(session) = self.registry.insert(session) else {
            self.common.counters.refuse(NotAdmitted::Sessions);
            return None;
        };
        // It was let in before the drain began and may have come too late to be seen by it.
        if self.draining.is_cancelled() {
            session.close(CloseReason::Draining);
        }
        Some(session)
    }

    /// A client brings a token to a mount that does not take any. The program was meant to; a line for each would be theirs
    /// to write.
    pub(crate) fn say_once_that_tokens_are_ignored(&self) {
        self.tokens_ignored.call_once(|| {
            warn!(
                "clients bring an authToken, and this mount does not take it: see `auth_token` of its options"
            );
        });
    }
}

/// A number as a control line can say it; one beyond that means "for ever", or "any".
fn number(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(NUMBER_MAX).min(NUMBER_MAX)
}
