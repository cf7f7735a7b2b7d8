//! The mailbox: messages that wait for a join's task, bounded in number and bytes.

use std::{any::Any, collections::VecDeque, fmt, sync::Arc};

use crate::{
    join::{leave_reason::LeaveReason, states::States},
    protocol::{Name, Payload, Ref, name_limits},
    topics::{
        broadcast::{Broadcast, StateKey},
        gap::Gap,
        slow::SlowPolicy,
    },
};

/// Bounds of what may wait for one join, in its mailbox.
///
/// At a bound, nothing more is read from a client whose own messages filled it; a broadcast that the channel intercepts ends the
/// join with `phx_error`; a message of the program's own is given back to its [`Sender`](crate::Sender).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct MailboxLimits {
    pub(crate) messages_max: usize,
    pub(crate) bytes_max: usize,
}

impl MailboxLimits {
    /// The defaults.
    pub const fn new() -> Self {
        Self { messages_max: 1_024, bytes_max: 1024 * 1024 }
    }

    /// Messages. Default 1,024: a client that sends a thousand events at once is not slowed down.
    pub const fn messages_max(mut self, messages: usize) -> Self {
        self.messages_max = messages;
        self
    }

    /// Bytes of the messages: payloads, names, refs, and what each message takes besides. What a message of the program's own
    /// points to is not known here. Default 1 MiB: as much as a thousand events of a kilobyte. A larger message is still accepted
    /// by an empty mailbox.
    pub const fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }
}

impl Default for MailboxLimits {
    fn default() -> Self {
        Self::new()
    }
}

/// What became of a message from a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deposited {
    Waits,
    /// It waits in the place of an older state.
    Replaced,
    /// Something waited, and it is of no use later.
    LeftOut,
}

/// As much may be handled for each join of a client without being counted: what a session has for nothing, too.
const AT_ONCE_MAX: usize = 4_096;

/// A message that arrives at a channel's green thread.
#[non_exhaustive]
pub enum ChannelMailbox {
    /// An event of the client's.
    Event {
        /// Its name.
        event: Name,
        /// Its payload.
        payload: Payload,
        /// The reference that a reply has to repeat.
        reference: Option<Ref>,
    },
    /// A message from the rest of the program, see [`Receive`](crate::Receive).
    Info(Box<dyn Any + Send>),
    /// A broadcast that was intercepted, or one on another topic that the join is subscribed to.
    Broadcast(Arc<Broadcast>),
    /// Broadcasts of another node on the join's topic, or on another that it is subscribed to, are lost.
    Gap(Arc<Gap>),
    /// Nothing carries the client's session for now.
    Away,
    /// Something carries it again.
    Back,
    /// The client leaves; carries what the reply has to refer to.
    Leave(Option<Ref>),
    /// The join is ended from outside.
    Stop(LeaveReason),
}

impl ChannelMailbox {
    /// The bytes that the message holds, itself included. Shared bytes are counted for each who holds them.
    fn bytes(&self) -> usize {
        let of_ref =
            |reference: &Option<Ref>| reference.as_ref().map_or(0, |reference| reference.as_json().len());
        let held = match self {
            Self::Event { event, payload, reference } => bytes_of_event(event, payload, reference.as_ref()),
            Self::Broadcast(broadcast) => {
                broadcast.topic.len() + broadcast.event.len() + broadcast.payload.size()
            }
            Self::Gap(gap) => gap.topic.len() + gap.node.len(),
            Self::Leave(reference) => of_ref(reference),
            Self::Info(_) | Self::Away | Self::Back | Self::Stop(_) => 0,
        };
        size_of::<Self>() + held
    }

    /// Of what it tells the state, if it does.
    fn state_key(&self) -> Option<StateKey> {
        if let Self::Broadcast(broadcast) = self { broadcast.state_key() } else { None }
    }

    /// What it holds if it is the client's and worth to be counted while it is handled without having waited.
    pub(crate) fn bytes_at_once(&self) -> usize {
        counted_at_once(self.bytes_of_client())
    }

    /// What it holds if it is the client's; nothing otherwise.
    pub(crate) fn bytes_of_client(&self) -> usize {
        match self {
            Self::Event { event, payload, reference } => {
                size_of::<Self>() + bytes_of_event(event, payload, reference.as_ref())
            }
            Self::Leave(_) => self.bytes(),
            _ => 0,
        }
    }
}

impl fmt::Debug for ChannelMailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event { event, .. } => {
                f.debug_tuple("Event").field(&format_args!("{:?}", event.to_string())).finish()
            }
            Self::Away => f.write_str("Away"),
            Self::Back => f.write_str("Back"),
            Self::Info(_) => f.write_str("Info"),
            Self::Broadcast(broadcast) => f.debug_tuple("Broadcast").field(&broadcast.event).finish(),
            Self::Gap(gap) => f.debug_tuple("Gap").field(&gap.cause).finish(),
            Self::Leave(_) => f.write_str("Leave"),
            Self::Stop(reason) => f.debug_tuple("Stop").field(reason).finish(),
        }
    }
}

/// Messages that are looked at before an index is made.
const SCAN_MAX: usize = 64;

/// What waits, never nothing.
#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<ChannelMailbox>,
    /// Where the states of things wait, once somebody had to look for long.
    states: Option<Box<States>>,
}

impl Queue {
    fn push(&mut self, message: ChannelMailbox) {
        if let Some(states) = &mut self.states {
            states.push(self.messages.len(), message.state_key());
        }
        self.messages.push_back(message);
    }

    fn pop(&mut self) -> Option<ChannelMailbox> {
        let message = self.messages.pop_front()?;
        if let Some(states) = &mut self.states {
            states.pop(message.state_key());
        }
        Some(message)
    }

    /// The state of a thing that waits.
    ///
    /// Looks at some messages at most: where that is not enough, an index is made, and kept until nothing waits.
    fn find(&mut self, key: &StateKey) -> Option<&mut ChannelMailbox> {
        if self.states.is_none() {
            let newest = self.messages.len().saturating_sub(SCAN_MAX);
            let is_it = |message: &ChannelMailbox| message.state_key().as_ref() == Some(key);
            if let Some(place) =
                (newest..self.messages.len()).rev().find(|place| is_it(&self.messages[*place]))
            {
                return self.messages.get_mut(place);
            }
            if newest == 0 {
                return None;
            }
        }
        let states = self
            .states
            .get_or_insert_with(|| Box::new(States::of(self.messages.iter().map(ChannelMailbox::state_key))));
        let place = states.place_of(key)?;
        self.messages.get_mut(place)
    }
}

/// The queue itself: no lock, no waker. Empty it holds no memory.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    queue: Option<Box<Queue>>,
    bytes: u32,
    /// Bytes of the client's that wait or are being handled, its join's params among them. Every join has this number: hence no
    /// larger ones.
    of_client: u32,
}

impl Mailbox {
    /// Puts a message at the end, over the bound if need be: for what comes from a client, of whom nothing more
    /// is read while [`is_full`](Self::is_full), and for the few messages that end a join.
    pub(crate) fn push(&mut self, message: ChannelMailbox) {
        self.bytes = self.bytes.saturating_add(number(message.bytes()));
        self.queue.get_or_insert_default().push(message);
    }

    /// Puts a message at the end; gives it back if the mailbox is full.
    pub(crate) fn try_push(
        &mut self,
        message: ChannelMailbox,
        limits: &MailboxLimits,
    ) -> Result<(), ChannelMailbox> {
        if !self.has_room(message.bytes(), limits) {
            return Err(message);
        }
        self.push(message);
        Ok(())
    }

    /// Puts what comes from a topic at the end, or does with it what its policy for slow clients says.
    pub(crate) fn push_by_policy(
        &mut self,
        message: ChannelMailbox,
        limits: &MailboxLimits,
    ) -> Result<Deposited, ChannelMailbox> {
        if let ChannelMailbox::Broadcast(broadcast) = &message {
            if broadcast.policy().is_some_and(SlowPolicy::is_volatile) && !self.is_empty() {
                return Ok(Deposited::LeftOut);
            }
            let older =
                broadcast.state_key().zip(self.queue.as_mut()).and_then(|(key, queue)| queue.find(&key));
            if let Some(older) = older {
                let (before, after) = (older.bytes(), message.bytes());
                let others = (self.bytes as usize).saturating_sub(before);
                // One that does not grow takes no room, however full it is.
                if after > before && others + after > limits.bytes_max {
                    return Err(message);
                }
                self.bytes = number(others).saturating_add(number(after));
                *older = message;
                return Ok(Deposited::Replaced);
            }
        }
        self.try_push(message, limits).map(|()| Deposited::Waits)
    }

    /// Whether there is room for a message of the program's own.
    pub(crate) fn has_room_for_info(&self, limits: &MailboxLimits) -> bool {
        self.has_room(size_of::<ChannelMailbox>(), limits)
    }

    fn has_room(&self, bytes: usize, limits: &MailboxLimits) -> bool {
        !self.is_full(limits) && (self.is_empty() || self.bytes as usize + bytes <= limits.bytes_max)
    }

    pub(crate) fn pop(&mut self) -> Option<ChannelMailbox> {
        let queue = self.queue.as_mut()?;
        let message = queue.pop();
        if queue.messages.is_empty() {
            self.queue = None;
        }
        self.bytes = self.bytes.saturating_sub(number(message.as_ref().map_or(0, ChannelMailbox::bytes)));
        message
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_none()
    }

    pub(crate) fn is_full(&self, limits: &MailboxLimits) -> bool {
        self.len() >= limits.messages_max || self.bytes as usize >= limits.bytes_max
    }

    /// Whether there is so much room again that reading on is worth it.
    pub(crate) fn is_relaxed(&self, limits: &MailboxLimits) -> bool {
        self.len() <= limits.messages_max / 2 && self.bytes as usize <= limits.bytes_max / 2
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.messages.len())
    }

    /// So many bytes of the client's are held until they are settled.
    pub(crate) fn owe(&mut self, bytes: usize) {
        self.of_client = self.of_client.saturating_add(number(bytes));
    }

    /// So many bytes of the client's are not held any more. Returns how many of them still were.
    pub(crate) fn settle(&mut self, bytes: usize) -> usize {
        let settled = number(bytes).min(self.of_client);
        self.of_client -= settled;
        settled as usize
    }
}

#[inline]
fn bytes_of_event(event: &Name, payload: &Payload, reference: Option<&Ref>) -> usize {
    name_limits::bytes_of(event) + payload.size() + reference.map_or(0, |reference| reference.as_json().len())
}

/// Bytes that are held for a client while they are handled: none where it is few, so that a small message touches no counter.
pub(crate) fn counted_at_once(bytes: usize) -> usize {
    if bytes > AT_ONCE_MAX { bytes } else { 0 }
}

/// Four gigabytes and more are as many as can be told.
fn number(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::{broadcast::compared, gap::GapCause};

    /// An event that is so many bytes in all.
    fn event(bytes: usize) -> ChannelMailbox {
        let payload = vec![0u8; bytes - size_of::<ChannelMailbox>() - "e".len()];
        ChannelMailbox::Event { event: "e".into(), payload: payload.into(), reference: None }
    }

    #[test]
    fn is_full_at_its_bounds_and_relaxed_at_half_of_them() {
        let limits = MailboxLimits::new().messages_max(4).bytes_max(1_000);
        let mut mailbox = Mailbox::default();
        for _ in 0..4 {
            assert!(mailbox.try_push(event(200), &limits).is_ok());
        }
        assert!(mailbox.is_full(&limits) && mailbox.try_push(event(200), &limits).is_err());
        mailbox.pop();
        assert!(!mailbox.is_full(&limits) && !mailbox.is_relaxed(&limits));
        mailbox.pop();
        assert!(mailbox.is_relaxed(&limits));
        assert!(mailbox.try_push(event(601), &limits).is_err(), "400 + 601 bytes are too many");
        assert!(mailbox.try_push(event(600), &limits).is_ok());
        assert!(mailbox.is_full(&limits));
    }

    #[test]
    fn a_state_takes_the_place_of_an_older_one_with_its_bytes_and_what_is_volatile_waits_for_nobody() {
        let limits = MailboxLimits::new().messages_max(3);
        let state = |key: &str, bytes: usize| {
            let broadcast = Broadcast::new("t", "e", Payload::from(vec![0; bytes])).latest(key);
            ChannelMailbox::Broadcast(Arc::new(broadcast))
        };
        let volatile =
            || ChannelMailbox::Broadcast(Arc::new(Broadcast::new("t", "e", Payload::empty()).volatile()));
        let mut mailbox = Mailbox::default();
        assert_eq!(mailbox.push_by_policy(volatile(), &limits).unwrap(), Deposited::Waits);
        assert_eq!(mailbox.push_by_policy(volatile(), &limits).unwrap(), Deposited::LeftOut);
        mailbox.pop();
        for (key, bytes, deposited) in
            [("a", 10, Deposited::Waits), ("b", 20, Deposited::Waits), ("a", 300, Deposited::Replaced)]
        {
            assert_eq!(mailbox.push_by_policy(state(key, bytes), &limits).unwrap(), deposited);
        }
        mailbox.push(ChannelMailbox::Away);
        assert_eq!(
            mailbox.push_by_policy(state("b", 5), &limits).unwrap(),
            Deposited::Replaced,
            "it is full"
        );
        assert!(mailbox.push_by_policy(state("c", 5), &limits).is_err());
        let sizes = std::iter::from_fn(|| mailbox.pop()).map(|message| match message {
            ChannelMailbox::Broadcast(broadcast) => broadcast.payload.size(),
            _ => 0,
        });
        assert_eq!(sizes.collect::<Vec<_>>(), [300, 5, 0]);
        assert_eq!(mailbox.bytes, 0);
    }

    fn state(key: &str) -> ChannelMailbox {
        ChannelMailbox::Broadcast(Arc::new(Broadcast::new("t", "e", Payload::empty()).latest(key)))
    }

    #[test]
    fn a_state_that_grows_beyond_the_bound_has_no_room_and_one_that_shrinks_has() {
        let large = |bytes| {
            let payload = Payload::Binary(vec![0; bytes].into());
            ChannelMailbox::Broadcast(Arc::new(Broadcast::new("t", "e", payload).latest("k")))
        };
        let mut mailbox = Mailbox::default();
        let limits = MailboxLimits::new().bytes_max(2_000);
        mailbox.push_by_policy(large(1_000), &limits).unwrap();
        assert_eq!(mailbox.push_by_policy(large(1_500), &limits).unwrap(), Deposited::Replaced);
        assert!(mailbox.push_by_policy(large(2_000), &limits).is_err());
        let narrow = MailboxLimits::new().bytes_max(10);
        assert!(mailbox.push_by_policy(large(1_501), &narrow).is_err());
        assert_eq!(mailbox.push_by_policy(large(1_500), &narrow).unwrap(), Deposited::Replaced);
        let wide_enough = MailboxLimits::new().bytes_max(large(1_600).bytes());
        assert!(mailbox.push_by_policy(large(1_601), &wide_enough).is_err());
        assert_eq!(mailbox.push_by_policy(large(1_600), &wide_enough).unwrap(), Deposited::Replaced);
        assert_eq!(mailbox.len(), 1);
    }

    /// Beside what a look at each message finds.
    #[test]
    fn a_state_takes_the_right_place_among_many_as_among_few() {
        let mut dice = 1_u64;
        let mut roll = |below: usize| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) as usize % below
        };
        let limits = MailboxLimits::new().messages_max(usize::MAX).bytes_max(usize::MAX);
        let (mut mailbox, mut model, mut indexed) = (Mailbox::default(), VecDeque::<Option<usize>>::new(), 0);
        for step in 0..40_000 {
            let key = roll(200);
            if roll(10) == 0 {
                mailbox.push(ChannelMailbox::Away);
                model.push_back(None);
            } else {
                let waits = model.contains(&Some(key));
                let wanted = if waits { Deposited::Replaced } else { Deposited::Waits };
                assert_eq!(
                    mailbox.push_by_policy(state(&key.to_string()), &limits).unwrap(),
                    wanted,
                    "{step}"
                );
                if !waits {
                    model.push_back(Some(key));
                }
            }
            indexed += usize::from(mailbox.queue.as_ref().is_some_and(|queue| queue.states.is_some()));
            while model.len() > 100 + 100 * (step / 5_000 % 2) || (step % 10_000 == 0 && !model.is_empty()) {
                let key = model.pop_front().unwrap().map(|key| state(&key.to_string()).state_key());
                assert_eq!(mailbox.pop().unwrap().state_key(), key.flatten());
            }
            assert_eq!(mailbox.len(), model.len());
        }
        assert!(indexed > 20_000, "it is looked for in an index: {indexed}");
    }

    /// As many comparisons of keys for each state that comes, however many others wait.
    #[test]
    fn a_state_is_found_among_ten_thousand_as_fast_as_among_a_hundred() {
        const ROUNDS: usize = 30_000;
        let limits = MailboxLimits::new().messages_max(usize::MAX).bytes_max(usize::MAX);
        for keys in [100, 1_000, 10_000] {
            let states: Vec<_> = (0..keys).map(|number| number.to_string()).collect();
            let mut mailbox = Mailbox::default();
            for key in &states {
                mailbox.push_by_policy(state(key), &limits).unwrap();
            }
            compared::take();
            for round in 0..ROUNDS {
                mailbox.push_by_policy(state(&states[round * 7_919 % keys]), &limits).unwrap();
                // The channel has taken one, which tells of another thing than the next that is said.
                if round % 3 == 0 {
                    mailbox.pop();
                }
            }
            let each = compared::take() as f64 / ROUNDS as f64;
            assert!(each < 4.0, "{each} comparisons for each, among {keys}");
            assert!(mailbox.len() > keys / 2, "{} wait", mailbox.len());
        }
    }

    #[test]
    fn all_of_a_message_is_counted() {
        let payload = Payload::from(vec![0u8; 10]);
        let (topic, name) = ("t".repeat(100), "n".repeat(1_000));
        let reference = Some(Ref::from("r".repeat(10_000)));
        let broadcast = Arc::new(Broadcast::new(topic, &name, payload.clone()));
        let gap =
            Arc::new(Gap { topic: "t".repeat(99).into(), node: "abc".into(), cause: GapCause::NodeDied });
        for (message, held) in [
            (ChannelMailbox::Broadcast(broadcast), 1_110),
            (ChannelMailbox::Event { event: name.into(), payload, reference: reference.clone() }, 11_012),
            (ChannelMailbox::Leave(reference), 10_002),
            (ChannelMailbox::Gap(gap), 102),
            (ChannelMailbox::Info(Box::new(())), 0),
            (ChannelMailbox::Away, 0),
            (ChannelMailbox::Back, 0),
        ] {
            assert_eq!(message.bytes(), size_of::<ChannelMailbox>() + held, "{message:?}");
        }
        // Thousands of the smallest do not pass for nothing.
        let limits = MailboxLimits::new().messages_max(usize::MAX);
        let mut mailbox = Mailbox::default();
        while mailbox.try_push(ChannelMailbox::Away, &limits).is_ok() {}
        assert!(mailbox.len() * size_of::<ChannelMailbox>() <= limits.bytes_max);
    }

    #[test]
    fn an_empty_mailbox_takes_a_message_of_any_size_and_holds_no_memory_after_it() {
        let limits = MailboxLimits::new().messages_max(4).bytes_max(10);
        let mut mailbox = Mailbox::default();
        assert!(mailbox.try_push(event(1_000), &limits).is_ok());
        assert!(mailbox.pop().is_some() && mailbox.pop().is_none());
        assert!(mailbox.queue.is_none() && mailbox.bytes == 0);
    }

    #[test]
    fn reading_on_is_worth_it_when_there_is_half_of_the_room_in_messages_and_in_bytes() {
        for (limits, bytes) in [
            (MailboxLimits::new().messages_max(4), 200),
            (MailboxLimits::new().bytes_max(800), 200),
            (MailboxLimits::new().messages_max(4).bytes_max(800), 200),
        ] {
            let mut mailbox = Mailbox::default();
            (0..4).for_each(|_| mailbox.push(event(bytes)));
            let relaxed = (0..4).map(|_| {
                mailbox.pop();
                mailbox.is_relaxed(&limits)
            });
            assert_eq!(relaxed.collect::<Vec<_>>(), [false, true, true, true], "{limits:?}");
        }
    }

    #[test]
    fn what_a_client_sent_is_counted_and_while_it_is_handled_only_if_it_is_much() {
        let messages = |bytes: usize| {
            let reference = Ref::from("r".repeat(bytes - size_of::<ChannelMailbox>() - 2));
            [event(bytes), ChannelMailbox::Leave(Some(reference))]
        };
        for message in messages(AT_ONCE_MAX) {
            assert_eq!((message.bytes_of_client(), message.bytes_at_once()), (AT_ONCE_MAX, 0), "{message:?}");
        }
        for message in messages(AT_ONCE_MAX + 1) {
            assert_eq!((message.bytes_of_client(), message.bytes_at_once()), (4_097, 4_097), "{message:?}");
        }
        let broadcast = Arc::new(Broadcast::new("t", "e", Payload::from(vec![0u8; 10_000])));
        for message in [ChannelMailbox::Broadcast(broadcast), ChannelMailbox::Info(Box::new(0))] {
            assert_eq!((message.bytes_of_client(), message.bytes_at_once()), (0, 0), "{message:?}");
        }
    }

    #[test]
    fn a_message_is_shown_without_its_payload() {
        let shown = |message: &ChannelMailbox| format!("{message:?}");
        assert_eq!(shown(&event(100)), r#"Event("e")"#);
        let broadcast = Arc::new(Broadcast::new("t", "said", Payload::empty()));
        assert_eq!(shown(&ChannelMailbox::Broadcast(broadcast)), r#"Broadcast("said")"#);
        assert_eq!(shown(&ChannelMailbox::Stop(LeaveReason::Draining)), "Stop(Draining)");
        let others = [
            ChannelMailbox::Leave(None),
            ChannelMailbox::Info(Box::new(0)),
            ChannelMailbox::Away,
            ChannelMailbox::Back,
        ];
        assert_eq!(others.each_ref().map(shown), ["Leave", "Info", "Away", "Back"]);
    }
}
