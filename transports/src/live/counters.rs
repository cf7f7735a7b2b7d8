//! What a mount has, and has done so far, in numbers.

use std::{
    sync::{
        PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    close::CloseReason,
    connect::{NotAdmitted, Transport},
    dialect::server::Refused,
    session::outbox::Waiting,
    sync::Mutex,
    tally::{Distribution, Histogram, Striped},
};

/// Upper bounds for the time that a session lasts, in nanoseconds: those that OpenTelemetry has for connections of realtime servers,
/// and hours.
const DURATIONS: [u64; 16] = {
    let ms = [
        10, 50, 100, 500, 1_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 900_000, 3_600_000,
        14_400_000, 43_200_000, 86_400_000,
    ];
    let mut bounds = [0; 16];
    let mut index = 0;
    while index < ms.len() {
        bounds[index] = ms[index] * 1_000_000;
        index += 1;
    }
    bounds
};

/// Upper bounds for a round trip, in nanoseconds.
const ROUND_TRIPS: [u64; 12] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
];

/// A longer round trip counts as one of so many milliseconds: it is a client's word, and must not be most of a sum.
const ROUND_TRIP_MS_MAX: u64 = 60_000;

/// Sessions by what carries them, and what waits for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Census {
    /// Carried by a WebSocket.
    pub websocket: usize,
    /// Carried by an event stream.
    pub sse: usize,
    /// Polled.
    pub longpoll: usize,
    /// Resumable, and carried by nothing now.
    pub detached: usize,
    /// Of all of them, those that outlive their connections.
    pub resumable: usize,
    /// Of all of them, those whose client is not read from, since the program has not come to what it said before.
    pub held_back: usize,
    /// What waits to be sent to all of them.
    pub waiting: Waiting,
    /// Age of the oldest of that, as [`Backlog::age`](crate::session::backlog::Backlog::age).
    pub oldest: Duration,
    /// What was sent to all of them and is kept until it is acknowledged.
    pub unacknowledged: Waiting,
}

/// Counters of a mount since it was made.
#[derive(Debug)]
pub struct Counters {
    traffic: Striped<[Traffic; Transport::ALL.len()]>,
    too_slow: AtomicU64,
    replaced: AtomicU64,
    left_out: AtomicU64,
    dropped: AtomicU64,
    pub(crate) over_budget: AtomicU64,
    /// By transport; the first of them plain, the second resumable.
    opened: [[AtomicU64; 2]; Transport::ALL.len()],
    ended: [AtomicU64; CloseReason::WORDS.len()],
    /// By the transport that carried the session last.
    durations: [Histogram; Transport::ALL.len()],
    /// As clients say, by the transport that carried their sessions then.
    round_trips: [Histogram; Transport::ALL.len()],
    not_admitted: [AtomicU64; NotAdmitted::ALL.len()],
    /// From a transport to another, or to the same.
    resumed: [[AtomicU64; Transport::ALL.len()]; Transport::ALL.len()],
    /// By [`Refused`], in the order of its words.
    resumes_refused: [AtomicU64; Refused::ALL.len()],
    gone_elsewhere: AtomicU64,
    come_from_elsewhere: AtomicU64,
    /// What the last sweep found.
    census: Mutex<Census>,
}

/// What was written and read.
#[derive(Debug, Default)]
struct Traffic {
    frames_out: AtomicU64,
    bytes_out: AtomicU64,
    frames_in: AtomicU64,
    bytes_in: AtomicU64,
}

/// Frames of clients' sessions and their bytes, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrafficCount {
    /// Frames written to clients.
    pub frames_out: u64,
    /// Bytes written to clients in frames, headers not counted for long-poll.
    pub bytes_out: u64,
    /// Frames that came from clients and were handed on.
    pub frames_in: u64,
    /// Bytes of them.
    pub bytes_in: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            traffic: Striped::default(),
            too_slow: AtomicU64::new(0),
            replaced: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            over_budget: AtomicU64::new(0),
            opened: Default::default(),
            ended: Default::default(),
            durations: [const { Histogram::new(&DURATIONS) }; Transport::ALL.len()],
            round_trips: [const { Histogram::new(&ROUND_TRIPS) }; Transport::ALL.len()],
            not_admitted: Default::default(),
            resumed: Default::default(),
            resumes_refused: Default::default(),
            gone_elsewhere: AtomicU64::new(0),
            come_from_elsewhere: AtomicU64::new(0),
            census: Mutex::default(),
        }
    }
}

impl Counters {
    /// Frames written to clients.
    pub fn frames_out(&self) -> u64 {
        Transport::ALL.into_iter().map(|transport| self.traffic(transport).frames_out).sum()
    }

    /// Bytes written to clients in frames, headers not counted for long-poll.
    pub fn bytes_out(&self) -> u64 {
        Transport::ALL.into_iter().map(|transport| self.traffic(transport).bytes_out).sum()
    }

    /// What was written to and read from sessions while this transport carried them.
    pub fn traffic(&self, transport: Transport) -> TrafficCount {
        let mut sum = TrafficCount::default();
        for traffic in self.traffic.iter().map(|traffic| &traffic[transport as usize]) {
            sum.frames_out += traffic.frames_out.load(Ordering::Relaxed);
            sum.bytes_out += traffic.bytes_out.load(Ordering::Relaxed);
            sum.frames_in += traffic.frames_in.load(Ordering::Relaxed);
            sum.bytes_in += traffic.bytes_in.load(Ordering::Relaxed);
        }
        sum
    }

    /// Clients that were not let in: origin, handler, or too many sessions.
    pub fn refused(&self) -> u64 {
        self.not_admitted().map(|(_, count)| count).sum()
    }

    /// Clients that were not let in, by reason.
    pub fn not_admitted(&self) -> impl Iterator<Item = (NotAdmitted, u64)> {
        NotAdmitted::ALL.into_iter().zip(self.not_admitted.iter().map(load))
    }

    /// Sessions that began with this transport: plain, and resumable.
    pub fn opened(&self, transport: Transport) -> (u64, u64) {
        let [plain, resumable] = &self.opened[transport as usize];
        (load(plain), load(resumable))
    }

    /// Sessions that ended, by the word of [`CloseReason::word`].
    pub fn ended(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CloseReason::WORDS.into_iter().zip(self.ended.iter().map(load))
    }

    /// How long sessions lasted that this transport carried at their end, in nanoseconds, to a second exactly.
    pub fn durations(&self, transport: Transport) -> Distribution {
        self.durations[transport as usize].read()
    }

    /// Round trips as clients measured them that told of their path, by what carried their sessions then, in nanoseconds.
    pub fn round_trips(&self, transport: Transport) -> Distribution {
        self.round_trips[transport as usize].read()
    }

    /// Sessions closed because their client did not keep up.
    pub fn too_slow(&self) -> u64 {
        load(&self.too_slow)
    }

    /// Frames that a newer state of the same thing has replaced before they were sent.
    pub fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::Relaxed)
    }

    /// Volatile frames that were left out, as their clients were behind.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Frames that were dropped for newer ones of their kind, of which their clients were told.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Sessions closed because too many bytes were held for clients, and most of them for these.
    pub fn over_budget(&self) -> u64 {
        load(&self.over_budget)
    }

    /// Times a session went on by another connection.
    pub fn resumed(&self) -> u64 {
        self.resumed.iter().flatten().map(load).sum()
    }

    /// Times a session went on by another connection, by the transports of both.
    pub fn moves(&self) -> impl Iterator<Item = ((Transport, Transport), u64)> {
        let pairs = Transport::ALL.into_iter().flat_map(|from| Transport::ALL.map(|to| (from, to)));
        pairs.zip(self.resumed.iter().flatten().map(load))
    }

    /// Sessions that have gone to other nodes, which are counted neither as ended nor as refused.
    pub fn gone_elsewhere(&self) -> u64 {
        load(&self.gone_elsewhere)
    }

    /// Sessions that have come from other nodes, which are not counted as opened.
    pub fn come_from_elsewhere(&self) -> u64 {
        load(&self.come_from_elsewhere)
    }

    /// Why resumable sessions were not begun or carried on, and how often.
    pub fn resumes_refused(&self) -> impl Iterator<Item = (Refused, u64)> {
        Refused::ALL.into_iter().zip(self.resumes_refused.iter().map(load))
    }

    /// The census as the last sweep took it: some milliseconds to a second ago, and free.
    pub fn last_census(&self) -> Census {
        *self.census.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_census(&self, census: Census) {
        *self.census.lock().unwrap_or_else(PoisonError::into_inner) = census;
    }

    pub(crate) fn resume_refused(&self, refused: Refused) {
        self.resumes_refused[refused as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_gone_elsewhere(&self) {
        self.gone_elsewhere.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_come_from_elsewhere(&self) {
        self.come_from_elsewhere.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_too_slow(&self) {
        self.too_slow.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_replaced(&self) {
        self.replaced.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_dropped(&self, count: u32) {
        self.dropped.fetch_add(count.into(), Ordering::Relaxed);
    }

    pub(crate) fn count_left_out(&self) {
        self.left_out.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refuse(&self, reason: NotAdmitted) {
        self.not_admitted[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn moved(&self, from: Transport, to: Transport) {
        self.resumed[from as usize][to as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn open(&self, transport: Transport, is_resumable: bool) {
        self.opened[transport as usize][usize::from(is_resumable)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, transport: Transport, reason: CloseReason, lasted: Duration) {
        self.ended[reason.index()].fetch_add(1, Ordering::Relaxed);
        self.durations[transport as usize].record_time(lasted);
    }

    /// A client says how many milliseconds a round trip takes, 0 if it does not know.
    pub(crate) fn count_round_trip(&self, transport: Transport, ms: u64) {
        if ms > 0 {
            let round_trip = Duration::from_millis(ms.min(ROUND_TRIP_MS_MAX));
            self.round_trips[transport as usize].record_time(round_trip);
        }
    }

    /// Once per batch that is written, never per frame.
    pub(crate) fn wrote(&self, transport: Transport, frames: usize, bytes: usize) {
        let traffic = &self.traffic.here()[transport as usize];
        traffic.frames_out.fetch_add(frames as u64, Ordering::Relaxed);
        traffic.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn took(&self, transport: Transport, bytes: usize) {
        let traffic = &self.traffic.here()[transport as usize];
        traffic.frames_in.fetch_add(1, Ordering::Relaxed);
        traffic.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_is_a_clients_word_and_has_a_bound() {
        let counters = Counters::default();
        for ms in [0, 7, u64::MAX] {
            counters.count_round_trip(Transport::Sse, ms);
        }
        let read = counters.round_trips(Transport::Sse);
        assert_eq!((read.count(), read.sum), (2, 60_007_000_000));
    }
}
