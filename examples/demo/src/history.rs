//! What was said, in memory: the last messages of the rooms that were used last.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// As many as somebody who comes in reads.
const MESSAGES_MAX: usize = 50;
/// Anybody can make a room by its address. At the bound the room that was silent for longest is forgotten.
const ROOMS_MAX: usize = 1_000;

/// Bits of an id that tell apart what several nodes number in the same millisecond. JavaScript's numbers have room for them.
const NODE_BITS: u32 = 10;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Grows within a room, also over restarts of the server: clients order by it and tell doubles by it.
    pub(crate) id: u64,
    pub(crate) user: String,
    pub(crate) name: String,
    pub(crate) color: String,
    pub(crate) text: String,
    /// Milliseconds since 1970.
    pub(crate) at: u64,
}

/// The messages of all rooms, by topic. An entry holds at least one message.
pub(crate) struct History {
    rooms: Mutex<HashMap<String, VecDeque<Message>>>,
    /// The last bits of the ids that are given here.
    node: u64,
}

impl Default for History {
    fn default() -> Self {
        let dice = RandomState::new().build_hasher().finish();
        Self { rooms: Mutex::default(), node: dice % (1 << NODE_BITS) }
    }
}

impl History {
    /// Numbers a message, keeps it and publishes it, under one lock: the order of a room's history is the
    /// order in which its members got it.
    pub(crate) fn add<T>(&self, topic: &str, mut message: Message, publish: impl FnOnce(&Message) -> T) -> T {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let room = room_of(&mut rooms, topic);
        message.at = now_ms();
        let next = room.back().map_or(0, |last| (last.id >> NODE_BITS) + 1);
        message.id = message.at.max(next) << NODE_BITS | self.node;
        let published = publish(&message);
        put(room, message);
        published
    }

    /// Keeps a message that another node has numbered, in its place.
    #[allow(dead_code, reason = "examples/tls.rs has these rooms without other nodes")]
    pub(crate) fn learn(&self, topic: &str, message: Message) {
        put(room_of(&mut self.rooms.lock().unwrap_or_else(PoisonError::into_inner), topic), message);
    }

    /// The messages of a room after one with this id, oldest first.
    pub(crate) fn after(&self, topic: &str, id: u64) -> Vec<Message> {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let room = rooms.get(topic).into_iter().flatten();
        room.filter(|message| message.id > id).cloned().collect()
    }
}

/// A room, which takes the place of another if there are as many as may be.
fn room_of<'a>(rooms: &'a mut HashMap<String, VecDeque<Message>>, topic: &str) -> &'a mut VecDeque<Message> {
    if !rooms.contains_key(topic) && rooms.len() >= ROOMS_MAX {
        forget_one(rooms);
    }
    rooms.entry(topic.to_owned()).or_default()
}

fn put(room: &mut VecDeque<Message>, message: Message) {
    let at = room.partition_point(|known| known.id < message.id);
    if room.get(at).is_none_or(|known| known.id != message.id) {
        room.insert(at, message);
    }
    if room.len() > MESSAGES_MAX {
        room.pop_front();
    }
}

fn forget_one(rooms: &mut HashMap<String, VecDeque<Message>>) {
    let oldest = rooms.iter().min_by_key(|(_, room)| room.back().map_or(0, |last| last.id));
    if let Some(topic) = oldest.map(|(topic, _)| topic.clone()) {
        rooms.remove(&topic);
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(history: &History, topic: &str, text: &str) -> u64 {
        let said = |text: &str| Message {
            id: 0,
            user: String::new(),
            name: String::new(),
            color: String::new(),
            text: text.to_owned(),
            at: 0,
        };
        history.add(topic, said(text), |message| message.id)
    }

    #[test]
    fn a_room_keeps_its_last_messages_in_order() {
        let history = History::default();
        let ids: Vec<u64> = (0..=MESSAGES_MAX).map(|n| say(&history, "room:a", &n.to_string())).collect();
        assert!(ids.is_sorted_by(|before, after| before < after));
        let kept = history.after("room:a", 0);
        assert_eq!((kept.len(), &*kept[0].text), (MESSAGES_MAX, "1"), "the oldest is forgotten");
        assert_eq!(history.after("room:a", ids[MESSAGES_MAX - 1]).len(), 1);
    }

    #[test]
    fn what_other_nodes_have_said_is_in_its_place_once() {
        let (here, there) = (History::default(), History::default());
        say(&here, "room:a", "1");
        let [one] = &here.after("room:a", 0)[..] else { panic!("one was said") };
        there.learn("room:a", one.clone());
        say(&there, "room:a", "2");
        let said = there.after("room:a", 0);
        for message in said.iter().rev().chain(&said) {
            here.learn("room:a", message.clone());
        }
        let texts: Vec<_> = here.after("room:a", 0).into_iter().map(|message| message.text).collect();
        assert_eq!(texts, ["1", "2"]);
    }

    #[test]
    fn one_room_more_takes_the_place_of_the_one_that_was_silent_for_longest() {
        let history = History::default();
        // The ids follow the clock, and in one millisecond rooms are of an age: the first is clearly older.
        say(&history, "room:old", "x");
        std::thread::sleep(std::time::Duration::from_millis(2));
        for n in 1..ROOMS_MAX {
            say(&history, &format!("room:{n}"), "x");
        }
        assert_eq!(history.after("room:old", 0).len(), 1);
        say(&history, "room:new", "x");
        assert!(history.after("room:old", 0).is_empty());
        assert_eq!(history.after("room:new", 0).len(), 1);
        assert_eq!(history.rooms.lock().expect("nobody panics").len(), ROOMS_MAX);
    }
}
