//! Who is in which topic.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::mpsc;

/// Frames that may wait for a client. One that lets more wait is taken out of the topic.
pub const WAITING_MAX: usize = 256;

#[derive(Default)]
pub struct Rooms {
    topics: Mutex<HashMap<String, HashMap<u64, mpsc::Sender<Utf8Bytes>>>>,
    last: AtomicU64,
}

impl Rooms {
    /// Sends a frame to all members; its bytes are shared.
    pub fn broadcast(&self, topic: &str, frame: &Utf8Bytes) {
        let mut topics = self.topics.lock().expect("nothing panics with the lock held");
        if let Some(members) = topics.get_mut(topic) {
            members.retain(|_, member| member.try_send(frame.clone()).is_ok());
        }
    }
}

/// One connection's memberships, which end with it.
pub struct Member {
    rooms: Arc<Rooms>,
    id: u64,
    outbox: mpsc::Sender<Utf8Bytes>,
    topics: HashSet<String>,
}

impl Member {
    pub fn new(rooms: Arc<Rooms>) -> (Self, mpsc::Receiver<Utf8Bytes>) {
        let (outbox, frames) = mpsc::channel(WAITING_MAX);
        let id = rooms.last.fetch_add(1, Ordering::Relaxed);
        (Self { rooms, id, outbox, topics: HashSet::new() }, frames)
    }

    pub fn join(&mut self, topic: &str) {
        let mut topics = self.rooms.topics.lock().expect("nothing panics with the lock held");
        topics.entry(topic.to_owned()).or_default().insert(self.id, self.outbox.clone());
        self.topics.insert(topic.to_owned());
    }

    pub fn is_in(&self, topic: &str) -> bool {
        self.topics.contains(topic)
    }

    pub fn broadcast(&self, topic: &str, frame: &Utf8Bytes) {
        self.rooms.broadcast(topic, frame);
    }

    /// Where this connection's own frames go, too.
    pub fn outbox(&self) -> &mpsc::Sender<Utf8Bytes> {
        &self.outbox
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut topics = self.rooms.topics.lock().expect("nothing panics with the lock held");
        for topic in &self.topics {
            if let Some(members) = topics.get_mut(topic) {
                members.remove(&self.id);
                if members.is_empty() {
                    topics.remove(topic);
                }
            }
        }
    }
}
