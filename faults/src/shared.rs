//! State shared by all connections of a proxy.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::watch;

use crate::{counters::Tally, line::Line, plan::Plan};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) target: SocketAddr,
    pub(crate) seed: u64,
    pub(crate) control: watch::Receiver<Control>,
    /// The open connections, for [`Fault::OneConnection`](crate::Fault::OneConnection).
    pub(crate) connections: Line,
    /// The requests that are not answered yet, for [`Fault::OneRequest`](crate::Fault::OneRequest).
    pub(crate) requests: Line,
    pub(crate) tally: Tally,
}

/// The settings of the proxy's owner.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    pub(crate) plan: Arc<Plan>,
    /// How often all connections were cut; one that was opened before the last time has to go.
    pub(crate) cuts: u64,
    /// How often all connections were frozen; one that was opened before the last time passes nothing.
    pub(crate) freezes: u64,
}

impl Shared {
    pub(crate) fn plan(&self) -> Arc<Plan> {
        self.control.borrow().plan.clone()
    }

    /// Waits until what is set fulfills a condition.
    pub(crate) async fn plan_with(&self, condition: impl Fn(&Plan) -> bool) {
        self.control_with(|control| condition(&control.plan)).await;
    }

    /// Waits until what the owner wants fulfills a condition.
    pub(crate) async fn control_with(&self, condition: impl Fn(&Control) -> bool) {
        let mut control = self.control.clone();
        if control.wait_for(condition).await.is_err() {
            // The owner is gone, and this task is about to be aborted.
            std::future::pending().await
        }
    }
}
