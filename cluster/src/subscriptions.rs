//! Which channels the engine has to deliver, and how far it has confirmed them.
//!
//! ```text
//!   want ─▶ Wanted ── asked in a batch ──▶ Asked ── confirmed ──▶ Confirmed
//!             ▲                              │                       │ last member left, linger over
//!             └──── connection lost ─────────┴───────────────────────┤
//!                                     Absent ◀── confirmed ── Leaving ┘
//! ```
//!
//! One batch is with the engine at a time, so that no two commands for one channel can overtake each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::channel::{Channel, Key};

#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    channels: BTreeMap<Channel, State>,
    /// Control before nodes before topics: the order of [`Channel`].
    wanted: BTreeSet<Channel>,
    /// Channels without members, by when they are given up.
    lingering: BTreeMap<(Duration, Key), ()>,
    is_batch_out: bool,
}

#[derive(Debug)]
struct State {
    members: usize,
    phase: Phase,
    /// Whether it was confirmed since it was wanted, on this connection or one before.
    was_confirmed: bool,
    lingers_until: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Wanted,
    Asked,
    Confirmed,
    Leaving,
}

/// Since when nothing on a channel may be missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    FromNow,
    /// Since an earlier connection.
    Before,
}

/// A command for the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    Subscribe(Vec<Channel>),
    Unsubscribe(Vec<Channel>),
}

impl Subscriptions {
    /// A member more needs this channel. Returns whether the engine delivers it already.
    pub(crate) fn want(&mut self, channel: Channel) -> bool {
        let state = self.channels.entry(channel).or_insert_with(|| {
            self.wanted.insert(channel);
            State { members: 0, phase: Phase::Wanted, was_confirmed: false, lingers_until: None }
        });
        state.members += 1;
        if let (Some(until), Channel::Topics(key)) = (state.lingers_until.take(), channel) {
            self.lingering.remove(&(until, key));
        }
        state.phase == Phase::Confirmed
    }

    /// A member less needs this topic's channel; without any it is given up at `until`, if that is said.
    pub(crate) fn unwant(&mut self, key: Key, until: Option<Duration>) {
        let Some(state) = self.channels.get_mut(&Channel::Topics(key)) else { return };
        state.members = state.members.saturating_sub(1);
        if let (0, Some(until)) = (state.members, until) {
            state.lingers_until = Some(until);
            self.lingering.insert((until, key), ());
        }
    }

    pub(crate) fn is_confirmed(&self, channel: Channel) -> bool {
        self.channels.get(&channel).is_some_and(|state| state.phase == Phase::Confirmed)
    }

    /// Whether everything that is wanted is confirmed.
    pub(crate) fn is_settled(&self) -> bool {
        self.wanted.is_empty() && !self.is_batch_out
    }

    /// Whether nothing on this channel may be missed: somebody was told that it is delivered, and it is still wanted.
    pub(crate) fn is_owed(&self, key: Key) -> bool {
        self.channels.get(&Channel::Topics(key)).is_some_and(|state| state.was_confirmed)
    }

    /// What to tell the engine next, unless it has something to answer.
    pub(crate) fn next_batch(&mut self, now: Duration, batch_max: usize) -> Option<Batch> {
        if self.is_batch_out {
            return None;
        }
        let wanted: Vec<_> = self.wanted.iter().copied().take(batch_max).collect();
        if !wanted.is_empty() {
            for channel in &wanted {
                self.wanted.remove(channel);
                self.set(*channel, Phase::Asked);
            }
            self.is_batch_out = true;
            return Some(Batch::Subscribe(wanted));
        }
        let due: Vec<_> =
            self.lingering.keys().copied().take_while(|(until, _)| *until <= now).take(batch_max).collect();
        let mut leaving = Vec::new();
        for (until, key) in due {
            self.lingering.remove(&(until, key));
            let channel = Channel::Topics(key);
            if let Some(state) = self.channels.get_mut(&channel) {
                state.lingers_until = None;
            }
            self.set(channel, Phase::Leaving);
            if let Some(state) = self.channels.get_mut(&channel) {
                state.was_confirmed = false;
            }
            leaving.push(channel);
        }
        self.is_batch_out = !leaving.is_empty();
        (!leaving.is_empty()).then_some(Batch::Unsubscribe(leaving))
    }

    /// The engine delivers these from now on. Returns the topics' channels among them, and which of them were not owed before.
    pub(crate) fn handle_subscribed(&mut self, channels: &[Channel]) -> Vec<(Key, Owed)> {
        self.is_batch_out = false;
        let mut keys = Vec::new();
        for channel in channels {
            let Some(state) = self.channels.get_mut(channel) else { continue };
            state.phase = Phase::Confirmed;
            let owed =
                if std::mem::replace(&mut state.was_confirmed, true) { Owed::Before } else { Owed::FromNow };
            if let Channel::Topics(key) = channel {
                keys.push((*key, owed));
            }
        }
        keys
    }

    /// The engine delivers these no more; those that somebody wanted meanwhile are asked for again.
    pub(crate) fn handle_unsubscribed(&mut self, channels: &[Channel]) -> Vec<Key> {
        self.is_batch_out = false;
        let mut gone = Vec::new();
        for channel in channels {
            match self.channels.get_mut(channel) {
                Some(state) if state.members > 0 => {
                    (state.phase, state.was_confirmed) = (Phase::Wanted, false);
                    self.wanted.insert(*channel);
                }
                _ => {
                    self.channels.remove(channel);
                }
            }
            if let Channel::Topics(key) = channel {
                gone.push(*key);
            }
        }
        gone
    }

    /// The engine refuses these: nobody gets them until they are wanted anew.
    pub(crate) fn handle_refused(&mut self, channels: &[Channel]) -> Vec<Key> {
        self.is_batch_out = false;
        let mut keys = Vec::new();
        for channel in channels {
            self.channels.remove(channel);
            if let Channel::Topics(key) = channel {
                keys.push(*key);
            }
        }
        keys
    }

    /// The connection is lost: all are asked for again, but for those that nobody needs. Returns the topics' channels that were
    /// about to be given up.
    pub(crate) fn handle_down(&mut self) -> Vec<Key> {
        self.is_batch_out = false;
        let leaving = self.channels.iter().filter_map(|(channel, state)| match channel {
            Channel::Topics(key) if state.phase == Phase::Leaving => Some(*key),
            _ => None,
        });
        let leaving = leaving.collect();
        self.channels.retain(|_, state| state.phase != Phase::Leaving || state.members > 0);
        for (channel, state) in &mut self.channels {
            state.phase = Phase::Wanted;
            self.wanted.insert(*channel);
        }
        leaving
    }

    fn set(&mut self, channel: Channel, phase: Phase) {
        if let Some(state) = self.channels.get_mut(&channel) {
            state.phase = phase;
        }
    }
}
