//! Sessions that go from one node to another: the state machine behind a lock, and what the program says to it.
//!
//! ```text
//!   program ── offer, send, accept, ready … ──▶ ┌───────────────┐ ── next_message ──▶ driver
//!           ◀── ClusterEvent::Move ──────────── │ Moves, locked │ ◀── handle_* ────── driver
//!                                               └───────────────┘
//! ```

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use lapwing_cluster::{
    Instance,
    moves::{MoveConfig, MoveKey, MoveOutput, Moves, NotOffered, NotSent},
};
use tokio::sync::Notify;

/// Sessions that go from one node to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MoveStats {
    /// Those that are on their way from here at the moment.
    pub leaving: usize,
    /// Those that are on their way to here at the moment, and those that were taken and whose source does not know yet.
    pub coming: usize,
    /// Those that were offered to other nodes so far.
    pub offered: u64,
    /// Those that other nodes have so far.
    pub done: u64,
    /// Those that stayed here: another node refused them, said nothing, or is gone, or this one kept them.
    pub back: u64,
    /// Those that were released to a node that is gone, or that had forgotten them.
    pub lost: u64,
    /// Those that came here so far.
    pub taken: u64,
    /// Those that were on their way to here and did not come.
    pub dropped: u64,
    /// Messages about them that this node has given to the engine.
    pub messages: u64,
}

#[derive(Debug)]
pub(crate) struct MoveTable {
    state: Mutex<State>,
    /// There may be something for the engine.
    wake: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    moves: Moves,
    /// Peers that live and read what is said about moves.
    takers: HashSet<Instance>,
    /// What was counted so far.
    stats: MoveStats,
}

impl MoveTable {
    /// Without a configuration nothing goes or comes.
    pub(crate) fn new(config: Option<MoveConfig>, wake: Arc<Notify>) -> Self {
        let config = config.unwrap_or_else(|| MoveConfig::default().outgoing_max(0).incoming_max(0));
        let state = State { moves: Moves::new(config), takers: HashSet::new(), stats: MoveStats::default() };
        Self { state: Mutex::new(state), wake }
    }

    pub(crate) fn handle_up(&self) {
        self.lock().moves.handle_up();
    }

    pub(crate) fn handle_down(&self) {
        self.lock().moves.handle_down();
    }

    /// A peer is there that reads what is said about moves.
    pub(crate) fn handle_taker(&self, peer: Instance) {
        self.lock().takers.insert(peer);
    }

    pub(crate) fn handle_gone(&self, peer: Instance) -> Vec<MoveOutput> {
        let mut state = self.lock();
        state.takers.remove(&peer);
        state.moves.handle_gone(peer);
        state.outputs()
    }

    pub(crate) fn handle_tick(&self, now: Duration) -> Vec<MoveOutput> {
        let mut state = self.lock();
        state.moves.handle_tick(now);
        state.outputs()
    }

    pub(crate) fn handle_message(&self, from: Instance, bytes: &Bytes) -> Vec<MoveOutput> {
        let mut state = self.lock();
        state.moves.handle_message(from, bytes);
        state.outputs()
    }

    /// What is to be said next, and to whom.
    pub(crate) fn next_message(&self) -> Option<(Instance, Bytes)> {
        let mut state = self.lock();
        let message = state.moves.poll_message()?;
        state.stats.messages += 1;
        Some(message)
    }

    pub(crate) fn stats(&self) -> MoveStats {
        let state = self.lock();
        MoveStats { leaving: state.moves.outgoing(), coming: state.moves.incoming(), ..state.stats }
    }

    /// Whether it is not known of all sessions that go where they are, or something waits to be said.
    pub(crate) fn is_busy(&self) -> bool {
        let state = self.lock();
        state.moves.outgoing() > 0 || state.moves.has_something()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.wake.notify_one();
        changed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here leaves the state half changed when it panics, which would be a bug of ours.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What the program is to know, counted.
    fn outputs(&mut self) -> Vec<MoveOutput> {
        let mut outputs = Vec::new();
        while let Some(output) = self.moves.poll_output() {
            let stats = &mut self.stats;
            let count = match &output {
                MoveOutput::Done(_) => Some(&mut stats.done),
                MoveOutput::Back(..) => Some(&mut stats.back),
                MoveOutput::Lost(_) => Some(&mut stats.lost),
                MoveOutput::Taken(_) => Some(&mut stats.taken),
                MoveOutput::Dropped(_) => Some(&mut stats.dropped),
                _ => None,
            };
            count.into_iter().for_each(|count| *count += 1);
            outputs.push(output);
        }
        outputs
    }
}

/// What a program says of sessions that go from one node to another; it hears [`ClusterEvent::Move`](crate::ClusterEvent::Move). Nothing goes or
/// comes unless [`Options::moves`](crate::Options::moves) says so.
///
/// What each call means, and what may be called when, is at [`lapwing_cluster::moves::Moves`].
///
/// ```
/// use lapwing_cluster::moves::{MoveConfig, MoveOutput};
/// use lapwing_cluster_driver::{ClusterEvent, Events, Hub, Options};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// async fn heard(events: &mut Events) -> MoveOutput {
///     loop {
///         if let ClusterEvent::Move(output) = events.next().await.expect("the node runs") {
///             return output;
///         }
///     }
/// }
///
/// let (hub, options) = (Hub::new(), Options::new("chat").moves(MoveConfig::default()));
/// let (one, mut at_one) = options.clone().name("one").start(hub.engine("one")).await?;
/// let (two, mut at_two) = options.name("two").start(hub.engine("two")).await?;
/// while one.peers().is_empty() || two.peers().is_empty() {
///     tokio::task::yield_now().await;
/// }
///
/// one.moves().offer(two.instance(), "a session with two joins".into())?;
/// let MoveOutput::Offered(to, _) = heard(&mut at_two).await else { panic!() };
/// two.moves().accept(to);
/// let MoveOutput::Accepted(from) = heard(&mut at_one).await else { panic!() };
/// one.moves().send(from, "its frames".into())?;
/// assert_eq!(heard(&mut at_two).await, MoveOutput::Arrived(to, "its frames".into()));
/// two.moves().ready(to);
/// assert_eq!(heard(&mut at_one).await, MoveOutput::Released(from));
/// assert_eq!(heard(&mut at_two).await, MoveOutput::Taken(to));
/// assert_eq!(two.stats().moves.taken, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SessionMoves<'a>(&'a MoveTable);

impl<'a> SessionMoves<'a> {
    pub(crate) fn new(table: &'a MoveTable) -> Self {
        Self(table)
    }

    /// Offers a session to another node.
    ///
    /// # Errors
    /// [`NotOffered::Away`] also where that node is not known to live, or is of a release that moves no sessions.
    pub fn offer(self, target: Instance, about: Bytes) -> Result<MoveKey, NotOffered> {
        self.0.change(|state| {
            if !state.takers.contains(&target) {
                return Err(NotOffered::Away);
            }
            let key = state.moves.offer(target, about)?;
            state.stats.offered += 1;
            Ok(key)
        })
    }

    /// Sends a session that the other node has [accepted](MoveOutput::Accepted).
    ///
    /// # Errors
    /// See [`NotSent`].
    pub fn send(self, key: MoveKey, baggage: Bytes) -> Result<(), NotSent> {
        self.0.change(|state| state.moves.send(key, baggage))
    }

    /// Keeps a session that was offered. Returns whether it stays.
    pub fn withdraw(self, key: MoveKey) -> bool {
        self.0.change(|state| {
            let stays = state.moves.withdraw(key);
            state.stats.back += u64::from(stays);
            stays
        })
    }

    /// Takes a session that is [offered](MoveOutput::Offered), as far as can be said. Returns whether it still is.
    pub fn accept(self, key: MoveKey) -> bool {
        self.0.change(|state| state.moves.accept(key))
    }

    /// Says that a session that has [arrived](MoveOutput::Arrived) could go on here. Returns whether it may still come.
    pub fn ready(self, key: MoveKey) -> bool {
        self.0.change(|state| state.moves.ready(key))
    }

    /// Does not take a session. Returns whether that is possible.
    pub fn refuse(self, key: MoveKey) -> bool {
        self.0.change(|state| state.moves.refuse(key))
    }
}
