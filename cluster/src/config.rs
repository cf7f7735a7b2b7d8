//! What can be set, with defaults and the reasons for them.

use std::time::Duration;

use crate::{channel::Spread, wire::WireLimits};

/// Options of a [`Node`](crate::Node). Durations are counted by the `now` that the program passes in.
#[derive(Clone, Debug)]
#[must_use]
pub struct Config {
    pub(crate) spread: Spread,
    pub(crate) beat: Duration,
    pub(crate) silence_beats: u32,
    pub(crate) silence_beats_after_outage: u32,
    pub(crate) echoes_missing_max: u32,
    pub(crate) ring_bytes_max: usize,
    pub(crate) in_flight_bytes_max: usize,
    pub(crate) keys_max: usize,
    pub(crate) held_max: usize,
    pub(crate) held_bytes_max: usize,
    pub(crate) ask_timeout: Duration,
    pub(crate) asks_max: u32,
    pub(crate) hold_max: Duration,
    pub(crate) batch_max: usize,
    pub(crate) linger: Duration,
    pub(crate) call_repeat: Duration,
    pub(crate) calls_max: usize,
    pub(crate) peers_max: usize,
    pub(crate) queue_max: usize,
    pub(crate) queue_bytes_max: usize,
    pub(crate) wire: WireLimits,
}

impl Config {
    /// How topics are spread over channels.
    pub fn spread(mut self, spread: Spread) -> Self {
        self.spread = spread;
        self
    }

    /// How often a node says that it lives and what it has published. Default 500 ms: a lost last message is found within
    /// that time.
    pub fn beat(mut self, beat: Duration) -> Self {
        self.beat = beat;
        self
    }

    /// Own beats that come back without one of a peer before the peer is gone. Default 8, 4 s: more than a peer needs to find that its
    /// connection only looks alive and to make another one, and still below 5 s.
    pub fn silence_beats(mut self, silence_beats: u32) -> Self {
        self.silence_beats = silence_beats;
        self
    }

    /// The same for the first verdict after this node's own connection was lost: the others may come back later than this
    /// node. Default 12.
    pub fn silence_beats_after_outage(mut self, silence_beats_after_outage: u32) -> Self {
        self.silence_beats_after_outage = silence_beats_after_outage;
        self
    }

    /// Own beats that do not come back before the connection is given up ([`Output::Reconnect`](crate::Output::Reconnect)).
    /// Default 4: with the fifth, 2.5 s after the first that was missed.
    pub fn echoes_missing_max(mut self, echoes_missing_max: u32) -> Self {
        self.echoes_missing_max = echoes_missing_max;
        self
    }

    /// Bytes of what was published that are kept for repair and for the time in which the engine is away. Default 4 MiB: ten
    /// seconds of a thousand small messages a second.
    pub fn ring_bytes_max(mut self, ring_bytes_max: usize) -> Self {
        self.ring_bytes_max = ring_bytes_max;
        self
    }

    /// Bytes of publications that the engine has and has not confirmed. Default 1 MiB.
    pub fn in_flight_bytes_max(mut self, in_flight_bytes_max: usize) -> Self {
        self.in_flight_bytes_max = in_flight_bytes_max;
        self
    }

    /// Channels of which a publisher remembers the last number. Default 65,536; [`Spread::Partitions`] never needs as many.
    pub fn keys_max(mut self, keys_max: usize) -> Self {
        self.keys_max = keys_max;
        self
    }

    /// Publications of one channel that are held back while what is before them is asked for. Default 8,192, so that small ones are
    /// bounded by their bytes as well: after an outage a peer hands over its whole ring, and who comes in the midst of that holds back
    /// the rest of it. At the bound the missing ones are given up as a gap.
    pub fn held_max(mut self, held_max: usize) -> Self {
        self.held_max = held_max;
        self
    }

    /// Bytes of them. Default 1 MiB.
    pub fn held_bytes_max(mut self, held_bytes_max: usize) -> Self {
        self.held_bytes_max = held_bytes_max;
        self
    }

    /// How long an answer to a question for what is missing may take. Default 250 ms.
    pub fn ask_timeout(mut self, ask_timeout: Duration) -> Self {
        self.ask_timeout = ask_timeout;
        self
    }

    /// How often the question is repeated, while the engine is up, before what is missing is given up as a gap. Default 16: as
    /// long as a peer that says nothing counts as living. One that has much to hand over answers behind it.
    pub fn asks_max(mut self, asks_max: u32) -> Self {
        self.asks_max = asks_max;
        self
    }

    /// How long publications are held back behind one hole at most, whatever the engine does. Default 10 s.
    pub fn hold_max(mut self, hold_max: Duration) -> Self {
        self.hold_max = hold_max;
        self
    }

    /// Channels in one command. Default 512: a larger one keeps a Redis from its other clients for more than 1 ms.
    pub fn batch_max(mut self, batch_max: usize) -> Self {
        self.batch_max = batch_max;
        self
    }

    /// How long a topic's channel is kept after its last member left, with [`Spread::Topics`]. Default 2 s, since a page that is
    /// loaded again comes back sooner.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// How often a call is repeated to peers that have not answered. Default 500 ms.
    pub fn call_repeat(mut self, call_repeat: Duration) -> Self {
        self.call_repeat = call_repeat;
        self
    }

    /// Calls that wait for their answers. Default 1,024.
    pub fn calls_max(mut self, calls_max: usize) -> Self {
        self.calls_max = calls_max;
        self
    }

    /// Peers that are known, living or remembered. Default 256; messages of others are not read.
    pub fn peers_max(mut self, peers_max: usize) -> Self {
        self.peers_max = peers_max;
        self
    }

    /// Messages of this node's own (questions, answers, presence) that wait for the engine. Default 1,024; at the bound new ones are
    /// dropped, as the engine may drop them, and are asked for again.
    pub fn queue_max(mut self, queue_max: usize) -> Self {
        self.queue_max = queue_max;
        self
    }

    /// Bytes of them, and one message more of any size. Default 8 MiB: over a hundred answers with publications.
    pub fn queue_bytes_max(mut self, queue_bytes_max: usize) -> Self {
        self.queue_bytes_max = queue_bytes_max;
        self
    }

    /// Bounds on what arrives.
    pub fn wire(mut self, wire: WireLimits) -> Self {
        self.wire = wire;
        self
    }

    /// How topics are spread over channels.
    #[must_use]
    pub fn topic_spread(&self) -> Spread {
        self.spread
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            spread: Spread::default(),
            beat: Duration::from_millis(500),
            silence_beats: 8,
            silence_beats_after_outage: 12,
            echoes_missing_max: 4,
            ring_bytes_max: 4 * 1024 * 1024,
            in_flight_bytes_max: 1024 * 1024,
            keys_max: 65_536,
            held_max: 8_192,
            held_bytes_max: 1024 * 1024,
            ask_timeout: Duration::from_millis(250),
            asks_max: 16,
            hold_max: Duration::from_secs(10),
            batch_max: 512,
            linger: Duration::from_secs(2),
            call_repeat: Duration::from_millis(500),
            calls_max: 1_024,
            peers_max: 256,
            queue_max: 1_024,
            queue_bytes_max: 8 * 1024 * 1024,
            wire: WireLimits::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_sets_itself_and_nothing_else() {
        let ms = Duration::from_millis;
        let set = Config::default()
            .spread(Spread::Topics)
            .beat(ms(1))
            .silence_beats(2)
            .silence_beats_after_outage(3)
            .echoes_missing_max(4)
            .ring_bytes_max(5)
            .in_flight_bytes_max(6)
            .keys_max(7)
            .held_max(8)
            .held_bytes_max(9)
            .ask_timeout(ms(10))
            .asks_max(11)
            .hold_max(ms(12))
            .batch_max(13)
            .linger(ms(14))
            .call_repeat(ms(15))
            .calls_max(16)
            .peers_max(17)
            .queue_max(18)
            .queue_bytes_max(20)
            .wire(WireLimits { tops_max: 19, ..WireLimits::default() });
        assert_eq!((set.topic_spread(), set.beat, set.silence_beats), (Spread::Topics, ms(1), 2));
        assert_eq!((set.silence_beats_after_outage, set.echoes_missing_max), (3, 4));
        assert_eq!((set.ring_bytes_max, set.in_flight_bytes_max, set.keys_max), (5, 6, 7));
        assert_eq!((set.held_max, set.held_bytes_max, set.ask_timeout), (8, 9, ms(10)));
        assert_eq!((set.asks_max, set.hold_max, set.batch_max), (11, ms(12), 13));
        assert_eq!((set.linger, set.call_repeat, set.calls_max), (ms(14), ms(15), 16));
        assert_eq!((set.peers_max, set.queue_max, set.wire.tops_max, set.queue_bytes_max), (17, 18, 19, 20));
    }
}
