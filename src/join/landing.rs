//! A member of a topic that stands for a join while its client goes from one node to another: what comes waits, until it is known on which node the
//! join goes on.
//!
//! ```text
//!   where it comes to    waits ── land: what the other node has given it is left out ──▶ passes on, and goes on leaving that out
//!   where it was         waits ── stay: what was left out before ──────────────────────▶ passes on, and goes on leaving that out
//!                          └───── dropped: it goes on at the other node
//! ```
//!
//! Nodes hear a publisher each in their own time. What the one has given a join and the other has not heard yet comes there later, and is left
//! out then. So is what a callback that was still running has said to all but its own client: other nodes do not know whom that is not for.

use std::sync::{Arc, PoisonError};

use crate::{
    join::{Join, leave_reason::LeaveReason, stop},
    sync::{Mutex, MutexGuard},
    topic::Topic,
    topics::{
        Inbox, Lane, Member, MemberInfo, Subscribed,
        broadcast::{Broadcast, ChannelId},
        cut::{Cut, Place},
        delivery::Delivery,
        gap::Gap,
    },
};

/// What may wait: what is said on a busy topic in the seconds that a move takes where messages about it are lost. Those who wait for the same share it.
const ITEMS_MAX: usize = 8_192;

/// Bytes of it: as much as may wait for a client by default.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a join may say to all others in that time.
pub(crate) const SAID_MAX: usize = 256;

/// Stands for a join on one topic, its own or another.
pub(crate) struct Landing {
    join: Arc<Join>,
    topic: Topic,
    state: Mutex<State>,
}

/// A landing where the join was, and what is known of the topic by then.
pub(crate) struct HeldTopic {
    pub(crate) landing: Arc<Landing>,
    /// What it has: what was given out here, and what it had when it came here itself.
    pub(crate) cut: Cut,
    /// What it had when it came here.
    before: Cut,
}

impl HeldTopic {
    /// What it has said to all others, here and before.
    pub(crate) fn said(&self) -> Vec<Place> {
        [&*self.cut.said, &*self.landing.said()].concat()
    }

    /// Whether all that came for it found room, and what it has said.
    pub(crate) fn has_room(&self) -> bool {
        self.landing.state().has_room(self.cut.said.len())
    }

    /// The join goes on here, as it did before.
    pub(crate) fn stay(&self) {
        self.landing.land(self.before.clone());
    }
}

enum State {
    Waits {
        items: Vec<Item>,
        bytes: usize,
        /// What the join has said to all others.
        said: Vec<Place>,
    },
    /// More came than may wait.
    Overflowed,
    Landed(Cut),
}

enum Item {
    Broadcast(Arc<Broadcast>),
    Gap(Arc<Gap>),
}

impl Landing {
    pub(crate) fn new(join: Arc<Join>, topic: Topic) -> Arc<Self> {
        Arc::new(Self { join, topic, state: Mutex::new(State::new()) })
    }

    pub(crate) fn topic(&self) -> &Topic {
        &self.topic
    }

    /// What the join has said to all others since it stands here.
    pub(crate) fn said(&self) -> Vec<Place> {
        if let State::Waits { said, .. } = &*self.state() { said.clone() } else { Vec::new() }
    }

    /// Whether more came than may wait: it cannot land without a gap.
    pub(crate) fn has_overflowed(&self) -> bool {
        matches!(*self.state(), State::Overflowed)
    }

    /// The join goes on here, and has what is before the cut. One for which more came than may wait is ended, so that its client joins again.
    pub(crate) fn land(&self, cut: Cut) {
        let mut state = self.state();
        let waited = std::mem::replace(&mut *state, State::Landed(cut));
        let State::Landed(cut) = &*state else { return };
        match waited {
            // The state stays locked, so that what comes now comes behind what has waited.
            State::Waits { items, .. } => items.into_iter().for_each(|item| match item {
                Item::Broadcast(broadcast) if cut.has(&broadcast, broadcast.origin) => {}
                Item::Broadcast(broadcast) => {
                    self.join.node().topics.give_late(&broadcast, self.join.clone());
                }
                Item::Gap(gap) => self.join.clone().tell_gap(&gap),
            }),
            State::Overflowed => stop(&self.join, LeaveReason::Missed),
            State::Landed(_) => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new() -> Self {
        Self::Waits { items: Vec::new(), bytes: 0, said: Vec::new() }
    }

    /// Whether all that came found room, and what the join has said found it behind so much that it had said before.
    fn has_room(&self, said_before: usize) -> bool {
        match self {
            Self::Waits { said, .. } => said_before + said.len() <= SAID_MAX,
            Self::Overflowed => false,
            Self::Landed(_) => true,
        }
    }

    /// The join itself has said it, and does not hear it.
    fn pass_by(&mut self, place: Option<Place>) {
        let Self::Waits { said, .. } = self else { return };
        said.extend(place);
        if said.len() > SAID_MAX {
            *self = Self::Overflowed;
        }
    }

    fn wait(&mut self, item: Item) {
        let Self::Waits { items, bytes, .. } = self else { return };
        *bytes += item.bytes();
        items.push(item);
        if items.len() > ITEMS_MAX || *bytes > BYTES_MAX {
            *self = Self::Overflowed;
        }
    }
}

impl Item {
    fn bytes(&self) -> usize {
        let held = match self {
            Self::Broadcast(broadcast) => {
                broadcast.topic.len() + broadcast.event.len() + broadcast.payload.size()
            }
            Self::Gap(gap) => gap.topic.len() + gap.node.len(),
        };
        size_of::<Self>() + held
    }
}

impl Inbox for Landing {
    fn deliver(self: Arc<Self>, delivery: &mut Delivery<'_>) {
        let mut state = self.state();
        match &*state {
            State::Landed(cut) if cut.has(delivery.broadcast, delivery.origin()) => {}
            State::Landed(_) => {
                drop(state);
                self.join.clone().deliver(delivery);
            }
            _ if delivery.broadcast.from == Some(self.join.id) => {
                state.pass_by(Place::new(delivery.broadcast, delivery.origin()));
            }
            _ => state.wait(Item::Broadcast(delivery.shared())),
        }
    }

    fn lane(&self) -> Option<&dyn Lane> {
        Some(&*self.join.peer)
    }

    fn tell_gap(self: Arc<Self>, gap: &Arc<Gap>) {
        let mut state = self.state();
        match &*state {
            State::Landed(_) => {
                drop(state);
                self.join.clone().tell_gap(gap);
            }
            _ => state.wait(Item::Gap(gap.clone())),
        }
    }

    fn join(&self) -> Option<ChannelId> {
        Some(self.join.id)
    }

    fn cut(&self) -> Option<Cut> {
        if let State::Landed(cut) = &*self.state() { Some(cut.clone()) } else { None }
    }

    fn join_of(&self, topic: &Topic) -> Option<MemberInfo> {
        self.join.join_of(topic)
    }
}

impl Join {
    /// Has what comes for this join wait, on its own topic and others. Says how far it has heard each.
    pub(crate) fn hold_topics(self: &Arc<Self>) -> Vec<HeldTopic> {
        let state = self.state();
        let own = state.subscribed.iter().map(|subscribed| (self.topic.clone(), subscribed.clone()));
        let foreign = state.foreign.iter().flat_map(|foreign| foreign.iter().cloned());
        let places: Vec<_> = own.chain(foreign).collect();
        drop(state);
        let hold = |(topic, place): (Topic, Subscribed)| {
            let landing = Landing::new(self.clone(), topic.clone());
            let topics = &self.home.node.topics;
            // One that has left meanwhile has heard what it has heard.
            let (here, before) = topics.exchange(&topic, &place, self.id, Member::Inbox(landing.clone()))?;
            Some(HeldTopic { landing, cut: before.clone().and(here), before })
        };
        places.into_iter().filter_map(hold).collect()
    }

    /// The other topics that it is subscribed to.
    pub(crate) fn foreign(&self) -> Vec<Topic> {
        let state = self.state();
        state.foreign.iter().flat_map(|foreign| foreign.iter()).map(|(topic, _)| topic.clone()).collect()
    }

    /// Whether nothing is left to do: the channel rests, or the join is over; and what it has said to all others on a kept topic is known by its place.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_at_rest() && !self.node().link().is_some_and(|link| link.is_keeping_for(self.id))
    }

    /// Whether it owes an answer to its client.
    pub(crate) fn owes_answer(&self) -> bool {
        self.node().link().is_some_and(|link| link.owes(self.id))
    }

    /// Whether its client has the ok to it, and it is not over.
    pub(crate) fn is_joined(&self) -> bool {
        let state = self.state();
        state.subscribed.is_some() && !state.turn.is_ended()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Payload;

    fn broadcast(bytes: usize) -> Item {
        Item::Broadcast(Arc::new(Broadcast::new("t", "e", Payload::from(vec![0; bytes]))))
    }

    #[test]
    fn so_much_waits_and_no_more() {
        for (bytes, count) in [(1, ITEMS_MAX), (BYTES_MAX / 4 - 1_000, 4)] {
            let mut state = State::new();
            for _ in 0..count {
                state.wait(broadcast(bytes));
            }
            assert!(matches!(&state, State::Waits { items, .. } if items.len() == count));
            state.wait(broadcast(bytes));
            assert!(matches!(state, State::Overflowed));
        }
    }

    #[test]
    fn what_a_join_says_to_all_others_is_passed_by_and_so_much_of_it() {
        let mut state = State::new();
        state.pass_by(None);
        for number in 0..SAID_MAX as u64 {
            state.pass_by(Some(Place::Of(1, number)));
        }
        assert!(
            matches!(&state, State::Waits { items, said, .. } if items.is_empty() && said.len() == SAID_MAX)
        );
        assert!(state.has_room(0) && !state.has_room(1), "it is told together with what was said elsewhere");
        state.pass_by(Some(Place::Of(1, 0)));
        assert!(matches!(state, State::Overflowed) && !state.has_room(0));
    }
}
