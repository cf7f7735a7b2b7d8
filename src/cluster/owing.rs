//! Answers that channels have taken upon them to give later (`Context::take_reply`), and have not given: a session whose channels owe some does not
//! follow its stream, as they would be given where it was.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::topics::broadcast::ChannelId;

/// How many answers each join owes; those that owe none are not in it.
#[derive(Debug, Default)]
pub(super) struct Owing(Mutex<HashMap<ChannelId, u32>>);

impl Owing {
    /// A join owes one more.
    pub(super) fn add(&self, join: ChannelId) {
        *self.lock().entry(join).or_default() += 1;
    }

    /// It was given, or nobody will give it.
    pub(super) fn settle(&self, join: ChannelId) {
        let mut owing = self.lock();
        if let Some(count) = owing.get_mut(&join) {
            *count -= 1;
            if *count == 0 {
                owing.remove(&join);
            }
        }
    }

    pub(super) fn has(&self, join: ChannelId) -> bool {
        self.lock().contains_key(&join)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ChannelId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_owes_until_the_last_answer_is_given() {
        let (owing, [one, two]) = (Owing::default(), [1, 2].map(ChannelId));
        owing.add(one);
        owing.add(one);
        owing.settle(two);
        assert!(owing.has(one) && !owing.has(two));
        owing.settle(one);
        assert!(owing.has(one));
        owing.settle(one);
        assert!(!owing.has(one) && owing.lock().is_empty(), "nothing is left of it");
    }
}
