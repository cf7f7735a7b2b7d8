//! Sessions that go from one node to another, as values: who has one at each moment, whatever is lost on the way.
//!
//! The node that has a session is the *source* of its move, the other one the *target*. What the bytes mean is no matter here: `about` is
//! what the target needs to get ready, as which channels are joined; the *baggage* is the session itself, frozen.
//!
//! ```text
//!   source                                              target
//!   offer ─────── offer: about ───────────────────────▶ Offered … accept
//!   Accepted ◀─── have 0 ──────────────────────────────
//!   (freezes)
//!   send ──────── piece, piece … ─────────────────────▶
//!           ◀──── have so many bytes ──────────────────
//!           ───── piece ──────────────────────────────▶ Arrived … ready
//!   Released ◀─── ready ───────────────────────────────
//!           ───── released ───────────────────────────▶ Taken: it is the target's
//!   Done    ◀──── taken ───────────────────────────────
//!           ───── gone: not known here any more ──────▶ (forgets the move)
//!
//!   source:  offered ─▶ freezing ─▶ sending ─▶ released ─▶ Done, or Lost
//!               └──────────┴───────────┴─▶ Back
//!   target:  offered ─▶ gathering ─▶ checking ─▶ ready ─▶ taken ─▶ (forgotten)
//!               └──────────┴────────────┴──────────┴─▶ Dropped
//! ```
//!
//! # Why one node has it
//!
//! The source decides alone, and once: a move is released or it is taken back, and what was decided never changes. The target has the session
//! only when it is told that it was released, and only if all of it is there. So the source may take it back at any time before, for any
//! reason, without asking; and the target waits, for as long as it does not know, until the source says which it was.
//!
//! | what fails | what becomes of it |
//! |---|---|
//! | a message is lost, repeated or late | it is said again; what was said before changes nothing |
//! | the target refuses, or does not get on for [`MoveConfig::patience`] | the source takes the session back; the target hears that the move is gone |
//! | the target dies before the release | the source takes it back |
//! | the target dies, or has forgotten the move, after the release | the session is [`Lost`](MoveOutput::Lost): its client is told |
//! | the source dies before the release | the target drops what it has: the session died with its node |
//! | the source dies after the release, and the target has not heard of it | the same: nobody else could say that it was released |
//! | both take each other for dead while they live | the source has it before the release, and nobody after it: the client is told |
//! | the engine is away | no time passes; what was under way is said again |
//!
//! # Laws
//!
//! For every order of calls and messages (`cluster/tests/moves`):
//!
//! 1. *One owner.* The source has the session until [`MoveOutput::Released`], the target from [`MoveOutput::Taken`] on; there is no moment at which
//!    two have it, nor a second `Taken`.
//! 2. *Whole.* What the target takes is what the source gave, byte for byte.
//! 3. *Told once.* A move ends at the source as `Back`, `Done` or `Lost`, once, and after `Released` never as `Back`; at the target as `Taken` or `Dropped`,
//!    once, unless it refused.
//! 4. *Nothing is lost while both live.* `Lost` is said only where one node has taken the other for dead.
//! 5. *Bounded.* Moves, and the bytes of those under way, never exceed [`MoveConfig`].
//! 6. *It ends.* Once messages arrive again, each move comes to its end, as long as the program does its part.

mod config;
mod incoming;
mod outgoing;
mod output;
mod saying;
pub mod wire;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;

pub use self::{
    config::MoveConfig,
    output::{Back, MoveOutput, NotOffered, NotSent},
    wire::Why,
};
use self::{
    incoming::Incoming,
    outgoing::Outgoing,
    saying::Peer,
    wire::{Item, items},
};
use crate::id::Instance;

/// Time that passes between two ticks at most: what was slept through is nobody's silence.
const TICK_MAX: Duration = Duration::from_secs(1);

/// What a node is to a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// It had the session.
    Source,
    /// It gets it.
    Target,
}

/// A move, as its node names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MoveKey {
    /// The other node.
    pub peer: Instance,
    /// What this node is to it.
    pub side: Side,
    /// The source's number for it, which it gives once.
    pub number: u64,
}

/// All moves of a node.
///
/// ```
/// use lapwing_cluster::{Instance, moves::{MoveConfig, MoveOutput, Moves}};
///
/// let (mut one, mut two) = (Moves::new(MoveConfig::default()), Moves::new(MoveConfig::default()));
/// one.handle_up();
/// two.handle_up();
/// fn exchange(one: &mut Moves, two: &mut Moves) {
///     while let Some((_, message)) = one.poll_message() {
///         two.handle_message(Instance(1), &message);
///     }
///     while let Some((_, message)) = two.poll_message() {
///         one.handle_message(Instance(2), &message);
///     }
/// }
/// let source = one.offer(Instance(2), "a session with two joins".into()).unwrap();
/// exchange(&mut one, &mut two);
/// let Some(MoveOutput::Offered(target, _)) = two.poll_output() else { panic!() };
/// two.accept(target);
/// exchange(&mut one, &mut two);
/// assert_eq!(one.poll_output(), Some(MoveOutput::Accepted(source)));
/// one.send(source, "its frames".into()).unwrap();
/// exchange(&mut one, &mut two);
/// assert_eq!(two.poll_output(), Some(MoveOutput::Arrived(target, "its frames".into())));
/// two.ready(target);
/// exchange(&mut one, &mut two);
/// assert_eq!(one.poll_output(), Some(MoveOutput::Released(source)));
/// exchange(&mut one, &mut two);
/// assert_eq!(two.poll_output(), Some(MoveOutput::Taken(target)));
/// assert_eq!(one.poll_output(), Some(MoveOutput::Done(source)));
/// ```
#[derive(Debug)]
pub struct Moves {
    config: MoveConfig,
    is_up: bool,
    /// Time for which the engine was up.
    time: Duration,
    ticked: Option<Duration>,
    outgoing: BTreeMap<MoveKey, Outgoing>,
    incoming: BTreeMap<MoveKey, Incoming>,
    peers: BTreeMap<Instance, Peer>,
    /// The last offers of peers that were taken for dead, newest last: one that lives may come back, and so may what it said.
    gone: VecDeque<(Instance, u64)>,
    /// Peers that something is to be said to, each once.
    ready: VecDeque<Instance>,
    outputs: VecDeque<MoveOutput>,
    last_number: u64,
    /// Bytes of baggage that this node sends, and those that it gathers.
    sending: usize,
    gathering: usize,
    unreadable: u64,
}

impl Moves {
    /// No moves, and an engine that is away.
    #[must_use]
    pub fn new(config: MoveConfig) -> Self {
        Self {
            config,
            is_up: false,
            time: Duration::ZERO,
            ticked: None,
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            peers: BTreeMap::new(),
            gone: VecDeque::new(),
            ready: VecDeque::new(),
            outputs: VecDeque::new(),
            last_number: 0,
            sending: 0,
            gathering: 0,
            unreadable: 0,
        }
    }

    /// The engine is there.
    pub fn handle_up(&mut self) {
        self.is_up = true;
    }

    /// The engine is away. What was under way may be lost, and no time passes.
    pub fn handle_down(&mut self) {
        self.is_up = false;
    }

    /// Time has passed; call it ten times a second. `now` is the time since any moment.
    pub fn handle_tick(&mut self, now: Duration) {
        let passed = self.ticked.map_or(Duration::ZERO, |before| now.saturating_sub(before));
        self.ticked = Some(now);
        if self.is_up {
            self.time += passed.min(TICK_MAX);
            self.tick_outgoing();
            self.tick_incoming();
        }
    }

    /// A peer is dead, or has departed.
    pub fn handle_gone(&mut self, peer: Instance) {
        let keys = |side| {
            let key = |number| MoveKey { peer, side, number };
            key(0)..=key(u64::MAX)
        };
        let outgoing: Vec<MoveKey> = self.outgoing.range(keys(Side::Source)).map(|(key, _)| *key).collect();
        let incoming: Vec<MoveKey> = self.incoming.range(keys(Side::Target)).map(|(key, _)| *key).collect();
        for key in outgoing {
            self.end_outgoing(key, Back::Gone);
        }
        for key in incoming {
            self.drop_incoming(key);
        }
        self.leave(peer);
    }

    /// A peer says something.
    pub fn handle_message(&mut self, from: Instance, message: &Bytes) {
        if self.enter(from).is_none() {
            return;
        }
        for item in items(message) {
            let Ok(item) = item else {
                self.unreadable += 1;
                return;
            };
            let key = |side, number| MoveKey { peer: from, side, number };
            let (source, target) = (|number| key(Side::Source, number), |number| key(Side::Target, number));
            match item {
                Item::Offer { number, about } => self.handle_offer(target(number), about),
                Item::Piece { number, total, offset, bytes } => {
                    self.handle_piece(target(number), total, offset, &bytes);
                }
                Item::Released { number } => self.handle_released(target(number)),
                Item::Gone { number } => self.drop_incoming(target(number)),
                Item::Have { number, bytes } => self.handle_have(source(number), bytes),
                Item::Ready { number } => self.handle_ready(source(number)),
                Item::Taken { number } => self.handle_taken(source(number)),
                Item::Refused { number, why } => self.end_outgoing(source(number), Back::Refused(why)),
            }
        }
    }

    /// What the program is to know next.
    pub fn poll_output(&mut self) -> Option<MoveOutput> {
        self.outputs.pop_front()
    }

    /// How many sessions are on their way from here.
    #[must_use]
    pub fn outgoing(&self) -> usize {
        self.outgoing.len()
    }

    /// How many are on their way to here; one that was taken counts until its source knows.
    #[must_use]
    pub fn incoming(&self) -> usize {
        self.incoming.len()
    }

    /// Whether something waits to be said.
    #[must_use]
    pub fn has_something(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Bytes of baggage that is sent from here, and of what is gathered here.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.sending, self.gathering)
    }

    /// How many messages could not be read.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }
}
