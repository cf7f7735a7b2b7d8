//! The bounds of moves, with defaults and the reasons for them.

use std::time::Duration;

/// Options of [`Moves`](super::Moves). Times are those in which the engine is up.
#[derive(Clone, Debug)]
#[must_use]
pub struct MoveConfig {
    pub(super) outgoing_max: usize,
    pub(super) incoming_max: usize,
    pub(super) about_bytes_max: usize,
    pub(super) baggage_bytes_max: usize,
    pub(super) sending_bytes_max: usize,
    pub(super) gathering_bytes_max: usize,
    pub(super) piece_bytes_max: usize,
    pub(super) window_bytes: usize,
    pub(super) batch_bytes_max: usize,
    pub(super) replies_max: usize,
    pub(super) peers_max: usize,
    pub(super) repeat_every: Duration,
    pub(super) patience: Duration,
}

impl MoveConfig {
    /// Sessions on their way from this node at a time. Default 256: with five messages each over an engine that is 2 ms away, a node with
    /// 20,000 sessions is empty within seconds. At the bound [`Moves::offer`](super::Moves::offer) refuses.
    pub fn outgoing_max(mut self, moves: usize) -> Self {
        self.outgoing_max = moves;
        self
    }

    /// Sessions on their way to this node at a time. Default 1,024: those of four others. At the bound more are refused with
    /// [`Why::Busy`](super::Why::Busy).
    pub fn incoming_max(mut self, moves: usize) -> Self {
        self.incoming_max = moves;
        self
    }

    /// Bytes of what is said about a session beforehand. Default 64 KiB: a hundred joins. More is refused.
    pub fn about_bytes_max(mut self, bytes: usize) -> Self {
        self.about_bytes_max = bytes;
        self
    }

    /// Bytes of one session. Default 8 MiB: most have less than a kilobyte, and one for which more waits is better off where it is.
    /// [`Moves::send`](super::Moves::send) refuses more, and so does the target.
    pub fn baggage_bytes_max(mut self, bytes: usize) -> Self {
        self.baggage_bytes_max = bytes;
        self
    }

    /// Bytes of all sessions that are sent from here at a time. Default 64 MiB. At the bound [`Moves::send`](super::Moves::send) refuses, and the
    /// session stays.
    pub fn sending_bytes_max(mut self, bytes: usize) -> Self {
        self.sending_bytes_max = bytes;
        self
    }

    /// Bytes of all sessions that are gathered here at a time. Default 64 MiB. At the bound more are refused with [`Why::Busy`](super::Why::Busy).
    pub fn gathering_bytes_max(mut self, bytes: usize) -> Self {
        self.gathering_bytes_max = bytes;
        self
    }

    /// Bytes of a piece. Default 32 KiB, so that many moves take turns in one message.
    pub fn piece_bytes_max(mut self, bytes: usize) -> Self {
        self.piece_bytes_max = bytes.max(1);
        self
    }

    /// Bytes of one move that are sent before the target says that it has some. Default 256 KiB, one piece more allowed.
    pub fn window_bytes(mut self, bytes: usize) -> Self {
        self.window_bytes = bytes.max(1);
        self
    }

    /// Bytes of a message, one item more allowed. Default 128 KiB: an engine is not kept busy by one message for long.
    pub fn batch_bytes_max(mut self, bytes: usize) -> Self {
        self.batch_bytes_max = bytes.max(1);
        self
    }

    /// Answers about moves that are not known here, waiting for a peer. Default 1,024. Beyond it they are left out: who wants to know asks again.
    pub fn replies_max(mut self, replies: usize) -> Self {
        self.replies_max = replies;
        self
    }

    /// Peers that moves are had with, or were. Default 256, as many as a node knows. Messages of others are not read. Of as many that
    /// are gone a node knows which of their offers are old.
    pub fn peers_max(mut self, peers: usize) -> Self {
        self.peers_max = peers;
        self
    }

    /// After how long what was not answered is said again. Default 500 ms: soon beside what a client notices, and later than a slow answer.
    pub fn repeat_every(mut self, time: Duration) -> Self {
        self.repeat_every = time;
        self
    }

    /// How long a move may make no headway before its session is taken back. Default 10 s: longer than a moment without an engine, and
    /// shorter than a client's window. A target that has heard nothing of a move for three times as long drops it, unless it is ready.
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }
}

impl Default for MoveConfig {
    fn default() -> Self {
        Self {
            outgoing_max: 256,
            incoming_max: 1_024,
            about_bytes_max: 64 * 1024,
            baggage_bytes_max: 8 * 1024 * 1024,
            sending_bytes_max: 64 * 1024 * 1024,
            gathering_bytes_max: 64 * 1024 * 1024,
            piece_bytes_max: 32 * 1024,
            window_bytes: 256 * 1024,
            batch_bytes_max: 128 * 1024,
            replies_max: 1_024,
            peers_max: 256,
            repeat_every: Duration::from_millis(500),
            patience: Duration::from_secs(10),
        }
    }
}
