//! A session that another node offers.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use lapwing_cluster::moves::{MoveKey, MoveOutput};
use lapwing_transports::live::LiveSession;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::{Heard, unpack};
use crate::{
    server::{Inner, Mounted},
    session::{
        client::Client,
        moving::{About, Cuts, coming::Coming},
    },
    topics::slow,
};

/// Sessions that come at the same time are told of together.
const GATHERED: Duration = Duration::from_millis(5);

type Session = Arc<LiveSession<Client>>;

/// Time for the program to let a client in, and into all that it has joined. The other node waits for ten seconds.
const READY_MAX: Duration = Duration::from_secs(8);

/// Gets ready for a session, and takes it if it comes.
///
/// Where this node goes down meanwhile it refuses for as long as it can: the other node has the session then, and gives it to a third.
pub(super) async fn receive(inner: Arc<Inner>, key: MoveKey, about: Bytes, mut heard: Heard) {
    let link = inner.moving_link();
    let Some((mounted, session, coming)) = inner.get_ready(&about).await else {
        link.moves().refuse(key);
        return;
    };
    link.moves().accept(key);
    let mut cuts = None;
    while let Some(output) = heard.next().await {
        match output {
            MoveOutput::Arrived(_, baggage) => {
                cuts = thaw(mounted, &session, &baggage).filter(|_| coming.has_room() && !inner.goes_down());
                if cuts.is_none() {
                    // Nothing more is heard of it.
                    link.moves().refuse(key);
                    break;
                }
                link.moves().ready(key);
            }
            MoveOutput::Taken(_) => {
                // It was ready.
                inner.take(mounted, &session, coming, cuts.unwrap_or_default());
                return;
            }
            _ => break,
        }
    }
    drop(coming);
    mounted.endpoint.discard(&session);
}

impl Inner {
    /// Asks the program about a client and what it has joined. None if the session is not wanted here.
    async fn get_ready(&self, about: &[u8]) -> Option<(&Mounted, Session, Coming)> {
        if self.goes_down() {
            return None;
        }
        let about: About = serde_json::from_slice(about).ok()?;
        let mounted = self.mounts.iter().find(|mounted| mounted.name == about.mount)?;
        let (end, hub) = (Instant::now() + READY_MAX, mounted.endpoint.handler());
        let client = timeout_at(end, hub.connect_again(&about)).await.ok()?;
        let client = client.inspect_err(|refusal| {
            debug!(status = refusal.status.as_u16(), "a session from another node is refused");
        });
        let session = mounted.endpoint.reserve(client.ok()?)?;
        hub.begin(&session);
        let coming = hub.join_again(&session, about);
        if let Some(coming) = coming {
            let stands = timeout_at(end, coming.stand()).await.unwrap_or(false);
            if stands && !self.goes_down() {
                return Some((mounted, session, coming));
            }
            debug!(
                stands,
                "a session from another node is refused: its joins do not stand, or this node goes down"
            );
        }
        mounted.endpoint.discard(&session);
        None
    }

    fn goes_down(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// The session is this node's.
    fn take(self: &Arc<Self>, mounted: &Mounted, session: &Session, coming: Coming, cuts: Cuts) {
        // Before its client can say anything.
        coming.land(cuts);
        if !mounted.endpoint.adopt(session) {
            warn!("a session from another node finds no place: its client begins anew");
            return;
        }
        if self.moving_link().heirs().add(&session.names()) {
            let inner = self.clone();
            self.moving_link().runtime().spawn(async move {
                tokio::time::sleep(GATHERED).await;
                inner.moving_link().tell_heirs();
            });
        }
    }
}

/// Puts the session into its place. None if it is none that can go on here.
fn thaw(mounted: &Mounted, session: &Session, baggage: &Bytes) -> Option<Cuts> {
    let (cuts, frozen) = unpack(baggage)?;
    let serializer = &session.state().serializer;
    let thawed = mounted.endpoint.thaw(session, &frozen, &|key, count| slow::few(key, count, serializer));
    if let Err(error) = thawed {
        warn!(%error, "a session from another node cannot go on here");
        return None;
    }
    Cuts::read(&cuts)
}
