//! What comes by the connection of a resumable session.

use std::sync::Arc;

use tracing::debug;

use super::{close_code::CloseCode, egress::carrying::Carrying};
use crate::{
    close::CloseReason,
    dialect::{
        client::{ClientControl, ClientLine},
        lines,
    },
    frame::Message,
    handler::Handler,
    live::LiveSession,
    manager::{Manager, taking::Rejected},
    session::Seq,
};

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

impl Carrying {
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
}

/// The client broke the dialect: its connection ends, its session does not.
fn breach(why: &str) -> Over {
    debug!(why, "websocket closed: the session dialect was broken");
    Over::Enough(CloseReason::Protocol(CloseCode::BREACH.as_u16()))
}
