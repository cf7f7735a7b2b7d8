//! What must hold of every store.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use lapwing_cluster::{
    Channel, Instance,
    wire::{Kept, Place},
};
use lapwing_cluster_driver::store::{
    Append, Bounds, PAGE_ENTRIES_MAX, PUBLISHERS_MAX, Page, Read, Refused, Store,
};

use crate::{PATIENCE, Server, TestNode, eventually};

/// A server whose engine keeps topics.
pub trait KeepingServer: Server {
    /// One that does not forget what it has confirmed when it ends.
    fn start_keeping() -> impl Future<Output = Self> + Send;

    /// It ends as if the power went, and comes back with what it had, or without.
    fn restart_keeping(&mut self, with_data: bool) -> impl Future<Output = ()> + Send;

    /// Puts aside what the application "contract" keeps of a topic.
    fn save(&mut self, topic: &str) -> impl Future<Output = ()> + Send;

    /// It has what was put aside, as a replica that takes its master's place: so many entries that were appended since are lost.
    fn lose(&mut self, topic: &str, entries: usize) -> impl Future<Output = ()> + Send;

    /// What is kept of a topic is lost; where it stands is not.
    fn evict(&mut self, topic: &str) -> impl Future<Output = ()> + Send;
}

const TOPIC: &str = "room:1";

const BOUNDS: Bounds = Bounds { entries: 100, bytes: 100_000, age: Duration::from_secs(300) };

const ONE: Instance = Instance(0x0102_0304_0506_0708);

/// A topic as one publisher of a test sees it.
struct Topic {
    store: Arc<dyn Store>,
    channel: Channel,
    publisher: Instance,
    bounds: Bounds,
    last: u64,
}

impl Topic {
    async fn on<S: KeepingServer>(server: &S) -> (Self, TestNode) {
        let node = TestNode::start("keeps", server.engine("keeps")).await;
        node.join(TOPIC).await;
        let store = Arc::clone(node.cluster.store().expect("the engine keeps topics"));
        let channel = Channel::Topics(node.cluster.key(TOPIC));
        (Self { store, channel, publisher: ONE, bounds: BOUNDS, last: 0 }, node)
    }

    fn entry(&self, number: u64) -> Append {
        Append {
            topic: TOPIC.into(),
            channel: self.channel,
            publisher: self.publisher,
            number,
            entry: Bytes::from(format!("{:x}:{number}", self.publisher.0)),
            bounds: self.bounds,
        }
    }

    /// Appends so many, and waits until they are. While the server is away they are tried again.
    async fn append(&mut self, count: u64) {
        let appends: Vec<_> = (1..=count).map(|more| self.entry(self.last + more)).collect();
        self.last += count;
        let asked = tokio::time::Instant::now();
        for batch in appends.chunks(500) {
            while let Err(error) = self.store.append(batch).await {
                assert!(asked.elapsed() < PATIENCE, "{error:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn page(&self, after: Option<Place>, entries_max: usize) -> Page {
        let read =
            Read { topic: TOPIC.into(), channel: self.channel, after, entries_max, bounds: self.bounds };
        let asked = tokio::time::Instant::now();
        loop {
            match self.store.read(&read).await {
                Ok(page) => return page,
                Err(error) => assert!(asked.elapsed() < PATIENCE, "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn read(&self, after: Option<Place>) -> Page {
        self.page(after, PAGE_ENTRIES_MAX).await
    }

    async fn top(&self) -> Place {
        let page = self.page(None, 0).await;
        assert_eq!(page.entries, []);
        page.end()
    }
}

fn texts(entries: &[Kept]) -> Vec<String> {
    entries.iter().map(|kept| String::from_utf8(kept.entry.to_vec()).unwrap()).collect()
}

fn numbers(entries: &[Kept]) -> Vec<u64> {
    entries.iter().map(|kept| kept.place.number).collect()
}

/// # Panics
/// If the store breaks the contract, as all tests here.
pub async fn what_is_appended_is_published_and_read_in_one_order<S: KeepingServer>() {
    let server = S::start_keeping().await;
    let (mut one, node) = Topic::on(&server).await;
    let mut two = Topic { publisher: Instance(2), store: Arc::clone(&one.store), ..one };
    let nothing = one.top().await;
    assert_eq!((nothing.number, nothing.check), (0, 0));
    assert_eq!(
        one.read(Some(nothing)).await.refused,
        None,
        "where a topic stands is known before it is used"
    );
    for _ in 0..10 {
        let (first, second) = tokio::join!(one.append(3), two.append(2));
        ((), ()) = (first, second);
    }
    let page = one.read(None).await;
    assert_eq!((page.after, page.refused, page.has_more), (nothing, None, false));
    assert_eq!(numbers(&page.entries), (1..=50).collect::<Vec<_>>());
    for pair in page.entries.windows(2) {
        assert_eq!(pair[1].place_before(), pair[0].place);
    }
    for publisher in [ONE, Instance(2)] {
        let own = format!("{:x}:", publisher.0);
        let mut said = texts(&page.entries);
        said.retain(|text| text.starts_with(&own));
        let count = if publisher == ONE { 30 } else { 20 };
        assert_eq!(said, (1..=count).map(|number| format!("{own}{number}")).collect::<Vec<_>>());
    }
    eventually("all is published", || node.heard().kept.len() == 50).await;
    assert_eq!(node.heard().kept, page.entries, "in the order in which it is kept");
    let middle = page.entries[19].place;
    let rest = one.read(Some(middle)).await;
    assert_eq!((rest.after, rest.refused, &rest.entries[..]), (middle, None, &page.entries[20..]));
    for after in [None, Some(nothing), Some(middle)] {
        let (few, all) = (one.page(after, 7).await, one.read(after).await);
        assert_eq!((&few.entries[..], few.has_more), (&all.entries[..7], true), "behind {after:?}");
    }
    let end = one.top().await;
    assert_eq!(end, page.end());
    assert_eq!(one.read(Some(end)).await.entries, []);
}

/// # Panics
/// See above.
pub async fn what_is_appended_again_is_kept_once<S: KeepingServer>() {
    let server = S::start_keeping().await;
    let (mut topic, _node) = Topic::on(&server).await;
    topic.append(3).await;
    topic.last = 0;
    topic.append(5).await;
    assert_eq!(numbers(&topic.read(None).await.entries), [1, 2, 3, 4, 5]);
    // Many others, of whom it forgets the first, and not the one that was here last.
    for publisher in 10..10 + PUBLISHERS_MAX as u64 {
        let mut other = Topic { publisher: Instance(publisher), store: Arc::clone(&topic.store), ..topic };
        other.last = 0;
        other.append(1).await;
    }
    let mut last = Topic { publisher: Instance(9 + PUBLISHERS_MAX as u64), last: 0, ..topic };
    let before = last.top().await;
    last.append(1).await;
    assert_eq!(last.top().await, before);
}

/// # Panics
/// See above.
pub async fn no_more_is_kept_than_is_to_be_and_what_is_not_is_told<S: KeepingServer>() {
    let server = S::start_keeping().await;
    let (mut topic, _node) = Topic::on(&server).await;
    let nothing = topic.top().await;
    topic.append(120).await;
    let page = topic.read(Some(nothing)).await;
    assert_eq!((page.refused, page.after.number, page.entries.len()), (Some(Refused::Trimmed), 20, 100));
    assert_eq!(topic.read(Some(page.after)).await.refused, None, "all that was missed is there");
    topic.bounds.bytes = page.entries[97..].iter().map(|kept| kept.entry.len()).sum::<usize>() + 1;
    topic.append(1).await;
    let kept = numbers(&topic.read(None).await.entries);
    assert!(kept == [119, 120, 121] || kept == [120, 121], "{kept:?}");
    // One that is too large alone.
    topic.bounds.bytes = 3;
    topic.append(1).await;
    let page = topic.read(Some(page.end())).await;
    assert_eq!((page.refused, page.after.number, page.entries), (Some(Refused::Trimmed), 122, vec![]));
    topic.bounds = Bounds { age: Duration::from_millis(400), ..BOUNDS };
    topic.append(1).await;
    let asked = tokio::time::Instant::now();
    loop {
        let page = topic.read(Some(page.after)).await;
        if page.refused.is_some() {
            assert_eq!((page.refused, page.after.number), (Some(Refused::Trimmed), 123));
            break;
        }
        assert_eq!(numbers(&page.entries), [123]);
        assert!(asked.elapsed() < PATIENCE, "it grows old");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(topic.top().await.number, 123, "where it stands is known for longer");
}

/// # Panics
/// See above.
pub async fn a_topic_is_read_page_by_page<S: KeepingServer>() {
    let server = S::start_keeping().await;
    let (mut topic, _node) = Topic::on(&server).await;
    topic.bounds.entries = usize::from(u16::MAX);
    topic.append(2_200).await;
    let mut page = topic.read(None).await;
    let (mut all, mut pages) = (page.entries.clone(), 1);
    while page.has_more {
        page = topic.read(Some(page.end())).await;
        assert_eq!(page.refused, None);
        all.extend(page.entries.clone());
        pages += 1;
    }
    assert_eq!(numbers(&all), (1..=2_200).collect::<Vec<_>>());
    assert_eq!(pages, 3);
}

/// # Panics
/// See above.
pub async fn a_restart_with_data_changes_nothing_and_one_without_is_told<S: KeepingServer>() {
    let mut server = S::start_keeping().await;
    let (mut topic, _node) = Topic::on(&server).await;
    topic.append(10).await;
    let before = topic.read(None).await;
    server.restart_keeping(true).await;
    assert_eq!(topic.read(None).await, before);
    topic.append(2).await;
    let page = topic.read(Some(before.entries[4].place)).await;
    assert_eq!((page.refused, numbers(&page.entries)), (None, (6..=12).collect()));

    server.restart_keeping(false).await;
    topic.append(1).await;
    let after = topic.read(Some(page.end())).await;
    assert_eq!((after.refused, after.entries.len()), (Some(Refused::Epoch), 1));
    assert_ne!(after.after.epoch, page.after.epoch);
    assert_eq!(topic.read(Some(after.end())).await.refused, None, "it goes on from there");
}

/// # Panics
/// See above.
pub async fn a_lost_tail_is_told_whatever_came_in_its_place<S: KeepingServer>() {
    let mut server = S::start_keeping().await;
    let (mut topic, _node) = Topic::on(&server).await;
    topic.append(50).await;
    let common = topic.top().await;
    server.save(TOPIC).await;
    topic.append(20).await;
    let lost = topic.read(Some(common)).await;
    server.lose(TOPIC, 20).await;
    let refused = async |place: Place, topic: &Topic| topic.read(Some(place)).await.refused;
    assert_eq!(refused(lost.end(), &topic).await, Some(Refused::Epoch), "it is ahead");
    topic.append(30).await;
    for kept in &lost.entries {
        assert_eq!(refused(kept.place, &topic).await, Some(Refused::Epoch), "{:?}", kept.place);
    }
    let rest = topic.read(Some(common)).await;
    assert_eq!((rest.refused, numbers(&rest.entries)), (None, (51..=80).collect()));
}

/// # Panics
/// See above.
pub async fn what_is_evicted_is_told<S: KeepingServer>() {
    let mut server = S::start_keeping().await;
    let (mut topic, _node) = Topic::on(&server).await;
    topic.append(10).await;
    let place = topic.read(None).await.entries[4].place;
    let top = topic.top().await;
    server.evict(TOPIC).await;
    assert_eq!(topic.read(Some(top)).await.refused, None, "nothing was missed");
    assert_eq!(topic.read(Some(place)).await.refused, Some(Refused::Trimmed));
    topic.append(2).await;
    assert_eq!(numbers(&topic.read(Some(top)).await.entries), [11, 12]);
    assert_eq!(topic.read(Some(place)).await.refused, Some(Refused::Trimmed));
}
