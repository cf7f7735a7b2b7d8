//! The beginning of a join whose client comes from another node: made before the client is here, and without its knowing.

use std::{pin::pin, sync::Arc};

use tracing::{Instrument as _, debug};

use crate::{
    channel::{
        Channel,
        context::{Context, Joining},
    },
    join::{Join, Start, arriving::Arriving, landing::Landing, mailbox::counted_at_once, meter::Callback},
    node::Task,
    protocol::Payload,
    session::{
        calling::{call, said},
        recovery,
        task::{log_failure, run, run_joined, take_back, tell_joined, unless_killed},
    },
    topic::Topic,
    topics::{Member, Subscribed},
};

/// The task of a new join whose client may come.
pub(crate) fn start<C: Channel>(start: Start, arriving: Arc<Arriving>) -> Task {
    Box::pin(begin::<C>(start, arriving))
}

/// However the task ends, nobody goes on waiting for it.
struct Refusing(Arc<Arriving>);

impl Drop for Refusing {
    fn drop(&mut self) {
        self.0.refuse();
    }
}

async fn begin<C: Channel>(start: Start, arriving: Arc<Arriving>) {
    let Start { running, params, .. } = start;
    let arriving = Refusing(arriving);
    let join = running.join.clone();
    let channel = join.kind().name();
    let span = tracing::debug_span!("join", topic = %join.quoted_topic(), channel, id = join.id.0);
    let channel = {
        let joined = pin!(arrive::<C>(join.clone(), params, &arriving.0).instrument(span));
        unless_killed(&join, joined).await
    };
    drop(arriving);
    if let Some(channel) = channel {
        run(running, channel, None).await;
    }
}

async fn arrive<C: Channel>(join: Arc<Join>, params: Payload, arriving: &Arriving) -> Option<Box<C>> {
    if recovery::asked(&join, &params).is_some() {
        join.set_asked();
    }
    let channel = asked_to_join::<C>(&join, params).await?;
    let Some(landings) = land_on(&join, arriving.foreign()).await else {
        join.withdraw();
        take_back(&join, channel).await;
        return None;
    };
    arriving.stand(landings);
    if !arriving.landed().await {
        join.withdraw();
        take_back(&join, channel).await;
        return None;
    }
    tell_joined(&join);
    let mut cx = Context::new(join);
    cx.set_move();
    run_joined(channel, &cx).await
}

/// Has the program decide.
async fn asked_to_join<C: Channel>(join: &Arc<Join>, params: Payload) -> Option<C> {
    let mut joining = Joining::of_move(join.clone());
    let held = counted_at_once(params.size());
    let joined =
        call(join, Callback::Join, pin!(async { C::join(&join.topic, params, &mut joining).await })).await;
    join.handled(held);
    let decided = match joined {
        Ok(Ok(channel)) => return Some(channel),
        Ok(Err(failure)) => {
            if failure.cause().is_some() {
                log_failure(join, Callback::Join, &failure);
            }
            "refused"
        }
        Err(panic) => {
            debug!(panic = %said(&panic), topic = %join.quoted_topic(), "join crashed");
            "panicked"
        }
    };
    debug!(topic = %join.quoted_topic(), id = join.id.0, decided, "a join of a session that comes from another node");
    join.meter().decided.add(decided, 1);
    join.withdraw();
    None
}

/// Subscribes all topics of a join. None if one of them cannot be heard.
async fn land_on(join: &Arc<Join>, foreign: &[Topic]) -> Option<Vec<Arc<Landing>>> {
    let mut landings = Vec::new();
    let (landing, subscribed) = land(join, &join.topic).await?;
    join.set_joined(subscribed);
    landings.push(landing);
    for topic in foreign {
        let (landing, subscribed) = land(join, topic).await?;
        join.add_foreign(topic.clone(), |_| subscribed);
        landings.push(landing);
    }
    Some(landings)
}

async fn land(join: &Arc<Join>, topic: &Topic) -> Option<(Arc<Landing>, Subscribed)> {
    let mut claim = join.node().claim(topic);
    claim.confirmed(None).await.ok()?;
    let landing = Landing::new(join.clone(), topic.clone());
    let (subscribed, _) = claim.subscribe(Member::Inbox(landing.clone()), || {});
    Some((landing, subscribed))
}
