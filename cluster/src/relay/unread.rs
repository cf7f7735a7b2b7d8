//! Relays that are over and of which the program has not used all that came: their bytes count until it has, and so does their place.
//!
//! Where there is no room, those go whose program has not used what it had for longest. A client that reads is behind for moments, one that does not for
//! as long as it likes: so whoever does not read stops nobody who does. What a program was told to drop and still has counts for what it is, and nobody else
//! goes for it.

use std::{cmp::Reverse, time::Duration};

use super::{Relay, RelayKey, RelayOutput, Relays, halves::Receiving, wire::Role};

/// Which part of a bound becomes free where it is reached: who is to go is looked for once for many of those who come.
const FREED: usize = 64;

/// What came of a relay that is over is in use for so long, whoever else needs its place.
const IN_USE: Duration = Duration::from_secs(1);

/// What came of a relay that is over.
#[derive(Debug)]
pub(super) struct Unread {
    receiving: Receiving,
    /// The program is to drop it. It has no place any more.
    is_dropped: bool,
}

/// Since when a relay has bytes that are not used, and how many: those that go first are less.
type Turn = (Duration, Reverse<usize>, RelayKey);

impl Relays {
    /// A relay has a place.
    pub(super) fn take_place(&mut self, key: RelayKey) {
        match key.role {
            Role::Carrier => self.carried += 1,
            Role::Owner => self.owned += 1,
        }
    }

    fn give_place_back(&mut self, key: RelayKey) {
        match key.role {
            Role::Carrier => self.carried -= 1,
            Role::Owner => self.owned -= 1,
        }
    }

    /// A relay is over; what came of it is used at some time, or is used already.
    pub(super) fn keep_unread(&mut self, key: RelayKey, receiving: Receiving) {
        if receiving.held() == 0 {
            return self.give_place_back(key);
        }
        self.unread.insert(key, Unread { receiving, is_dropped: false });
    }

    /// The program has nothing of a relay any more that is over.
    pub(super) fn forget_unread(&mut self, key: RelayKey) {
        let Some(Unread { receiving, is_dropped }) = self.unread.remove(&key) else { return };
        self.held -= receiving.held();
        if is_dropped {
            self.dropped -= receiving.held();
            self.leaving = self.leaving.saturating_sub(receiving.held());
        } else {
            self.give_place_back(key);
        }
    }

    /// The program has used bytes of a relay that is over.
    pub(super) fn handle_used_unread(&mut self, key: RelayKey, bytes: usize) {
        let Some(unread) = self.unread.get_mut(&key) else { return };
        let bytes = unread.receiving.handle_used(bytes, self.time);
        self.held -= bytes;
        if unread.is_dropped {
            self.dropped -= bytes;
            self.leaving = self.leaving.saturating_sub(bytes);
        }
        if unread.receiving.held() == 0 {
            self.forget_unread(key);
        }
    }

    /// Whether there is room for so many bytes that come, once those have gone that have to.
    pub(super) fn make_room(&mut self, bytes: usize) -> bool {
        let bytes_max = self.config.held_bytes_max;
        if self.counted() + bytes <= bytes_max {
            return true;
        }
        // What is left when all have gone that can.
        let least = self.dropped - self.leaving + bytes;
        if least > bytes_max {
            return false;
        }
        let goal = bytes_max - bytes_max / FREED;
        let goal = if least <= goal { goal } else { bytes_max };
        let live = self.relays.iter().map(|(key, Relay { receiving, .. })| (key, receiving));
        let turns = live.chain(self.over()).filter(|(_, receiving)| receiving.held() > 0);
        for (_, _, key) in in_turn(turns) {
            if self.counted() + bytes <= goal {
                break;
            }
            self.lose(key);
            self.drop_unread(key);
        }
        self.counted() + bytes <= bytes_max
    }

    /// Whether there is a place for another relay, once some that are over have gone.
    pub(super) fn make_place(&mut self, role: Role) -> bool {
        let places = |relays: &Self| match role {
            Role::Carrier => (relays.carried, relays.config.carried_max),
            Role::Owner => (relays.owned, relays.config.owned_max),
        };
        let (taken, max) = places(self);
        if taken >= max {
            let is_left = |receiving: &Receiving| receiving.held_since() + IN_USE <= self.time;
            let turns =
                in_turn(self.over().filter(|(key, receiving)| key.role == role && is_left(receiving)));
            for (_, _, key) in turns.into_iter().take(max / FREED + 1) {
                self.drop_unread(key);
            }
        }
        let (taken, max) = places(self);
        taken < max
    }

    /// Bytes that came and are not used, but for those that the program is about to drop.
    fn counted(&self) -> usize {
        self.held - self.leaving
    }

    /// Relays that are over and that the program was not told to drop.
    fn over(&self) -> impl Iterator<Item = (&RelayKey, &Receiving)> {
        self.unread
            .iter()
            .filter(|(_, unread)| !unread.is_dropped)
            .map(|(key, unread)| (key, &unread.receiving))
    }

    fn drop_unread(&mut self, key: RelayKey) {
        let Some(unread) = self.unread.get_mut(&key) else { return };
        unread.is_dropped = true;
        self.dropped += unread.receiving.held();
        self.leaving += unread.receiving.held();
        self.give_place_back(key);
        self.outputs.push_back(RelayOutput::Dropped(key));
    }
}

fn in_turn<'a>(relays: impl Iterator<Item = (&'a RelayKey, &'a Receiving)>) -> Vec<Turn> {
    let turn =
        |(key, receiving): (&RelayKey, &Receiving)| (receiving.held_since(), Reverse(receiving.held()), *key);
    let mut turns: Vec<Turn> = relays.map(turn).collect();
    turns.sort_unstable();
    turns
}
