//! What the connection of a resumable session knows besides: how far it has come in both directions.

use crate::{
    dialect::server::ServerControl,
    live::{
        calls::Kept,
        waking::{Core, Due},
    },
    session::{Attachment, Seq, Session, outbox::OutboxLimits},
};

/// Frames from the client after which they are acknowledged …
const ACK_FRAMES: u64 = 32;

/// … and their bytes: what a client keeps of large frames stays within a few of them.
const ACK_BYTES: usize = 256 * 1024;

/// How far a connection has come.
#[derive(Debug)]
pub(in crate::websocket) struct Carrying {
    pub(in crate::websocket) attachment: Attachment,
    /// The last frame that was written to this connection.
    pub(in crate::websocket) sent: Seq,
    /// Whether the last write ended with a frame. Once the session is another's, its outbox does not say so any more.
    pub(in crate::websocket) is_whole: bool,
    /// The last frame that came by this connection, taken or dropped.
    pub(in crate::websocket) received: Seq,
    /// What was last acknowledged to the client here.
    acknowledged: Seq,
    /// Bytes of the frames that came since.
    pub(in crate::websocket) unacknowledged_bytes: usize,
    /// Whether the client asked for a sign of life.
    pub(in crate::websocket) pong: bool,
    /// A frame that came as the session was held still. It is counted as the session's.
    pub(in crate::websocket) kept: Option<Box<Kept>>,
}

impl Carrying {
    pub(in crate::websocket) fn new(attachment: Attachment, sent: Seq, received: Seq) -> Self {
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

    /// The control line that is to be written now, if any.
    pub(in crate::websocket) fn due_line(
        &mut self,
        core: &mut Core,
        limits: &OutboxLimits,
    ) -> Option<String> {
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
    pub(in crate::websocket) fn has_more(&self, session: &Session) -> bool {
        session.last_pushed() > self.sent
    }

    /// Whether there is something to write, or a reason to stop.
    #[inline]
    pub(in crate::websocket) fn has_news(&self, core: &Core, limits: &OutboxLimits) -> bool {
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
    pub(in crate::websocket) fn is_relaxed(core: &mut Core, limits: &OutboxLimits) -> bool {
        core.session.is_to_be_heard(limits) && core.is_taking() && !core.calls().is_waiting()
    }
}
