//! When what waits for peers is handed to the engine: pure, the time comes in.
//!
//! ```text
//!   nothing ── something waits ──▶ gathering ── a step has passed, and brought no more of the same ──▶ handing over ── each peer had its turn ──▶ nothing,
//!                                   │      ▲    or LONGEST has passed                                                                            or gathering
//!                                   └──────┘ a step that brought more of the same
//! ```
//!
//! A broadcast comes from as many tasks as there are sessions that hear it, and a busy machine needs longer for them than a step. What
//! comes while messages are handed over is gathered anew, so that the last ones of a broadcast are not a message each.

use std::time::Duration;

use tokio::time::Instant;

/// How long what is said waits for more of it. It is what a single request by way of another node waits, in each direction.
const STEP: Duration = Duration::from_millis(1);

/// How long a broadcast waits for the last of those who hear it, whatever else is said meanwhile. Two thousand tasks need some milliseconds
/// on a core, and twice that where clients and engine have the same cores.
const LONGEST: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
pub(super) enum Gather {
    /// Nothing waits.
    #[default]
    Nothing,
    Gathering {
        due: Instant,
        latest: Instant,
        /// This step has brought more of the same.
        is_repeated: bool,
    },
    HandingOver {
        /// Since when.
        since: Instant,
        /// So many peers were not served since then.
        left: usize,
        /// For so many something waits.
        ready: usize,
    },
}

impl Gather {
    /// Something waits. Returns whether it is the first.
    pub(super) fn begin(&mut self, now: impl FnOnce() -> Instant) -> bool {
        let is_first = matches!(self, Self::Nothing);
        if is_first {
            *self = Self::from(now());
        }
        is_first
    }

    /// More of the same has come.
    pub(super) fn handle_repeated(&mut self) {
        if let Self::Gathering { is_repeated, .. } = self {
            *is_repeated = true;
        }
    }

    /// When to ask again whether it [is over](Self::is_over); none if nothing waits.
    pub(super) fn due(&self) -> Option<Instant> {
        match *self {
            Self::Nothing => None,
            Self::Gathering { due, .. } => Some(due),
            Self::HandingOver { since, .. } => Some(since),
        }
    }

    /// Whether a message is to be handed over now, where something waits for so many peers. If so, [`handle_taken`](Self::handle_taken) is next.
    pub(super) fn is_over(&mut self, now: Instant, ready: usize) -> bool {
        match self {
            Self::Nothing => return false,
            Self::Gathering { due, .. } if now < *due => return false,
            Self::Gathering { due, latest, is_repeated } if *is_repeated && now < *latest => {
                (*due, *is_repeated) = ((now + STEP).min(*latest), false);
                return false;
            }
            Self::Gathering { .. } => *self = Self::HandingOver { since: now, left: ready, ready },
            Self::HandingOver { ready: before, .. } => *before = ready,
        }
        true
    }

    /// A message was taken, or there was none, and now something waits for so many peers: for one less, unless more waited for one than a
    /// message holds.
    pub(super) fn handle_taken(&mut self, now: Instant, ready: usize) {
        if let Self::HandingOver { left, ready: before, .. } = self {
            *left = left.saturating_sub(before.saturating_sub(ready));
            if *left == 0 || ready == 0 {
                *self = if ready == 0 { Self::Nothing } else { Self::from(now) };
            }
        }
    }
}

impl From<Instant> for Gather {
    fn from(now: Instant) -> Self {
        Self::Gathering { due: now + STEP, latest: now + LONGEST, is_repeated: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gather that began now, and that moment.
    fn begun() -> (Gather, Instant) {
        let (mut gather, now) = (Gather::default(), Instant::now());
        assert!(gather.begin(|| now) && !gather.begin(|| unreachable!("it has begun")));
        (gather, now)
    }

    #[test]
    fn a_single_piece_waits_for_a_step() {
        let (mut gather, begin) = begun();
        assert_eq!(gather.due(), Some(begin + STEP));
        assert!(!gather.is_over(begin, 1));
        assert!(gather.is_over(begin + STEP, 1));
        gather.handle_taken(begin + STEP, 0);
        assert_eq!(gather.due(), None);
        assert!(!gather.is_over(begin + LONGEST, 0), "nothing waits");
    }

    #[test]
    fn more_of_the_same_is_waited_for_from_step_to_step_up_to_the_longest() {
        let (mut gather, begin) = begun();
        gather.handle_repeated();
        assert!(!gather.is_over(begin + STEP, 1));
        assert_eq!(gather.due(), Some(begin + 2 * STEP));
        assert!(gather.is_over(begin + 2 * STEP, 1), "the second step brought nothing");
        let (mut gather, begin) = begun();
        let mut now = begin;
        loop {
            gather.handle_repeated();
            if gather.is_over(now, 1) {
                break;
            }
            now = gather.due().unwrap();
        }
        assert_eq!(now, begin + LONGEST);
    }

    #[test]
    fn what_comes_while_messages_are_taken_is_gathered_anew() {
        let (mut gather, begin) = begun();
        let now = begin + STEP;
        assert!(gather.is_over(now, 2));
        gather.handle_taken(now, 1);
        assert_eq!(gather.due(), Some(now), "the second is next");
        assert!(gather.is_over(now, 2), "and the first has something again");
        gather.handle_taken(now, 1);
        assert_eq!(gather.due(), Some(now + STEP));
        assert!(!gather.is_over(now, 1));
    }

    #[test]
    fn a_peer_for_which_more_waits_than_a_message_holds_is_served_to_the_end() {
        let (mut gather, begin) = begun();
        let now = begin + STEP;
        for _ in 0..3 {
            assert!(gather.is_over(now, 1));
            gather.handle_taken(now, 1);
        }
        assert!(gather.is_over(now, 1));
        gather.handle_taken(now, 0);
        assert_eq!(gather.due(), None);
    }

    #[test]
    fn an_engine_that_is_away_is_handed_nothing_and_asked_for_nothing() {
        let (mut gather, begin) = begun();
        assert!(gather.is_over(begin + STEP, 0));
        gather.handle_taken(begin + STEP, 0);
        assert_eq!(gather.due(), None);
        assert!(gather.begin(|| begin + LONGEST), "what comes behind it begins again");
    }
}
