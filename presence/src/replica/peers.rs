//! The other replicas: whether they live, and what to ask of which.

use std::{collections::BTreeMap, time::Duration};

use crate::tag::{Clock, ReplicaId};

#[derive(Debug, Default)]
pub(super) struct Peers(BTreeMap<ReplicaId, Peer>);

/// Another replica.
#[derive(Debug)]
pub(super) struct Peer {
    /// When it last gave a sign of life.
    heard: Duration,
    /// The greatest clock that it is said to have reached.
    reached: Clock,
    /// Another replica that has seen more of it than this node.
    relay: Option<ReplicaId>,
    /// Since when this node is behind that clock, if it is.
    behind: Option<Duration>,
    /// When the last request for it was sent, and how many were since the last answer.
    asked: Option<Duration>,
    attempts: u32,
    /// It is back from silence, and hidden until this node has seen it up to this clock.
    returning: Option<Clock>,
}

impl Peer {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            heard: now,
            reached: Clock::ZERO,
            relay: None,
            behind: None,
            asked: None,
            attempts: 0,
            returning: None,
        }
    }
}

impl Peers {
    pub(super) fn add(&mut self, id: ReplicaId, peer: Peer) {
        self.0.insert(id, peer);
    }

    pub(super) fn remove(&mut self, id: ReplicaId) {
        self.0.remove(&id);
    }

    /// Drops the earlier starts of the same node.
    pub(super) fn remove_superseded(&mut self, by: ReplicaId) {
        self.0.retain(|id, _| !by.supersedes(*id));
    }

    /// Notes a sign of life; `false` if the replica is not known.
    pub(super) fn hear(&mut self, now: Duration, id: ReplicaId) -> bool {
        let Some(peer) = self.0.get_mut(&id) else { return false };
        peer.heard = now;
        true
    }

    /// Whether this node is behind any of them.
    pub(super) fn any_behind(&self) -> bool {
        self.0.values().any(|peer| peer.behind.is_some())
    }

    /// Notes that a hidden replica lives again.
    pub(super) fn returning(&mut self, id: ReplicaId, reached: Clock) {
        if let Some(peer) = self.0.get_mut(&id) {
            // The first clock counts: a busy replica would else be chased for ever.
            peer.returning.get_or_insert(reached);
        }
    }

    /// Notes that a replica is not on its way back any more.
    pub(super) fn returned(&mut self, id: ReplicaId) {
        if let Some(peer) = self.0.get_mut(&id) {
            peer.returning = None;
        }
    }

    /// Notes that somebody says that a replica has reached a clock, of which this node has seen `seen`.
    pub(super) fn advertise(
        &mut self,
        now: Duration,
        id: ReplicaId,
        reached: Clock,
        by: ReplicaId,
        seen: Option<Clock>,
    ) {
        let Some(peer) = self.0.get_mut(&id) else { return };
        peer.reached = peer.reached.max(reached);
        if by != id && Some(reached) > seen {
            peer.relay = Some(by);
        }
        peer.catch_up(seen);
        if seen < Some(peer.reached) {
            peer.behind.get_or_insert(now);
        }
    }

    /// Notes that a request was answered, and that a replica is now seen up to `seen`.
    pub(super) fn answered(&mut self, id: ReplicaId, seen: Option<Clock>) {
        let Some(peer) = self.0.get_mut(&id) else { return };
        (peer.asked, peer.attempts) = (None, 0);
        peer.catch_up(seen);
    }

    /// Chooses whom to ask for the replicas in `lacking`, and notes that they are asked, unless they were
    /// within `retry`. Every second attempt goes to somebody else who has seen more.
    pub(super) fn sources(
        &mut self,
        now: Duration,
        retry: Duration,
        lacking: &[ReplicaId],
    ) -> BTreeMap<ReplicaId, Vec<ReplicaId>> {
        let mut sources: BTreeMap<ReplicaId, Vec<ReplicaId>> = BTreeMap::new();
        for id in lacking {
            let Some(peer) = self.0.get_mut(id) else { continue };
            if peer.asked.is_some_and(|asked| now < asked + retry) {
                continue;
            }
            let source = peer.relay.filter(|_| peer.attempts % 2 == 1).unwrap_or(*id);
            (peer.asked, peer.attempts) = (Some(now), peer.attempts.wrapping_add(1));
            sources.entry(source).or_default().push(*id);
        }
        sources
    }

    /// Those of which this node has been behind for `patience`, which spares a request when the change itself
    /// was only a little later than the news of it.
    pub(super) fn lacking(&self, now: Duration, patience: Duration) -> Vec<ReplicaId> {
        self.pick(|peer| peer.behind.is_some_and(|since| now >= since + patience))
    }

    /// Those that gave no sign of life for `silence`.
    pub(super) fn silent(&self, now: Duration, silence: Duration) -> Vec<ReplicaId> {
        self.pick(|peer| now >= peer.heard + silence)
    }

    pub(super) fn all_returning(&self) -> Vec<(ReplicaId, Clock)> {
        self.0.iter().filter_map(|(id, peer)| Some((*id, peer.returning?))).collect()
    }

    fn pick(&self, wanted: impl Fn(&Peer) -> bool) -> Vec<ReplicaId> {
        self.0.iter().filter(|(_, peer)| wanted(peer)).map(|(id, _)| *id).collect()
    }
}

impl Peer {
    fn catch_up(&mut self, seen: Option<Clock>) {
        if seen >= Some(self.reached) {
            (self.behind, self.relay, self.attempts) = (None, None, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);
    const MS: Duration = Duration::from_millis(1);
    const RETRY: Duration = Duration::from_millis(200);
    const ADA: ReplicaId = ReplicaId::new(1, 5);
    const BOB: ReplicaId = ReplicaId::new(2, 5);
    const EVE: ReplicaId = ReplicaId::new(3, 5);

    fn peers(ids: &[ReplicaId]) -> Peers {
        let mut peers = Peers::default();
        ids.iter().for_each(|id| peers.add(*id, Peer::new(NOW)));
        peers
    }

    fn clock(ticks: u64) -> Option<Clock> {
        Some(Clock::new(ticks))
    }

    fn asked(peers: &mut Peers, now: Duration, lacking: &[ReplicaId]) -> Vec<(ReplicaId, Vec<ReplicaId>)> {
        peers.sources(now, RETRY, lacking).into_iter().collect()
    }

    #[test]
    fn only_those_further_along_than_this_node_are_lacking_and_only_after_a_while() {
        let mut peers = peers(&[ADA, BOB, EVE]);
        peers.advertise(NOW, ADA, Clock::new(7), ADA, clock(6));
        peers.advertise(NOW, BOB, Clock::new(7), BOB, clock(7));
        assert_eq!(peers.lacking(NOW + MS * 49, MS * 50), []);
        assert_eq!(peers.lacking(NOW + MS * 50, MS * 50), [ADA]);
        assert_eq!(peers.lacking(NOW + MS * 51, MS * 50), [ADA]);
    }

    #[test]
    fn who_is_behind_is_so_since_it_first_was() {
        let mut peers = peers(&[ADA]);
        peers.advertise(NOW, ADA, Clock::new(7), ADA, clock(6));
        peers.advertise(NOW + MS * 40, ADA, Clock::new(9), ADA, clock(6));
        assert_eq!(peers.lacking(NOW + MS * 50, MS * 50), [ADA]);
        // Older news changes nothing, and so does catching up with less than all.
        peers.advertise(NOW + MS * 60, ADA, Clock::new(2), BOB, clock(8));
        assert_eq!(peers.lacking(NOW + MS * 60, MS * 50), [ADA]);
        peers.advertise(NOW + MS * 70, ADA, Clock::new(9), ADA, clock(9));
        assert_eq!(peers.lacking(NOW + MS * 1000, MS * 50), []);
        peers.advertise(NOW + MS * 80, ADA, Clock::new(10), ADA, clock(9));
        assert_eq!(peers.lacking(NOW + MS * 129, MS * 50), [], "the patience begins anew");
        assert_eq!(peers.lacking(NOW + MS * 130, MS * 50), [ADA]);
    }

    #[test]
    fn an_answer_that_brings_all_ends_the_lack_and_one_that_brings_less_does_not() {
        let mut peers = peers(&[ADA]);
        peers.advertise(NOW, ADA, Clock::new(7), ADA, clock(0));
        peers.answered(ADA, clock(6));
        assert_eq!(peers.lacking(NOW, Duration::ZERO), [ADA]);
        peers.answered(ADA, clock(7));
        assert_eq!(peers.lacking(NOW, Duration::ZERO), []);
        peers.answered(BOB, clock(7));
        assert_eq!(peers.lacking(NOW, Duration::ZERO), [], "who is not known is not noted");
    }

    #[test]
    fn a_replica_is_asked_itself_first_and_every_second_time_who_told_of_it() {
        let mut peers = peers(&[ADA, BOB]);
        peers.advertise(NOW, ADA, Clock::new(7), EVE, clock(0));
        let times: Vec<_> = (0..4).map(|time| asked(&mut peers, NOW + RETRY * time, &[ADA])).collect();
        let [itself, other] = [ADA, EVE].map(|source| vec![(source, vec![ADA])]);
        assert_eq!(times, [itself.clone(), other.clone(), itself, other]);
    }

    #[test]
    fn nobody_is_asked_again_before_the_retry_unless_there_was_an_answer() {
        let mut peers = peers(&[ADA, BOB]);
        peers.advertise(NOW, ADA, Clock::new(7), EVE, clock(0));
        assert_eq!(asked(&mut peers, NOW, &[ADA]), [(ADA, vec![ADA])]);
        assert_eq!(asked(&mut peers, NOW + RETRY - MS, &[ADA, BOB]), [(BOB, vec![BOB])]);
        peers.answered(ADA, clock(3));
        // An answer also begins the attempts anew: the replica itself is asked, not the one who told of it.
        assert_eq!(asked(&mut peers, NOW + RETRY - MS, &[ADA]), [(ADA, vec![ADA])]);
        assert_eq!(asked(&mut peers, NOW + RETRY * 2, &[EVE]), [], "who is not known is not asked");
    }

    #[test]
    fn one_source_is_asked_once_for_all_that_it_has() {
        let mut peers = peers(&[ADA, BOB]);
        for id in [ADA, BOB] {
            peers.advertise(NOW, id, Clock::new(7), EVE, clock(0));
        }
        assert_eq!(asked(&mut peers, NOW, &[ADA, BOB]), [(ADA, vec![ADA]), (BOB, vec![BOB])]);
        assert_eq!(asked(&mut peers, NOW + RETRY, &[ADA, BOB]), [(EVE, vec![ADA, BOB])]);
    }

    #[test]
    fn who_told_is_a_source_only_if_it_is_somebody_else_who_has_seen_more() {
        for (by, reached) in [(ADA, 7), (EVE, 6), (EVE, 5)] {
            let mut peers = peers(&[ADA]);
            peers.advertise(NOW, ADA, Clock::new(9), ADA, clock(6));
            peers.advertise(NOW, ADA, Clock::new(reached), by, clock(6));
            asked(&mut peers, NOW, &[ADA]);
            assert_eq!(asked(&mut peers, NOW + RETRY, &[ADA]), [(ADA, vec![ADA])]);
        }
    }

    #[test]
    fn who_has_caught_up_forgets_whom_to_ask_and_how_often_it_did() {
        let mut peers = peers(&[ADA]);
        peers.advertise(NOW, ADA, Clock::new(7), EVE, clock(0));
        asked(&mut peers, NOW, &[ADA]);
        peers.advertise(NOW, ADA, Clock::new(7), ADA, clock(7));
        peers.advertise(NOW, ADA, Clock::new(8), ADA, clock(7));
        for time in 1..4 {
            assert_eq!(asked(&mut peers, NOW + RETRY * time, &[ADA]), [(ADA, vec![ADA])]);
        }
    }

    #[test]
    fn silence_is_counted_from_the_last_sign_of_life() {
        let mut peers = peers(&[ADA, BOB]);
        assert!(peers.hear(NOW + MS * 10, BOB));
        assert!(!peers.hear(NOW, EVE));
        assert_eq!(peers.silent(NOW + MS * 99, MS * 100), []);
        assert_eq!(peers.silent(NOW + MS * 100, MS * 100), [ADA]);
        assert_eq!(peers.silent(NOW + MS * 110, MS * 100), [ADA, BOB]);
        peers.remove(ADA);
        assert_eq!(peers.silent(NOW + MS * 110, MS * 100), [BOB]);
    }

    #[test]
    fn a_later_start_takes_the_place_of_the_earlier_ones_of_its_node_alone() {
        let (before, same, later) = (ReplicaId::new(1, 4), ADA, ReplicaId::new(1, 6));
        let mut peers = peers(&[before, same, later, BOB]);
        peers.remove_superseded(same);
        assert_eq!(peers.silent(NOW, Duration::ZERO), [same, later, BOB]);
    }

    #[test]
    fn who_returns_is_awaited_at_the_first_clock_that_it_named() {
        let mut peers = peers(&[ADA, BOB]);
        assert_eq!(peers.all_returning(), []);
        peers.returning(ADA, Clock::new(3));
        peers.returning(ADA, Clock::new(9));
        peers.returning(EVE, Clock::new(9));
        assert_eq!(peers.all_returning(), [(ADA, Clock::new(3))]);
        peers.returned(ADA);
        assert_eq!(peers.all_returning(), []);
    }
}
