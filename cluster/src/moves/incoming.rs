//! Moves of which this node is the target.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::{
    MoveKey, MoveOutput, Moves,
    wire::{Item, Why},
};

/// So many times as long as a source is patient, a target is.
const PATIENCE_FACTOR: u32 = 3;

/// A session that is on its way to here.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) state: State,
    /// When the source last said something of it.
    heard: Duration,
    /// When something was last said of it.
    pub(super) said: Duration,
}

#[derive(Debug)]
pub(super) enum State {
    Offered,
    Gathering(Gathering),
    /// The program looks at so many bytes.
    Checking(usize),
    /// It is the source's, or already this node's: the source knows.
    Ready,
    /// It is this node's; the source does not know yet that it knows.
    Taken,
}

#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// Bytes in all, once they are known.
    total: usize,
    pub(super) bytes: BytesMut,
}

/// What comes of a piece.
enum Step {
    Goes,
    Complete(Bytes),
    Ends(Why),
}

impl Moves {
    /// Takes a session that is offered, as far as can be said. Returns whether it still is.
    pub fn accept(&mut self, key: MoveKey) -> bool {
        let time = self.time;
        let Some(incoming) = self.incoming.get_mut(&key) else { return false };
        let is_offered = matches!(incoming.state, State::Offered);
        if is_offered {
            incoming.state = State::Gathering(Gathering::default());
            incoming.heard = time;
            self.owe(key);
        }
        is_offered
    }

    /// Says that all is there and that the session could go on here, once it has [arrived](MoveOutput::Arrived). Returns whether it may still come.
    pub fn ready(&mut self, key: MoveKey) -> bool {
        let Some(incoming) = self.incoming.get_mut(&key) else { return false };
        let State::Checking(bytes) = incoming.state else { return false };
        incoming.state = State::Ready;
        self.gathering -= bytes;
        self.owe(key);
        true
    }

    /// Does not take a session. Returns whether that is possible: where this node is ready for it, it may be its own already. The program hears of the
    /// move no more.
    pub fn refuse(&mut self, key: MoveKey) -> bool {
        let is_open = self.incoming.get(&key).is_some_and(|incoming| !incoming.is_decided());
        if is_open {
            self.remove_incoming(key);
            self.reply_refused(key, Why::Unwanted);
        }
        is_open
    }

    pub(super) fn handle_offer(&mut self, key: MoveKey, about: Bytes) {
        if self.incoming.contains_key(&key) {
            return self.hear(key);
        }
        let Some(peer) = self.peers.get_mut(&key.peer) else { return };
        // One that was refused, dropped or taken, or that another has overtaken, does not begin again.
        let is_new = key.number > peer.highest;
        peer.highest = peer.highest.max(key.number);
        let why = match () {
            () if !is_new => Why::Unknown,
            () if self.incoming.len() >= self.config.incoming_max => Why::Busy,
            () if about.len() > self.config.about_bytes_max => Why::TooLarge,
            () => {
                let incoming = Incoming { state: State::Offered, heard: self.time, said: self.time };
                self.incoming.insert(key, incoming);
                return self.outputs.push_back(MoveOutput::Offered(key, about));
            }
        };
        self.reply_refused(key, why);
    }

    pub(super) fn handle_piece(&mut self, key: MoveKey, total: u64, offset: u64, bytes: &Bytes) {
        if !self.incoming.contains_key(&key) {
            return self.reply_refused(key, Why::Unknown);
        }
        self.hear(key);
        let Some(incoming) = self.incoming.get_mut(&key) else { return };
        let State::Gathering(gathering) = &mut incoming.state else { return };
        if gathering.total == 0 {
            let total = usize::try_from(total).unwrap_or(usize::MAX);
            if total > self.config.baggage_bytes_max {
                return self.give_up(key, Why::TooLarge);
            }
            if total > self.config.gathering_bytes_max.saturating_sub(self.gathering) {
                return self.give_up(key, Why::Busy);
            }
            gathering.total = total;
            gathering.bytes.reserve(total);
            self.gathering += total;
        }
        match gathering.take(total, offset, bytes) {
            Step::Goes => {}
            Step::Complete(bytes) => {
                incoming.state = State::Checking(bytes.len());
                self.outputs.push_back(MoveOutput::Arrived(key, bytes));
            }
            Step::Ends(why) => self.give_up(key, why),
        }
    }

    /// The source says that the session is this node's.
    pub(super) fn handle_released(&mut self, key: MoveKey) {
        let Some(incoming) = self.incoming.get_mut(&key) else {
            return self.reply_refused(key, Why::Unknown);
        };
        match incoming.state {
            State::Ready => {
                incoming.state = State::Taken;
                self.outputs.push_back(MoveOutput::Taken(key));
                self.owe(key);
            }
            State::Taken => self.owe(key),
            // This node has taken the source for dead in the meantime, and forgotten what it had of it.
            _ => self.give_up(key, Why::Unknown),
        }
    }

    /// The source has no such move.
    pub(super) fn drop_incoming(&mut self, key: MoveKey) {
        if self.remove_incoming(key).is_some_and(|incoming| !matches!(incoming.state, State::Taken)) {
            self.outputs.push_back(MoveOutput::Dropped(key));
        }
    }

    pub(super) fn tick_incoming(&mut self) {
        let (time, config) = (self.time, &self.config);
        let (mut over, mut due) = (Vec::new(), Vec::new());
        for (key, incoming) in &self.incoming {
            let is_gathering = matches!(incoming.state, State::Gathering(_));
            if is_gathering && time - incoming.heard >= config.patience * PATIENCE_FACTOR {
                over.push(*key);
            } else if time - incoming.said >= config.repeat_every {
                due.push(*key);
            }
        }
        over.into_iter().for_each(|key| self.give_up(key, Why::Unknown));
        due.into_iter().for_each(|key| self.owe(key));
    }

    /// Does not take a session that was under way.
    fn give_up(&mut self, key: MoveKey, why: Why) {
        self.drop_incoming(key);
        self.reply_refused(key, why);
    }

    /// The source says something of a move, and is told where it stands.
    fn hear(&mut self, key: MoveKey) {
        if let Some(incoming) = self.incoming.get_mut(&key) {
            incoming.heard = self.time;
            self.owe(key);
        }
    }

    fn remove_incoming(&mut self, key: MoveKey) -> Option<Incoming> {
        let incoming = self.incoming.remove(&key)?;
        self.gathering -= match &incoming.state {
            State::Gathering(gathering) => gathering.total,
            State::Checking(bytes) => *bytes,
            State::Offered | State::Ready | State::Taken => 0,
        };
        Some(incoming)
    }

    fn reply_refused(&mut self, key: MoveKey, why: Why) {
        self.reply(key.peer, Item::Refused { number: key.number, why });
    }
}

impl Incoming {
    /// Whether the source may have released it.
    fn is_decided(&self) -> bool {
        matches!(self.state, State::Ready | State::Taken)
    }
}

impl Gathering {
    /// A piece behind a hole, and one that is there already, change nothing: the source hears what is here, and sends what is missing.
    fn take(&mut self, total: u64, offset: u64, bytes: &Bytes) -> Step {
        let end = offset.saturating_add(bytes.len() as u64);
        if total != self.total as u64 || end > total {
            return Step::Ends(Why::Unknown);
        }
        if offset == self.bytes.len() as u64 {
            self.bytes.extend_from_slice(bytes);
        }
        if !self.bytes.is_empty() && self.bytes.len() == self.total {
            return Step::Complete(std::mem::take(&mut self.bytes).freeze());
        }
        Step::Goes
    }
}
