//! Who else is there: peers by their beats, judged by this node's own beats that come back.
//!
//! ```text
//!   ── first beat ──▶ living ── our beats come back, its do not ──▶ silent (remembered) ── beat ──▶ living
//!                        └────── departed ──▶ forgotten
//! ```
//!
//! Time alone kills nobody. When the engine stalls, restarts, or cannot be reached from here, no beat of this node comes back,
//! and none of a peer is missed. A node that was paused sent no beats, so it counts none.

use std::collections::BTreeMap;

use crate::{config::Config, id::Instance, inbound::Inbound};

/// A node that lives, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// The oldest and newest version that it reads.
    pub versions: (u8, u8),
    /// Whether it is about to go.
    pub is_draining: bool,
}

/// The instances that this node has heard of.
#[derive(Debug, Default)]
pub(crate) struct Members {
    members: BTreeMap<Instance, Member>,
}

/// What is known of an instance.
#[derive(Debug, Default)]
pub(crate) struct Member {
    /// None before its first beat, and after it fell silent.
    pub(crate) peer: Option<Peer>,
    pub(crate) inbound: Inbound,
    /// Beats of this node that came back since the peer's last one.
    silence: u32,
    /// How many of them are too many.
    silence_max: u32,
    /// Whether it was told that something may be missing from before this node knew it.
    is_uncertain_told: bool,
    /// Whether an unreadable message of it was told since the last beat that came back.
    is_unreadable_told: bool,
}

impl Members {
    /// The state of an instance, made if there is room for it.
    pub(crate) fn enter(&mut self, instance: Instance, config: &Config) -> Option<&mut Member> {
        let is_full = self.members.len() >= config.peers_max;
        if is_full && !self.members.contains_key(&instance) && !self.forget_one() {
            return None;
        }
        let silence_max = config.silence_beats_after_outage;
        Some(self.members.entry(instance).or_insert_with(|| Member { silence_max, ..Member::default() }))
    }

    pub(crate) fn get(&mut self, instance: Instance) -> Option<&mut Member> {
        self.members.get_mut(&instance)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Instance, &Member)> {
        self.members.iter().map(|(instance, member)| (*instance, member))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Instance, &mut Member)> {
        self.members.iter_mut().map(|(instance, member)| (*instance, member))
    }

    /// A beat of this node came back: whoever is silent is so for one more. Returns those for whom it was one too many.
    pub(crate) fn handle_echo(&mut self) -> Vec<Instance> {
        let mut silent = Vec::new();
        for (instance, member) in &mut self.members {
            member.silence = member.silence.saturating_add(1);
            member.is_unreadable_told = false;
            if member.silence == member.silence_max && member.peer.is_some() {
                silent.push(*instance);
            }
        }
        silent
    }

    /// After an outage of this node's own connection, the others may come back later than it.
    pub(crate) fn forgive_silence(&mut self, config: &Config) {
        for member in self.members.values_mut() {
            member.silence = 0;
            member.silence_max = config.silence_beats_after_outage;
        }
    }

    /// The instance has departed.
    pub(crate) fn remove(&mut self, instance: Instance) -> Option<Member> {
        self.members.remove(&instance)
    }

    /// Forgets the instance that has been silent for longest, of those that do not live.
    fn forget_one(&mut self) -> bool {
        let silent = self.members.iter().filter(|(_, member)| member.peer.is_none());
        let oldest = silent.max_by_key(|(_, member)| member.silence).map(|(instance, _)| *instance);
        oldest.is_some_and(|oldest| self.members.remove(&oldest).is_some())
    }
}

impl Member {
    /// Its beat came. Returns whether it was not taken for living before.
    pub(crate) fn handle_beat(&mut self, peer: Peer, config: &Config) -> bool {
        (self.silence, self.silence_max) = (0, config.silence_beats);
        self.peer.replace(peer).is_none()
    }

    /// Whether a doubt about what it published before is new.
    pub(crate) fn is_first_doubt(&mut self) -> bool {
        !std::mem::replace(&mut self.is_uncertain_told, true)
    }

    /// Whether this is the first message since the last beat that could not be read.
    pub(crate) fn is_first_unreadable(&mut self) -> bool {
        !std::mem::replace(&mut self.is_unreadable_told, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> Peer {
        Peer { name: "node".into(), versions: (1, 2), is_draining: false }
    }

    fn config() -> Config {
        Config::default().silence_beats(3).silence_beats_after_outage(5).peers_max(2)
    }

    /// After how many own beats each is found silent, of the first ten.
    fn silent(members: &mut Members) -> Vec<(u32, Instance)> {
        let echoes = (1..=10).map(|echo| (echo, members.handle_echo()));
        echoes.flat_map(|(echo, silent)| silent.into_iter().map(move |instance| (echo, instance))).collect()
    }

    #[test]
    fn a_peer_is_silent_after_so_many_own_beats_and_later_after_an_outage() {
        let mut members = Members::default();
        let one = Instance(1);
        assert!(members.enter(one, &config()).unwrap().handle_beat(peer(), &config()));
        assert!(!members.get(one).unwrap().handle_beat(peer(), &config()), "it is known");
        assert_eq!(silent(&mut members), [(3, one)], "and is found silent once");
        members.get(one).unwrap().handle_beat(peer(), &config());
        members.handle_echo();
        members.handle_echo();
        members.forgive_silence(&config());
        assert_eq!(silent(&mut members), [(5, one)]);
    }

    /// Something came of it before its first beat: it is no peer yet, and has all the time that one has after an outage.
    #[test]
    fn who_has_not_said_that_it_lives_is_not_silent() {
        let mut members = Members::default();
        let member = members.enter(Instance(1), &config()).unwrap();
        assert_eq!((member.silence_max, member.silence), (5, 0));
        assert_eq!(silent(&mut members), []);
        assert_eq!(members.iter().map(|(instance, _)| instance).collect::<Vec<_>>(), [Instance(1)]);
        assert_eq!(members.iter_mut().count(), 1);
    }

    #[test]
    fn at_the_bound_whoever_was_silent_for_longest_makes_room_and_nobody_who_lives() {
        let mut members = Members::default();
        let known =
            |members: &mut Members| -> Vec<u64> { members.iter().map(|(instance, _)| instance.0).collect() };
        members.enter(Instance(1), &config());
        members.handle_echo();
        members.enter(Instance(2), &config());
        assert!(members.enter(Instance(1), &config()).is_some(), "it is known");
        assert!(members.enter(Instance(3), &config()).is_some());
        assert_eq!(known(&mut members), [2, 3]);
        for instance in [2, 3] {
            members.get(Instance(instance)).unwrap().handle_beat(peer(), &config());
        }
        assert!(members.enter(Instance(4), &config()).is_none());
        assert!(members.remove(Instance(2)).is_some_and(|member| member.peer.is_some()));
        assert!(members.remove(Instance(2)).is_none());
        assert!(members.enter(Instance(4), &config()).is_some());
        assert_eq!(known(&mut members), [3, 4]);
    }

    #[test]
    fn a_doubt_is_told_once_and_what_cannot_be_read_once_for_each_beat_that_comes_back() {
        let mut members = Members::default();
        let told = |members: &mut Members| {
            let member = members.enter(Instance(1), &config()).unwrap();
            (member.is_first_doubt(), member.is_first_unreadable())
        };
        assert_eq!([told(&mut members), told(&mut members)], [(true, true), (false, false)]);
        members.handle_echo();
        assert_eq!([told(&mut members), told(&mut members)], [(false, true), (false, false)]);
    }
}
