//! What waits for a join's task, bounded in messages and bytes.

use std::{any::Any, collections::VecDeque, fmt, sync::Arc};

use crate::{
    broadcast::Broadcast,
    outcome::LeaveReason,
    protocol::{Name, Payload, Ref},
};

/// How much may wait for one join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxLimits {
    /// Messages. Default 1,024: a client that sends a thousand events at once is not slowed down.
    pub messages_max: usize,
    /// Bytes of their payloads. Default 1 MiB. A larger one is still accepted by an empty mailbox.
    pub bytes_max: usize,
}

impl Default for MailboxLimits {
    fn default() -> Self {
        Self { messages_max: 1_024, bytes_max: 1024 * 1024 }
    }
}

/// What arrives at a channel's green thread.
#[non_exhaustive]
pub enum ChannelMailbox {
    /// An event of the client's.
    Event {
        /// Its name.
        event: Name,
        /// Its payload.
        payload: Payload,
        /// What a reply has to refer to.
        reference: Option<Ref>,
    },
    /// A message from the rest of the program, a [`Channel::Info`](crate::Channel::Info).
    Info(Box<dyn Any + Send>),
    /// A broadcast that was intercepted, or one on another topic that the join is subscribed to.
    Broadcast(Arc<Broadcast>),
    /// Nothing carries the client's session for now (`true`), or something does again.
    Away(bool),
    /// The client leaves; carries what the reply has to refer to.
    Leave(Option<Ref>),
    /// The join is ended from outside.
    Stop(LeaveReason),
}

impl ChannelMailbox {
    /// Payload bytes.
    fn bytes(&self) -> usize {
        match self {
            Self::Event { payload, .. } => payload.size(),
            Self::Broadcast(broadcast) => broadcast.payload.size(),
            Self::Info(_) | Self::Away(_) | Self::Leave(_) | Self::Stop(_) => 0,
        }
    }
}

impl fmt::Debug for ChannelMailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event { event, .. } => {
                f.debug_tuple("Event").field(&format_args!("{:?}", event.to_string())).finish()
            }
            Self::Away(is_away) => f.debug_tuple("Away").field(is_away).finish(),
            Self::Info(_) => f.write_str("Info"),
            Self::Broadcast(broadcast) => f.debug_tuple("Broadcast").field(&broadcast.event).finish(),
            Self::Leave(_) => f.write_str("Leave"),
            Self::Stop(reason) => f.debug_tuple("Stop").field(reason).finish(),
        }
    }
}

/// The queue itself: no lock, no waker. Empty it holds no memory.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    queue: Option<Box<VecDeque<ChannelMailbox>>>,
    bytes: usize,
}

impl Mailbox {
    /// Puts a message at the end, over the bound if need be: for what comes from a client, of whom nothing more
    /// is read while [`is_full`](Self::is_full), and for the few messages that end a join.
    pub(crate) fn push(&mut self, message: ChannelMailbox) {
        self.bytes += message.bytes();
        self.queue.get_or_insert_default().push_back(message);
    }

    /// Puts a message at the end; gives it back if the mailbox is full.
    pub(crate) fn try_push(
        &mut self,
        message: ChannelMailbox,
        limits: &MailboxLimits,
    ) -> Result<(), ChannelMailbox> {
        if self.is_full(limits) || (!self.is_empty() && self.bytes + message.bytes() > limits.bytes_max) {
            return Err(message);
        }
        self.push(message);
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<ChannelMailbox> {
        let queue = self.queue.as_mut()?;
        let message = queue.pop_front();
        if queue.is_empty() {
            self.queue = None;
        }
        self.bytes -= message.as_ref().map_or(0, ChannelMailbox::bytes);
        message
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_none()
    }

    pub(crate) fn is_full(&self, limits: &MailboxLimits) -> bool {
        self.len() >= limits.messages_max || self.bytes >= limits.bytes_max
    }

    /// Whether there is so much room again that reading on is worth it.
    pub(crate) fn is_relaxed(&self, limits: &MailboxLimits) -> bool {
        self.len() <= limits.messages_max / 2 && self.bytes <= limits.bytes_max / 2
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(len: usize) -> ChannelMailbox {
        ChannelMailbox::Event { event: "e".into(), payload: vec![0u8; len].into(), reference: None }
    }

    #[test]
    fn is_full_at_its_bounds_and_relaxed_at_half_of_them() {
        let limits = MailboxLimits { messages_max: 4, bytes_max: 100 };
        let mut mailbox = Mailbox::default();
        for _ in 0..4 {
            assert!(mailbox.try_push(event(1), &limits).is_ok());
        }
        assert!(mailbox.is_full(&limits) && mailbox.try_push(event(1), &limits).is_err());
        mailbox.pop();
        assert!(!mailbox.is_full(&limits) && !mailbox.is_relaxed(&limits));
        mailbox.pop();
        assert!(mailbox.is_relaxed(&limits));
        assert!(mailbox.try_push(event(99), &limits).is_err(), "2 + 99 bytes are too many");
        assert!(mailbox.try_push(event(98), &limits).is_ok());
        assert!(mailbox.is_full(&limits));
    }

    #[test]
    fn an_empty_mailbox_takes_a_message_of_any_size_and_holds_no_memory_after_it() {
        let limits = MailboxLimits { messages_max: 4, bytes_max: 10 };
        let mut mailbox = Mailbox::default();
        assert!(mailbox.try_push(event(1_000), &limits).is_ok());
        assert!(mailbox.pop().is_some() && mailbox.pop().is_none());
        assert!(mailbox.queue.is_none() && mailbox.bytes == 0);
    }
}
