//! How a WebSocket ends: who closes first, what is still read, what is never sent. A state machine without a socket.
//!
//! ```text
//!         we close          close frame queued          peer's close
//!   Open ─────────▶ Draining ────────────────▶ Waiting ──────────────┐
//!    │                 │  │                      │                   ▼
//!    │ peer's close    │  │ peer's close         │ breach        Finishing ── shut down ──▶ Hearing ──▶ Done
//!    ├─────────────────┼──┴──▶ Draining(Quiet) ──┼──────────────▶ (Quiet)                  (Quiet)  nothing to read
//!    │ breach          │                         │
//!    ├─────────────────┴─────▶ Draining(End) ────┴──────────────▶ Finishing ── shut down ──▶ Hearing ──▶ Done
//!    │ superseded                   close frame queued  ▲          (End)                    (End)  peer's end
//!    └──────────────────────────────────────────────────┘
//! ```
//!
//! *Draining* writes what waits. *Waiting* has said its close and waits for the peer's. *Finishing* has nothing to wait for:
//! it writes what is left of the close frame and shuts the sending side down. *Hearing* reads into the void. From every
//! phase a failure, or the end of `linger`, leads to *Done*.
//!
//! Laws, tested below:
//!
//! * After a breach, and after the peer's close, nothing that it says has any effect (RFC 6455, 7.1.7 and 5.5.1).
//! * After the close frame nothing is sent (5.5.1).
//! * Once both closes are said, or the connection failed, the server ends its side of TCP without waiting (7.1.1).
//! * After a failure the socket is read until the peer's end: to close one with unread bytes is to reset it, and a reset
//!   overtakes the close frame on its way to the program of the peer (7.1.1, and RFC 9112, 9.6).

use crate::close::CloseReason;

/// Where a connection is between its first and its last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closing(Phase);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// What waits is written; the close frame follows, with this reason's code.
    Draining(Rest, CloseReason),
    Waiting,
    Finishing(Rest),
    Hearing(Rest),
    Done,
}

/// What is still to come from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// Its close frame.
    Close,
    /// It broke the protocol, or goes on elsewhere: whatever it says, until its end.
    End,
    /// It has closed, and what it may have said behind that is there already.
    Quiet,
    /// It has ended its side of TCP.
    Nothing,
}

/// What is to become of what the peer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// It is decoded.
    Decode,
    /// It is read into the void.
    Discard,
    /// It is not read.
    Leave,
}

impl Closing {
    /// A connection that is up.
    pub(super) fn open() -> Self {
        Self(Phase::Open)
    }

    /// A connection whose last words are chosen: after a breach, or when there is nothing to go on with.
    pub(super) fn failed() -> Self {
        Self(Phase::Finishing(Rest::End))
    }

    /// The same after the peer's close.
    pub(super) fn answered() -> Self {
        Self(Phase::Finishing(Rest::Quiet))
    }

    /// We close.
    pub(super) fn handle_close(&mut self, reason: CloseReason) {
        if self.0 == Phase::Open {
            self.0 = Phase::Draining(Rest::Close, reason);
        }
    }

    /// The peer's close frame has come.
    pub(super) fn handle_peer_close(&mut self) {
        match self.0 {
            // Both ends close: what waits is still written, and the answer needs no answer.
            Phase::Open | Phase::Draining(Rest::Close, _) => {
                self.0 = Phase::Draining(Rest::Quiet, CloseReason::Client);
            }
            Phase::Waiting => self.0 = Phase::Finishing(Rest::Quiet),
            _ => {}
        }
    }

    /// The peer can no longer be understood, or must not be heard any more.
    pub(super) fn handle_breach(&mut self, reason: CloseReason) {
        match self.0 {
            Phase::Open | Phase::Draining(Rest::Close, _) => self.0 = Phase::Draining(Rest::End, reason),
            Phase::Waiting => self.0 = Phase::Finishing(Rest::End),
            _ => {}
        }
    }

    /// A newer connection carries the session; the close frame that says so is queued.
    pub(super) fn handle_superseded(&mut self) {
        if self.0 == Phase::Open {
            self.0 = Phase::Finishing(Rest::End);
        }
    }

    /// The close frame is queued behind all that waited.
    pub(super) fn handle_close_queued(&mut self) {
        match self.0 {
            Phase::Draining(Rest::Close, _) => self.0 = Phase::Waiting,
            Phase::Draining(rest, _) => self.0 = Phase::Finishing(rest),
            _ => {}
        }
    }

    /// All is written and the sending side is shut down.
    pub(super) fn handle_shut_down(&mut self) {
        match self.0 {
            Phase::Finishing(Rest::Nothing) => self.0 = Phase::Done,
            Phase::Finishing(rest) => self.0 = Phase::Hearing(rest),
            _ => {}
        }
    }

    /// There is nothing to read now.
    pub(super) fn handle_quiet(&mut self) {
        if self.0 == Phase::Hearing(Rest::Quiet) {
            self.0 = Phase::Done;
        }
    }

    /// The peer has ended its side of TCP. One that broke the protocol may still listen.
    pub(super) fn handle_peer_end(&mut self) {
        self.0 = match self.0 {
            Phase::Draining(Rest::End | Rest::Quiet | Rest::Nothing, reason) => {
                Phase::Draining(Rest::Nothing, reason)
            }
            Phase::Finishing(_) => Phase::Finishing(Rest::Nothing),
            _ => Phase::Done,
        };
    }

    /// The connection is lost, or its time is over.
    pub(super) fn handle_lost(&mut self) {
        self.0 = Phase::Done;
    }

    /// What to do with what the peer says.
    #[inline]
    pub(super) fn input(&self) -> Input {
        if self.is_open() {
            return Input::Decode;
        }
        match self.0 {
            Phase::Open | Phase::Draining(Rest::Close, _) | Phase::Waiting => Input::Decode,
            Phase::Draining(Rest::End, _) | Phase::Finishing(Rest::End) | Phase::Hearing(_) => Input::Discard,
            Phase::Draining(..) | Phase::Finishing(_) | Phase::Done => Input::Leave,
        }
    }

    /// Whether anything but what is queued may be sent.
    pub(super) fn is_sending(&self) -> bool {
        matches!(self.0, Phase::Open | Phase::Draining(..))
    }

    /// The reason that the close frame gives once all else is written, if there is to be one.
    pub(super) fn close_due(&self) -> Option<CloseReason> {
        if let Phase::Draining(_, reason) = self.0 { Some(reason) } else { None }
    }

    /// Whether nothing is left but to write the last bytes, to shut down and to hear the peer out.
    pub(super) fn is_finishing(&self) -> bool {
        matches!(self.0, Phase::Finishing(_))
    }

    pub(super) fn is_open(&self) -> bool {
        self.0 == Phase::Open
    }

    pub(super) fn is_done(&self) -> bool {
        self.0 == Phase::Done
    }
}

#[cfg(test)]
mod tests;
