//! What is kept on a hub.

use std::{io, sync::Arc, time::Duration};

use super::Hub;
use crate::store::{Append, Doing, Page, Read, Store, StoreError};

/// How often it is looked whether a stall is over.
const STALL_POLL: Duration = Duration::from_millis(5);

/// What a [`Hub`] keeps for one application.
#[derive(Debug)]
pub(super) struct HubStore {
    hub: Hub,
    app: Arc<str>,
}

impl HubStore {
    pub(super) fn new(hub: Hub, app: &str) -> Self {
        Self { hub, app: app.into() }
    }

    /// Waits until the hub executes something.
    async fn executes(&self) -> Result<(), StoreError> {
        loop {
            let (is_away, is_stalled) = {
                let server = self.hub.lock();
                (server.is_away, server.is_stalled)
            };
            if is_away {
                return Err(StoreError::Away(io::Error::from(io::ErrorKind::ConnectionRefused).into()));
            }
            if !is_stalled {
                return Ok(());
            }
            tokio::time::sleep(STALL_POLL).await;
        }
    }
}

impl Store for HubStore {
    fn append<'a>(&'a self, appends: &'a [Append]) -> Doing<'a, ()> {
        Box::pin(async move {
            self.executes().await?;
            let mut server = self.hub.lock();
            for append in appends {
                server.append(&self.app, append);
            }
            Ok(())
        })
    }

    fn read<'a>(&'a self, read: &'a Read) -> Doing<'a, Page> {
        Box::pin(async move {
            self.executes().await?;
            Ok(self.hub.lock().read_kept(&self.app, read))
        })
    }
}
