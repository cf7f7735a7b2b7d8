//! A session that is to go to another node, where it still is.

use std::{sync::Arc, time::Duration};

use lapwing_transports::{close::CloseReason, live::LiveSession};
use tokio::time::{Instant, sleep, timeout};

use super::{About, AboutJoin, CutOf, Cuts, luggage::Params};
use crate::{
    join::{Join, landing::HeldTopic, leave_reason::LeaveReason},
    protocol::{Payload, RawJson},
    session::{client::Client, handler::Hub},
    topic::Topic,
};

/// The pauses between two looks whether they have: most have at the first, and a session that is held still is not to wait for the look.
const LOOK_AFTER: Duration = Duration::from_millis(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is waited for before a session goes that is held still.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// How long its callbacks may take to end.
    pub(crate) rest_max: Duration,
    /// How long its channels may take to give the answers that they owe.
    pub(crate) answers_max: Duration,
    /// It goes also if they are not given by then.
    pub(crate) leaves_answers: bool,
}

/// A session to whose joins nothing more comes: what is for them waits.
pub(crate) struct Held {
    joins: Vec<Arc<Join>>,
    topics: Vec<(Topic, HeldTopic)>,
    is_decided: bool,
}

impl Hub {
    /// What another node has to know of a session, to be asked for it. None of one that cannot go for now.
    pub(crate) fn about(&self, mount: &str, session: &LiveSession<Client>) -> Option<About> {
        let client = session.state();
        let luggage = client.luggage()?;
        let state = client.state();
        if state.is_renewing {
            // What comes of that would be said here, and its client would be there.
            return None;
        }
        let joins: Vec<_> = state.joins.iter().cloned().collect();
        drop(state);
        let (request, token) = luggage.request();
        let until = self.logins.until(client);
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let joins = joins.iter().map(|join| {
            let params = luggage.params(join.id)?;
            join.is_joined().then(|| AboutJoin::new(join, &params))
        });
        let mut joins: Vec<_> = joins.collect::<Option<_>>()?;
        joins.sort_unstable_by(|one, other| one.topic.cmp(&other.topic));
        Some(About {
            mount: mount.to_owned(),
            request,
            token,
            id: client.socket_id().map(|id| id.as_str().to_owned()),
            login_ms: left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            joins,
        })
    }

    /// Whether a session, whose channels rest, is what another node was told of: it may have joined or left something since, or brought a token, and
    /// a callback that still ran may have subscribed a topic, of which nothing would come there.
    pub(crate) fn is_still(&self, session: &LiveSession<Client>, about: &About) -> bool {
        let now = self.about(&about.mount, session);
        now.is_some_and(|now| now.token == about.token && now.joins == about.joins)
    }

    /// Has what comes for the joins of a session wait. None if they are not those that another node was told of.
    pub(crate) fn hold(&self, session: &LiveSession<Client>, about: &About) -> Option<Held> {
        let state = session.state().state();
        let joins: Vec<_> = state.joins.iter().cloned().collect();
        let is_ending = state.ending() > 0;
        drop(state);
        if is_ending || !self.is_still(session, about) {
            return None;
        }
        let hold = |join: &Arc<Join>| {
            let topics = join.hold_topics().into_iter();
            topics.map(|held| (join.topic.clone(), held)).collect::<Vec<_>>()
        };
        let topics = joins.iter().flat_map(hold).collect();
        Some(Held { joins, topics, is_decided: false })
    }

    /// A session goes on at another node: what there is of it here ends without a word to its client.
    pub(crate) fn leave(&self, session: &LiveSession<Client>, held: Held) {
        held.decided();
        self.end_for(session.state(), CloseReason::Draining, LeaveReason::Moved);
    }
}

impl AboutJoin {
    fn new(join: &Join, params: &Payload) -> Self {
        let mut foreign: Vec<_> = join.foreign().iter().map(|topic| topic.as_str().to_owned()).collect();
        foreign.sort_unstable();
        Self {
            topic: join.topic.as_str().to_owned(),
            join_ref: join.join_ref.as_ref().and_then(|join_ref| RawJson::new(join_ref.as_json()).ok()),
            has_join_ref: join.has_join_ref,
            params: Params::from(params),
            foreign,
        }
    }
}

impl Held {
    /// Waits until no callback runs, none is due, and no answer is owed that would be given here. A session whose channels are busier stays where it is.
    pub(crate) async fn at_rest(&self, patience: Patience) -> bool {
        let within = patience.rest_max;
        let goes = self.until(within, Join::is_settled).await
            && (self.until(patience.answers_max, |join| !join.owes_answer()).await || patience.leaves_answers)
            // Meanwhile a message of the program's may have come.
            && self.until(within, Join::is_settled).await;
        goes && self.joins.iter().all(|join| join.is_joined())
    }

    /// Looks again and again whether all of its joins are so.
    async fn until(&self, within: Duration, is_so: impl Fn(&Join) -> bool) -> bool {
        let look = async {
            let mut pause = LOOK_AFTER;
            while !self.joins.iter().all(|join| is_so(join)) {
                sleep(pause).await;
                pause = LOOK_EVERY.min(2 * pause);
            }
        };
        timeout(within, look).await.is_ok()
    }

    /// How far each join has heard each topic.
    pub(crate) fn cuts(&self) -> Cuts {
        let cuts = self.topics.iter().map(|(join, held)| CutOf {
            join: join.as_str().to_owned(),
            topic: held.landing.topic().as_str().to_owned(),
            heard: held.cut.heard.clone(),
            position: held.cut.position,
            said: held.said(),
        });
        Cuts(cuts.collect())
    }

    /// Whether everything that has come for it found room.
    pub(crate) fn has_room(&self) -> bool {
        self.topics.iter().all(|(_, held)| held.has_room())
    }

    fn decided(mut self) {
        self.is_decided = true;
    }
}

/// It stays, unless it was decided that it goes.
impl Drop for Held {
    fn drop(&mut self) {
        if !self.is_decided {
            self.topics.iter().for_each(|(_, held)| held.stay());
        }
    }
}
