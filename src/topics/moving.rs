//! Members that go from one node to another: what they have heard here is known exactly.

use std::sync::Arc;

use crate::{
    protocol::EncodeError,
    topic::Topic,
    topics::{
        Inbox, Member, Subscribed, Topics,
        broadcast::{Broadcast, ChannelId},
        cut::Cut,
        heard::Origin,
        meter::Source,
        position::Position,
    },
};

impl Topics {
    /// Gives out a broadcast that `number` gives to the other nodes and thereby its place among this one's. On each topic the order of
    /// those places is that in which members get them.
    ///
    /// # Errors
    /// As for [`dispatch`](Self::dispatch).
    pub(crate) fn dispatch_numbered(
        &self,
        source: Source,
        broadcast: &Broadcast,
        number: impl FnOnce() -> Option<Origin>,
    ) -> Result<Option<Position>, EncodeError> {
        self.metered(source, |_| {
            if let Some(entry) = self.find(&broadcast.topic) {
                let frames = self.compression.prepare(entry.wanted(), broadcast);
                let members = entry.members();
                if !members.removed {
                    return self.give_out(&entry, members, (broadcast, frames), number());
                }
            }
            let origin = number();
            // Whoever has come meanwhile may hear of it from nobody else.
            let Some(entry) = self.find(&broadcast.topic) else { return Ok((0, None)) };
            let frames = self.compression.prepare(entry.wanted(), broadcast);
            self.give_out(&entry, entry.members(), (broadcast, frames), origin)
        })
    }

    /// Puts another member into the place of a join's, and says how far the topic's members have heard it here: the one before has these broadcasts,
    /// but for what it leaves out itself, which is the second, and the other one gets all that come from now on. None if the join is no member any more.
    pub(crate) fn exchange(
        &self,
        topic: &Topic,
        place: &Subscribed,
        join: ChannelId,
        member: Member,
    ) -> Option<(Cut, Cut)> {
        let mut members = place.entry.members();
        let before =
            members.slab.get_mut(place.slot as usize).filter(|before| before.join() == Some(join))?;
        let before = std::mem::replace(before, member);
        let heard = members.heard.as_deref().cloned().unwrap_or_default();
        let position = self.kept().and_then(|kept| kept.position(topic));
        drop(members);
        let left_out = match before {
            Member::Inbox(inbox) => inbox.cut(),
            Member::Lane { .. } => None,
        };
        Some((Cut { heard, position, said: Vec::new() }, left_out.unwrap_or_default()))
    }

    /// Gives a broadcast to one that has waited for it.
    pub(crate) fn give_late(&self, broadcast: &Arc<Broadcast>, inbox: Arc<dyn Inbox>) {
        inbox.deliver(&mut self.delivery(broadcast, Some(broadcast)));
    }
}
