//! A node gives its sessions to others: all of them when it goes down.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use lapwing_cluster::{Instance, moves::MoveOutput};
use lapwing_transports::{close::CloseReason, live::LiveSession};
use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinSet},
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};
use tracing::{debug, info};

use super::{Heard, pack};
use crate::{
    cluster::Moved,
    server::{Inner, Mounted},
    session::{
        client::Client,
        moving::{About, leaving::Patience},
    },
    topic::Topic,
};

/// Sessions on their way at a time: their clients come back to the other nodes one after the other.
pub(super) const AT_ONCE: usize = 64;

/// The time from one session to the next, where there is enough of it: a thousand clients that come back at once wait for each other, and for the machine if that has
/// other things to do. With half of this time two cores that had all clients of a test on them, too, were three times as late.
pub(super) const PACE: Duration = Duration::from_millis(10);

/// How long the callbacks of a session may take to end, when its node goes down.
const REST_MAX: Duration = Duration::from_secs(2);

/// How long answers that are owed are waited for from the moment on in which a node begins to give its sessions away, and for those that are offered later: who owes
/// some for ever is not to hold up all others.
const ANSWERS_MAX: Duration = Duration::from_secs(2);
const ANSWERS_MIN: Duration = Duration::from_millis(100);

/// Time for the other nodes to hear where the sessions are.
const TOLD_MAX: Duration = Duration::from_secs(2);

/// How long an engine is waited for that is away when the sessions are to go.
const ENGINE_MAX: Duration = Duration::from_secs(10);

/// How long the other node may take to have a session that was sent, for which all that comes waits meanwhile: it goes on here then, as while the engine is
/// away.
const READY_MAX: Duration = Duration::from_secs(3);

/// How often a session is offered that has just joined or left something, or whose other node does not take it.
const OFFERS_MAX: usize = 3;

/// How long those are waited for, before the last offer, who follow their streams at that moment.
const FOLLOWING_MAX: Duration = Duration::from_secs(6);

/// The time before it is offered again: what it was about to join or to leave is decided by then, as a rule.
const OFFER_AGAIN: Duration = Duration::from_millis(300);

pub(super) type Session = Arc<LiveSession<Client>>;

/// What became of a session that was offered.
#[derive(Debug)]
pub(super) enum Outcome {
    /// To that node; and by what its clients may name it.
    Went(Instance, Vec<Moved>),
    /// It is here as before.
    Stays,
    /// It was given away, and nobody is known to have it.
    Lost,
}

/// Who has a session that was sent.
enum Decided {
    Theirs,
    Ours,
    /// It was released, and the other node is not known to have it.
    Nobodys,
}

/// What became of all.
#[derive(Default)]
struct Given {
    went: HashMap<Instance, Vec<Moved>>,
    /// Those that were offered last and stay.
    stay: u64,
    lost: u64,
}

impl Given {
    fn add(&mut self, outcome: Result<Outcome, JoinError>) {
        match outcome {
            Ok(Outcome::Went(to, names)) => self.went.entry(to).or_default().extend(names),
            Ok(Outcome::Lost) => self.lost += 1,
            // A panic was reported by the runtime.
            Ok(Outcome::Stays) | Err(_) => self.stay += 1,
        }
    }
}

/// Those that are offered. A session that is on its way comes to one node or the other, whoever waits for it: a task that ended half-way would leave it frozen.
#[derive(Default)]
struct OnTheirWay(JoinSet<Outcome>);

impl Drop for OnTheirWay {
    fn drop(&mut self) {
        self.0.detach_all();
    }
}

impl Inner {
    /// Gives all sessions that can go to other nodes, for as long as that may take. Those that cannot are left as they are. Returns how many were lost.
    ///
    /// All are offered once before any is offered again: who cannot go for now holds up nobody who can.
    pub(in crate::server) async fn give_away(self: &Arc<Self>, within: Duration) -> u64 {
        let Some(link) = self.node.link().filter(|link| link.moves_sessions()) else { return 0 };
        if link.targets().is_empty() {
            return 0;
        }
        let (mut tasks, mut given) = (OnTheirWay::default(), Given::default());
        let (engine_until, answers_until) = (Instant::now() + ENGINE_MAX, Instant::now() + ANSWERS_MAX);
        let rounds = async {
            let _turn = self.move_tasks.giving.lock().await;
            for round in 0..OFFERS_MAX {
                if round > 0 {
                    sleep(OFFER_AGAIN).await;
                }
                if round + 1 == OFFERS_MAX {
                    // Who follows now, and comes back, is to be offered as well.
                    self.move_tasks.following.close();
                    let _ = timeout(FOLLOWING_MAX, self.move_tasks.following.wait()).await;
                }
                // It may be there again in a moment, and nothing goes anywhere without it.
                let _ = timeout_at(engine_until, link.ready()).await;
                let targets = link.targets();
                // One of those is no session that is offered now, and may be one that stays.
                let is_followed_by_none = self.move_tasks.following.is_empty();
                given.stay = 0;
                self.offer_all((round, &targets), (within, answers_until), &mut tasks.0).await;
                while let Some(outcome) = tasks.0.join_next().await {
                    given.add(outcome);
                }
                if given.stay == 0 && is_followed_by_none {
                    return;
                }
            }
        };
        let _ = timeout(within, rounds).await;
        while let Some(outcome) = tasks.0.try_join_next() {
            given.add(outcome);
        }
        drop(tasks);
        let Given { went, stay, lost } = given;
        let count: usize = went.values().map(Vec::len).sum();
        info!(names = count, stay, lost, "sessions were given to other nodes");
        // Whoever looks for one when this node is gone is to know where it is.
        let told = went.into_iter().map(|(heir, names)| link.tell_all(heir, names));
        let _ = timeout(TOLD_MAX, JoinSet::from_iter(told).join_all()).await;
        lost
    }

    /// Offers each session that is here once, at a pace: all of them in half of the time that there is, if that takes no longer than it must.
    async fn offer_all(
        self: &Arc<Self>,
        (round, targets): (usize, &[Instance]),
        (within, answers_until): (Duration, Instant),
        tasks: &mut JoinSet<Outcome>,
    ) {
        if targets.is_empty() {
            return;
        }
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let movable = |(index, mounted): (usize, &Mounted)| {
            mounted.drain.map(|drain| (index, drain, mounted.endpoint.movable()))
        };
        let all: Vec<_> = self.mounts.iter().enumerate().filter_map(movable).collect();
        let pace = pace(all.iter().map(|(.., sessions)| sessions.len()), within);
        for (index, drain, sessions) in all {
            let mut next = Instant::now();
            for (number, session) in sessions.into_iter().enumerate() {
                if number > 0 {
                    next += if number % drain.batch == 0 { drain.interval } else { pace };
                    sleep_until(next).await;
                }
                let Ok(place) = places.clone().acquire_owned().await else { return };
                let (inner, target) = (self.clone(), targets[(number + round) % targets.len()]);
                tasks.spawn(async move {
                    let patience = who_goes_down(answers_until);
                    let outcome = inner.give_to(&inner.mounts[index], &session, target, patience).await;
                    drop(place);
                    outcome
                });
            }
        }
    }

    /// Offers a session to another node, and gives it away if that takes it, and if its callbacks end in time.
    pub(super) async fn give_to(
        &self,
        mounted: &Mounted,
        session: &Session,
        target: Instance,
        patience: Patience,
    ) -> Outcome {
        let (link, hub) = (self.moving_link(), mounted.endpoint.handler());
        let Some(about) = hub.about(&mounted.name, session) else { return Outcome::Stays };
        // What it consists of can be written.
        let bytes = serde_json::to_vec(&about).unwrap_or_default();
        let mut heard = match self.move_tasks.offer(link.moves(), target, bytes.into()) {
            Ok(offered) => offered,
            Err(error) => {
                debug!(%error, %target, "a session stays");
                return Outcome::Stays;
            }
        };
        if !matches!(heard.next().await, Some(MoveOutput::Accepted(_))) {
            debug!(%target, "a session stays: the other node does not take it");
            return Outcome::Stays;
        }
        let sent = self.hold_and_send(mounted, session, (target, patience), &about, &mut heard).await;
        sent.unwrap_or_else(|| {
            link.moves().withdraw(heard.key);
            Outcome::Stays
        })
    }

    /// None if it was not sent.
    async fn hold_and_send(
        &self,
        mounted: &Mounted,
        session: &Session,
        (target, patience): (Instance, Patience),
        about: &About,
        heard: &mut Heard,
    ) -> Option<Outcome> {
        let (link, endpoint, hub) = (self.moving_link(), &mounted.endpoint, mounted.endpoint.handler());
        let topics: HashSet<_> = about.topics().map(Topic::from).collect();
        let position = |topic: &Topic| self.node.topics.kept()?.position(topic);
        if !link.catch_up(target, topics, position).await {
            debug!(%target, "a session stays: this node lacks what the other one has heard");
            return None;
        }
        let still = Still::hold(session)?;
        timeout(patience.rest_max, session.settled()).await.ok()?;
        if let Some(id) = session.state().socket_id() {
            // Before the last look at it: what is said of it behind that is passed on.
            link.going().note(id, target);
        }
        let held = hub.hold(session, about)?;
        if !held.at_rest(patience).await {
            debug!(%target, "a session stays: its channels are busy");
            return None;
        }
        if !hub.is_still(session, about) {
            debug!(%target, "a session stays: it is not what the other one was told of");
            return None;
        }
        let cuts = serde_json::to_vec(&held.cuts()).unwrap_or_default();
        let frozen = endpoint.freeze(session).ok()?;
        let back = || {
            endpoint.take_back(session);
            None
        };
        let Some(baggage) = pack(&cuts, &frozen).filter(|_| held.has_room()) else { return back() };
        if link.moves().send(heard.key, baggage).is_err() {
            return back();
        }
        still.over();
        // Requests for it wait, until it is known that it can be found there.
        match self.decided(heard).await {
            Decided::Theirs => {
                let names = endpoint.names_of(session);
                let moves = names.len();
                let names = names.into_iter().map(|name| (name, moves)).collect();
                // Whoever has closed it meanwhile has told the other node, too.
                let _ = endpoint.release(session, target.0);
                hub.leave(session, held);
                Some(Outcome::Went(target, names))
            }
            Decided::Ours => {
                endpoint.take_back(session);
                Some(Outcome::Stays)
            }
            Decided::Nobodys => {
                // The other node may have it: it must not go on here, not for a moment.
                session.close(CloseReason::Draining);
                endpoint.take_back(session);
                Some(Outcome::Lost)
            }
        }
    }

    /// Waits until it is known who has a session that was sent.
    async fn decided(&self, heard: &mut Heard) -> Decided {
        let (mut is_released, mut is_late) = (false, false);
        let late_at = Instant::now() + READY_MAX;
        loop {
            let output = if is_released || is_late {
                heard.next().await
            } else if let Ok(output) = timeout_at(late_at, heard.next()).await {
                output
            } else if self.moving_link().moves().withdraw(heard.key) {
                debug!("a session stays: the other node did not have it in time");
                return Decided::Ours;
            } else {
                // It is decided at this moment, and heard of next.
                is_late = true;
                continue;
            };
            match output {
                Some(MoveOutput::Accepted(_)) => {}
                Some(MoveOutput::Released(_)) => is_released = true,
                Some(MoveOutput::Done(_)) => return Decided::Theirs,
                _ if is_released => return Decided::Nobodys,
                _ => return Decided::Ours,
            }
        }
    }
}

/// What a node waits for that goes down. A session whose channels are busier is offered again; one that they still owe an answer goes all the same, as who
/// has taken the right to one may never use it.
fn who_goes_down(answers_until: Instant) -> Patience {
    let left = answers_until.saturating_duration_since(Instant::now());
    Patience { rest_max: REST_MAX, answers_max: left.max(ANSWERS_MIN), leaves_answers: true }
}

/// The time from one session to the next, of so many of each mount, one mount after the other.
fn pace(counts: impl IntoIterator<Item = usize>, within: Duration) -> Duration {
    let count = counts.into_iter().fold(0, usize::saturating_add);
    let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    PACE.min(within / 2 / count)
}

/// A session that takes nothing from its client, until it is over or goes on.
struct Still<'a>(Option<&'a Session>);

impl<'a> Still<'a> {
    fn hold(session: &'a Session) -> Option<Self> {
        session.hold_still().then_some(Self(Some(session)))
    }

    /// It was frozen: another state.
    fn over(mut self) {
        self.0 = None;
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.0 {
            session.go_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_sessions_go_faster_than_a_few() {
        let within = Duration::from_secs(20);
        assert_eq!([0, 1, 1_000].map(|count| pace([count], within)), [PACE; 3]);
        let fast = Duration::from_millis(1);
        assert_eq!(pace([10_000], within), fast, "they are offered within half of the time");
        assert_eq!(pace([4_000, 0, 6_000], within), fast, "those of all mounts");
        assert_eq!(pace([usize::MAX, 1], Duration::ZERO), Duration::ZERO);
    }
}
