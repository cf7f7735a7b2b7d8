//! What the connection of a resumable session knows besides: how far it has come in both directions.

use crate::{
    dialect::server::ServerControl,
    frame::Frame,
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
    /// The last frame that this connection has sent in full.
    pub(super) sent: Seq,
    /// Whether the last write ended with a frame. Once the session is another's, its outbox does not say so any more.
    pub(super) is_whole: bool,
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

    /// The oldest frames that were not sent here, as long as each of them was, are written. Returns how many they are.
    pub(super) fn handle_written(
        &mut self,
        session: &mut Session,
        is_current: bool,
        mut was_written: impl FnMut(&Frame) -> bool,
    ) -> usize {
        let frames = session.waiting_after(self.sent).take_while(|frame| was_written(frame)).count();
        self.sent.0 += frames as u64;
        if frames > 0 && is_current {
            session.handle_sent(self.sent);
        }
        frames
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

    /// Whether there is something to write besides what a closed session has to say.
    #[inline]
    pub(super) fn has_news(&self, core: &Core, limits: &OutboxLimits) -> bool {
        let session = &core.session;
        self.pong
            || core.due != Default::default()
            || self.is_ack_due(session.last_taken())
            || (self.has_more(session) && session.sendable_after(self.sent, limits).next().is_some())
            || session.is_question_due(limits)
    }
}
