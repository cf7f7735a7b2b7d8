//! What can be set about presence.

use std::time::Duration;

use lapwing_transports::options::error::{FOREVER, OptionError, check_bound, check_time};

use crate::topic::{PatternError, TopicPattern};

/// What a node of a cluster has left is hidden after a minute in any case, as that of one that is silent.
const DEPARTURE_GRACE_MAX: Duration = Duration::from_secs(60);

/// Bounds and times of presence.
///
/// ```
/// use std::time::Duration;
/// use lapwing::{Lapwing, PresenceOptions};
///
/// let presence = PresenceOptions::default().tick(Duration::from_millis(250)).count_only("stadium:*");
/// assert!(Lapwing::builder().presence(presence).build().is_ok());
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct PresenceOptions {
    pub(crate) tick: Duration,
    pub(crate) burst: u32,
    pub(crate) diff_bytes_max: usize,
    pub(crate) queue_max: usize,
    pub(crate) key_bytes_max: usize,
    pub(crate) meta_bytes_max: usize,
    pub(crate) per_join_max: u32,
    pub(crate) state_bytes_max: usize,
    pub(crate) prototype_keys: bool,
    pub(crate) departure_grace: Duration,
    pub(crate) count_only: Vec<TopicPattern>,
    /// The first pattern that was none.
    bad_pattern: Option<PatternError>,
}

impl PresenceOptions {
    /// Sets the period in which a busy topic's changes are sent. Default 100 ms, which feels instant: a storm of joins costs each
    /// client ten diffs a second, however many join.
    pub fn tick(mut self, time: Duration) -> Self {
        self.tick = time.min(FOREVER);
        self
    }

    /// Diffs that a topic may send at once after it was quiet for as many ticks. Default 4: in a room of people
    /// each change goes out by itself and without delay. Those beyond wait for the tick, and become one.
    pub fn burst(mut self, diffs: u32) -> Self {
        self.burst = diffs;
        self
    }

    /// Bytes of metas in a diff. Default 256 KiB, which a slow line takes in a second or two. At the bound the diff of a topic goes out
    /// before its time.
    pub fn diff_bytes_max(mut self, bytes: usize) -> Self {
        self.diff_bytes_max = bytes;
        self
    }

    /// Requests that wait for the engine. Default 65,536: what it does in less than a second. The next is refused with
    /// [`PresenceError::Busy`](crate::PresenceError::Busy).
    pub fn queue_max(mut self, requests: usize) -> Self {
        self.queue_max = requests;
        self
    }

    /// Bytes of a key. Default 256: keys are ids of users or things. A longer one is refused with
    /// [`PresenceError::KeyTooLong`](crate::PresenceError::KeyTooLong).
    pub fn key_bytes_max(mut self, bytes: usize) -> Self {
        self.key_bytes_max = bytes;
        self
    }

    /// Bytes of a meta's JSON. Default 4,096: a meta goes to everybody on the topic. A longer one is refused with
    /// [`PresenceError::MetaTooLong`](crate::PresenceError::MetaTooLong).
    pub fn meta_bytes_max(mut self, bytes: usize) -> Self {
        self.meta_bytes_max = bytes;
        self
    }

    /// Presences that one join may track. Default 100: one per thing that a client does, not one per row of a table. The next is
    /// refused with [`PresenceError::TooMany`](crate::PresenceError::TooMany).
    pub fn per_join_max(mut self, presences: u32) -> Self {
        self.per_join_max = presences;
        self
    }

    /// Bytes of a topic's whole state. Default 4 MiB, a quarter of what may wait for a client by default. A longer one is not given to
    /// anybody ([`PresenceError::StateTooLong`](crate::PresenceError::StateTooLong)). For topics so large there is
    /// [`count_only`](Self::count_only), and [`Socket::push_presences_up_to`](crate::Socket::push_presences_up_to).
    pub fn state_bytes_max(mut self, bytes: usize) -> Self {
        self.state_bytes_max = bytes;
        self
    }

    /// Takes keys that are names which every JavaScript object has, such as `__proto__` or `constructor`. Default: they are
    /// refused with [`PresenceError::UnsafeKey`](crate::PresenceError::UnsafeKey), as the stock client before 1.8.9 breaks on
    /// them (CVE-2026-56812), so that one user could break the pages of all others. For keys that people choose, once all
    /// clients are newer.
    pub fn allow_prototype_keys(mut self) -> Self {
        self.prototype_keys = true;
        self
    }

    /// How long the nodes of a cluster go on showing who was present on one that [shuts down](crate::Lapwing::shutdown). Default 15 s, 60 s at most. Whoever
    /// comes back to another node in that time is not seen to leave; who does not is told as gone when it is over. A stock client tries
    /// to connect again after some milliseconds, later each five seconds: three such attempts fit in. With 0 everybody is gone with their
    /// node. All nodes should have the same. A node that dies is another matter: its presences go when it counts as dead.
    pub fn departure_grace(mut self, time: Duration) -> Self {
        self.departure_grace = time.min(DEPARTURE_GRACE_MAX);
        self
    }

    /// Adds topics, by a pattern, on which clients are told numbers, `presence_count` `{"keys": …, "metas": …}`, in the place
    /// of diffs. For topics of thousands, where nobody reads the list and each change would go to everybody. Default: none.
    ///
    /// A bad pattern is reported by [`Builder::build`](crate::Builder::build).
    pub fn count_only(mut self, pattern: &str) -> Self {
        match TopicPattern::new(pattern) {
            Ok(pattern) => self.count_only.push(pattern),
            Err(error) => drop(self.bad_pattern.get_or_insert(error)),
        }
        self
    }

    pub(crate) fn counts_only(&self, topic: &str) -> bool {
        self.count_only.iter().any(|pattern| pattern.matches(topic))
    }

    /// The first pattern that was none.
    pub(crate) fn bad_pattern(&self) -> Option<&PatternError> {
        self.bad_pattern.as_ref()
    }

    pub(crate) fn check(&self) -> Result<(), OptionError> {
        check_time("PresenceOptions::tick", self.tick)?;
        check_bound("PresenceOptions::burst", self.burst as usize)?;
        check_bound("PresenceOptions::diff_bytes_max", self.diff_bytes_max)?;
        check_bound("PresenceOptions::queue_max", self.queue_max)?;
        check_bound("PresenceOptions::key_bytes_max", self.key_bytes_max)?;
        check_bound("PresenceOptions::meta_bytes_max", self.meta_bytes_max)?;
        check_bound("PresenceOptions::per_join_max", self.per_join_max as usize)?;
        check_bound("PresenceOptions::state_bytes_max", self.state_bytes_max)?;
        match self.meta_bytes_max {
            bytes if bytes > self.state_bytes_max => Err(OptionError::new(
                "PresenceOptions::meta_bytes_max",
                "one meta may be larger than a whole state: give less than state_bytes_max, or a larger state",
            )),
            _ => Ok(()),
        }
    }
}

impl Default for PresenceOptions {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(100),
            burst: 4,
            diff_bytes_max: 256 * 1024,
            queue_max: 65_536,
            key_bytes_max: 256,
            meta_bytes_max: 4_096,
            per_join_max: 100,
            state_bytes_max: 4 * 1024 * 1024,
            prototype_keys: false,
            departure_grace: Duration::from_secs(15),
            count_only: Vec::new(),
            bad_pattern: None,
        }
    }
}
