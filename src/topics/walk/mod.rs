//! The walk of a broadcast along the members of its topic: by one thread, or by several where the topic is large.
//!
//! ```text
//!   publisher ── locks the members ──▶ part 1 ──▶ part 4 ──▶ … ──▶ waits for the helpers, lets go of the lock
//!   helper    ───────────────────────▶ part 2 ──▶ part 3 ──▶ … ──┘
//!   helper    ───────────────────────▶ part 5 ──▶ … ─────────────┘
//! ```
//!
//! Whoever has walked a part takes the next one that nobody has. The members are locked until the last part is walked, so that the
//! broadcasts of a topic are still in one order for all of them: each member is in one part, and gets each broadcast from one thread.
//!
//! Refused: rayon's own pool, since its threads may all wait for the lock of this very topic, or be long at something else, and the
//! publisher would wait for them; helpers that are at another topic, for the same reason; and helpers for a publisher that is a thread of any
//! pool of rayon's: while it waits, rayon has it run other jobs of that pool, and one that publishes on this topic would wait for itself.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use rayon::{ThreadPool, ThreadPoolBuilder};
use slab::Slab;
use tokio::runtime::Handle;

use super::{Member, delivery::Delivery};

/// Topics of so many members are walked by several threads: to wake them takes as long as some hundred members.
const SHARED_MIN: usize = 16_384;

/// How many places one thread takes at a time.
const PART: usize = 1_024;

/// Gives a broadcast to all members, which are locked.
pub(super) fn walk(members: &Slab<Member>, delivery: &mut Delivery<'_>) {
    if members.len() >= SHARED_MIN
        && let Some(crew) = Helpers::there().and_then(Helpers::crew)
    {
        return crew.walk(members, delivery);
    }
    for (_, member) in members {
        give(member, delivery);
    }
}

/// The threads that help those that publish on large topics, once there is such a topic.
struct Helpers {
    pool: ThreadPool,
    /// How many help nobody. Each walk has some of them to itself, and needs not wait for another topic's.
    free: AtomicUsize,
}

/// Those that help with one walk.
struct Crew {
    helpers: &'static Helpers,
    count: usize,
}

impl Helpers {
    /// Those of the process: with the publisher as many as there are cores, or as `RAYON_NUM_THREADS` says.
    fn there() -> Option<&'static Self> {
        static HELPERS: OnceLock<Option<Helpers>> = OnceLock::new();
        HELPERS.get_or_init(Self::start).as_ref()
    }

    fn start() -> Option<Self> {
        let threads = if cfg!(test) { 4 } else { 0 };
        let pool = ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.thread_name(|number| format!("lapwing-walk-{number}")).build();
        // Where no more threads are to be had, each topic is walked by one.
        let pool = pool.ok().filter(|pool| pool.current_num_threads() > 1)?;
        let free = AtomicUsize::new(pool.current_num_threads() - 1);
        Some(Self { pool, free })
    }

    /// All that are free, if any are, and if the publisher may wait for them.
    fn crew(&'static self) -> Option<Crew> {
        if rayon::current_thread_index().is_some() {
            return None;
        }
        let count = self.free.swap(0, Ordering::Relaxed);
        (count > 0).then_some(Crew { helpers: self, count })
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.helpers.free.fetch_add(self.count, Ordering::Relaxed);
    }
}

impl Crew {
    /// Shares a walk, and returns when all of it is done.
    fn walk(&self, members: &Slab<Member>, delivery: &mut Delivery<'_>) {
        let parts = Parts { members, taken: AtomicUsize::new(0) };
        let common = delivery.share();
        // What members start goes to the publisher's runtime.
        let runtime = Handle::try_current().ok();
        self.helpers.pool.in_place_scope(|scope| {
            // The publisher has a part, too.
            for _ in 0..self.count.min(parts.count() - 1) {
                let (parts, runtime, delivery) = (&parts, &runtime, delivery.fork(&common));
                scope.spawn(move |_| {
                    let _entered = runtime.as_ref().map(Handle::enter);
                    parts.walk(delivery);
                });
            }
            parts.walk(delivery.fork(&common));
        });
        delivery.join(common);
    }
}

/// The members of a topic in parts, each of which one thread walks.
struct Parts<'a> {
    members: &'a Slab<Member>,
    /// How many were given to somebody.
    taken: AtomicUsize,
}

impl Parts<'_> {
    fn count(&self) -> usize {
        self.members.capacity().div_ceil(PART)
    }

    /// Walks parts until none is left.
    ///
    /// # Panics
    /// As a member's part did; the members behind it in that part do without this broadcast, and those of all other parts have it.
    fn walk(&self, mut delivery: Delivery<'_>) {
        let mut panicked = None;
        loop {
            let part = self.taken.fetch_add(1, Ordering::Relaxed);
            if part >= self.count() {
                break;
            }
            // What a panic leaves behind is what one leaves of a walk by one thread.
            let walked = catch_unwind(AssertUnwindSafe(|| self.walk_part(part, &mut delivery)));
            panicked = panicked.or(walked.err());
        }
        delivery.end();
        if let Some(panic) = panicked {
            resume_unwind(panic);
        }
    }

    fn walk_part(&self, part: usize, delivery: &mut Delivery<'_>) {
        for place in part * PART..(part + 1) * PART {
            if let Some(member) = self.members.get(place) {
                give(member, delivery);
            }
        }
    }
}

fn give(member: &Member, delivery: &mut Delivery<'_>) {
    match member {
        Member::Lane { channel, .. } if delivery.broadcast.from == Some(*channel) => {}
        Member::Lane { lane, .. } => {
            if let Some(frame) = delivery.frame(lane.serializer()) {
                delivery.note(&**lane);
                lane.push_broadcast(frame);
            }
        }
        Member::Inbox(inbox) => inbox.clone().deliver(delivery),
    }
}

#[cfg(test)]
pub(super) mod tests;
