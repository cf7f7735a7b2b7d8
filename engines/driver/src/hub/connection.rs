//! A node's end of the hub.

use std::{io, sync::Arc};

use lapwing_cluster::{Event, Names, Work};
use tokio::sync::Notify;

use super::{Hub, server::Read, store::HubStore};
use crate::{
    engine::{ConnectError, Connection, Engine, Lost},
    store::Store,
};

/// The engine of one node on a [`Hub`].
#[derive(Debug)]
pub struct HubEngine {
    hub: Hub,
    label: String,
}

/// A connection to a [`Hub`].
#[derive(Debug)]
pub struct HubConnection {
    hub: Hub,
    label: String,
    id: u64,
    wake: Arc<Notify>,
}

impl HubEngine {
    pub(super) fn new(hub: Hub, label: &str) -> Self {
        Self { hub, label: label.to_owned() }
    }
}

impl Engine for HubEngine {
    type Connection = HubConnection;

    const SEPARATOR: char = ':';
    const NAME: &'static str = "hub";

    async fn connect(&mut self, names: &Names) -> Result<HubConnection, ConnectError> {
        let wake = Arc::new(Notify::new());
        let mut server = self.hub.lock();
        if server.faults(&self.label).refuses {
            return Err(ConnectError::Refused("the hub was told to refuse it".into()));
        }
        let id = server.connect(&self.label, names.prefix(), Arc::clone(&wake));
        let id =
            id.ok_or_else(|| ConnectError::Away(io::Error::from(io::ErrorKind::ConnectionRefused).into()))?;
        drop(server);
        Ok(HubConnection { hub: self.hub.clone(), label: self.label.clone(), id, wake })
    }

    fn store(&self, names: &Names) -> Option<Arc<dyn Store>> {
        Some(Arc::new(HubStore::new(self.hub.clone(), names.prefix())))
    }
}

impl Connection for HubConnection {
    fn has_room(&self) -> bool {
        self.hub.lock().has_room(&self.label, self.id)
    }

    fn submit(&mut self, work: Work) {
        self.hub.lock().submit(&self.label, self.id, work);
    }

    async fn next(&mut self, events: &mut Vec<Event>) -> Result<(), Lost> {
        loop {
            let read = self.hub.lock().read(&self.label, self.id, events);
            match read {
                Read::Something => return Ok(()),
                Read::Ended => return Err(Lost::new("the hub ended it")),
                Read::Nothing(None) => self.wake.notified().await,
                Read::Nothing(Some(due)) => {
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = tokio::time::sleep_until(due) => {}
                    }
                }
            }
        }
    }

    async fn close(self) {}
}

impl Drop for HubConnection {
    fn drop(&mut self) {
        self.hub.lock().close(&self.label, self.id);
    }
}
