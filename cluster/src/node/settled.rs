//! How far this node has come with what is published on a topic's channel, as another node compares it with its own.

use super::Node;
use crate::id::Instance;

impl Node {
    /// The number of this node's last publication, on whatever channel.
    #[must_use]
    pub fn last_published(&self) -> u64 {
        self.outbound.top()
    }

    /// Up to which number each publisher that lives, this node among them, is settled here on a topic's channel: what has that number or a lower one
    /// was delivered, was told as lost, or was published before this node had the channel. None where that is not known yet.
    #[must_use]
    pub fn settled(&self, topic: &str) -> Vec<(Instance, Option<u64>)> {
        let key = self.hasher.key(self.config.spread, topic);
        let own = (self.identity.instance, Some(self.outbound.last_of(key)));
        let others = self.members.iter().filter(|(_, member)| member.peer.is_some());
        let others = others.map(|(instance, member)| (instance, member.inbound.settled(key)));
        std::iter::once(own).chain(others).collect()
    }

    /// Whether this node has come as far as another one had, which has said this of a topic. Of a publisher that this node has not met yet it does not
    /// know, unless there was nothing to hear.
    #[must_use]
    pub fn has_settled(&self, topic: &str, there: &[(Instance, Option<u64>)]) -> bool {
        let here = self.settled(topic);
        there.iter().filter(|(publisher, _)| *publisher != self.identity.instance).all(
            |(publisher, there)| {
                let here = here.iter().find(|(known, _)| known == publisher).map(|(_, here)| *here);
                match (here, there) {
                    (_, Some(0)) => true,
                    // A publisher that is gone says no more; what is missing of it was told.
                    (None, _) => self.is_gone(*publisher),
                    (Some(here), Some(there)) => here.is_some_and(|here| here >= *there),
                    (Some(_), None) => false,
                }
            },
        )
    }
}
