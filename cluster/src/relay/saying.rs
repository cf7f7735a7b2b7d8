//! What is said to the other nodes, and who is told that there is room again.

use bytes::Bytes;

use super::{RelayKey, RelayOutput, Relays, halves::Receiving, peer::Batch, wire::Item};
use crate::id::Instance;

impl Relays {
    /// One message of what waits for a peer.
    pub(super) fn message(&mut self, to: Instance) -> Bytes {
        let mut batch = Batch::new();
        let Some(peer) = self.peers.get_mut(&to) else { return batch.finish() };
        while batch.len() < self.config.batch_bytes_max
            && let Some(item) = peer.pop_control()
        {
            batch.push(&item);
        }
        while batch.len() < self.config.batch_bytes_max
            && let Some(key) = peer.acks.pop_first()
        {
            let Some(relay) = self.relays.get_mut(&key) else { continue };
            let Receiving { taken: received, used, .. } = relay.receiving;
            relay.receiving.told = (received, used);
            relay.told = self.time;
            batch.push(&Item::Ack { address: key.address(), received, used });
        }
        while batch.len() < self.config.batch_bytes_max
            && let Some(queued) = peer.queue.pop_front()
        {
            let Some(relay) = self.relays.get_mut(&queued.key) else { continue };
            relay.sending.handle_sent(queued.number, self.time);
            batch.push_piece(queued);
        }
        batch.finish()
    }

    /// Tells those that waited for room to a peer.
    pub(super) fn tell_room(&mut self, of: Instance) {
        let Some(peer) = self.peers.get_mut(&of) else { return };
        if peer.waiting.is_empty() || peer.in_flight >= self.config.peer_bytes_max {
            return;
        }
        let waiting = std::mem::take(&mut peer.waiting);
        self.outputs.extend(waiting.into_iter().map(RelayOutput::Room));
    }

    pub(super) fn owe_ack(&mut self, key: RelayKey) {
        if let Some(peer) = self.peers.get_mut(&key.peer) {
            peer.acks.insert(key);
            self.make_ready(key.peer);
        }
    }

    pub(super) fn push_control(&mut self, to: Instance, item: Item) {
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.push_control(item, self.config.controls_max);
            self.make_ready(to);
        }
    }

    /// Something may be to be said to a peer.
    pub(super) fn make_ready(&mut self, peer: Instance) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        if state.has_something() && !std::mem::replace(&mut state.is_ready, true) {
            self.ready.push_back(peer);
        }
    }

    /// So many bytes came from a peer. It hears what has come of all relays before it has to wait for that: that a relay's bytes are not used is no
    /// reason for others to wait.
    pub(super) fn handle_came(&mut self, from: Instance, bytes: usize) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.came += bytes;
        if peer.came < self.config.peer_bytes_max / 4 {
            return;
        }
        peer.came = 0;
        let due =
            self.relays.range(RelayKey::all_with(from)).filter(|(_, relay)| relay.receiving.is_ack_due());
        peer.acks.extend(due.map(|(key, _)| *key));
        self.make_ready(from);
    }
}
