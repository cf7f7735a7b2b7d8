//! What can be set, with defaults and the reasons for them.

use std::time::Duration;

use crate::{channel::Spread, wire::WireLimits};

/// Options of a [`Node`](crate::Node). Durations are counted by the `now` that the program passes in.
#[derive(Clone, Debug)]
pub struct Config {
    /// How topics are spread over channels.
    pub spread: Spread,
    /// How often a node says that it lives and what it has published. Default 500 ms: a lost last message is found within
    /// that time.
    pub beat: Duration,
    /// Own beats that come back without one of a peer before the peer is gone. Default 8, 4 s: more than a peer needs to find that its
    /// connection only looks alive and to make another one, and still below 5 s.
    pub silence_beats: u32,
    /// The same for the first verdict after this node's own connection was lost: the others may come back later than this
    /// node. Default 12.
    pub silence_beats_after_outage: u32,
    /// Own beats that do not come back before the connection is given up ([`Output::Reconnect`](crate::Output::Reconnect)).
    /// Default 4: with the fifth, 2.5 s after the first that was missed.
    pub echoes_missing_max: u32,
    /// Bytes of what was published that are kept for repair and for the time in which the engine is away. Default 4 MiB: ten
    /// seconds of a thousand small messages a second.
    pub ring_bytes_max: usize,
    /// Bytes of publications that the engine has and has not confirmed. Default 1 MiB.
    pub in_flight_bytes_max: usize,
    /// Channels of which a publisher remembers the last number. Default 65,536; [`Spread::Partitions`] never needs as many.
    pub keys_max: usize,
    /// Publications of one peer that are held back while what is before them is asked for. Default 256; at the bound the
    /// missing ones are given up as a gap.
    pub held_max: usize,
    /// Bytes of them. Default 1 MiB.
    pub held_bytes_max: usize,
    /// How long an answer to a question for what is missing may take. Default 250 ms.
    pub ask_timeout: Duration,
    /// How often the question is repeated, while the engine is up, before what is missing is given up as a gap. Default 4.
    pub asks_max: u32,
    /// How long publications are held back at most, whatever the engine does. Default 10 s.
    pub hold_max: Duration,
    /// Channels in one command. Default 512: a larger one keeps a Redis from its other clients for more than 1 ms.
    pub batch_max: usize,
    /// How long a topic's channel is kept after its last member left, with [`Spread::Topics`]. Default 2 s, since a page that is
    /// loaded again comes back sooner.
    pub linger: Duration,
    /// How often a call is repeated to peers that have not answered. Default 1 s.
    pub call_repeat: Duration,
    /// Calls that wait for their answers. Default 1,024.
    pub calls_max: usize,
    /// Peers that are known, living or remembered. Default 256; messages of others are not read.
    pub peers_max: usize,
    /// Messages of this node's own (questions, answers, presence) that wait for the engine. Default 1,024; at the bound new ones are
    /// dropped, as the engine may drop them, and are asked for again.
    pub queue_max: usize,
    /// Bounds on what arrives.
    pub wire: WireLimits,
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
            held_max: 256,
            held_bytes_max: 1024 * 1024,
            ask_timeout: Duration::from_millis(250),
            asks_max: 4,
            hold_max: Duration::from_secs(10),
            batch_max: 512,
            linger: Duration::from_secs(2),
            call_repeat: Duration::from_secs(1),
            calls_max: 1_024,
            peers_max: 256,
            queue_max: 1_024,
            wire: WireLimits::default(),
        }
    }
}
