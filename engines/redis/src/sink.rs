//! What a Redis says without being asked, from the client's task to the driver's.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lapwing_cluster::{Event, Names};
use redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;

/// Messages that wait for the driver, which reads all the time.
const MESSAGES_MAX: usize = 65_536;

/// Bytes of them.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// A queue with bounds. The client's task may not wait, or its answers would; what finds no room is dropped, and that is told in its place.
#[derive(Debug)]
pub(crate) struct Sink {
    names: Names,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    messages: Vec<Event>,
    bytes: usize,
    is_closed: bool,
}

impl Sink {
    pub(crate) fn new(names: Names) -> Self {
        Self { names, state: Mutex::default(), wake: Notify::new() }
    }

    /// The server says something.
    pub(crate) fn push(&self, info: PushInfo) {
        let mut state = self.lock();
        match info.kind {
            PushKind::Disconnection => state.is_closed = true,
            PushKind::Message => match self.message(info.data) {
                Some((event, bytes)) => state.push(event, bytes),
                None => return,
            },
            // Confirmations are answers, and awaited as such.
            _ => return,
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Waits until something was said.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Takes what was said. Returns whether the connection is still there.
    pub(crate) fn drain(&self, events: &mut Vec<Event>) -> bool {
        let mut state = self.lock();
        events.append(&mut state.messages);
        state.bytes = 0;
        !state.is_closed
    }

    /// A message with what it weighs; none if it is of no channel of ours.
    fn message(&self, data: Vec<Value>) -> Option<(Event, usize)> {
        let [Value::BulkString(name), Value::BulkString(bytes)] = <[Value; 2]>::try_from(data).ok()? else {
            return None;
        };
        let channel = self.names.channel(std::str::from_utf8(&name).ok()?)?;
        let weight = bytes.len();
        Some((Event::Message { channel, bytes: Bytes::from(bytes) }, weight))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, event: Event, bytes: usize) {
        if self.messages.len() >= MESSAGES_MAX || self.bytes + bytes > BYTES_MAX {
            // What is smaller may still fit, and is behind it.
            if self.messages.last() != Some(&Event::Dropped) {
                self.messages.push(Event::Dropped);
            }
            return;
        }
        self.bytes += bytes;
        self.messages.push(event);
    }
}

#[cfg(test)]
mod tests {
    use lapwing_cluster::{Channel, Spread};

    use super::*;

    fn said(name: &str, bytes: usize) -> PushInfo {
        let data = vec![Value::BulkString(name.into()), Value::BulkString(vec![0; bytes])];
        PushInfo { kind: PushKind::Message, data }
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_told() {
        let sink = Sink::new(Names::new("chat", ':', Spread::default()).unwrap());
        for bytes in [BYTES_MAX - 1, 2, 2, 1, 1] {
            sink.push(said("lw:chat:c", bytes));
        }
        let mut events = Vec::new();
        assert!(sink.drain(&mut events));
        let is_dropped: Vec<_> = events.iter().map(|event| *event == Event::Dropped).collect();
        assert_eq!(is_dropped, [false, true, false, true], "before what is behind it");
        sink.push(said("lw:chat:c", 1));
        events.clear();
        sink.drain(&mut events);
        assert_eq!(events, [Event::Message { channel: Channel::Control, bytes: vec![0].into() }]);
    }

    #[test]
    fn what_is_not_ours_is_not_heard() {
        let sink = Sink::new(Names::new("chat", ':', Spread::default()).unwrap());
        sink.push(said("lw:other:c", 1));
        sink.push(PushInfo { kind: PushKind::Message, data: vec![Value::Nil] });
        sink.push(PushInfo { kind: PushKind::Subscribe, data: vec![] });
        let mut events = Vec::new();
        assert!(sink.drain(&mut events));
        assert_eq!(events, []);
        sink.push(PushInfo { kind: PushKind::Disconnection, data: vec![] });
        assert!(!sink.drain(&mut events));
    }
}
