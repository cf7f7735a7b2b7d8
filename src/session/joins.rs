//! The joins of one session as a pure table: which message goes where.
//!
//! This is section 4 of the protocol's description, the rows numbered as there. The table holds whatever a
//! join's handle is (`J`); it starts nothing and sends nothing, it says what is to be done.

use std::collections::HashMap;

use crate::{
    protocol::{ChannelMsg, Ref, event},
    topic::Topic,
};

/// A table with room for so many joins is not made smaller when most of them are gone.
const CAPACITY_MIN: usize = 28;

/// The part of a join that the table needs to know.
pub(crate) trait Joined {
    fn topic(&self) -> &Topic;

    /// The join_ref of the join message as it stood there; `None` if it was null.
    fn stored_join_ref(&self) -> Option<&Ref>;
}

/// The joins of a session by topic. The first lies in the table itself: most sessions have one.
#[derive(Debug)]
pub(crate) struct Joins<J> {
    first: Option<J>,
    rest: Option<Box<HashMap<Topic, J>>>,
}

/// The verdict on a message: what is to be done with it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict<'a, J> {
    /// Row 1.
    Heartbeat,
    /// Rows 2, 4–6: the topic is free.
    Join,
    /// Row 3.
    TooManyJoins,
    /// Row 7: the topic is taken by this join, which the new one replaces.
    Replace(&'a J),
    /// Row 8.
    Leave(&'a J),
    /// Row 10: left already, which is what the client wanted.
    NothingToLeave,
    /// Row 11.
    Forward(&'a J),
    /// Rows 9 and 12: from a join that the client has given up.
    Stale,
    /// Rows 2 and 13.
    Unmatched,
}

impl<J: Joined> Joins<J> {
    /// Decides what is to be done with a message of the client's.
    pub(crate) fn handle_message(&self, msg: &ChannelMsg, joins_max: usize) -> Verdict<'_, J> {
        let (Some(topic), event) = (msg.topic.as_str(), msg.event.as_str()) else {
            return Verdict::Unmatched;
        };
        if topic == event::HEARTBEAT_TOPIC && event == Some(event::HEARTBEAT) {
            return Verdict::Heartbeat;
        }
        let taken = self.get(topic);
        match (event, taken) {
            (Some(event::JOIN), Some(join)) => Verdict::Replace(join),
            (Some(event::JOIN), None) if self.len() >= joins_max => Verdict::TooManyJoins,
            (Some(event::JOIN), None) => Verdict::Join,
            (Some(event::LEAVE), None) => Verdict::NothingToLeave,
            (_, None) => Verdict::Unmatched,
            (_, Some(join)) if is_stale(msg, join) => Verdict::Stale,
            (Some(event::LEAVE), Some(join)) => Verdict::Leave(join),
            (_, Some(join)) => Verdict::Forward(join),
        }
    }

    /// Puts a join into its topic's place.
    pub(crate) fn insert(&mut self, join: J) {
        match &mut self.first {
            Some(first) if first.topic() == join.topic() => *first = join,
            None => self.first = Some(join),
            Some(_) => {
                self.rest.get_or_insert_default().insert(join.topic().clone(), join);
            }
        }
    }

    /// Takes out the join of a topic if `is_it` says that it is the one that is meant.
    pub(crate) fn remove(&mut self, topic: &str, is_it: impl FnOnce(&J) -> bool) -> Option<J> {
        if self.first.as_ref().is_some_and(|first| first.topic() == topic) {
            return self.first.take_if(|first| is_it(first));
        }
        let rest = self.rest.as_mut()?;
        if !is_it(rest.get(topic)?) {
            return None;
        }
        let removed = rest.remove(topic);
        if rest.is_empty() {
            self.rest = None;
        } else if rest.capacity() > CAPACITY_MIN && rest.len() < rest.capacity() / 8 {
            rest.shrink_to(2 * rest.len());
        }
        removed
    }

    pub(crate) fn get(&self, topic: &str) -> Option<&J> {
        match &self.first {
            Some(first) if first.topic() == topic => Some(first),
            _ => self.rest.as_ref()?.get(topic),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &J> {
        self.first.iter().chain(self.rest.iter().flat_map(|rest| rest.values()))
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.as_ref().map_or(0, |rest| rest.len())
    }
}

impl<J> Default for Joins<J> {
    fn default() -> Self {
        Self { first: None, rest: None }
    }
}

/// A message without a join_ref is for whatever join there is; clients older than the field send none.
fn is_stale(msg: &ChannelMsg, join: &impl Joined) -> bool {
    msg.join_ref.is_some() && msg.join_ref.as_ref() != join.stored_join_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Payload, make_msg};

    #[derive(Debug, PartialEq, Eq)]
    struct Join {
        topic: Topic,
        join_ref: Option<Ref>,
    }

    impl Joined for Join {
        fn topic(&self) -> &Topic {
            &self.topic
        }
        fn stored_join_ref(&self) -> Option<&Ref> {
            self.join_ref.as_ref()
        }
    }

    fn join(topic: &str, join_ref: Option<&str>) -> Join {
        Join { topic: Topic::from(topic), join_ref: join_ref.map(Ref::from) }
    }

    fn msg(join_ref: Option<&str>, topic: &str, event: &str) -> ChannelMsg {
        make_msg(join_ref.map(Ref::from), Some(Ref::from("9")), topic, event, Payload::empty())
    }

    /// A table with `a` joined under "1" and `b` joined without a join_ref.
    fn joins() -> Joins<Join> {
        let mut joins = Joins::default();
        joins.insert(join("a", Some("1")));
        joins.insert(join("b", None));
        joins
    }

    #[test]
    fn every_row_of_the_table() {
        let joins = joins();
        let (a, b) = (join("a", Some("1")), join("b", None));
        let verdict = |msg: &ChannelMsg| joins.handle_message(msg, 3);
        assert_eq!(verdict(&msg(None, "phoenix", "heartbeat")), Verdict::Heartbeat, "row 1");
        assert_eq!(verdict(&msg(Some("2"), "c", "phx_join")), Verdict::Join, "rows 2, 4, 5, 6");
        assert_eq!(joins.handle_message(&msg(Some("2"), "c", "phx_join"), 2), Verdict::TooManyJoins, "row 3");
        assert_eq!(verdict(&msg(Some("2"), "a", "phx_join")), Verdict::Replace(&a), "row 7");
        assert_eq!(
            joins.handle_message(&msg(Some("2"), "a", "phx_join"), 2),
            Verdict::Replace(&a),
            "row 7 at the limit"
        );
        assert_eq!(verdict(&msg(Some("1"), "a", "phx_leave")), Verdict::Leave(&a), "row 8");
        assert_eq!(verdict(&msg(None, "a", "phx_leave")), Verdict::Leave(&a), "row 8, null");
        assert_eq!(verdict(&msg(Some("2"), "a", "phx_leave")), Verdict::Stale, "row 9");
        assert_eq!(verdict(&msg(Some("2"), "c", "phx_leave")), Verdict::NothingToLeave, "row 10");
        assert_eq!(verdict(&msg(Some("1"), "a", "say")), Verdict::Forward(&a), "row 11");
        assert_eq!(verdict(&msg(None, "a", "say")), Verdict::Forward(&a), "row 11, null");
        assert_eq!(verdict(&msg(Some("2"), "a", "say")), Verdict::Stale, "row 12");
        assert_eq!(verdict(&msg(None, "c", "say")), Verdict::Unmatched, "row 13");
        assert_eq!(verdict(&msg(None, "b", "say")), Verdict::Forward(&b), "joined without a join_ref");
        assert_eq!(verdict(&msg(Some("2"), "b", "say")), Verdict::Stale, "its client must send none either");
    }

    #[test]
    fn a_heartbeat_is_one_by_its_topic_and_its_event() {
        let joins = joins();
        let verdict = |topic, event| joins.handle_message(&msg(None, topic, event), 3);
        assert_eq!(verdict("phoenix", "say"), Verdict::Unmatched);
        assert_eq!(verdict("a", "heartbeat"), Verdict::Forward(&join("a", Some("1"))));
    }

    #[test]
    fn a_join_that_was_replaced_is_not_removed_in_the_name_of_the_old_one() {
        for topic in ["a", "b"] {
            let (mut joins, (old, new)) =
                (joins(), (joins().get(topic).unwrap().join_ref.clone(), Ref::from("5")));
            joins.insert(join(topic, Some("5")));
            assert_eq!((joins.len(), joins.iter().count()), (2, 2));
            assert!(joins.remove(topic, |join| join.join_ref == old).is_none());
            assert!(joins.remove(topic, |join| join.join_ref.as_ref() == Some(&new)).is_some());
            let left: Vec<_> = joins.iter().map(|join| join.topic.as_str()).collect();
            assert!(left != [topic] && left.len() == 1 && joins.get(topic).is_none());
        }
    }

    #[test]
    fn a_table_is_empty_when_the_last_join_is_gone() {
        let mut joins = joins();
        assert!(joins.remove("b", |_| true).is_some() && joins.remove("c", |_| true).is_none());
        assert!(joins.remove("a", |_| true).is_some());
        assert!(joins.get("a").is_none() && joins.len() == 0);
    }

    #[test]
    fn the_table_is_small_again_when_most_joins_are_gone() {
        let mut joins = Joins::default();
        for n in 0..10_000 {
            joins.insert(join(&n.to_string(), None));
        }
        for n in 10..10_000 {
            joins.remove(&n.to_string(), |_| true);
        }
        assert!(joins.rest.as_ref().unwrap().capacity() <= 8 * CAPACITY_MIN);
        assert!((0..10).all(|n| joins.get(&n.to_string()).is_some()) && joins.len() == 10);
    }

    #[test]
    fn room_is_given_back_when_less_than_an_eighth_is_used_and_twice_of_what_is_used_stays() {
        let (mut joins, mut given_back) = (Joins::default(), 0);
        for n in 0..1_000 {
            joins.insert(join(&n.to_string(), None));
        }
        let room =
            |joins: &Joins<Join>| joins.rest.as_ref().map_or((0, 0), |rest| (rest.len(), rest.capacity()));
        for n in 1..999 {
            let (_, before) = room(&joins);
            joins.remove(&n.to_string(), |_| true);
            let (used, after) = room(&joins);
            if after < before / 2 {
                assert!(used < before / 8 && after >= 2 * used, "{before}, {after} for {used}");
                given_back += 1;
            } else {
                assert!(used >= after / 8 || after <= CAPACITY_MIN, "{before}, {after} for {used}");
            }
        }
        assert!(given_back > 2);
    }
}
