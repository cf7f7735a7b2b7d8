//! Counters and histograms that many threads move at once.
//!
//! Each is in stripes, a cache line or more for itself, of which a thread takes one: moving a number is an addition that nobody else
//! is in the way of, and reading it is a sum. So a scrape pays for what is counted, and a message hardly anything.

use std::{
    cell::Cell,
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// The number of threads that may count without being in each other's way.
pub const STRIPES: usize = 8;

/// The bounds that a histogram has at most.
const BOUNDS_MAX: usize = 16;

/// The stripe of the calling thread.
#[must_use]
pub fn stripe() -> usize {
    thread_local! {
        static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    STRIPE.with(|stripe| {
        if stripe.get() == usize::MAX {
            stripe.set(NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES);
        }
        stripe.get()
    })
}

/// One value for each stripe, none in the cache lines of another.
#[derive(Debug, Default)]
pub struct Striped<T>([Aligned<T>; STRIPES]);

/// Two cache lines, which processors fetch together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Aligned<T>(T);

impl<T> Striped<T> {
    /// The calling thread's.
    pub fn here(&self) -> &T {
        &self.0[stripe()].0
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|aligned| &aligned.0)
    }
}

/// A number that only grows, and that many threads move.
///
/// ```
/// use lapwing_transports::tally::Counter;
///
/// let counter = Counter::default();
/// counter.add(2);
/// counter.add(3);
/// assert_eq!(counter.value(), 5);
/// ```
#[derive(Debug, Default)]
pub struct Counter(Striped<AtomicU64>);

impl Counter {
    /// Counts so many more.
    pub fn add(&self, count: u64) {
        self.0.here().fetch_add(count, Ordering::Relaxed);
    }

    /// The number that was counted.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.iter().fold(0, |sum, stripe| sum.wrapping_add(stripe.load(Ordering::Relaxed)))
    }
}

/// Numbers that only grow, one for each of a few words, for what happens seldom enough that threads may meet.
///
/// ```
/// use lapwing_transports::tally::Words;
///
/// let ends = Words::new(["left", "kicked"]);
/// ends.add("left", 2);
/// assert_eq!(ends.iter().collect::<Vec<_>>(), [("left", 2), ("kicked", 0)]);
/// ```
#[derive(Debug)]
pub struct Words<const N: usize> {
    words: [&'static str; N],
    counts: [AtomicU64; N],
}

impl<const N: usize> Words<N> {
    /// A number for each of these words.
    #[must_use]
    pub const fn new(words: [&'static str; N]) -> Self {
        Self { words, counts: [const { AtomicU64::new(0) }; N] }
    }

    /// Counts so many more of a word, which must be one of those that there are.
    pub fn add(&self, word: &str, count: u64) {
        let place = self.words.iter().position(|known| *known == word);
        debug_assert!(place.is_some(), "{word} is not counted here");
        if let Some(place) = place {
            self.counts[place].fetch_add(count, Ordering::Relaxed);
        }
    }

    /// The numbers of each word.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.words.into_iter().zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

/// A histogram of sizes: fixed buckets, and a sum. It takes memory when it is first moved.
///
/// ```
/// use lapwing_transports::tally::Histogram;
///
/// let histogram = Histogram::new(&[1, 10, 100]);
/// for size in [1, 2, 5_000] {
///     histogram.record(size);
/// }
/// let read = histogram.read();
/// assert_eq!((read.buckets, read.sum), (vec![1, 1, 0, 1], 5_003));
/// ```
pub struct Histogram {
    bounds: &'static [u64],
    stripes: OnceLock<Box<Striped<Buckets>>>,
}

/// One more than the bounds: what is above all of them.
#[derive(Debug, Default)]
struct Buckets {
    counts: [AtomicU64; BOUNDS_MAX + 1],
    sum: AtomicU64,
}

/// The numbers of a histogram at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// The upper bound of each bucket but the last, which has none. A value that is equal to a bound is below it.
    pub bounds: &'static [u64],
    /// The number of values in each bucket, and in no bucket before it.
    pub buckets: Vec<u64>,
    /// The sum of all values.
    pub sum: u64,
}

impl Distribution {
    /// The number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl Histogram {
    /// A histogram with these upper bounds, in rising order, 16 at most: beyond that they are left out.
    #[must_use]
    pub const fn new(bounds: &'static [u64]) -> Self {
        let bounds = if bounds.len() > BOUNDS_MAX { bounds.split_at(BOUNDS_MAX).0 } else { bounds };
        Self { bounds, stripes: OnceLock::new() }
    }

    /// Counts a value.
    pub fn record(&self, value: u64) {
        let buckets = self.stripes.get_or_init(Box::default).here();
        // Most values of most histograms are in the first bucket.
        let is_in_first = self.bounds.first().is_some_and(|bound| value <= *bound);
        let bucket = if is_in_first { 0 } else { self.bounds.partition_point(|bound| *bound < value) };
        buckets.counts[bucket].fetch_add(1, Ordering::Relaxed);
        buckets.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Counts a time, in nanoseconds.
    pub fn record_time(&self, time: Duration) {
        self.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// All that was counted.
    #[must_use]
    pub fn read(&self) -> Distribution {
        let mut read = Distribution { bounds: self.bounds, buckets: vec![0; self.bounds.len() + 1], sum: 0 };
        for stripe in self.stripes.get().into_iter().flat_map(|stripes| stripes.iter()) {
            for (bucket, count) in read.buckets.iter_mut().zip(&stripe.counts) {
                *bucket += count.load(Ordering::Relaxed);
            }
            read.sum = read.sum.wrapping_add(stripe.sum.load(Ordering::Relaxed));
        }
        read
    }

    /// Returns whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stripes.get().is_none()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram").field("read", &self.read()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_between_threads() {
        let (counter, histogram) = (Counter::default(), Histogram::new(&[10, 20]));
        std::thread::scope(|scope| {
            for thread in 0..2 * STRIPES as u64 {
                let (counter, histogram) = (&counter, &histogram);
                scope.spawn(move || {
                    for _ in 0..1_000 {
                        counter.add(3);
                        histogram.record(thread);
                    }
                });
            }
        });
        let threads = 2 * STRIPES as u64;
        assert_eq!(counter.value(), 3_000 * threads);
        let read = histogram.read();
        assert_eq!(read.buckets, [11_000, 5_000, 0]);
        assert_eq!((read.count(), read.sum), (1_000 * threads, 1_000 * (0..threads).sum::<u64>()));
    }

    #[test]
    fn a_value_at_a_bound_is_below_it_and_one_above_all_is_counted_too() {
        let histogram = Histogram::new(&[0, 5, 10]);
        assert!(histogram.is_empty() && histogram.read().count() == 0);
        for value in [0, 1, 5, 6, 10, 11, u64::MAX] {
            histogram.record(value);
        }
        assert_eq!(histogram.read().buckets, [1, 2, 2, 2]);
        histogram.record_time(Duration::MAX);
        assert_eq!(histogram.read().buckets, [1, 2, 2, 3]);
    }
}
