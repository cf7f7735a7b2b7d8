//! Requests that one node carries for another: the state machine behind a lock, and what waits for the program.
//!
//! ```text
//!   Relay ── send, used, finish, drop ──▶ ┌────────────────┐ ── next_message ──▶ driver
//!         ◀── pieces, ends, room ──────── │ Relays, locked │ ◀── handle_* ────── driver
//!                                         └────────────────┘
//! ```
//!
//! What gathers for one peer is one message: [`gather`].

mod gather;
mod relay;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};

use bytes::Bytes;
use lapwing_cluster::{
    Instance,
    relay::{NotOpened, RelayConfig, RelayEnd, RelayKey, RelayOutput, Relays},
};
use tokio::{sync::Notify, time::Instant};

use self::gather::Gather;
pub use self::relay::Relay;

#[derive(Debug)]
pub(crate) struct RelayTable {
    state: Mutex<State>,
    /// There may be something for the engine.
    wake: Arc<Notify>,
    piece_bytes_max: usize,
}

/// Requests that nodes carry for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayStats {
    /// Those for sessions of other nodes that this node carries at the moment.
    pub carrying: usize,
    /// Those for this node's own sessions that others carry at the moment.
    pub carried: usize,
    /// Those that this node has begun to carry so far.
    pub begun: u64,
    /// Those that others have begun to carry here so far.
    pub taken: u64,
    /// Those of both that ended early: something was lost, the other node is gone, or it gave them up.
    pub broken: u64,
    /// Those that this node did not carry: the engine was away, or there were as many as may be.
    pub refused: u64,
    /// Messages about them that this node has given to the engine.
    pub messages: u64,
}

#[derive(Debug)]
struct State {
    relays: Relays,
    /// What was counted so far.
    stats: RelayStats,
    mailboxes: HashMap<RelayKey, Mailbox>,
    /// When what waits for the engine is to be handed over.
    gather: Gather,
    /// The node has ended: nothing begins.
    is_ended: bool,
}

/// What waits for one side's program.
#[derive(Debug, Default)]
struct Mailbox {
    pieces: VecDeque<Bytes>,
    /// The carrier sends nothing more.
    is_finished: bool,
    end: Option<RelayEnd>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Who waits for the end alone.
    watcher: Option<Waker>,
}

/// Whoever is to be woken once the lock is given back.
type Wakers = Vec<Waker>;

impl RelayTable {
    pub(crate) fn new(config: RelayConfig, wake: Arc<Notify>) -> Arc<Self> {
        let piece_bytes_max = config.piece_bytes();
        let (relays, mailboxes) = (Relays::new(config), HashMap::new());
        let stats = RelayStats::default();
        let state =
            Mutex::new(State { relays, stats, mailboxes, gather: Gather::default(), is_ended: false });
        Arc::new(Self { state, wake, piece_bytes_max })
    }

    /// Begins a relay to the node that has a session.
    pub(crate) fn open(self: &Arc<Self>, owner: Instance, head: Bytes) -> Result<Relay, NotOpened> {
        let mut state = self.lock();
        if state.is_ended {
            return Err(NotOpened::Away);
        }
        let opened = state.relays.open(owner, head);
        let count = if opened.is_ok() { &mut state.stats.begun } else { &mut state.stats.refused };
        *count += 1;
        let key = opened?;
        state.mailboxes.insert(key, Mailbox::default());
        // Its place may be that of one that was over.
        self.act(state);
        Ok(Relay::new(key, self.clone()))
    }

    pub(crate) fn handle_up(&self) {
        let mut state = self.lock();
        state.relays.handle_up();
        self.hand_over(state);
    }

    pub(crate) fn handle_down(&self) {
        self.lock().relays.handle_down();
    }

    /// A peer is gone.
    pub(crate) fn handle_gone(self: &Arc<Self>, peer: Instance) {
        let mut state = self.lock();
        state.relays.handle_gone(peer);
        self.act(state);
    }

    pub(crate) fn handle_tick(self: &Arc<Self>, now: Duration) {
        let mut state = self.lock();
        if !state.relays.is_empty() {
            state.relays.handle_tick(now);
            self.act(state);
        }
    }

    /// A peer says something. Returns the relays that it begins, with their heads.
    pub(crate) fn handle_message(self: &Arc<Self>, from: Instance, bytes: &Bytes) -> Vec<(Relay, Bytes)> {
        let mut state = self.lock();
        state.relays.handle_message(from, bytes);
        self.act(state)
    }

    /// What is to be said now, and to whom; nothing before it has gathered.
    pub(crate) fn next_message(&self) -> Option<(Instance, Bytes)> {
        let mut state = self.lock();
        let State { relays, gather, stats, .. } = &mut *state;
        let now = Instant::now();
        if !gather.is_over(now, relays.ready()) {
            return None;
        }
        let message = relays.poll_message();
        gather.handle_taken(now, relays.ready());
        stats.messages += u64::from(message.is_some());
        message
    }

    /// When there will be something to be said.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.lock().gather.due()
    }

    /// How many relays there are: carried for others' sessions, and of this node's own.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.relays.carried(), state.relays.len() - state.relays.carried())
    }

    /// How many there are, and what was counted.
    pub(crate) fn stats(&self) -> RelayStats {
        let state = self.lock();
        let carrying = state.relays.carried();
        RelayStats { carrying, carried: state.relays.len() - carrying, ..state.stats }
    }

    /// Whether others still carry requests of this node, or something waits to be said.
    pub(crate) fn is_busy(&self) -> bool {
        let state = self.lock();
        state.relays.len() > state.relays.carried() || state.relays.has_something()
    }

    /// The node has ended, and all relays with it.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.is_ended = true;
        let mut wakers = Vec::new();
        for mailbox in state.mailboxes.values_mut() {
            mailbox.end.get_or_insert(RelayEnd::Lost);
            mailbox.wake(&mut wakers);
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Tells the program what the relays say, and gives the lock back. Returns the relays that begin.
    fn act(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> Vec<(Relay, Bytes)> {
        let (mut wakers, mut opened) = (Wakers::new(), Vec::new());
        while let Some(output) = state.relays.poll_output() {
            match output {
                RelayOutput::Opened(key, head) => {
                    state.stats.taken += 1;
                    state.mailboxes.insert(key, Mailbox::default());
                    opened.push((Relay::new(key, self.clone()), head));
                }
                RelayOutput::Data(key, bytes) => match state.mailboxes.get_mut(&key) {
                    Some(mailbox) => {
                        mailbox.pieces.push_back(bytes);
                        wakers.extend(mailbox.reader.take());
                    }
                    // Its program has given its answer, and does not want to hear more.
                    None => state.relays.handle_used(key, bytes.len()),
                },
                RelayOutput::Finished(key) => {
                    if let Some(mailbox) = state.mailboxes.get_mut(&key) {
                        mailbox.is_finished = true;
                        wakers.extend(mailbox.reader.take());
                    }
                }
                RelayOutput::Room(key) => {
                    if let Some(mailbox) = state.mailboxes.get_mut(&key) {
                        wakers.extend(mailbox.writer.take());
                    }
                }
                RelayOutput::Ended(key, end) => {
                    state.stats.broken += u64::from(end != RelayEnd::Done);
                    if let Some(mailbox) = state.mailboxes.get_mut(&key) {
                        mailbox.end = Some(end);
                        mailbox.wake(&mut wakers);
                    }
                }
                RelayOutput::Dropped(key) => {
                    let unused = state.mailboxes.get_mut(&key).map_or(usize::MAX, |mailbox| {
                        mailbox.wake(&mut wakers);
                        mailbox.drop_pieces()
                    });
                    state.relays.handle_used(key, unused);
                }
            }
        }
        self.hand_over(state);
        wakers.into_iter().for_each(Waker::wake);
        opened
    }

    /// Gives the lock back, and has the driver come for what is to be said.
    fn hand_over(&self, mut state: MutexGuard<'_, State>) {
        if state.relays.has_something() && state.gather.begin(Instant::now) {
            drop(state);
            self.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here leaves the state half changed when it panics, which would be a bug of ours.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailbox {
    fn wake(&mut self, wakers: &mut Wakers) {
        wakers.extend(self.reader.take());
        wakers.extend(self.writer.take());
        wakers.extend(self.watcher.take());
    }

    /// Nothing more is to be had, not even what came. Returns how many bytes that was.
    fn drop_pieces(&mut self) -> usize {
        (self.is_finished, self.end) = (false, Some(RelayEnd::Lost));
        self.pieces.drain(..).map(|piece| piece.len()).sum()
    }
}
