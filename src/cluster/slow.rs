//! Policies for slow clients as they go to other nodes, and come from them.

use lapwing_cluster::wire::Slow;

use crate::topics::slow::{Kind, SlowPolicy};

pub(super) fn written(policy: &SlowPolicy) -> Slow {
    match policy.kind() {
        Kind::Close => Slow::Close,
        Kind::Volatile => Slow::Volatile,
        Kind::Latest(None) => Slow::Latest,
        Kind::Latest(Some(key)) => Slow::LatestOf(key.as_str().into()),
        Kind::Few(count, told_by) => Slow::Few { count: *count as u64, told_by: told_by.as_str().into() },
    }
}

pub(super) fn read(slow: &Slow) -> SlowPolicy {
    match slow {
        Slow::Close => SlowPolicy::close(),
        Slow::Volatile => SlowPolicy::volatile(),
        Slow::Latest => SlowPolicy::latest(),
        Slow::LatestOf(key) => SlowPolicy::latest_of(key),
        Slow::Few { count, told_by } => {
            SlowPolicy::drop_oldest(usize::try_from(*count).unwrap_or(usize::MAX)).told_by(told_by).sound()
        }
    }
}

/// Bytes of the texts in it, the longest of them.
pub(super) fn text_bytes(policy: &SlowPolicy) -> usize {
    match policy.kind() {
        Kind::Latest(Some(text)) | Kind::Few(_, text) => text.len(),
        Kind::Close | Kind::Volatile | Kind::Latest(None) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_is_the_same_on_other_nodes() {
        for policy in [
            SlowPolicy::close(),
            SlowPolicy::volatile(),
            SlowPolicy::latest(),
            SlowPolicy::latest_of("bus:12"),
            SlowPolicy::drop_oldest(3),
            SlowPolicy::drop_oldest(usize::MAX).told_by("missed"),
        ] {
            assert_eq!(read(&written(&policy)), policy);
        }
    }

    #[test]
    fn an_event_that_is_reserved_tells_of_nothing_whoever_says_so() {
        let forged = Slow::Few { count: 3, told_by: "phx_close".into() };
        assert_eq!(read(&forged), SlowPolicy::drop_oldest(3));
    }
}
