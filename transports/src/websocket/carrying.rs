//! What the connection of a resumable session knows besides: how far it has come in both directions.

use std::sync::Arc;

use tracing::debug;

use super::close_code::CloseCode;
use crate::{
    close::CloseReason,
    dialect::{
        client::{ClientControl, ClientLine},
        lines,
        server::ServerControl,
    },
    frame::Message,
    handler::Handler,
    live::{
        LiveSession,
        calls::Kept,
        waking::{Core, Due},
    },
    manager::{Manager, taking::Rejected},
    session::{Attachment, Seq, Session, outbox::OutboxLimits},
};

/// Frames from the client after which they are acknowledged …
const ACK_FRAMES: u64 = 32;

/// … and their bytes: what a client keeps of large frames stays within a few of them.
const ACK_BYTES: usize = 256 * 1024;

/// Why a connection goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// We close it.
    Ours(CloseReason),
    /// The client's close frame has come.
    Theirs,
    /// The client is heard no further: it did what it must not, or has said its last word.
    Enough(CloseReason),
}

/// How far a connection has come.
#[derive(Debug)]
pub(super) struct Carrying {
    pub(super) attachment: Attachment,
    /// The last frame that was written to this connection.
    pub(super) sent: Seq,
    /// Whether the last write ended with a frame. Once the session is another's, its outbox does not say so any more.
    pub(super) is_whole: bool,
    /// The last frame that came by this connection, taken or dropped.
    received: Seq,
    /// What was last acknowledged to the client here.
    acknowledged: Seq,
    /// Bytes of the frames that came since.
    unacknowledged_bytes: usize,
    /// Whether the client asked for a sign of life.
    pong: bool,
    /// A frame that came as the session was held still. It is counted as the session's.
    kept: Option<Box<Kept>>,
}

impl Carrying {
    pub(super) fn new(attachment: Attachment, sent: Seq, received: Seq) -> Self {
        Self {
            attachment,
            sent,
            is_whole: true,
            received,
            acknowledged: received,
            unacknowledged_bytes: 0,
            pong: false,
            kept: None,
        }
    }

    /// Whether a frame waits that came as the session was held still: nothing is read before it is taken.
    pub(super) fn has_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Takes the frame that came as the session was held still, if there is one.
    pub(super) fn take_kept<H: Handler>(
        &mut self,
        manager: &Manager<H>,
        session: &Arc<LiveSession<H::State>>,
    ) -> Option<Result<(), Over>> {
        let kept = self.kept.take()?;
        session.release(kept.message().as_bytes().len());
        Some(self.take(manager, session, kept.message()))
    }

    /// It will not be taken.
    pub(super) fn drop_kept<S>(&mut self, session: &LiveSession<S>) {
        if let Some(kept) = self.kept.take() {
            session.release(kept.message().as_bytes().len());
        }
    }

    /// Acts on a message from the client.
    pub(super) fn receive<H: Handler>(
        &mut self,
        manager: &Manager<H>,
        session: &Arc<LiveSession<H::State>>,
        message: Message<'_>,
    ) -> Result<(), Over> {
        let line = match message {
            // Most messages are frames as they are.
            Message::Text(text) if lines::is_bare(text) => {
                return self.take(manager, session, message);
            }
            Message::Binary(_) => return self.take(manager, session, message),
            Message::Text(text) => text,
        };
        let line = ClientLine::parse(line).map_err(|error| breach(&error.to_string()))?;
        match line {
            ClientLine::Control(control) => self.obey(session, control),
            ClientLine::Nothing => Ok(()),
            ClientLine::Text(_) | ClientLine::Binary(_) => match line.message() {
                Some(message) => self.take(manager, session, message),
                None => Ok(()),
            },
        }
    }

    fn take<H: Handler>(
        &mut self,
        manager: &Manager<H>,
        session: &Arc<LiveSession<H::State>>,
        message: Message<'_>,
    ) -> Result<(), Over> {
        let number = Seq(self.received.0 + 1);
        match manager.take(session, number, message) {
            Ok(()) => {
                self.received = number;
                self.unacknowledged_bytes += message.as_bytes().len();
                Ok(())
            }
            Err(Rejected::Early) => Err(breach("frames are missing")),
            // Where it goes to another node, this connection will hear so.
            Err(Rejected::Still | Rejected::Gone) => {
                session.hold(message.as_bytes().len()).map_err(|_| Over::Ours(CloseReason::OverBudget))?;
                self.kept = Some(Box::new(message.into()));
                Ok(())
            }
            Err(Rejected::Closed) => Err(match session.closed().unwrap_or(CloseReason::Internal) {
                CloseReason::BadMessage => Over::Enough(CloseReason::BadMessage),
                reason => Over::Ours(reason),
            }),
        }
    }

    fn obey<S>(&mut self, session: &LiveSession<S>, control: ClientControl<'_>) -> Result<(), Over> {
        match control {
            ClientControl::Ack(received) => session.acknowledge(received),
            ClientControl::Ping => self.pong = true,
            ClientControl::Path { round_trip, failures } => session.set_path(round_trip, failures),
            ClientControl::Close => {
                session.close(CloseReason::Client);
                return Err(Over::Enough(CloseReason::Client));
            }
            _ => return Err(breach("a control line that has no place here")),
        }
        Ok(())
    }

    /// The control line that is to be written now, if any.
    pub(super) fn due_line(&mut self, core: &mut Core, limits: &OutboxLimits) -> Option<String> {
        let taken = core.session.last_taken();
        let due = std::mem::take(&mut core.due);
        let line = if std::mem::take(&mut self.pong) || due.has(Due::PONG) {
            ServerControl::Pong(taken)
        } else if due.has(Due::BUSY) {
            ServerControl::Busy(taken)
        } else if due.has(Due::PING) || core.session.is_question_due(limits) {
            core.session.handle_asked();
            ServerControl::Ping(taken)
        } else if due.has(Due::ACK) || self.is_ack_due(taken) {
            ServerControl::Ack(taken)
        } else {
            return None;
        };
        self.acknowledged = taken;
        self.unacknowledged_bytes = 0;
        Some(line.to_string())
    }

    fn is_ack_due(&self, taken: Seq) -> bool {
        taken.0 >= self.acknowledged.0 + ACK_FRAMES || self.unacknowledged_bytes >= ACK_BYTES
    }

    /// Whether frames were pushed that were not written to this connection.
    #[inline]
    pub(super) fn has_more(&self, session: &Session) -> bool {
        session.last_pushed() > self.sent
    }

    /// Whether there is something to write, or a reason to stop.
    #[inline]
    pub(super) fn has_news(&self, core: &Core, limits: &OutboxLimits) -> bool {
        let session = &core.session;
        self.pong
            || core.due != Default::default()
            || self.is_ack_due(session.last_taken())
            || session.closed().is_some()
            || (self.has_more(session) && session.sendable_after(self.sent, limits).next().is_some())
            || session.is_question_due(limits)
            || !session.is_current(self.attachment)
    }

    /// Whether the client may say more, and nothing from it waits for the handler.
    pub(super) fn is_relaxed(core: &mut Core, limits: &OutboxLimits) -> bool {
        core.session.is_to_be_heard(limits) && core.is_taking() && !core.calls().is_waiting()
    }
}

/// The client broke the dialect: its connection ends, its session does not.
fn breach(why: &str) -> Over {
    debug!(why, "websocket closed: the session dialect was broken");
    Over::Enough(CloseReason::Protocol(CloseCode::BREACH.as_u16()))
}
