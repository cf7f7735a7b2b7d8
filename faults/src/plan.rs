//! The faults that are set, in the form in which the rest asks for them.

use std::{
    num::NonZeroU64,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    dice::Dice,
    fault::{BUFFER_BYTES_MAX, Fault, Of},
};

/// The faults that are set. A new plan is made at each change, so that what is counted and rolled begins anew.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) is_down: bool,
    pub(crate) is_half_open: bool,
    pub(crate) kill_after: Option<Duration>,
    pub(crate) kill_idle: Option<Duration>,
    pub(crate) kill_websocket: Option<Duration>,
    pub(crate) one_connection: bool,
    pub(crate) one_request: bool,
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    /// Bytes per second.
    pub(crate) trickle: Option<NonZeroU64>,
    pub(crate) swallow_upgrade: bool,
    pub(crate) refuse_upgrade: Option<u16>,
    pub(crate) strip_upgrade: bool,
    pub(crate) mute_websockets: bool,
    pub(crate) http10: bool,
    pub(crate) swallow_posts: bool,
    pub(crate) swallow_post_replies: bool,
    pub(crate) mute_event_streams: bool,
    /// How many bytes of a response are held back.
    pub(crate) buffer_bytes: u64,
    pub(crate) cap_response: Option<Duration>,
    drops: Mutex<Drops>,
}

#[derive(Debug, Default)]
struct Drops {
    every: Option<(u32, Of)>,
    random: Option<(f64, Of)>,
    /// How many responses of the kind in `every` there were.
    count: u32,
    dice: Dice,
}

impl Plan {
    pub(crate) fn new(faults: impl IntoIterator<Item = Fault>, seed: u64) -> Self {
        let drops = Drops { dice: Dice::new(seed), ..Drops::default() };
        let mut plan = Self { drops: Mutex::new(drops), ..Self::default() };
        for fault in faults {
            plan.add(fault);
        }
        plan
    }

    fn add(&mut self, fault: Fault) {
        let drops = self.drops.get_mut().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Fault::Down => self.is_down = true,
            Fault::HalfOpen => self.is_half_open = true,
            Fault::KillAfter(age) => self.kill_after = Some(age),
            Fault::KillIdle(idle) => self.kill_idle = Some(idle),
            Fault::OneConnection => self.one_connection = true,
            Fault::Delay { by, jitter } => (self.delay, self.jitter) = (by, jitter),
            Fault::Trickle(rate) => self.trickle = Some(rate),
            Fault::SwallowUpgrade => self.swallow_upgrade = true,
            Fault::RefuseUpgrade(status) => self.refuse_upgrade = Some(status),
            Fault::StripUpgrade => self.strip_upgrade = true,
            Fault::MuteWebsockets => self.mute_websockets = true,
            Fault::KillWebsocket(age) => self.kill_websocket = Some(age),
            Fault::Http10 => self.http10 = true,
            Fault::OneRequest => self.one_request = true,
            Fault::SwallowPosts => self.swallow_posts = true,
            Fault::SwallowPostReplies => self.swallow_post_replies = true,
            Fault::MuteEventStreams => self.mute_event_streams = true,
            Fault::DropEvery { nth, of } => drops.every = Some((nth.get(), of)),
            Fault::DropRandom { chance, of } => drops.random = Some((chance, of)),
            Fault::BufferResponses => self.buffer_bytes = BUFFER_BYTES_MAX,
            Fault::BufferFirst(bytes) => {
                self.buffer_bytes = self.buffer_bytes.max(bytes.min(BUFFER_BYTES_MAX));
            }
            Fault::CapResponse(time) => self.cap_response = Some(time),
        }
    }

    /// Whether this response is to be dropped. Counts, and rolls the dice: ask once for each.
    pub(crate) fn drops_response_to(&self, method: &str) -> bool {
        let is_of = |of| of == Of::All || method == "POST";
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_dropped = false;
        if let Some((nth, of)) = drops.every
            && is_of(of)
        {
            drops.count += 1;
            if drops.count == nth {
                drops.count = 0;
                is_dropped = true;
            }
        }
        if let Some((chance, of)) = drops.random
            && is_of(of)
        {
            is_dropped |= drops.dice.roll() < chance;
        }
        is_dropped
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn dropped(plan: &Plan, methods: &[&str]) -> Vec<usize> {
        (0..methods.len()).filter(|at| plan.drops_response_to(methods[*at])).collect()
    }

    #[test]
    fn every_nth_of_its_kind_is_dropped() {
        let nth = NonZeroU32::new(2).unwrap();
        let methods = ["POST", "GET", "GET", "POST", "POST", "POST"];
        let posts = Plan::new([Fault::DropEvery { nth, of: Of::Posts }], 0);
        assert_eq!(dropped(&posts, &methods), [3, 5]);
        let all = Plan::new([Fault::DropEvery { nth, of: Of::All }], 0);
        assert_eq!(dropped(&all, &methods), [1, 3, 5]);
    }

    #[test]
    fn a_seed_drops_the_same_again_and_another_seed_does_not() {
        let of = |seed| {
            let plan = Plan::new([Fault::DropRandom { chance: 0.1, of: Of::All }], seed);
            dropped(&plan, &["GET"; 1000])
        };
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        assert!((60..140).contains(&of(7).len()), "{} of 1000 with a chance of 0.1", of(7).len());
    }

    #[test]
    fn the_larger_buffer_counts_and_has_a_bound() {
        let bytes = |faults: [Fault; 2]| Plan::new(faults, 0).buffer_bytes;
        assert_eq!(bytes([Fault::BufferResponses, Fault::BufferFirst(10)]), BUFFER_BYTES_MAX);
        assert_eq!(bytes([Fault::BufferFirst(10), Fault::BufferFirst(u64::MAX)]), BUFFER_BYTES_MAX);
    }
}
