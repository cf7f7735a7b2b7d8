//! Encoded states of topics, kept while they are asked for, and how often they are made.
//!
//! A small state is encoded faster than it is looked for. A large one takes milliseconds of the one thread that does it for
//! everybody: it is made once for all who ask until something changes, and made anew once per tick at most, however often
//! its topic changes and is asked for meanwhile.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{protocol::Payload, topic::Topic};

/// From how many bytes on a state is large.
const LARGE_BYTES: usize = 16 * 1024;

/// How long a state is kept that nobody asks for.
const KEPT: Duration = Duration::from_secs(2);

/// Bytes of all states that are kept. One more than fits makes those go that were asked for the longest ago.
const KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A state, or how many bytes it has, if these are too many.
pub(super) type Encoded = Result<Payload, usize>;

#[derive(Debug, Default)]
pub(super) struct States {
    large: HashMap<Topic, Large>,
    /// Bytes of all that are kept.
    bytes: usize,
}

#[derive(Debug)]
struct Large {
    /// `None`: something has changed since.
    encoded: Option<Encoded>,
    made: Instant,
    asked: Instant,
}

impl Large {
    fn bytes(&self) -> usize {
        self.encoded.as_ref().map_or(0, |encoded| encoded.as_ref().map_or(0, Payload::size))
    }
}

impl States {
    /// The state of a topic, if nothing has changed since it was encoded.
    pub(super) fn find(&mut self, topic: &Topic, now: Instant) -> Option<Encoded> {
        let large = self.large.get_mut(topic)?;
        large.asked = now;
        large.encoded.clone()
    }

    /// When the state of a topic may be encoded anew; `None` if it may now.
    pub(super) fn not_before(&self, topic: &Topic, now: Instant, tick: Duration) -> Option<Instant> {
        self.large.get(topic).map(|large| large.made + tick).filter(|at| *at > now)
    }

    /// Takes a state in that was just encoded.
    pub(super) fn insert(&mut self, topic: &Topic, encoded: &Encoded, now: Instant) {
        let size = match encoded {
            Ok(state) => state.size(),
            Err(bytes) => *bytes,
        };
        self.remove(topic);
        if size < LARGE_BYTES {
            return;
        }
        let large = Large { encoded: Some(encoded.clone()), made: now, asked: now };
        self.bytes += large.bytes();
        self.large.insert(topic.clone(), large);
        while self.bytes > KEPT_BYTES_MAX && self.large.len() > 1 {
            let others = self.large.iter().filter(|(other, large)| *other != topic && large.bytes() > 0);
            let Some((oldest, _)) = others.min_by_key(|(_, large)| large.asked) else { return };
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
    }

    /// Something has changed on a topic.
    pub(super) fn handle_change(&mut self, topic: &Topic) {
        if let Some(large) = self.large.get_mut(topic) {
            self.bytes -= large.bytes();
            large.encoded = None;
        }
    }

    /// Lets go of what was not asked for of late.
    pub(super) fn expire(&mut self, now: Instant) {
        let bytes = &mut self.bytes;
        self.large.retain(|_, large| {
            let keep = large.asked + KEPT > now;
            if !keep {
                *bytes -= large.bytes();
            }
            keep
        });
        if self.large.is_empty() {
            self.large = HashMap::new();
        }
    }

    /// When to look for what can go.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.large.values().map(|large| large.asked + KEPT).min()
    }

    fn remove(&mut self, topic: &Topic) {
        if let Some(large) = self.large.remove(topic) {
            self.bytes -= large.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(bytes: usize) -> Encoded {
        Ok(vec![b' '; bytes].into())
    }

    #[test]
    fn a_large_state_is_made_once_until_something_changes_and_then_once_per_tick() {
        let (mut states, start, tick) = (States::default(), Instant::now(), Duration::from_millis(100));
        let topic = Topic::from("large");
        assert_eq!(states.not_before(&topic, start, tick), None);
        states.insert(&topic, &state(LARGE_BYTES), start);
        assert!(states.find(&topic, start).is_some() && states.bytes == LARGE_BYTES);
        states.handle_change(&topic);
        assert!(states.find(&topic, start).is_none() && states.bytes == 0);
        assert_eq!(states.not_before(&topic, start, tick), Some(start + tick));
        assert_eq!(states.not_before(&topic, start + tick, tick), None);
        states.insert(&topic, &Err(usize::MAX), start + tick);
        assert_eq!(states.find(&topic, start), Some(Err(usize::MAX)), "a refusal is remembered, too");
    }

    #[test]
    fn small_states_and_those_that_nobody_asks_for_are_not_kept() {
        let (mut states, start) = (States::default(), Instant::now());
        states.insert(&Topic::from("small"), &state(LARGE_BYTES - 1), start);
        assert!(states.find(&Topic::from("small"), start).is_none() && states.next_look().is_none());
        let (asked, forgotten) = (Topic::from("asked"), Topic::from("forgotten"));
        for topic in [&asked, &forgotten] {
            states.insert(topic, &state(LARGE_BYTES), start);
        }
        states.find(&asked, start + KEPT / 2);
        assert_eq!(states.next_look(), Some(start + KEPT));
        states.expire(start + KEPT);
        assert!(states.find(&asked, start).is_some() && states.find(&forgotten, start).is_none());
        states.expire(start + KEPT * 2);
        assert!(states.large.capacity() == 0 && states.bytes == 0);
    }

    #[test]
    fn all_states_together_have_a_bound() {
        let (mut states, start) = (States::default(), Instant::now());
        for n in 0..100 {
            let topic = Topic::from(format!("topic:{n}"));
            states.insert(&topic, &state(KEPT_BYTES_MAX / 10), start + Duration::from_millis(n));
            assert!(states.bytes <= KEPT_BYTES_MAX);
        }
        assert_eq!(states.large.len(), 10);
        assert!(states.find(&Topic::from("topic:99"), start).is_some());
        let whole = Topic::from("larger than all may be");
        states.insert(&whole, &state(KEPT_BYTES_MAX + 1), start + KEPT);
        assert!(states.find(&whole, start).is_some() && states.large.len() == 1);
    }
}
