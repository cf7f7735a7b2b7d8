//! How fast clients may be, and how much of a mount one of them may have.

use std::{
    cell::Cell,
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use lapwing_transports::{
    connect::{ConnectRequest, NotAdmitted, Refusal},
    options::error::OptionError,
};
use tokio::time::Instant;

use crate::{
    session::{
        address::{Proxies, client_of},
        bucket::{Pace, Rate, ticks},
    },
    sync::{Mutex, MutexGuard},
    topic::Topic,
};

/// Addresses whose connects are counted. Beyond it those that owe least are forgotten.
const ADDRESSES_MAX: usize = 100_000;

/// When who has as many sessions as it may is to try again. Nobody knows when one of them ends; it is the pause that phoenix.js
/// comes to between its attempts.
const SHARE_WAIT: Duration = Duration::from_secs(5);

/// Bounds of how fast clients may be, and how many sessions one of them may have. An option of a [`Mount`](crate::Mount::rates).
///
/// What an address or an id may have it may have on one mount of one node: on N nodes of a cluster N times as much. Of a session that has come from
/// another node the id is counted, and not the address.
///
/// Addresses and ids have no limits by default: behind a proxy all clients have one address, and a program may give all its clients one
/// id.
///
/// ```
/// use std::time::Duration;
/// use lapwing::{Mount, Rate, Rates};
///
/// let rates = Rates::default()
///     .events(Rate::per_second(50).burst(500))
///     .joins(Rate::per_second(5).burst(50))
///     .behind("10.0.0.0/8")
///     .connects_per_address(Rate::new(60, Duration::from_secs(60)))
///     .sessions_per_address(200)
///     .sessions_per_id(20);
/// let mount = Mount::new().rates(rates);
/// # let _ = mount;
/// ```
#[derive(Clone, Debug)]
#[must_use = "rates do nothing until they are given to a mount"]
pub struct Rates {
    events: Option<Rate>,
    is_answering: bool,
    joins: Option<Rate>,
    connects_per_address: Option<Rate>,
    sessions_per_address: usize,
    sessions_per_id: usize,
    proxies: Vec<String>,
}

impl Default for Rates {
    /// 5,000 messages a second of each session, and 50,000 at once: ten times what a page does that sends whatever it
    /// has in one turn, and less than what one client can have answered for as long as it likes.
    fn default() -> Self {
        Self { events: Some(Rate::per_second(5_000).burst(50_000)), ..Self::none() }
    }
}

impl Rates {
    /// No limits at all.
    pub fn none() -> Self {
        Self {
            events: None,
            is_answering: false,
            joins: None,
            connects_per_address: None,
            sessions_per_address: usize::MAX,
            sessions_per_id: usize::MAX,
            proxies: Vec::new(),
        }
    }

    /// Messages of a session, heartbeats included. Default 5,000 a second, 50,000 at once. A client that sends more is closed with
    /// 4429 and the reason `too_fast`.
    pub fn events(mut self, rate: Rate) -> Self {
        self.events = Some(rate);
        self
    }

    /// Answers what is too much with an error, `{"reason": "too fast"}`, and does not close the session. A message that cannot be
    /// answered, as it has no ref, closes it all the same.
    pub fn answering(mut self) -> Self {
        self.is_answering = true;
        self
    }

    /// Joins of a session. By default they count as messages alone. One that is too much is answered with an error.
    pub fn joins(mut self, rate: Rate) -> Self {
        self.joins = Some(rate);
        self
    }

    /// Attempts to connect from an address: 429 beyond it, with the seconds until the next may come in `Retry-After`. A network of 64 bits of IPv6 is one address. 100,000 addresses are remembered,
    /// those longest that owe most. Resumes and polls do not count.
    pub fn connects_per_address(mut self, rate: Rate) -> Self {
        self.connects_per_address = Some(rate);
        self
    }

    /// Sessions of an address at a time: 429 beyond it.
    pub fn sessions_per_address(mut self, sessions_max: usize) -> Self {
        self.sessions_per_address = sessions_max;
        self
    }

    /// Sessions with one id ([`Accept::id`](crate::Accept::id)) at a time: 429 beyond it.
    pub fn sessions_per_id(mut self, sessions_max: usize) -> Self {
        self.sessions_per_id = sessions_max;
        self
    }

    /// Believes what proxies of this network, as `10.0.0.0/8` or one address, say in `X-Forwarded-For`: the last address there that is
    /// not a trusted proxy's is the client's. Otherwise it is the peer's, which the accept loop
    /// [has to say](crate::PeerAddr): who has no address has no limits by address.
    pub fn behind(mut self, network: impl Into<String>) -> Self {
        self.proxies.push(network.into());
        self
    }

    pub(crate) fn limiter(self) -> Result<Limiter, OptionError> {
        let pace = |name, rate: Option<Rate>| {
            rate.map(|rate| rate.pace().map_err(|problem| OptionError::new(name, problem))).transpose()
        };
        let mut proxies = Proxies::default();
        for network in &self.proxies {
            proxies.add(network).ok_or_else(|| {
                OptionError::new("Rates::behind", "it is no network: write it as 10.0.0.0/8 or as an address")
            })?;
        }
        for (name, sessions_max) in [
            ("Rates::sessions_per_address", self.sessions_per_address),
            ("Rates::sessions_per_id", self.sessions_per_id),
        ] {
            lapwing_transports::options::error::check_bound(name, sessions_max)?;
        }
        Ok(Limiter {
            begun: Instant::now(),
            last_now: AtomicU32::new(0),
            events: pace("Rates::events", self.events)?,
            is_answering: self.is_answering,
            joins: pace("Rates::joins", self.joins)?,
            connects: pace("Rates::connects_per_address", self.connects_per_address)?,
            sessions_per_address: self.sessions_per_address,
            sessions_per_id: self.sessions_per_id,
            proxies,
            addresses: Mutex::default(),
            shares: Arc::default(),
        })
    }
}

/// Of so many messages that a thread looks at, the clock is read for one.
const TIMED_EVERY: u32 = 16;

thread_local! {
    /// How many messages this thread has looked at since it last read the clock.
    static UNTIMED: Cell<u32> = const { Cell::new(0) };
}

/// The rates of a mount, and who has how much of it.
pub(crate) struct Limiter {
    begun: Instant,
    /// The time when it was last read, in ticks.
    last_now: AtomicU32,
    events: Option<Pace>,
    pub(crate) is_answering: bool,
    joins: Option<Pace>,
    connects: Option<Pace>,
    sessions_per_address: usize,
    sessions_per_id: usize,
    proxies: Proxies,
    /// The buckets of addresses, of eight bytes.
    addresses: Mutex<HashMap<IpAddr, u64>>,
    shares: Arc<Shares>,
}

/// The bucket of what a session says: at least that it lives, every minute or so.
#[derive(Debug)]
pub(crate) struct Bucket(AtomicU32);

impl Bucket {
    /// One message of a session is looked at at a time, so that nothing is lost between the two lines.
    fn take(&self, pace: Pace, now: u32) -> bool {
        let next = pace.take(self.0.load(Ordering::Relaxed), now);
        next.inspect(|&mark| self.0.store(mark, Ordering::Relaxed)).is_some()
    }
}

/// The bucket of a session's joins, between which may be hours.
#[derive(Debug, Default)]
pub(crate) struct JoinBucket(AtomicU64);

impl JoinBucket {
    /// As [`Bucket::take`].
    fn take(&self, pace: Pace, now: u64) -> bool {
        let next = pace.take_of(self.0.load(Ordering::Relaxed), now);
        next.inspect(|&mark| self.0.store(mark, Ordering::Relaxed)).is_some()
    }
}

impl Limiter {
    /// A full bucket.
    pub(crate) fn bucket(&self) -> Bucket {
        Bucket(AtomicU32::new(self.now() as u32))
    }

    /// Whether a session may say one thing more.
    ///
    /// Reading a clock costs more than all else here. So a bucket is asked with the time that was last read, which is hardly ever long
    /// ago, and again with the time that it is if that is too early for it: what is let in beyond the burst is a
    /// handful at most.
    pub(crate) fn allows_event(&self, bucket: &Bucket) -> bool {
        let Some(pace) = self.events else { return true };
        let is_due = UNTIMED.with(|untimed| {
            untimed.set((untimed.get() + 1) % TIMED_EVERY);
            untimed.get() == 0
        });
        let last = self.last_now.load(Ordering::Relaxed);
        (!is_due && bucket.take(pace, last)) || {
            let now = self.now() as u32;
            self.last_now.store(now, Ordering::Relaxed);
            bucket.take(pace, now)
        }
    }

    /// Whether joins are counted apart.
    pub(crate) fn counts_joins(&self) -> bool {
        self.joins.is_some()
    }

    /// Whether a session may join once more.
    pub(crate) fn allows_join(&self, bucket: Option<&JoinBucket>) -> bool {
        match (self.joins, bucket) {
            (Some(pace), Some(bucket)) => bucket.take(pace, self.now()),
            _ => true,
        }
    }

    /// Counts an attempt to connect. Returns the share of the address.
    pub(crate) fn admit(&self, request: &ConnectRequest) -> Result<Option<Share>, Refusal> {
        if self.connects.is_none() && self.sessions_per_address == usize::MAX {
            return Ok(None);
        }
        let Some(peer) = request.peer() else { return Ok(None) };
        // A proxy adds to the line that the client wrote, whatever stands in that.
        let lines = request.headers.get_all("x-forwarded-for").iter();
        let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        let address = client_of(self.proxies.client(peer.ip(), lines.iter().map(|line| &**line)));
        if let Some(pace) = self.connects {
            self.allows_connect(address, pace)
                .map_err(|wait| too_many("too many connections from this address", wait))?;
        }
        if self.sessions_per_address == usize::MAX {
            return Ok(None);
        }
        let share = Share::take(&self.shares, Owner::Address(address), self.sessions_per_address);
        share.map(Some).ok_or_else(|| too_many("too many sessions of this address", SHARE_WAIT))
    }

    /// Returns the share of an id.
    pub(crate) fn share_of(&self, id: Option<&str>) -> Result<Option<Share>, Refusal> {
        let Some(id) = id.filter(|_| self.sessions_per_id < usize::MAX) else { return Ok(None) };
        let share = Share::take(&self.shares, Owner::Id(Topic::from(id)), self.sessions_per_id);
        share.map(Some).ok_or_else(|| too_many("too many sessions of this user", SHARE_WAIT))
    }

    /// Takes one out of the bucket of an address.
    ///
    /// # Errors
    /// The time after which there is one.
    fn allows_connect(&self, address: IpAddr, pace: Pace) -> Result<(), Duration> {
        let now = self.now();
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= ADDRESSES_MAX && !addresses.contains_key(&address) {
            forget_most(&mut addresses, now);
        }
        let mark = addresses.entry(address).or_default();
        let next = pace.take_of(*mark, now);
        let next = next.ok_or_else(|| pace.wait_of(*mark, now))?;
        *mark = next;
        Ok(())
    }

    fn now(&self) -> u64 {
        ticks(self.begun.elapsed())
    }
}

/// Forgets the half of the addresses that owes least, if not more.
fn forget_most(addresses: &mut HashMap<IpAddr, u64>, now: u64) {
    let mut debts: Vec<_> = addresses.values().map(|mark| mark.saturating_sub(now)).collect();
    let middle = debts.len() / 2;
    let (_, &mut median, _) = debts.select_nth_unstable(middle);
    addresses.retain(|_, mark| mark.saturating_sub(now) > median);
    addresses.shrink_to(2 * addresses.len());
}

fn too_many(reason: &'static str, wait: Duration) -> Refusal {
    let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS).with_count(NotAdmitted::Rate);
    refusal.with_body(reason).with_retry_after(wait)
}

/// How many sessions each owner has. As many entries as there are sessions, at most.
#[derive(Debug, Default)]
struct Shares(Mutex<HashMap<Owner, usize>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Address(IpAddr),
    Id(Topic),
}

/// One session of an owner's, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Arc<Shares>,
    owner: Owner,
}

impl Share {
    fn take(shares: &Arc<Shares>, owner: Owner, sessions_max: usize) -> Option<Self> {
        let mut table = shares.table();
        let sessions = table.entry(owner.clone()).or_default();
        if *sessions >= sessions_max {
            return None;
        }
        *sessions += 1;
        drop(table);
        Some(Self { shares: shares.clone(), owner })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut table = self.shares.table();
        if let Some(sessions) = table.get_mut(&self.owner) {
            *sessions -= 1;
            if *sessions == 0 {
                table.remove(&self.owner);
            }
        }
        if table.is_empty() {
            table.shrink_to_fit();
        }
    }
}

impl Shares {
    fn table(&self) -> MutexGuard<'_, HashMap<Owner, usize>> {
        // Nothing under this lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_bounded_and_those_that_owe_most_are_remembered() {
        let rate = Rate::new(10, Duration::from_secs(1_000));
        let limiter = Rates::none().connects_per_address(rate).limiter().unwrap();
        let pace = limiter.connects.unwrap();
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        let connect = |n| limiter.allows_connect(address(n), pace).is_ok();
        assert!((0..10).all(|_| connect(0)) && !connect(0));
        assert!((1..3 * ADDRESSES_MAX as u32).all(connect));
        assert!(!connect(0), "who is beyond the rate is not forgotten");
        assert!(limiter.addresses.lock().unwrap().len() <= ADDRESSES_MAX);
    }

    #[test]
    fn by_default_a_session_may_say_what_an_honest_client_says_and_not_a_hundred_thousand_in_two_seconds() {
        let limiter = Rates::default().limiter().unwrap();
        let (pace, bucket) = (limiter.events.unwrap(), limiter.bucket());
        let taken = |at_ms| {
            let now = ticks(Duration::from_millis(at_ms)) as u32;
            (0..103_000).filter(|_| bucket.take(pace, now)).count()
        };
        assert_eq!(taken(1), 50_000);
        assert!((9_900..=10_300).contains(&taken(2_001)));
        assert_eq!(size_of::<Bucket>(), 4);
        assert!(!limiter.counts_joins());
    }

    #[test]
    fn a_session_that_waited_may_go_on_though_the_time_is_rarely_read() {
        let limiter = Rates::none().events(Rate::per_second(1_000).burst(10)).limiter().unwrap();
        let bucket = limiter.bucket();
        let taken = || (0..1_000).take_while(|_| limiter.allows_event(&bucket)).count();
        assert!(taken() >= 10);
        std::thread::sleep(Duration::from_millis(20));
        assert!(taken() >= 10);
        let limiter =
            Rates::none().events(Rate::new(1, Duration::from_secs(60)).burst(10)).limiter().unwrap();
        let bucket = limiter.bucket();
        assert_eq!((0..1_000).filter(|_| limiter.allows_event(&bucket)).count(), 10);
    }

    /// The ticks of a bucket of four bytes wrap twice meanwhile.
    #[tokio::test(start_paused = true)]
    async fn who_comes_has_all_of_a_rate_however_long_the_server_runs() {
        let rate = Rate::new(100, Duration::from_secs(3_600));
        let limiter = Rates::none().events(rate).joins(rate).connects_per_address(rate).limiter().unwrap();
        let of_joins = JoinBucket::default;
        let idle: Vec<_> = (0..60).map(|_| of_joins()).collect();
        let returning = |n: u8| IpAddr::from([198, 51, 100, n]);
        for n in 0..60 {
            assert!(limiter.allows_join(Some(&idle[usize::from(n)])));
            assert!(limiter.allows_connect(returning(n), limiter.connects.unwrap()).is_ok());
        }
        for n in 0..60 {
            tokio::time::advance(Duration::from_secs(600)).await;
            let (bucket, new) = (limiter.bucket(), of_joins());
            let address = IpAddr::from([203, 0, 113, n]);
            let all = |allows: &dyn Fn() -> bool| (0..200).filter(|_| allows()).count();
            let minutes = 10 * (u32::from(n) + 1);
            assert_eq!(all(&|| limiter.allows_event(&bucket)), 100, "after {minutes} minutes");
            let pace = limiter.connects.unwrap();
            assert_eq!(
                all(&|| limiter.allows_connect(address, pace).is_ok()),
                100,
                "after {minutes} minutes"
            );
            assert_eq!(all(&|| limiter.allows_join(Some(&new))), 100, "after {minutes} minutes");
            if minutes > 60 {
                let (idle, n) = (&idle[usize::from(n)], returning(n));
                assert_eq!(all(&|| limiter.allows_join(Some(idle))), 100, "idle for {minutes} minutes");
                assert_eq!(
                    all(&|| limiter.allows_connect(n, pace).is_ok()),
                    100,
                    "away for {minutes} minutes"
                );
            }
        }
    }

    #[test]
    fn a_share_is_given_back_with_its_session() {
        let limiter = Rates::none().sessions_per_id(2).limiter().unwrap();
        let [one, two] = [(); 2].map(|()| limiter.share_of(Some("user:1")).unwrap());
        assert!(limiter.share_of(Some("user:1")).is_err() && limiter.share_of(Some("user:2")).is_ok());
        drop(one);
        let three = limiter.share_of(Some("user:1")).unwrap();
        drop((two, three));
        assert!(limiter.shares.table().is_empty());
    }

    #[test]
    fn what_cannot_be_is_found_out() {
        let problems = [
            Rates::none().events(Rate::per_second(0)).limiter().err(),
            Rates::none().joins(Rate::per_second(1).burst(0)).limiter().err(),
            Rates::none().connects_per_address(Rate::new(1, Duration::from_secs(1_000_000))).limiter().err(),
            Rates::none().sessions_per_id(0).limiter().err(),
            Rates::none().sessions_per_address(0).limiter().err(),
            Rates::none().behind("10.0.0.0/40").limiter().err(),
        ];
        assert!(problems.iter().all(Option::is_some), "{problems:?}");
    }
}
