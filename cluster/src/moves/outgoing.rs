//! Moves of which this node is the source.

use std::time::Duration;

use bytes::Bytes;

use super::{
    Back, MoveKey, MoveOutput, Moves, NotOffered, NotSent, Side,
    wire::{Item, Why},
};
use crate::id::Instance;

/// A session that is on its way from here.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) state: State,
    /// When it last made headway.
    progress: Duration,
    /// When something was last said of it.
    pub(super) said: Duration,
}

#[derive(Debug)]
pub(super) enum State {
    Offered(Bytes),
    /// The target gets ready, and so does the program.
    Freezing,
    Sending(Sending),
    /// It is the target's, whatever comes.
    Released,
}

#[derive(Debug)]
pub(super) struct Sending {
    pub(super) bytes: Bytes,
    /// What the target says that it has.
    pub(super) acknowledged: usize,
    /// What was sent, since it was last begun anew.
    pub(super) sent: usize,
}

impl Moves {
    /// Begins the move of a session to another node. The session goes on here meanwhile.
    ///
    /// # Errors
    /// See [`NotOffered`].
    pub fn offer(&mut self, target: Instance, about: Bytes) -> Result<MoveKey, NotOffered> {
        if !self.is_up {
            return Err(NotOffered::Away);
        }
        if about.len() > self.config.about_bytes_max {
            return Err(NotOffered::TooLarge);
        }
        if self.outgoing.len() >= self.config.outgoing_max || self.enter(target).is_none() {
            return Err(NotOffered::Full);
        }
        self.last_number += 1;
        let key = MoveKey { peer: target, side: Side::Source, number: self.last_number };
        let outgoing = Outgoing { state: State::Offered(about), progress: self.time, said: self.time };
        self.outgoing.insert(key, outgoing);
        self.owe(key);
        Ok(key)
    }

    /// Sends a session that the target has accepted. It must be frozen: what happens to it here from now on is not in these bytes.
    ///
    /// # Errors
    /// See [`NotSent`].
    pub fn send(&mut self, key: MoveKey, baggage: Bytes) -> Result<(), NotSent> {
        let Some(outgoing) = self.outgoing.get_mut(&key) else { return Err(NotSent::Over) };
        if !matches!(outgoing.state, State::Freezing) {
            return Err(NotSent::Over);
        }
        if baggage.is_empty() || baggage.len() > self.config.baggage_bytes_max {
            return Err(NotSent::Size);
        }
        if self.sending + baggage.len() > self.config.sending_bytes_max {
            return Err(NotSent::Full);
        }
        self.sending += baggage.len();
        outgoing.state = State::Sending(Sending { bytes: baggage, acknowledged: 0, sent: 0 });
        outgoing.progress = self.time;
        self.owe(key);
        Ok(())
    }

    /// Keeps a session that was offered. Returns whether it stays: one that is released does not, nor one whose move is over. The program hears
    /// of the move no more.
    pub fn withdraw(&mut self, key: MoveKey) -> bool {
        let stays = self.outgoing.get(&key).is_some_and(|outgoing| !outgoing.is_released());
        if stays {
            self.remove_outgoing(key);
            self.reply(key.peer, Item::Gone { number: key.number });
        }
        stays
    }

    /// A move is over that the target has not said to have taken.
    pub(super) fn end_outgoing(&mut self, key: MoveKey, back: Back) {
        let Some(outgoing) = self.remove_outgoing(key) else { return };
        if !matches!(back, Back::Refused(_)) {
            self.reply(key.peer, Item::Gone { number: key.number });
        }
        self.outputs.push_back(match outgoing.is_released() {
            true => MoveOutput::Lost(key),
            false => MoveOutput::Back(key, back),
        });
    }

    pub(super) fn handle_have(&mut self, key: MoveKey, bytes: u64) {
        let Some(outgoing) = self.outgoing.get_mut(&key) else { return self.reply_gone(key) };
        match &mut outgoing.state {
            State::Offered(_) => {
                outgoing.state = State::Freezing;
                self.outputs.push_back(MoveOutput::Accepted(key));
            }
            State::Freezing => {}
            State::Sending(sending) => {
                let has = usize::try_from(bytes).unwrap_or(usize::MAX);
                if has > sending.acknowledged && has <= sending.bytes.len() {
                    sending.acknowledged = has;
                    sending.sent = sending.sent.max(has);
                    outgoing.progress = self.time;
                    self.owe(key);
                }
            }
            State::Released => self.owe(key),
        }
    }

    /// The target has all of it: from here on the session is not this node's.
    pub(super) fn handle_ready(&mut self, key: MoveKey) {
        let Some(outgoing) = self.outgoing.get_mut(&key) else { return self.reply_gone(key) };
        match &outgoing.state {
            State::Sending(sending) => {
                self.sending -= sending.bytes.len();
                outgoing.state = State::Released;
                self.outputs.push_back(MoveOutput::Released(key));
                self.owe(key);
            }
            State::Released => self.owe(key),
            // It cannot be: nothing was sent.
            State::Offered(_) | State::Freezing => self.end_outgoing(key, Back::Refused(Why::Unknown)),
        }
    }

    pub(super) fn handle_taken(&mut self, key: MoveKey) {
        if self.outgoing.get(&key).is_some_and(|outgoing| !outgoing.is_released()) {
            // It cannot be: nothing was released.
            return;
        }
        if self.remove_outgoing(key).is_some() {
            self.outputs.push_back(MoveOutput::Done(key));
        }
        // So that the target can forget the move, too.
        self.reply_gone(key);
    }

    pub(super) fn tick_outgoing(&mut self) {
        let (time, config) = (self.time, &self.config);
        let (mut over, mut due) = (Vec::new(), Vec::new());
        for (key, outgoing) in &mut self.outgoing {
            let is_waiting = matches!(outgoing.state, State::Offered(_) | State::Sending(_));
            if is_waiting && time - outgoing.progress >= config.patience {
                over.push(*key);
            } else if time - outgoing.said >= config.repeat_every {
                outgoing.begin_anew(config.piece_bytes_max);
                due.push(*key);
            }
        }
        over.into_iter().for_each(|key| self.end_outgoing(key, Back::Silent));
        due.into_iter().for_each(|key| self.owe(key));
    }

    fn remove_outgoing(&mut self, key: MoveKey) -> Option<Outgoing> {
        let outgoing = self.outgoing.remove(&key)?;
        if let State::Sending(sending) = &outgoing.state {
            self.sending -= sending.bytes.len();
        }
        Some(outgoing)
    }

    fn reply_gone(&mut self, key: MoveKey) {
        self.reply(key.peer, Item::Gone { number: key.number });
    }
}

impl Outgoing {
    fn is_released(&self) -> bool {
        matches!(self.state, State::Released)
    }

    /// What was sent and not acknowledged is sent again; a piece of it if nothing is missing, since whoever gets that says where it stands.
    fn begin_anew(&mut self, piece_bytes_max: usize) {
        if let State::Sending(sending) = &mut self.state {
            let last_piece = sending.bytes.len().saturating_sub(piece_bytes_max);
            sending.sent = sending.acknowledged.min(last_piece);
        }
    }
}
