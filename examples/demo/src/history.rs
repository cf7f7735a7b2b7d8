//! What was said, in memory: the last messages of the rooms that were used last.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

/// As many as somebody who comes in reads.
const MESSAGES_MAX: usize = 50;
/// Anybody can make a room by its address. At the bound the room that was silent for longest is forgotten.
const ROOMS_MAX: usize = 1_000;

#[derive(Clone, Debug, Serialize)]
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
#[derive(Default)]
pub(crate) struct History(Mutex<HashMap<String, VecDeque<Message>>>);

impl History {
    /// Numbers a message, keeps it and publishes it, under one lock: the order of a room's history is the
    /// order in which its members got it.
    pub(crate) fn add<T>(&self, topic: &str, mut message: Message, publish: impl FnOnce(&Message) -> T) -> T {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !rooms.contains_key(topic) && rooms.len() >= ROOMS_MAX {
            forget_one(&mut rooms);
        }
        let room = rooms.entry(topic.to_owned()).or_default();
        message.at = now_ms();
        message.id = room.back().map_or(message.at, |last| message.at.max(last.id + 1));
        if room.len() == MESSAGES_MAX {
            room.pop_front();
        }
        let published = publish(&message);
        room.push_back(message);
        published
    }

    /// The messages of a room after one with this id, oldest first.
    pub(crate) fn after(&self, topic: &str, id: u64) -> Vec<Message> {
        let rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = rooms.get(topic).into_iter().flatten();
        room.filter(|message| message.id > id).cloned().collect()
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
        assert_eq!(history.0.lock().expect("nobody panics").len(), ROOMS_MAX);
    }
}
