//! The one trait through which the transports call up.

use std::{sync::Arc, time::Duration};

use crate::{
    close::CloseReason,
    connect::{ConnectRequest, Refusal, Transport},
    frame::Message,
    live::LiveSession,
};

/// The seam to what becomes of sessions: implemented by whoever gives the frames their meaning.
///
/// The calls for one session never overlap, and come in this order: [`connect`](Self::connect), and if that
/// succeeds and the transport comes up [`opened`](Self::opened), any number of [`received`](Self::received),
/// [`away`](Self::away) and [`back`](Self::back), and exactly one [`closed`](Self::closed). They come from different
/// tasks, one after the other: what has to be told while a call is under way is told by whoever made that call, when it
/// returns. None of them may block, since they run on the tasks of connections and of the sweep.
///
/// [`is_ready`](Self::is_ready) is a question, not a call in this order: it may come at any time, from any task.
///
/// An echo server is all of it:
///
/// ```
/// use std::sync::Arc;
/// use lapwing_transports::{
///     close::CloseReason, connect::{ConnectRequest, Refusal}, frame::{Frame, Message},
///     handler::Handler, live::LiveSession,
/// };
///
/// struct Echo;
///
/// impl Handler for Echo {
///     type State = ();
///
///     async fn connect(&self, _: ConnectRequest) -> Result<(), Refusal> {
///         Ok(())
///     }
///
///     fn received(&self, session: &Arc<LiveSession<()>>, message: Message<'_>) -> Result<(), CloseReason> {
///         session.push(match message {
///             Message::Text(text) => Frame::text(text),
///             Message::Binary(bytes) => Frame::binary(bytes.to_vec()),
///         });
///         Ok(())
///     }
/// }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// What the handler keeps per session; reached through [`LiveSession::state`].
    type State: Send + Sync + 'static;

    /// Decides whether a client may connect. Dropping the future (the client went away) cancels the attempt.
    fn connect(&self, request: ConnectRequest) -> impl Future<Output = Result<Self::State, Refusal>> + Send;

    /// How long the login of a client that was let in is good, from now on; `None` if it does not end. A client of the session
    /// dialect is told, so that it can bring a new one in time. Ending the session is the handler's.
    fn login_lasts(&self, state: &Self::State) -> Option<Duration> {
        let _ = state;
        None
    }

    /// Whether [`resuming`](Self::resuming) wants to be asked. By default not, and resuming costs nothing more.
    fn checks_resumes(&self) -> bool {
        false
    }

    /// Decides whether a client may carry its session on by another connection, whose request this is. A refusal ends the session.
    ///
    /// Polls in a row are one connection. Like [`connect`](Self::connect), this comes beside the other calls, and dropping
    /// the future cancels the attempt.
    fn resuming(
        &self,
        session: &Arc<LiveSession<Self::State>>,
        request: ConnectRequest,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        let _ = (session, request);
        std::future::ready(Ok(()))
    }

    /// The session is up: from here on frames can be pushed.
    fn opened(&self, session: &Arc<LiveSession<Self::State>>) {
        let _ = session;
    }

    /// This transport carries a resumable session from now on. One poll after the other is one transport. Like [`resuming`](Self::resuming), this comes beside
    /// the other calls.
    fn carried(&self, session: &Arc<LiveSession<Self::State>>, transport: Transport) {
        let _ = (session, transport);
    }

    /// A message from the client.
    ///
    /// # Errors
    /// The reason to close the session for, [`CloseReason::BadMessage`] for a message that makes no sense.
    fn received(
        &self,
        session: &Arc<LiveSession<Self::State>>,
        message: Message<'_>,
    ) -> Result<(), CloseReason>;

    /// Whether the handler takes another message of this session now.
    ///
    /// While it does not, nothing is read from the client, so that a flood costs only the one who sends it.
    /// [`LiveSession::resume_reading`] says that the answer may have changed.
    fn is_ready(&self, session: &LiveSession<Self::State>) -> bool {
        let _ = session;
        true
    }

    /// Nothing carries a resumable session for now: for longer than [`ResumeOptions::away_after`], since shorter
    /// moves from one connection to another are nobody's business.
    ///
    /// [`ResumeOptions::away_after`]: crate::options::ResumeOptions::away_after
    fn away(&self, session: &Arc<LiveSession<Self::State>>) {
        let _ = session;
    }

    /// A session that was away is carried again.
    fn back(&self, session: &Arc<LiveSession<Self::State>>) {
        let _ = session;
    }

    /// The session has ended; nothing is received after this and frames pushed from now on go nowhere.
    fn closed(&self, session: &Arc<LiveSession<Self::State>>, reason: CloseReason) {
        let _ = (session, reason);
    }
}
