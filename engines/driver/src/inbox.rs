//! The queue of what the program has not heard yet, and its bounds.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use lapwing_cluster::{Gap, GapCause, Instance, Scope, moves::MoveOutput};
use tokio::sync::mpsc;

use crate::event::ClusterEvent;

/// What an event costs besides what it carries.
const EVENT_BYTES: usize = 128;

/// An event with what it was counted as.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) event: ClusterEvent,
    pub(crate) bytes: usize,
}

/// How much waits, known to both ends. What asks for room is bounded by it; events that come seldom and must not be lost are counted, but
/// do not ask.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    waiting: Arc<Waiting>,
    events_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    events: AtomicUsize,
    bytes: AtomicUsize,
}

impl Room {
    pub(crate) fn new(events_max: usize, bytes_max: usize) -> Self {
        Self { waiting: Arc::default(), events_max, bytes_max }
    }

    pub(crate) fn is_there(&self) -> bool {
        self.waiting.events.load(Ordering::Relaxed) < self.events_max
            && self.waiting.bytes.load(Ordering::Relaxed) < self.bytes_max
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.waiting.events.fetch_sub(1, Ordering::Relaxed);
        self.waiting.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) {
        self.waiting.events.fetch_add(1, Ordering::Relaxed);
        self.waiting.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The end that is written to.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// None once the node has ended.
    queue: Option<mpsc::UnboundedSender<Queued>>,
    room: Room,
    /// Gaps that found no room, one for each publisher.
    gaps: BTreeMap<Instance, GapCause>,
}

impl Inbox {
    pub(crate) fn new(queue: mpsc::UnboundedSender<Queued>, room: Room) -> Self {
        Self { queue: Some(queue), room, gaps: BTreeMap::new() }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.room.is_there()
    }

    /// The program hears what waits, and then that there is nothing more.
    pub(crate) fn end(&mut self) {
        self.queue = None;
    }

    pub(crate) fn push(&self, event: ClusterEvent) {
        let bytes = EVENT_BYTES
            + match &event {
                ClusterEvent::Broadcast { publish, .. } => {
                    publish.payload.len() + publish.topic.len() + publish.event.len()
                }
                ClusterEvent::Kept { kept, .. } => kept.entry.len(),
                ClusterEvent::Presence { bytes, .. } => bytes.len(),
                ClusterEvent::Call(call) => call.body().len(),
                ClusterEvent::Relay { head, .. } => head.len(),
                ClusterEvent::Move(MoveOutput::Offered(_, bytes) | MoveOutput::Arrived(_, bytes)) => {
                    bytes.len()
                }
                _ => 0,
            };
        let Some(queue) = &self.queue else { return };
        self.room.take(bytes);
        if queue.send(Queued { event, bytes }).is_err() {
            // The program does not listen any more.
            self.room.give_back(bytes);
        }
    }

    /// Gaps that find no room become one for all channels of their publisher: it says no less, and there are as many as publishers.
    pub(crate) fn push_gap(&mut self, gap: Gap) {
        if self.has_room() && self.gaps.is_empty() {
            self.push(ClusterEvent::Gap(gap));
        } else {
            self.gaps.entry(gap.from).or_insert(gap.cause);
        }
    }

    /// Tells the gaps that found no room, if there is some.
    pub(crate) fn push_late_gaps(&mut self) {
        while self.has_room()
            && let Some((from, cause)) = self.gaps.pop_first()
        {
            self.push(ClusterEvent::Gap(Gap { from, scope: Scope::All, cause }));
        }
    }
}

#[cfg(test)]
mod tests {
    use lapwing_cluster::Key;

    use lapwing_cluster::moves::{MoveKey, Side};

    use super::*;

    fn gap(from: u64, key: u64) -> Gap {
        let scope = Scope::Key { key: Key(key), after: 1, upto: 2 };
        Gap { from: Instance(from), scope, cause: GapCause::Unanswered }
    }

    #[test]
    fn gaps_that_find_no_room_are_told_once_for_each_publisher() {
        let (tx, mut rx) = mpsc::unbounded_channel();
        let room = Room::new(1, 1_000);
        let mut inbox = Inbox::new(tx, room.clone());
        inbox.push_gap(gap(1, 1));
        assert!(!inbox.has_room());
        for key in 2..10 {
            inbox.push_gap(gap(1, key));
            inbox.push_gap(gap(2, key));
        }
        let mut told = Vec::new();
        while let Ok(Queued { event: ClusterEvent::Gap(gap), bytes }) = rx.try_recv() {
            told.push((gap.from.0, gap.scope == Scope::All));
            room.give_back(bytes);
            inbox.push_late_gaps();
        }
        assert_eq!(told, [(1, false), (1, true), (2, true)]);
        assert!(inbox.has_room());
    }

    #[test]
    fn bytes_are_bounded_as_events_are() {
        let (tx, _rx) = mpsc::unbounded_channel();
        let inbox = Inbox::new(tx, Room::new(100, 1_000));
        let bytes = vec![0; 900].into();
        inbox.push(ClusterEvent::Presence { from: Instance(1), bytes });
        assert!(!inbox.has_room());

        let (tx, _rx) = mpsc::unbounded_channel();
        let inbox = Inbox::new(tx, Room::new(100, 1_000));
        let key = MoveKey { peer: Instance(1), side: Side::Target, number: 1 };
        inbox.push(ClusterEvent::Move(MoveOutput::Offered(key, vec![0; 300].into())));
        assert!(inbox.has_room());
        inbox.push(ClusterEvent::Move(MoveOutput::Arrived(key, vec![0; 500].into())));
        assert!(!inbox.has_room());
    }

    #[test]
    fn a_program_that_went_away_takes_no_room() {
        let (tx, _) = mpsc::unbounded_channel();
        let inbox = Inbox::new(tx, Room::new(1, 1_000));
        inbox.push(ClusterEvent::EngineUp);
        assert!(inbox.has_room());
    }
}
