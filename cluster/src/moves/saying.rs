//! What is said to peers: where each move stands, in as few messages as that takes.

use std::collections::{BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};

use super::{
    MoveKey, Moves, Side, incoming, outgoing,
    wire::{Item, begin},
};
use crate::id::Instance;

/// A node that moves are had with, or were.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// Something is to be said to it, and it has its place in the queue.
    is_ready: bool,
    /// Moves of which something is to be said. What that is follows from their states.
    due: BTreeSet<MoveKey>,
    /// What is said of moves that are not known here.
    replies: VecDeque<Item>,
    /// The last of its offers.
    pub(super) highest: u64,
}

impl Moves {
    /// The next message, and for whom; none while the engine is away. Ask when the engine takes one, and not sooner: what gathers until then is in
    /// one message.
    pub fn poll_message(&mut self) -> Option<(Instance, Bytes)> {
        if !self.is_up {
            return None;
        }
        while let Some(to) = self.ready.pop_front() {
            let Some(peer) = self.peers.get_mut(&to) else { continue };
            peer.is_ready = false;
            let (replies, due) = (std::mem::take(&mut peer.replies), std::mem::take(&mut peer.due));
            let mut out = begin();
            let empty = out.len();
            replies.iter().for_each(|reply| reply.append(&mut out));
            for key in due {
                let is_full = out.len() > self.config.batch_bytes_max;
                if is_full || self.say(key, &mut out) {
                    self.owe(key);
                }
            }
            if out.len() > empty {
                return Some((to, out.freeze()));
            }
        }
        None
    }

    /// Says where a move stands. Returns whether there is more to say.
    fn say(&mut self, key: MoveKey, out: &mut BytesMut) -> bool {
        match key.side {
            Side::Source => self.say_outgoing(key, out),
            Side::Target => {
                self.say_incoming(key, out);
                false
            }
        }
    }

    fn say_outgoing(&mut self, key: MoveKey, out: &mut BytesMut) -> bool {
        let (config, number) = (&self.config, key.number);
        let Some(outgoing) = self.outgoing.get_mut(&key) else { return false };
        outgoing.said = self.time;
        match &mut outgoing.state {
            outgoing::State::Offered(about) => Item::Offer { number, about: about.clone() }.append(out),
            outgoing::State::Freezing => {}
            outgoing::State::Released => Item::Released { number }.append(out),
            outgoing::State::Sending(sending) => {
                let (total, window) = (sending.bytes.len(), sending.acknowledged + config.window_bytes);
                while sending.sent < total.min(window) {
                    if out.len() > config.batch_bytes_max {
                        return true;
                    }
                    let end = total.min(sending.sent + config.piece_bytes_max);
                    let bytes = sending.bytes.slice(sending.sent..end);
                    let offset = sending.sent as u64;
                    Item::Piece { number, total: total as u64, offset, bytes }.append(out);
                    sending.sent = end;
                }
            }
        }
        false
    }

    fn say_incoming(&mut self, key: MoveKey, out: &mut BytesMut) {
        let number = key.number;
        let Some(incoming) = self.incoming.get_mut(&key) else { return };
        incoming.said = self.time;
        match &incoming.state {
            incoming::State::Offered => {}
            incoming::State::Gathering(gathering) => {
                Item::Have { number, bytes: gathering.bytes.len() as u64 }.append(out);
            }
            incoming::State::Checking(bytes) => Item::Have { number, bytes: *bytes as u64 }.append(out),
            incoming::State::Ready => Item::Ready { number }.append(out),
            incoming::State::Taken => Item::Taken { number }.append(out),
        }
    }

    /// Something is to be said of a move.
    pub(super) fn owe(&mut self, key: MoveKey) {
        if let Some(peer) = self.peers.get_mut(&key.peer) {
            peer.due.insert(key);
            self.make_ready(key.peer);
        }
    }

    /// Something is to be said of a move that is not known here, or not any more.
    pub(super) fn reply(&mut self, to: Instance, item: Item) {
        let replies_max = self.config.replies_max;
        if let Some(peer) = self.peers.get_mut(&to)
            && peer.replies.len() < replies_max
        {
            peer.replies.push_back(item);
            self.make_ready(to);
        }
    }

    fn make_ready(&mut self, to: Instance) {
        if let Some(peer) = self.peers.get_mut(&to)
            && !std::mem::replace(&mut peer.is_ready, true)
        {
            self.ready.push_back(to);
        }
    }

    /// A peer is spoken with. None where there are as many as may be.
    pub(super) fn enter(&mut self, peer: Instance) -> Option<&mut Peer> {
        if !self.peers.contains_key(&peer) && self.peers.len() >= self.config.peers_max {
            return None;
        }
        let gone = &self.gone;
        Some(self.peers.entry(peer).or_insert_with(|| {
            let known = gone.iter().find(|(instance, _)| *instance == peer);
            Peer { highest: known.map_or(0, |(_, highest)| *highest), ..Peer::default() }
        }))
    }

    /// A peer is gone: what is remembered of it is which of its offers are old.
    pub(super) fn leave(&mut self, peer: Instance) {
        let Some(Peer { highest: highest @ 1.., .. }) = self.peers.remove(&peer) else { return };
        self.gone.retain(|(instance, _)| *instance != peer);
        if self.gone.len() >= self.config.peers_max {
            self.gone.pop_front();
        }
        self.gone.push_back((peer, highest));
    }
}
