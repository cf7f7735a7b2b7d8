//! Sessions that go from one node of a cluster to another, as this node's mounts have them.
//!
//! ```text
//!   shutdown ──▶ source: one task for each session that is offered ──▶ Link ──▶ other node
//!   a stream that comes by another node ──▶ following: that node is offered the session
//!   Pump ──▶ handle_move ──▶ the task of that move
//!                └─ offered ──▶ target: a task for each session that may come
//! ```
//!
//! Who has a session at each moment is decided by [`lapwing_cluster::moves`]; here is done what that says.

mod following;
mod source;
mod target;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use lapwing_cluster::{
    Instance,
    moves::{MoveKey, MoveOutput, NotOffered},
};
use lapwing_cluster_driver::SessionMoves;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

pub(super) use self::following::follow;
use super::Inner;
use crate::cluster::link::Link;

/// The moves of a node, each with its task.
#[derive(Debug, Default)]
pub(super) struct MoveTasks {
    table: Arc<Table>,
    /// Had by whoever gives sessions away: a second shutdown waits for the first.
    giving: tokio::sync::Mutex<()>,
    /// Sessions that follow their streams at this moment.
    following: TaskTracker,
}

type Table = Mutex<HashMap<MoveKey, mpsc::UnboundedSender<MoveOutput>>>;

/// What a task hears of its move: a handful. When it is dropped, nobody wants to know more.
struct Heard {
    key: MoveKey,
    outputs: mpsc::UnboundedReceiver<MoveOutput>,
    tasks: Arc<Table>,
}

impl MoveTasks {
    /// Offers a session; what is known of the move comes to whoever has offered it.
    fn offer(&self, moves: SessionMoves<'_>, to: Instance, about: Bytes) -> Result<Heard, NotOffered> {
        // The first of what is known of it must not come before somebody hears it.
        let mut tasks = locked(&self.table);
        let key = moves.offer(to, about)?;
        Ok(self.hear(&mut tasks, key))
    }

    /// Somebody hears of a session that is offered.
    fn begin(&self, key: MoveKey) -> Heard {
        self.hear(&mut locked(&self.table), key)
    }

    fn hear(&self, tasks: &mut HashMap<MoveKey, mpsc::UnboundedSender<MoveOutput>>, key: MoveKey) -> Heard {
        let (tx, outputs) = mpsc::unbounded_channel();
        tasks.insert(key, tx);
        Heard { key, outputs, tasks: self.table.clone() }
    }

    fn tell(&self, key: MoveKey, output: MoveOutput) {
        if let Some(task) = locked(&self.table).get(&key) {
            // A task that ends at this moment has done its part.
            let _ = task.send(output);
        }
    }
}

impl Heard {
    async fn next(&mut self) -> Option<MoveOutput> {
        self.outputs.recv().await
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        locked(&self.tasks).remove(&self.key);
    }
}

fn locked(table: &Table) -> MutexGuard<'_, HashMap<MoveKey, mpsc::UnboundedSender<MoveOutput>>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// Does what is to be done about a move.
    pub(super) fn handle_move_of(self: Arc<Self>, output: MoveOutput) {
        let Some(link) = self.node.link() else { return };
        let key = match &output {
            MoveOutput::Offered(key, about) => {
                let (key, heard) = (*key, self.move_tasks.begin(*key));
                let task = target::receive(self.clone(), key, about.clone(), heard);
                link.runtime().spawn(task);
                return;
            }
            MoveOutput::Accepted(key)
            | MoveOutput::Released(key)
            | MoveOutput::Back(key, _)
            | MoveOutput::Done(key)
            | MoveOutput::Lost(key)
            | MoveOutput::Arrived(key, _)
            | MoveOutput::Taken(key)
            | MoveOutput::Dropped(key) => *key,
        };
        self.move_tasks.tell(key, output);
    }

    /// Tells a node that has just started which sessions have come here before.
    pub(super) fn tell_heirs_to(&self, node: u64) {
        let Some(link) = self.node.link().filter(|link| link.moves_sessions()) else { return };
        let names: Vec<_> = self.mounts.iter().flat_map(|mounted| mounted.endpoint.names()).collect();
        link.tell_heirs_to(node, &names);
    }

    /// The way to the other nodes: a move without one is none.
    fn moving_link(&self) -> &Link {
        self.node.link().expect("only a node of a cluster has moves")
    }
}

/// What goes from one node to the other: how far each join has heard its topics, and the session.
///
/// ```text
/// length u32, big-endian · cuts, as JSON · the session
/// ```
fn pack(cuts: &[u8], session: &[u8]) -> Option<Bytes> {
    let length = u32::try_from(cuts.len()).ok()?;
    Some([&length.to_be_bytes(), cuts, session].concat().into())
}

fn unpack(baggage: &Bytes) -> Option<(Bytes, Bytes)> {
    let (length, rest) = baggage.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    (length <= rest.len()).then(|| (baggage.slice(4..4 + length), baggage.slice(4 + length..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However a move ends: refused and withdrawn ones are told nothing more.
    #[tokio::test]
    async fn a_move_is_forgotten_with_its_task() {
        let tasks = MoveTasks::default();
        let key = |number| MoveKey { peer: Instance(7), side: lapwing_cluster::moves::Side::Target, number };
        let (mut one, two) = (tasks.begin(key(1)), tasks.begin(key(2)));
        tasks.tell(key(1), MoveOutput::Dropped(key(1)));
        assert_eq!(one.next().await, Some(MoveOutput::Dropped(key(1))));
        drop(one);
        tasks.tell(key(1), MoveOutput::Dropped(key(1)));
        assert_eq!(locked(&tasks.table).keys().collect::<Vec<_>>(), [&key(2)]);
        drop(two);
        assert!(locked(&tasks.table).is_empty());
    }

    #[test]
    fn what_is_packed_is_unpacked_and_nothing_else() {
        let packed = pack(b"[]", b"session").unwrap();
        assert_eq!(unpack(&packed).unwrap(), (Bytes::from_static(b"[]"), Bytes::from_static(b"session")));
        for bytes in [&b""[..], b"\0\0\0", b"\0\0\0\x03[]", b"\xff\xff\xff\xff[]"] {
            assert!(unpack(&Bytes::from_static(bytes)).is_none(), "{bytes:?}");
        }
        assert_eq!(unpack(&Bytes::from_static(b"\0\0\0\0")).unwrap(), (Bytes::new(), Bytes::new()));
    }
}
