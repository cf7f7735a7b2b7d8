//! The bounds of relays, with defaults and the reasons for them.

use std::time::Duration;

/// Options of [`Relays`](super::Relays). Times are those in which the engine is up.
#[derive(Clone, Debug)]
#[must_use]
pub struct RelayConfig {
    pub(super) carried_max: usize,
    pub(super) owned_max: usize,
    pub(super) head_bytes_max: usize,
    pub(super) piece_bytes_max: usize,
    pub(super) window_bytes: usize,
    pub(super) peer_bytes_max: usize,
    pub(super) held_bytes_max: usize,
    pub(super) batch_bytes_max: usize,
    pub(super) controls_max: usize,
    pub(super) peers_max: usize,
    pub(super) ack_every: Duration,
    pub(super) ack_timeout: Duration,
    pub(super) say_every: Duration,
    pub(super) silence_max: Duration,
    pub(super) room_timeout: Duration,
}

impl RelayConfig {
    /// Relays that this node carries at a time. Default 16,384: one for each client that hangs on another node's session, which is two
    /// thirds of all of a node where three share the load. Those that are over count until the program has used what came of them, and are the first
    /// that go ([`RelayOutput::Dropped`](super::RelayOutput::Dropped)). At the bound [`Relays::open`](super::Relays::open) refuses.
    pub fn carried_max(mut self, relays: usize) -> Self {
        self.carried_max = relays;
        self
    }

    /// Relays that others carry for this node at a time. Default 65,536. At the bound a new one is cut with [`Why::Busy`](super::wire::Why::Busy).
    pub fn owned_max(mut self, relays: usize) -> Self {
        self.owned_max = relays;
        self
    }

    /// Bytes of a relay's head. Default 32 KiB: the head of a request has 16 KiB at most, and what it says beside.
    pub fn head_bytes_max(mut self, bytes: usize) -> Self {
        self.head_bytes_max = bytes;
        self
    }

    /// Bytes of a piece. Default 16 KiB, so that many relays take turns in one message.
    pub fn piece_bytes_max(mut self, bytes: usize) -> Self {
        self.piece_bytes_max = bytes.max(1);
        self
    }

    /// Bytes of a relay that one side has sent and the other has not used, one piece more allowed. Default 64 KiB, as a stream of HTTP/2 has:
    /// 30 MB a second over an engine that is 2 ms away.
    pub fn window_bytes(mut self, bytes: usize) -> Self {
        self.window_bytes = bytes.max(1);
        self
    }

    /// Bytes of all relays with one peer of which it has not said that they came there, one piece more allowed. Default 8 MiB: what an engine holds
    /// of them is less than what makes it give up a connection. At the bound all of them wait, and no new one begins. A peer says so each time a
    /// quarter of that has come, and has come to it whether its clients read or not.
    pub fn peer_bytes_max(mut self, bytes: usize) -> Self {
        self.peer_bytes_max = bytes.max(1);
        self
    }

    /// Bytes that came from all peers and that the program has not used, of relays that are over, too. Default 64 MiB. At the bound the relays are lost
    /// whose program has not used what it had for longest ([`RelayOutput::Dropped`](super::RelayOutput::Dropped)); if it still has all that, the relay
    /// for which more comes.
    pub fn held_bytes_max(mut self, bytes: usize) -> Self {
        self.held_bytes_max = bytes;
        self
    }

    /// Bytes of a message to a peer, one piece more allowed. Default 128 KiB: an engine is not kept busy by one message for long.
    pub fn batch_bytes_max(mut self, bytes: usize) -> Self {
        self.batch_bytes_max = bytes.max(1);
        self
    }

    /// Cuts and last acknowledgements that wait for a peer. Default 4,096. Beyond it they are left out: the peer finds the silence.
    pub fn controls_max(mut self, controls: usize) -> Self {
        self.controls_max = controls;
        self
    }

    /// Peers that relays are had with, or were. Default 256, as many as a node knows. Messages of others are not read.
    pub fn peers_max(mut self, peers: usize) -> Self {
        self.peers_max = peers;
        self
    }

    /// How soon a piece is acknowledged where nothing waits for that. Default 1 s.
    pub fn ack_every(mut self, time: Duration) -> Self {
        self.ack_every = time;
        self
    }

    /// How long a piece may be unacknowledged until its relay is lost. Default 5 s, longer than a peer needs to find that its connection to
    /// the engine is dead.
    pub fn ack_timeout(mut self, time: Duration) -> Self {
        self.ack_timeout = time;
        self
    }

    /// After how much silence a side says that its relay lives. Default 5 s.
    pub fn say_every(mut self, time: Duration) -> Self {
        self.say_every = time;
        self
    }

    /// After how much silence of the other side a relay is lost. Default 15 s, of which two words may be lost.
    pub fn silence_max(mut self, time: Duration) -> Self {
        self.silence_max = time;
        self
    }

    /// How long an owner waits for room while the carrier's client takes nothing, until the relay is lost. Default 30 s: a client that reads again later
    /// comes again. What waits for an owner is that one's business: it is as slow as its session's handlers are.
    pub fn room_timeout(mut self, time: Duration) -> Self {
        self.room_timeout = time;
        self
    }
}

impl RelayConfig {
    /// Bytes of a piece, as set.
    #[must_use]
    pub fn piece_bytes(&self) -> usize {
        self.piece_bytes_max
    }
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            carried_max: 16_384,
            owned_max: 65_536,
            head_bytes_max: 32 * 1024,
            piece_bytes_max: 16 * 1024,
            window_bytes: 64 * 1024,
            peer_bytes_max: 8 * 1024 * 1024,
            held_bytes_max: 64 * 1024 * 1024,
            batch_bytes_max: 128 * 1024,
            controls_max: 4_096,
            peers_max: 256,
            ack_every: Duration::from_secs(1),
            ack_timeout: Duration::from_secs(5),
            say_every: Duration::from_secs(5),
            silence_max: Duration::from_secs(15),
            room_timeout: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_sets_itself_and_nothing_else() {
        let ms = Duration::from_millis;
        let set = RelayConfig::default()
            .carried_max(1)
            .owned_max(2)
            .head_bytes_max(3)
            .piece_bytes_max(4)
            .window_bytes(5)
            .peer_bytes_max(6)
            .held_bytes_max(7)
            .batch_bytes_max(8)
            .controls_max(9)
            .peers_max(10)
            .ack_every(ms(11))
            .ack_timeout(ms(12))
            .say_every(ms(13))
            .silence_max(ms(14))
            .room_timeout(ms(15));
        assert_eq!((set.carried_max, set.owned_max, set.head_bytes_max), (1, 2, 3));
        assert_eq!((set.piece_bytes_max, set.piece_bytes(), set.window_bytes), (4, 4, 5));
        assert_eq!((set.peer_bytes_max, set.held_bytes_max, set.batch_bytes_max), (6, 7, 8));
        assert_eq!((set.controls_max, set.peers_max), (9, 10));
        let times = (set.ack_every, set.ack_timeout, set.say_every, set.silence_max);
        assert_eq!((times, set.room_timeout), ((ms(11), ms(12), ms(13), ms(14)), ms(15)));
    }
}
