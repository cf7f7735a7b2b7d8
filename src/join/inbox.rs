//! A join where it wants the broadcast itself: it intercepts events, listens to topics other than its own, or has a client that
//! asked for positions.

use std::sync::Arc;

use crate::{
    join::{
        Join,
        mailbox::{ChannelMailbox, Deposited},
        turn::Arrival,
    },
    topic::Topic,
    topics::{
        Inbox, Lane, MemberInfo,
        broadcast::{Broadcast, ChannelId},
        delivery::Delivery,
        gap::Gap,
    },
};

impl Inbox for Join {
    fn deliver(self: Arc<Self>, delivery: &mut Delivery<'_>) {
        let broadcast = delivery.broadcast;
        if broadcast.from == Some(self.id) {
            return;
        }
        let tells_places = broadcast.position.is_some() && self.has_asked();
        // Where some events go through the channel's hands, all that have a place do: none overtakes another.
        if broadcast.topic != self.topic
            || self.intercepts(&broadcast.event)
            || (tells_places && self.intercepts_any())
        {
            return self.mail(delivery.shared());
        }
        if tells_places {
            if let Some(frames) = delivery.recorded(self.peer.serializer()) {
                frames.each(|frame| self.peer.push_broadcast(frame));
            }
        } else if let Some(frame) = delivery.frame(self.peer.serializer()) {
            delivery.note(&*self.peer);
            self.peer.push_broadcast(frame);
        }
    }

    fn lane(&self) -> Option<&dyn Lane> {
        Some(&*self.peer)
    }

    fn tell_gap(self: Arc<Self>, gap: &Arc<Gap>) {
        self.deposit(ChannelMailbox::Gap(gap.clone()));
    }

    fn join(&self) -> Option<ChannelId> {
        Some(self.id)
    }

    fn join_of(&self, topic: &Topic) -> Option<MemberInfo> {
        (*topic == self.topic).then(|| MemberInfo::new(self.id, &*self.peer))
    }
}

impl Join {
    /// Puts a broadcast into the mailbox.
    pub(crate) fn mail(self: &Arc<Self>, broadcast: Arc<Broadcast>) {
        self.deposit(ChannelMailbox::Broadcast(broadcast));
    }

    /// Puts what comes from a topic into the mailbox.
    fn deposit(self: &Arc<Self>, message: ChannelMailbox) {
        let mut state = self.state();
        match state.turn.arrive() {
            Arrival::Over => {}
            Arrival::Begins(channel) => {
                drop(state);
                self.node().spawn(channel.rise(self.clone(), Some(message)));
            }
            Arrival::Waits => match state.turn.push_from_topic(message, &self.home.limits) {
                Deposited::Waits => {}
                Deposited::Replaced => self.node().spared.count_replaced(),
                Deposited::LeftOut => self.node().spared.count_left_out(),
            },
        }
    }
}
