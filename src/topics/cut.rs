//! How far a join that goes from one node to another has heard a topic, and which broadcasts are left out for that where it goes on.

use serde::{Deserialize, Serialize};

use crate::topics::{
    broadcast::Broadcast,
    heard::{Heard, Origin},
    position::Position,
};

/// How far a join has heard a topic.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cut {
    /// Of what nodes say directly.
    pub(crate) heard: Heard,
    /// Of what is kept by the cluster's store.
    pub(crate) position: Option<Position>,
    /// What it has said itself since, to all others.
    pub(crate) said: Vec<Place>,
}

/// Where a broadcast stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// Among all of its node: the number of the node's start, and its own.
    Of(u64, u64),
    /// In what is kept of its topic.
    Kept(Position),
}

impl Place {
    /// None of one that no other node hears.
    pub(crate) fn new(broadcast: &Broadcast, origin: Option<Origin>) -> Option<Self> {
        let kept = broadcast.position.map(Self::Kept);
        kept.or_else(|| origin.map(|Origin { node, number }| Self::Of(node, number)))
    }
}

impl Cut {
    /// Whether a broadcast is one of those that it has, or that are not for it.
    pub(crate) fn has(&self, broadcast: &Broadcast, origin: Option<Origin>) -> bool {
        let is_heard = origin.is_some_and(|origin| self.heard.has(origin));
        let is_kept = broadcast.position.is_some_and(|position| self.is_before(position));
        let is_said = || Place::new(broadcast, origin).is_some_and(|place| self.said.contains(&place));
        is_heard || is_kept || (!self.said.is_empty() && is_said())
    }

    /// The cut of a join that had this one when it came to a node, and has heard what that has given out since. What it has said is known apart only as
    /// long as that is not before the rest.
    pub(crate) fn and(mut self, here: Self) -> Self {
        self.heard.and(&here.heard);
        self.position = match (self.position, here.position) {
            (Some(before), Some(here)) if before.epoch == here.epoch && before.offset > here.offset => {
                Some(before)
            }
            (before, here) => here.or(before),
        };
        let said = std::mem::take(&mut self.said).into_iter().chain(here.said);
        self.said = said.filter(|place| !self.is_heard(*place)).collect();
        self
    }

    fn is_heard(&self, place: Place) -> bool {
        match place {
            Place::Of(node, number) => self.heard.has(Origin { node, number }),
            Place::Kept(position) => self.is_before(position),
        }
    }

    fn is_before(&self, position: Position) -> bool {
        self.position.is_some_and(|cut| cut.epoch == position.epoch && position.offset <= cut.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Payload;

    fn origin(number: u64) -> Option<Origin> {
        Some(Origin { node: 1, number })
    }

    #[test]
    fn a_cut_has_what_was_heard_and_what_is_before_its_position() {
        let mut cut = Cut::default();
        let said = Broadcast::new("t", "e", Payload::empty());
        assert!(!cut.has(&said, None) && !cut.has(&said, origin(1)));
        cut.heard.note(Origin { node: 1, number: 5 });
        assert!(cut.has(&said, origin(5)) && !cut.has(&said, origin(6)) && !cut.has(&said, None));
        cut.position = "a:5".parse().ok();
        let at = |position: &str| Broadcast { position: position.parse().ok(), ..said.clone() };
        assert!(cut.has(&at("a:5"), None) && !cut.has(&at("a:6"), None) && !cut.has(&at("b:5"), None));
        cut.said = vec![Place::Of(1, 8), Place::Kept("a:9".parse().unwrap())];
        assert!(cut.has(&said, origin(8)) && !cut.has(&said, origin(7)) && !cut.has(&said, origin(9)));
        assert!(cut.has(&at("a:9"), None) && !cut.has(&at("a:8"), None) && !cut.has(&at("b:9"), None));
    }

    #[test]
    fn a_second_cut_has_what_the_first_had() {
        let cut = |heard: &[(u64, u64)], position: &str, said: &[Place]| {
            let mut cut = Cut { said: said.to_vec(), position: position.parse().ok(), ..Cut::default() };
            heard.iter().for_each(|&(node, number)| cut.heard.note(Origin { node, number }));
            cut
        };
        let kept = |position: &str| Place::Kept(position.parse().unwrap());
        let said = [Place::Of(1, 8), Place::Of(3, 7), kept("a:9"), kept("a:4")];
        let both = cut(&[(1, 5), (2, 5)], "a:5", &said).and(cut(&[(2, 3), (1, 6), (3, 7)], "a:3", &[]));
        for (node, number) in [(1, 6), (2, 5), (3, 7)] {
            let last = both.heard.has(Origin { node, number });
            assert!(last && !both.heard.has(Origin { node, number: number + 1 }), "{node}");
        }
        assert_eq!(both.said, [Place::Of(1, 8), kept("a:9")], "the others are before the rest");
        let position = |before: &str, here: &str| {
            cut(&[], before, &[]).and(cut(&[], here, &[])).position.map(|position| position.to_string())
        };
        assert_eq!(position("a:5", "a:3").as_deref(), Some("a:5"));
        assert_eq!(position("a:3", "a:5").as_deref(), Some("a:5"));
        assert_eq!(position("a:5", "b:3").as_deref(), Some("b:3"), "the store had lost its data before");
        assert_eq!(position("a:5", "").as_deref(), Some("a:5"));
        assert_eq!(position("", "a:5").as_deref(), Some("a:5"));
    }
}
