//! The program's end of the queue of events.

use tokio::sync::mpsc;

use crate::{
    event::ClusterEvent,
    inbox::{Queued, Room},
};

/// What comes from the cluster, one after the other.
///
/// Read it all the time: when as much waits as [`Options::events_max`](crate::Options::events_max) and
/// [`Options::event_bytes_max`](crate::Options::event_bytes_max) say, broadcasts and calls that come are dropped. They are asked for again
/// once there is room, and told as a gap if they are not to be had any more. If it is dropped, all of them are.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::UnboundedReceiver<Queued>,
    room: Room,
}

impl Events {
    pub(crate) fn new(queue: mpsc::UnboundedReceiver<Queued>, room: Room) -> Self {
        Self { queue, room }
    }

    /// The next event; none once the node has ended. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<ClusterEvent> {
        let queued = self.queue.recv().await?;
        self.room.give_back(queued.bytes);
        Some(queued.event)
    }
}
