//! The end of a server: its clients are sent away, and what it started ends.

use std::time::{Duration, Instant};

use lapwing_transports::{close::CloseReason, endpoint::Endpoint};
use tokio::{task::JoinSet, time::timeout};
use tracing::{error, info, warn};

use crate::{
    cluster::question::Question,
    server::{Lapwing, drain::Drain},
    session::handler::Hub,
};

/// Time for the other nodes of a cluster to say that they expect the clients of this one.
const NOTICE_MAX: Duration = Duration::from_secs(2);

/// Time for callbacks that run when all connections are over: twice what a join waits for the one that it replaces.
const JOINS_GRACE: Duration = Duration::from_secs(10);

/// Time for threads and tasks that have nothing left to do.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// The connections and joins that were left when a server went down: all zero if everybody ended in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Connections that were dropped, as their clients did not end them in time.
    pub connections: usize,
    /// Sessions of mounts without a [`Drain`], which are left alone.
    pub sessions: usize,
    /// Joins with a callback that was still running.
    pub joins: u64,
    /// Sessions that were given to another node of the cluster, which did not say that it has them: it has ended meanwhile, as a rule, and their clients are told that
    /// they are lost.
    pub lost: u64,
    /// Broadcasts on kept topics that the store of the cluster did not take before the server had ended, as it was away. Nobody gets them any more, but for members that
    /// came to this node, and no client is told: nobody had them.
    pub unkept: usize,
}

impl ShutdownReport {
    /// Returns whether nobody was left.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

impl Lapwing {
    /// Sends all clients away, paced as each mount's [`Drain`] says, with close code 1012, upon which they
    /// connect again, by then to another server. New ones are refused from the first moment on.
    ///
    /// The other nodes of a cluster are told first, for which two seconds are given at most. They go on showing who was present here, and whoever
    /// comes back to one of them in time is not seen to leave: see [`PresenceOptions::departure_grace`](crate::PresenceOptions::departure_grace).
    ///
    /// Returns when every connection and every join is over, or was given its time: for the connections of a mount
    /// [`Drain::timeout`] and `linger`, for the joins ten seconds, and for everything together
    /// [`Builder::shutdown_timeout`](crate::Builder::shutdown_timeout), of which the pacing takes half at most. A connection
    /// that is left then is dropped, a callback that is still running is not waited for, and the report says how many
    /// there were. If nobody is left, the threads and tasks of the server have ended, too, and presence is
    /// [`Closed`](crate::PresenceError::Closed); otherwise they end with the last clone of the server.
    ///
    /// A second call waits for the same. Dropping the future stops the pacing; what was closed stays closed, and a session that is on its way to another node
    /// comes there or goes on here.
    ///
    /// With axum one line does it: the sessions end first, each with its reason, and then what axum serves.
    ///
    /// ```no_run
    /// # async fn run(app: axum::Router, lapwing: lapwing::Lapwing) -> std::io::Result<()> {
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:4000").await?;
    /// # let signal = std::future::pending::<()>();
    /// axum::serve(listener, app)
    ///     .with_graceful_shutdown(async move { signal.await; lapwing.shutdown().await; })
    ///     .await
    /// # }
    /// ```
    pub async fn shutdown(&self) -> ShutdownReport {
        let start = Instant::now();
        let left = || self.shutdown_timeout().saturating_sub(start.elapsed());
        let mut report = ShutdownReport::default();
        self.set_draining();
        for mounted in self.mounts().iter().filter(|mounted| mounted.drain.is_some()) {
            mounted.endpoint.begin_drain();
        }
        self.give_notice(left() / 8).await;
        #[cfg(feature = "cluster")]
        {
            report.lost = self.0.give_away(left() * 3 / 4).await;
        }
        let (mut drains, pacing_max) = (JoinSet::new(), left() / 2);
        for mounted in self.mounts() {
            match mounted.drain {
                Some(drain) => {
                    let (endpoint, left) = (mounted.endpoint.clone(), left());
                    drains.spawn(drain_mount(endpoint, drain, pacing_max, left));
                }
                None => report.sessions += mounted.endpoint.session_count(),
            }
        }
        report.connections = drains.join_all().await.into_iter().sum();
        if timeout(left().min(JOINS_GRACE), self.node().joins_ended()).await.is_err() {
            report.joins = self.node().joins();
            warn!(joins = report.joins, "shut down without waiting for the callbacks of these joins");
        }
        let stopping = async {
            for mounted in self.mounts().iter().filter(|mounted| mounted.drain.is_some()) {
                mounted.endpoint.stop().await;
            }
            if report.joins == 0 && report.sessions == 0 {
                self.node().tracker.stop().await;
            }
            // What was said last goes out, and then the others need not find out that this node is silent.
            if let Some(link) = self.node().link() {
                link.shutdown(STOP_GRACE / 2).await;
            }
        };
        // Code of the program that keeps one of them from ending, such as a serializer that blocks, is not waited for.
        let _ = timeout(STOP_GRACE, stopping).await;
        report.unkept = self.node().link().map_or(0, |link| link.unkept());
        if report.unkept > 0 {
            error!(
                count = report.unkept,
                "broadcasts of kept topics are lost: the store did not take them in time"
            );
        }
        report
    }
}

impl Lapwing {
    /// Tells the other nodes that this one goes before its first client does, so that they expect them.
    async fn give_notice(&self, within: Duration) {
        let Some(link) = self.node().link() else { return };
        link.begin_drain();
        let told = link.ask(&Question::Leaving { node: link.number() }).answered(0);
        // One that does not hear it shows who comes back to it twice, until the grace is over.
        let _ = timeout(NOTICE_MAX.min(within), told).await;
    }
}

/// Returns how many connections were dropped.
async fn drain_mount(endpoint: Endpoint<Hub>, drain: Drain, pacing_max: Duration, left: Duration) -> usize {
    let start = Instant::now();
    endpoint.begin_drain();
    let sessions = endpoint.sessions();
    let total = sessions.len();
    let paced = async {
        for (index, batch) in sessions.chunks(drain.batch).enumerate() {
            if index > 0 {
                tokio::time::sleep(drain.interval).await;
            }
            info!(total, count = batch.len(), round = index + 1, "draining");
            for session in batch {
                session.close(CloseReason::Draining);
            }
        }
    };
    let _ = timeout(drain.timeout.min(pacing_max), paced).await;
    // The rest, and those that came in between.
    for session in endpoint.sessions() {
        session.close(CloseReason::Draining);
    }
    endpoint.finish(left.saturating_sub(start.elapsed())).await
}
