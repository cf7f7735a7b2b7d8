//! Sessions that follow their streams: one whose stream has come by way of another node for a while is that node's from then on.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use lapwing_cluster::Instance;
use tokio::{sync::Semaphore, time::sleep};
use tracing::debug;

use super::source::{AT_ONCE, PACE};
use crate::{server::Inner, session::moving::leaving::Patience};

/// What waits for a session's channels waits for nothing that has to be: it follows another time.
const WHO_FOLLOWS: Patience = Patience {
    rest_max: Duration::from_millis(100),
    answers_max: Duration::from_millis(100),
    leaves_answers: false,
};

/// Has the sessions of a server follow, until its mounts stop.
pub(in crate::server) fn follow(inner: &Arc<Inner>) {
    let Some(link) = inner.node.link() else { return };
    for (index, mounted) in inner.mounts.iter().enumerate() {
        let Some(mut staying) = mounted.endpoint.staying() else { continue };
        let server = Arc::downgrade(inner);
        link.runtime().spawn(async move {
            let places = Arc::new(Semaphore::new(AT_ONCE));
            loop {
                // First of all, as what is known of the next one is old soon.
                let Ok(place) = places.clone().acquire_owned().await else { return };
                let Some((session, node)) = staying.next().await else { return };
                let Some(inner) = server.upgrade() else { return };
                // Who goes down waits for it.
                let follows = inner.move_tasks.following.token();
                tokio::spawn(async move {
                    inner.let_follow(index, &session, Instance(node)).await;
                    drop((place, follows));
                });
                sleep(PACE).await;
            }
        });
    }
}

impl Inner {
    async fn let_follow(&self, index: usize, session: &super::source::Session, node: Instance) {
        // One that goes down gives all away.
        let may_go =
            !self.is_draining.load(Ordering::Relaxed) && self.moving_link().targets().contains(&node);
        if may_go {
            let outcome = self.give_to(&self.mounts[index], session, node, WHO_FOLLOWS).await;
            debug!(%node, ?outcome, "a session whose stream comes by another node was offered to it");
        }
    }
}
