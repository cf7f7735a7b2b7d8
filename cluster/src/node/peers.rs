//! Who is there, who is gone, and what is known of them by that.

use std::time::Duration;

use super::Node;
use crate::{
    gap::{Gap, GapCause, Scope},
    id::Instance,
    inbound::{Says, Step},
    members::{Member, Peer},
    output::{Output, PeerEnd},
    wire::Beat,
};

impl Node {
    /// A beat of this node came back.
    pub(super) fn handle_echo(&mut self, now: Duration, number: u64) {
        self.outbound.handle_echo(number);
        self.echoes_missing = 0;
        self.echoes = self.echoes.saturating_add(1);
        for instance in self.members.handle_echo() {
            self.end_peer(now, instance, PeerEnd::Silent);
        }
    }

    /// A peer's beat came.
    pub(super) fn handle_beat(&mut self, now: Duration, from: Instance, beat: Beat) {
        let Beat { name, versions, is_draining, tops, .. } = beat;
        if self.is_departed(from) {
            return;
        }
        let Some(member) = self.members.enter(from, &self.config) else { return };
        let is_met_now = member.inbound.is_met_by(&tops);
        let peer = Peer { name: name.into(), versions, is_draining };
        if member.handle_beat(peer, &self.config) {
            self.gone.retain(|(gone, _)| *gone != from);
            self.outputs.push_back(Output::PeerUp(from));
        }
        if is_met_now {
            self.doubt(from, tops.lost > 0);
        }
        self.handle_tops(now, from, &tops, Says::Lately);
    }

    /// Something was published by an instance that was not known yet: it may have come up, and published more, while something was
    /// lost on its way here, or while it could not reach the engine itself.
    pub(super) fn doubt(&mut self, from: Instance, has_lost: bool) {
        if (has_lost || self.losses > 0) && self.members.get(from).is_some_and(Member::is_first_doubt) {
            self.tell_gap(Gap { from, scope: Scope::All, cause: GapCause::Uncertain });
        }
    }

    /// A peer is gone. What a silent one may still say is compared with what was heard of it.
    pub(super) fn end_peer(&mut self, now: Duration, instance: Instance, end: PeerEnd) {
        let Some(member) = self.members.get(instance) else { return };
        let was_living = member.peer.take().is_some();
        let mut steps = member.inbound.handle_gone(now, &self.config);
        // Its last beat told all who had not missed anything since.
        if end == PeerEnd::Silent || member.inbound.is_behind() {
            steps.retain(|step| !matches!(step, Step::Gap { .. }));
            steps.insert(0, Step::GapAll { cause: GapCause::PublisherDied });
        }
        for step in steps {
            self.take_step(instance, step);
        }
        if end == PeerEnd::Departed {
            self.members.remove(instance);
        }
        self.calls.handle_gone(instance);
        if was_living {
            self.note_gone(instance, end);
            self.outputs.push_back(Output::PeerDown(instance, end));
        }
    }

    /// Whether an instance has departed: what comes of it then is a closed connection's.
    pub(super) fn is_departed(&mut self, instance: Instance) -> bool {
        self.members.get(instance).is_none() && self.gone.contains(&(instance, PeerEnd::Departed))
    }

    /// A peer has ended, or seems to have.
    pub(super) fn note_gone(&mut self, instance: Instance, end: PeerEnd) {
        if self.gone.len() >= self.config.peers_max {
            self.gone.pop_front();
        }
        self.gone.push_back((instance, end));
    }

    /// Whether an instance is one of those.
    pub(super) fn is_gone(&self, instance: Instance) -> bool {
        self.gone.iter().any(|(gone, _)| *gone == instance)
    }

    /// Whether it is a peer that lives.
    pub(super) fn is_living(&mut self, instance: Instance) -> bool {
        self.members.get(instance).is_some_and(|member| member.peer.is_some())
    }
}
