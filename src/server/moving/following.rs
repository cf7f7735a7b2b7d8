//! Sessions that follow their streams: one whose stream has come by way of another node for a while is that node's from then on.

use std::sync::{Arc, atomic::Ordering};

use lapwing_cluster::Instance;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};
use tracing::debug;

use super::source::{AT_ONCE, PACE};
use crate::server::Inner;

/// Has the sessions of a server follow, until its mounts stop.
pub(in crate::server) fn follow(inner: &Arc<Inner>) {
    let Some(link) = inner.node.link() else { return };
    for (index, mounted) in inner.mounts.iter().enumerate() {
        let Some(mut staying) = mounted.endpoint.staying() else { continue };
        let server = Arc::downgrade(inner);
        link.runtime().spawn(async move {
            let (places, mut next) = (Arc::new(Semaphore::new(AT_ONCE)), Instant::now());
            while let Some((session, node)) = staying.next().await {
                let Ok(place) = places.clone().acquire_owned().await else { return };
                sleep_until(next).await;
                next = Instant::now() + PACE;
                let Some(inner) = server.upgrade() else { return };
                tokio::spawn(async move {
                    inner.let_follow(index, &session, Instance(node)).await;
                    drop(place);
                });
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
            let outcome = self.give_to(&self.mounts[index], session, node).await;
            debug!(%node, ?outcome, "a session whose stream comes by another node was offered to it");
        }
    }
}
