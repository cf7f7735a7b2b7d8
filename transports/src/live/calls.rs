//! What the handler is to be told about one session: one thing after the other, in the order in which it was decided.
//!
//! Frames come by several connections at once, and the sweep and the program have something to say of their own. Nobody waits
//! for anybody: whoever finds another in a call leaves here what it has, and that one goes on with it.
//!
//! ```text
//!   begin ─▶ a call is under way ─┬─▶ next: what was pushed meanwhile ─▶ … ─┬─▶ idle
//!   push  ─▶ waits ───────────────┘                                        │
//!   close ─▶ waits as the last one: nothing is taken after it ─────────────┘
//! ```

use std::{collections::VecDeque, task::Waker};

use super::{path::PathReport, stance::Moving};
use crate::{close::CloseReason, frame::Message, session::backlog::Trail};

/// The calls of one session. What they consist of lies in two places, since one of them is all that an idle session pays for.
///
/// What bounds those that wait: nothing more is read for a session for which a message waits, so that there is one of each
/// connection that was just reading at most; `Away` and `Back` cancel each other out; and `Closed` comes once.
pub(crate) struct Calls<'a> {
    pub(crate) state: &'a mut CallState,
    pub(crate) aside: &'a mut Option<Box<Aside>>,
}

#[derive(Debug, Default)]
pub(crate) struct CallState {
    /// Somebody is in a call, and goes on with what waits.
    is_running: bool,
    /// `Closed` was decided.
    is_over: bool,
}

/// What waits, where anything does: hardly any session ever has it.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    calls: VecDeque<Call>,
    /// Who waits to give the handler another message, where that is not the attachment: a long-poll's POST.
    reader: Option<Waker>,
    /// Who waits until less waits for the client: callbacks of the program, one for each task of its.
    pushers: Vec<Waker>,
    /// What the client said of its path.
    path: Option<Box<PathReport>>,
    /// Since when something waits for the client.
    trail: Trail,
    /// What there is to know of a session that has come from another node, or goes to one.
    pub(super) moving: Option<Box<Moving>>,
}

/// A call of the handler.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Received(Kept),
    Away,
    Back,
    Closed(CloseReason),
}

/// A message that cannot be handed on at once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Text(Box<str>),
    Binary(Box<[u8]>),
}

impl Calls<'_> {
    /// Begins a call at once, unless others come first.
    #[must_use]
    pub(crate) fn begin(&mut self) -> bool {
        let may_begin = !self.state.is_running && !self.is_waiting();
        self.state.is_running |= may_begin;
        may_begin
    }

    /// Begins with what waits, unless somebody is at it.
    #[must_use]
    pub(crate) fn begin_waiting(&mut self) -> bool {
        let may_begin = !self.state.is_running && self.is_waiting();
        self.state.is_running |= may_begin;
        may_begin
    }

    /// Puts a call behind all that were decided before it; none comes behind `Closed`.
    pub(crate) fn push(&mut self, call: Call) {
        if self.state.is_over {
            return;
        }
        let calls = &mut self.aside.get_or_insert_default().calls;
        if call == Call::Back && calls.back() == Some(&Call::Away) {
            calls.pop_back();
        } else {
            calls.push_back(call);
        }
        self.tidy();
    }

    /// Puts the last of all calls at the end, once. Returns whether this was the first time.
    pub(crate) fn close(&mut self, reason: CloseReason) -> bool {
        let is_first = !self.state.is_over;
        self.push(Call::Closed(reason));
        self.state.is_over = true;
        is_first
    }

    /// The call under way is over: the next one, or none, and then nobody is in a call any more.
    pub(crate) fn next(&mut self) -> Option<Call> {
        let call = self.aside.as_mut().and_then(|aside| aside.calls.pop_front());
        self.tidy();
        self.state.is_running = call.is_some();
        call
    }

    /// Nothing is told any more, nor that the session is over.
    pub(super) fn end_unsaid(&mut self) {
        self.state.is_over = true;
    }

    /// Whether nobody is in a call and none waits.
    pub(crate) fn is_settled(&self) -> bool {
        !self.state.is_running && !self.is_waiting()
    }

    /// Whoever was in a call will not go on.
    pub(crate) fn abandon(&mut self) {
        self.state.is_running = false;
    }

    /// Whether something waits, so that nothing more is to be read.
    pub(crate) fn is_waiting(&self) -> bool {
        self.aside.as_ref().is_some_and(|aside| !aside.calls.is_empty())
    }

    /// Whether the end was decided, so that nothing is taken any more.
    pub(crate) fn is_over(&self) -> bool {
        self.state.is_over
    }

    /// Keeps the waker of whoever waits to give the handler another message, or none, and gives the one before.
    pub(crate) fn set_reader(&mut self, reader: Option<Waker>) -> Option<Waker> {
        let before = match (reader, self.aside.as_mut()) {
            (None, None) => None,
            (None, Some(aside)) => aside.reader.take(),
            (Some(reader), _) => self.aside.get_or_insert_default().reader.replace(reader),
        };
        self.tidy();
        before
    }

    /// Whether anybody waits to give the handler another message.
    pub(crate) fn has_reader(&self) -> bool {
        self.aside.as_ref().is_some_and(|aside| aside.reader.is_some())
    }

    /// Keeps what the client says of its path, in the place of what it said before.
    pub(crate) fn set_path(&mut self, path: PathReport) {
        self.aside.get_or_insert_default().path = Some(Box::new(path));
    }

    /// What the client last said of its path.
    pub(crate) fn path(&self) -> Option<&PathReport> {
        self.aside.as_ref()?.path.as_deref()
    }

    /// Keeps the waker of a task that waits until less waits for the client.
    pub(crate) fn add_pusher(&mut self, pusher: &Waker) {
        let pushers = &mut self.aside.get_or_insert_default().pushers;
        if !pushers.iter().any(|known| known.will_wake(pusher)) {
            pushers.push(pusher.clone());
        }
    }

    /// Whether any task waits for that.
    pub(crate) fn has_pushers(&self) -> bool {
        self.aside.as_ref().is_some_and(|aside| !aside.pushers.is_empty())
    }

    /// Gives the wakers of all that wait for that.
    pub(crate) fn take_pushers(&mut self) -> Vec<Waker> {
        let pushers = self.aside.as_mut().map(|aside| std::mem::take(&mut aside.pushers));
        self.tidy();
        pushers.unwrap_or_default()
    }

    /// Since when something waits for the client, as far as that is known.
    pub(crate) fn trail(&self) -> Option<&Trail> {
        self.aside.as_deref().map(|aside| &aside.trail)
    }

    /// The same, to be noted.
    pub(crate) fn trail_mut(&mut self) -> &mut Trail {
        &mut self.aside.get_or_insert_default().trail
    }

    /// What there is to know of a session that has come from another node, or goes to one: from now on.
    pub(super) fn moving_mut(&mut self) -> &mut Moving {
        self.aside.get_or_insert_default().moving.get_or_insert_default()
    }

    /// The session is as any other.
    pub(super) fn forget_moving(&mut self) {
        if let Some(aside) = self.aside.as_mut() {
            aside.moving = None;
            self.tidy();
        }
    }

    /// Nothing waits for the client.
    pub(crate) fn forget_trail(&mut self) {
        if let Some(aside) = self.aside.as_mut().filter(|aside| !aside.trail.is_empty()) {
            aside.trail.clear();
            self.tidy();
        }
    }

    fn tidy(&mut self) {
        let is_empty = |aside: &Aside| {
            aside.calls.is_empty()
                && aside.reader.is_none()
                && aside.pushers.is_empty()
                && aside.path.is_none()
                && aside.trail.is_empty()
                && aside.moving.is_none()
        };
        if self.aside.as_deref().is_some_and(is_empty) {
            *self.aside = None;
        }
    }
}

impl Kept {
    pub(crate) fn message(&self) -> Message<'_> {
        match self {
            Self::Text(text) => Message::Text(text),
            Self::Binary(bytes) => Message::Binary(bytes),
        }
    }
}

impl From<Message<'_>> for Kept {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.into()),
            Message::Binary(bytes) => Self::Binary(bytes.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(text: &str) -> Call {
        Call::Received(Message::Text(text).into())
    }

    #[test]
    fn what_comes_during_a_call_waits_for_its_turn() {
        let (mut state, mut aside) = Default::default();
        let mut calls = Calls { state: &mut state, aside: &mut aside };
        assert!(calls.begin() && !calls.begin() && !calls.begin_waiting());
        calls.push(received("a"));
        calls.push(Call::Away);
        assert!(calls.is_waiting() && !calls.begin_waiting(), "somebody is at it");
        assert_eq!(calls.next(), Some(received("a")));
        assert!(!calls.begin(), "that call is under way");
        assert_eq!(calls.next(), Some(Call::Away));
        assert!(!calls.is_waiting());
        assert_eq!(calls.next(), None);
        assert!(calls.begin());
    }

    #[test]
    fn nothing_passes_what_waits_and_nothing_comes_behind_the_end() {
        let (mut state, mut aside) = Default::default();
        let mut calls = Calls { state: &mut state, aside: &mut aside };
        calls.push(received("a"));
        assert!(!calls.begin(), "it would pass what waits");
        assert!(calls.close(CloseReason::Client) && !calls.close(CloseReason::Lost));
        calls.push(received("b"));
        assert!(calls.is_over() && calls.begin_waiting());
        assert_eq!(calls.next(), Some(received("a")));
        assert_eq!(calls.next(), Some(Call::Closed(CloseReason::Client)));
        assert_eq!(calls.next(), None);
    }

    #[test]
    fn who_is_back_before_anybody_heard_that_it_was_away_was_not_away() {
        let (mut state, mut aside) = Default::default();
        let mut calls = Calls { state: &mut state, aside: &mut aside };
        assert!(calls.begin());
        for _ in 0..3 {
            calls.push(Call::Away);
            calls.push(Call::Back);
        }
        assert_eq!(calls.next(), None);
        assert!(calls.begin());
    }

    #[test]
    fn nothing_is_kept_of_what_does_not_wait_any_more() {
        let (mut state, mut aside) = Default::default();
        let mut calls = Calls { state: &mut state, aside: &mut aside };
        assert!(calls.set_reader(None).is_none() && !calls.has_reader());
        assert!(calls.set_reader(Some(Waker::noop().clone())).is_none());
        assert!(calls.has_reader() && !calls.is_waiting() && calls.begin());
        calls.push(Call::Away);
        assert!(calls.set_reader(None).is_some() && calls.is_waiting());
        assert_eq!((calls.next(), calls.next()), (Some(Call::Away), None));
        assert!(aside.is_none());
    }

    #[test]
    fn a_call_that_panicked_does_not_hold_up_the_next() {
        let (mut state, mut aside) = Default::default();
        let mut calls = Calls { state: &mut state, aside: &mut aside };
        assert!(calls.begin());
        calls.push(Call::Away);
        calls.abandon();
        assert!(!calls.begin() && calls.begin_waiting());
        assert_eq!(calls.next(), Some(Call::Away));
    }
}
