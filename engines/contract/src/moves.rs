//! What must hold on every engine of sessions that go from one node to another.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use lapwing_cluster::{
    Instance,
    moves::{Back, MoveConfig, MoveKey, MoveOutput, NotOffered, Why},
};
use lapwing_cluster_driver::{Cluster, ClusterEvent, Engine, Events, Options};
use tokio::task::JoinHandle;

use crate::{PATIENCE, Server, TestNode, eventually};

/// A node whose sessions are bytes by their names.
struct Home {
    cluster: Cluster,
    book: Arc<Mutex<Book>>,
    listener: JoinHandle<()>,
}

/// What a program knows of its sessions.
#[derive(Default)]
struct Book {
    /// Those that go on here.
    has: BTreeMap<Bytes, Bytes>,
    leaving: HashMap<MoveKey, Bytes>,
    /// Those that were sent.
    frozen: HashMap<MoveKey, Bytes>,
    coming: HashMap<MoveKey, (Bytes, Bytes)>,
    backs: Vec<Back>,
    done: Vec<Bytes>,
    lost: Vec<Bytes>,
}

impl Home {
    async fn start(name: &str, engine: impl Engine) -> Self {
        // No move ends since it takes long.
        Self::patient(name, engine, 2 * PATIENCE).await
    }

    async fn patient(name: &str, engine: impl Engine, patience: Duration) -> Self {
        let moves = MoveConfig::default().patience(patience);
        let options = Options::new("contract").name(name).moves(moves);
        let (cluster, events) = options.start(engine).await.unwrap_or_else(|error| panic!("{error:?}"));
        tokio::time::timeout(PATIENCE, cluster.ready()).await.expect("a node becomes ready");
        let book = Arc::<Mutex<Book>>::default();
        let listener = tokio::spawn(listen(cluster.clone(), events, Arc::clone(&book)));
        Self { cluster, book, listener }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    fn instance(&self) -> Instance {
        self.cluster.instance()
    }

    /// Waits until both know each other.
    async fn meet(&self, other: &Self) {
        let know = || !self.cluster.peers().is_empty() && !other.cluster.peers().is_empty();
        eventually("the nodes know each other", know).await;
    }

    /// So many sessions, with more and less to carry.
    fn open(&self, count: usize) -> BTreeMap<Bytes, Bytes> {
        let sessions = (0..count).map(|number| {
            let len = if number % 50 == 0 { 1_000_000 } else { 1 + number * 37 % 40_000 };
            let bytes: Vec<u8> = (0..len).map(|at| (at + number) as u8).collect();
            (format!("session {number}").into(), bytes.into())
        });
        let sessions: BTreeMap<Bytes, Bytes> = sessions.collect();
        self.book().has.extend(sessions.clone());
        sessions
    }

    /// Offers what goes on here and is not leaving yet, as far as may be. Returns whether nothing is left.
    fn offer_all(&self, target: Instance) -> bool {
        let mut book = self.book();
        let leaving: Vec<Bytes> = book.leaving.values().cloned().collect();
        let names: Vec<Bytes> = book.has.keys().filter(|name| !leaving.contains(name)).cloned().collect();
        for name in names {
            match self.cluster.moves().offer(target, name.clone()) {
                Ok(key) => assert_eq!(book.leaving.insert(key, name), None),
                Err(NotOffered::Full | NotOffered::Away) => break,
                Err(error) => panic!("{error:?}"),
            }
        }
        book.has.is_empty() && book.leaving.is_empty()
    }

    /// Ends at once, without a word.
    fn die(self) -> Arc<Mutex<Book>> {
        self.listener.abort();
        self.book
    }
}

/// Hears of moves and does what is to be done, for as long as the node lives.
async fn listen(cluster: Cluster, mut events: Events, book: Arc<Mutex<Book>>) {
    while let Some(event) = events.next().await {
        if let ClusterEvent::Move(output) = event {
            book.lock().unwrap().note(&cluster, output);
        }
    }
}

impl Book {
    fn note(&mut self, cluster: &Cluster, output: MoveOutput) {
        let moves = cluster.moves();
        match output {
            MoveOutput::Offered(key, name) => {
                self.coming.insert(key, (name, Bytes::new()));
                moves.accept(key);
            }
            MoveOutput::Accepted(key) => {
                let bytes = self.has.remove(&self.leaving[&key]).unwrap();
                if moves.send(key, bytes.clone()).is_ok() {
                    self.frozen.insert(key, bytes);
                } else {
                    assert!(moves.withdraw(key));
                    self.has.insert(self.leaving.remove(&key).unwrap(), bytes);
                }
            }
            MoveOutput::Arrived(key, bytes) => {
                self.coming.get_mut(&key).unwrap().1 = bytes;
                moves.ready(key);
            }
            MoveOutput::Released(key) => drop(self.frozen.remove(&key).unwrap()),
            MoveOutput::Back(key, back) => {
                self.backs.push(back);
                let name = self.leaving.remove(&key).unwrap();
                if let Some(bytes) = self.frozen.remove(&key) {
                    self.has.insert(name, bytes);
                }
            }
            MoveOutput::Done(key) => self.done.push(self.leaving.remove(&key).unwrap()),
            MoveOutput::Lost(key) => self.lost.push(self.leaving.remove(&key).unwrap()),
            MoveOutput::Taken(key) => {
                let (name, bytes) = self.coming.remove(&key).unwrap();
                assert_eq!(self.has.insert(name, bytes), None, "it is here already");
            }
            MoveOutput::Dropped(key) => drop(self.coming.remove(&key)),
        }
    }
}

/// # Panics
/// If the engine breaks the contract, as all tests here.
pub async fn sessions_move_to_another_node_whole_and_once<S: Server>() {
    let server = S::start().await;
    let (one, two) =
        (Home::start("one", server.engine("one")).await, Home::start("two", server.engine("two")).await);
    one.meet(&two).await;
    let sessions = one.open(400);
    eventually("all have moved", || one.offer_all(two.instance())).await;
    eventually("all are there", || two.book().has.len() == sessions.len()).await;
    assert!(two.book().has == sessions, "they are what they were");
    let settled = || {
        let (from, to) = (one.cluster.stats().moves, two.cluster.stats().moves);
        from.leaving == 0 && to.coming == 0 && from.done == 400 && to.taken == 400
    };
    eventually("both know that", settled).await;
    let stats = one.cluster.stats().moves;
    assert_eq!((stats.lost, two.cluster.stats().moves.dropped), (0, stats.back), "{stats:?}");
}

/// # Panics
/// See above.
pub async fn a_node_that_ends_waits_until_it_is_known_where_its_sessions_are<S: Server>() {
    let server = S::start().await;
    let (one, two) =
        (Home::start("one", server.engine("one")).await, Home::start("two", server.engine("two")).await);
    one.meet(&two).await;
    let sessions = one.open(100);
    one.offer_all(two.instance());
    one.cluster.shutdown(PATIENCE).await;
    eventually("each move has an end", || one.book().leaving.is_empty()).await;
    assert!(one.book().done.len() == sessions.len() && one.book().has.is_empty());
    eventually("all are there", || two.book().has == sessions).await;
    assert!(one.cluster.moves().offer(two.instance(), Bytes::new()).is_err());
}

/// # Panics
/// See above.
pub async fn sessions_that_move_over_connections_that_are_cut_are_at_one_node<S: Server>() {
    let mut server = S::start().await;
    let (one, two) =
        (Home::start("one", server.engine("one")).await, Home::start("two", server.engine("two")).await);
    one.meet(&two).await;
    let sessions = one.open(120);
    for (from, to) in [(&one, &two), (&two, &one)] {
        for _ in 0..8 {
            from.offer_all(to.instance());
            tokio::time::sleep(Duration::from_millis(20)).await;
            server.cut().await;
            for name in sessions.keys() {
                // The one that takes is looked at first: what it has then, the other has not.
                let is_there = to.book().has.contains_key(name);
                assert!(!is_there || !from.book().has.contains_key(name), "{name:?} is at both");
            }
        }
        eventually("all have moved", || from.offer_all(to.instance())).await;
        eventually("all are there", || to.book().has.len() == sessions.len()).await;
        assert!(to.book().has == sessions, "they are what they were");
    }
    assert_eq!((one.book().lost.len(), two.book().lost.len()), (0, 0), "nobody has died");
}

/// # Panics
/// See above.
pub async fn a_session_whose_target_dies_is_where_it_was_or_told_to_be_lost<S: Server>() {
    let server = S::start().await;
    let (one, two) =
        (Home::start("one", server.engine("one")).await, Home::start("two", server.engine("two")).await);
    one.meet(&two).await;
    let mut sessions = one.open(300);
    let target = two.instance();
    eventually("some have moved", || {
        one.offer_all(target);
        !two.book().has.is_empty()
    })
    .await;
    let there = two.die();
    one.book().has.insert("late".into(), "bytes".into());
    sessions.insert("late".into(), "bytes".into());
    one.offer_all(target);
    eventually("it is known to be dead", || one.cluster.peers().is_empty()).await;
    eventually("each move has an end", || one.book().leaving.is_empty()).await;
    let (here, there) = (one.book(), there.lock().unwrap());
    assert!(here.backs.contains(&Back::Gone), "the last was offered to the dead");
    for name in sessions.keys() {
        let places = [here.has.contains_key(name), here.done.contains(name), here.lost.contains(name)];
        assert_eq!(places.iter().filter(|is_it| **is_it).count(), 1, "{name:?}: {places:?}");
        assert!(!places[0] || !there.has.contains_key(name), "{name:?} is at both");
    }
    assert!(here.has.iter().all(|(name, bytes)| sessions[name] == *bytes), "they are what they were");
}

/// # Panics
/// See above.
pub async fn a_session_that_nobody_answers_for_stays<S: Server>() {
    let server = S::start().await;
    let one = Home::patient("one", server.engine("one"), Duration::from_secs(1)).await;
    // Its program does not act on what is offered.
    let options = Options::new("contract").name("two").moves(MoveConfig::default());
    let two = TestNode::with(options, server.engine("two")).await;
    let known = || !one.cluster.peers().is_empty() && !two.cluster.peers().is_empty();
    eventually("the nodes know each other", known).await;
    let sessions = one.open(1);
    one.offer_all(two.cluster.instance());
    eventually("it stays", || one.book().backs == [Back::Silent]).await;
    assert!(one.book().has == sessions);
}

/// # Panics
/// See above.
pub async fn a_node_that_takes_no_sessions_refuses_them_at_once<S: Server>() {
    let server = S::start().await;
    let one = Home::start("one", server.engine("one")).await;
    let two = TestNode::start("two", server.engine("two")).await;
    let known = || !one.cluster.peers().is_empty() && !two.cluster.peers().is_empty();
    eventually("the nodes know each other", known).await;
    let sessions = one.open(1);
    assert_eq!(one.cluster.moves().offer(Instance(1), Bytes::new()), Err(NotOffered::Away), "nobody");
    assert!(!one.offer_all(two.cluster.instance()));
    eventually("it stays", || one.book().backs == [Back::Refused(Why::Busy)]).await;
    assert!(one.book().has == sessions);
    assert_eq!(two.cluster.moves().offer(one.instance(), Bytes::new()), Err(NotOffered::Full));
}
