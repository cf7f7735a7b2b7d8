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
                _ => self.forget(*channel),
            }
            if let Channel::Topics(key) = channel {
                gone.push(*key);
            }
        }
        gone
    }

    /// The engine refuses these: nobody gets them until they are wanted anew. A node's own are asked for again on the next connection.
    pub(crate) fn handle_refused(&mut self, channels: &[Channel]) -> Vec<Key> {
        self.is_batch_out = false;
        let mut keys = Vec::new();
        for channel in channels {
            if let Channel::Topics(key) = channel {
                self.forget(*channel);
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
        let is_over = |state: &State| state.phase == Phase::Leaving && state.members == 0;
        let over: Vec<_> =
            self.channels.iter().filter(|(_, state)| is_over(state)).map(|(at, _)| *at).collect();
        over.into_iter().for_each(|channel| self.forget(channel));
        for (channel, state) in &mut self.channels {
            state.phase = Phase::Wanted;
            self.wanted.insert(*channel);
        }
        leaving
    }

    /// Whoever wants it again begins anew: a time at which it was to be given up is not that one's.
    fn forget(&mut self, channel: Channel) {
        if let (Some(state), Channel::Topics(key)) = (self.channels.remove(&channel), channel)
            && let Some(until) = state.lingers_until
        {
            self.lingering.remove(&(until, key));
        }
    }

    fn set(&mut self, channel: Channel, phase: Phase) {
        if let Some(state) = self.channels.get_mut(&channel) {
            state.phase = phase;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Key = Key(1);
    const B: Key = Key(2);

    fn topics(key: Key) -> Channel {
        Channel::Topics(key)
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// What the engine is told at this time, which it confirms.
    fn told(subscriptions: &mut Subscriptions, at: u64) -> Option<Batch> {
        let batch = subscriptions.next_batch(secs(at), 9)?;
        match &batch {
            Batch::Subscribe(channels) => drop(subscriptions.handle_subscribed(channels)),
            Batch::Unsubscribe(channels) => drop(subscriptions.handle_unsubscribed(channels)),
        }
        Some(batch)
    }

    /// Subscribed to these, each for one member.
    fn subscribed(keys: &[Key]) -> Subscriptions {
        let mut subscriptions = Subscriptions::default();
        for key in keys {
            assert!(!subscriptions.want(topics(*key)), "not yet");
        }
        let channels = keys.iter().map(|key| topics(*key)).collect();
        assert_eq!(told(&mut subscriptions, 0), Some(Batch::Subscribe(channels)));
        subscriptions
    }

    #[test]
    fn one_batch_is_with_the_engine_at_a_time_and_the_channel_of_all_is_in_the_first() {
        let mut subscriptions = Subscriptions::default();
        for channel in [topics(B), topics(A), Channel::Control] {
            subscriptions.want(channel);
        }
        assert!(!subscriptions.is_settled());
        let first = vec![Channel::Control, topics(A)];
        assert_eq!(subscriptions.next_batch(secs(0), 2), Some(Batch::Subscribe(first.clone())));
        assert_eq!(subscriptions.next_batch(secs(0), 2), None, "the engine has something to answer");
        assert!(!subscriptions.is_confirmed(Channel::Control) && !subscriptions.is_owed(A));
        assert_eq!(subscriptions.handle_subscribed(&first), [(A, Owed::FromNow)]);
        assert!(subscriptions.is_confirmed(Channel::Control) && subscriptions.is_confirmed(topics(A)));
        assert!(
            subscriptions.is_owed(A) && !subscriptions.is_owed(B) && !subscriptions.is_confirmed(topics(B))
        );
        assert!(!subscriptions.is_settled(), "one is left");
        assert_eq!(subscriptions.next_batch(secs(0), 2), Some(Batch::Subscribe(vec![topics(B)])));
        assert!(!subscriptions.is_settled(), "and not confirmed");
        subscriptions.handle_subscribed(&[topics(B)]);
        assert!(subscriptions.is_settled() && subscriptions.want(topics(B)));
        assert_eq!(subscriptions.next_batch(secs(0), 2), None);
    }

    #[test]
    fn a_channel_is_given_up_some_time_after_its_last_member_has_left() {
        let mut subscriptions = subscribed(&[A]);
        assert!(subscriptions.want(topics(A)));
        subscriptions.unwant(A, Some(secs(10)));
        assert_eq!(told(&mut subscriptions, 99), None, "another is there");
        subscriptions.unwant(A, Some(secs(110)));
        assert_eq!(told(&mut subscriptions, 109), None);
        assert!(subscriptions.is_owed(A));
        assert_eq!(subscriptions.next_batch(secs(110), 9), Some(Batch::Unsubscribe(vec![topics(A)])));
        assert!(
            !subscriptions.is_owed(A)
                && !subscriptions.is_confirmed(topics(A))
                && !subscriptions.is_settled()
        );
        assert_eq!(subscriptions.next_batch(secs(110), 9), None, "one at a time");
        assert_eq!(subscriptions.handle_unsubscribed(&[topics(A), Channel::Control]), [A]);
        assert!(subscriptions.is_settled() && subscriptions.channels.is_empty());
        subscriptions.unwant(A, Some(secs(120)));
        assert_eq!(told(&mut subscriptions, 120), None);
    }

    #[test]
    fn whoever_comes_back_in_time_finds_the_channel_and_later_it_is_asked_for_again() {
        let mut subscriptions = subscribed(&[A]);
        subscriptions.unwant(A, Some(secs(10)));
        assert!(subscriptions.want(topics(A)));
        assert_eq!(told(&mut subscriptions, 99), None);
        subscriptions.unwant(A, Some(secs(100)));
        assert!(subscriptions.next_batch(secs(100), 9).is_some());
        assert!(!subscriptions.want(topics(A)), "it is on its way out");
        assert_eq!(subscriptions.handle_unsubscribed(&[topics(A)]), [A]);
        assert!(!subscriptions.is_settled());
        let batch = subscriptions.next_batch(secs(100), 9);
        assert_eq!(batch, Some(Batch::Subscribe(vec![topics(A)])));
        assert_eq!(subscriptions.handle_subscribed(&[topics(A)]), [(A, Owed::FromNow)]);
    }

    #[test]
    fn a_time_at_which_a_channel_was_to_be_given_up_is_forgotten_with_it() {
        // Somebody came and went while it was on its way out: it ends as it was asked to, by the engine's answer or with the connection.
        for ends in [
            (|it| drop(it.handle_unsubscribed(&[topics(A)]))) as fn(&mut Subscriptions),
            |it| drop(it.handle_down()),
            |it| drop(it.handle_refused(&[topics(A)])),
        ] {
            let mut subscriptions = subscribed(&[A]);
            subscriptions.unwant(A, Some(secs(10)));
            assert!(subscriptions.next_batch(secs(10), 9).is_some());
            subscriptions.want(topics(A));
            subscriptions.unwant(A, Some(secs(20)));
            ends(&mut subscriptions);
            assert!(!subscriptions.want(topics(A)));
            assert_eq!(told(&mut subscriptions, 15), Some(Batch::Subscribe(vec![topics(A)])));
            assert_eq!(told(&mut subscriptions, 99), None, "whoever came after that keeps it");
        }
    }

    #[test]
    fn with_the_connection_all_are_asked_for_again_but_those_that_nobody_needs() {
        let mut subscriptions = subscribed(&[A, B]);
        subscriptions.unwant(B, Some(secs(10)));
        assert!(subscriptions.next_batch(secs(10), 9).is_some());
        assert_eq!(subscriptions.handle_down(), [B]);
        assert!(!subscriptions.is_confirmed(topics(A)) && subscriptions.is_owed(A));
        assert_eq!(subscriptions.next_batch(secs(10), 9), Some(Batch::Subscribe(vec![topics(A)])));
        assert_eq!(subscriptions.handle_subscribed(&[topics(A)]), [(A, Owed::Before)]);
        // One that was about to be given up, and is wanted.
        subscriptions.unwant(A, Some(secs(20)));
        assert!(subscriptions.next_batch(secs(20), 9).is_some());
        subscriptions.want(topics(A));
        assert_eq!(subscriptions.handle_down(), [A]);
        assert_eq!(subscriptions.next_batch(secs(20), 9), Some(Batch::Subscribe(vec![topics(A)])));
        assert_eq!(subscriptions.handle_subscribed(&[topics(A)]), [(A, Owed::FromNow)]);
    }

    #[test]
    fn what_the_engine_refuses_is_wanted_by_nobody_until_it_is_wanted_anew() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.want(topics(A));
        assert!(subscriptions.next_batch(secs(0), 9).is_some());
        assert_eq!(subscriptions.handle_refused(&[topics(A), Channel::Control]), [A]);
        assert!(subscriptions.is_settled() && !subscriptions.is_owed(A));
        assert!(!subscriptions.want(topics(A)));
        assert_eq!(told(&mut subscriptions, 0), Some(Batch::Subscribe(vec![topics(A)])));
    }

    #[test]
    fn a_channel_of_the_nodes_own_that_is_refused_is_asked_for_on_the_next_connection() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.want(Channel::Control);
        assert!(subscriptions.next_batch(secs(0), 9).is_some());
        assert_eq!(subscriptions.handle_refused(&[Channel::Control]), []);
        assert!(!subscriptions.is_confirmed(Channel::Control));
        assert_eq!(subscriptions.next_batch(secs(0), 9), None, "not again and again");
        assert_eq!(subscriptions.handle_down(), []);
        assert_eq!(told(&mut subscriptions, 0), Some(Batch::Subscribe(vec![Channel::Control])));
    }
}
