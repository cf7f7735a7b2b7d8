//! The wait until the other nodes' broadcasts on a topic reach this one.

use std::{future::IntoFuture, pin::Pin};

use super::{error::NotConfirmed, link::Wanted};

/// Resolves when the broadcasts of other nodes on a topic reach this one: at once on a server that is one node, and nearly always where
/// topics share the engine's channels.
///
/// The subscription stands without its being awaited. What is published elsewhere before it resolves may be missed.
#[derive(Debug, Default)]
pub struct Confirming(Option<Wanted>);

impl Confirming {
    pub(crate) fn new(wanted: Option<Wanted>) -> Self {
        Self(wanted)
    }

    /// Waits. Cancel safe.
    ///
    /// # Errors
    /// See [`NotConfirmed`]. The subscription stands all the same, and hears this node.
    pub(crate) async fn wait(&mut self) -> Result<(), NotConfirmed> {
        let Some(wanted) = &mut self.0 else { return Ok(()) };
        // In a box, as few joins wait and all have room for it.
        let confirmed = Box::pin(wanted.wait()).await;
        if confirmed != Err(NotConfirmed::Late) {
            self.0 = None;
        }
        confirmed
    }
}

impl IntoFuture for Confirming {
    type Output = Result<(), NotConfirmed>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move { self.wait().await })
    }
}
