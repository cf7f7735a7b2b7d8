//! Who is there: sessions, topics, and the joins of a topic, for the program itself.

use std::{sync::Arc, time::Duration};

use lapwing_transports::{
    connect::Transport,
    live::path::PathReport,
    session::{backlog::Backlog, outbox::Waiting},
};

use crate::{
    journal::JournalEntry,
    server::Lapwing,
    topic::Topic,
    topics::{MemberInfo, broadcast::TransportId},
};

/// One session, as [`Lapwing::sessions`] lists it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The path of its mount, as it was given to [`Builder::mount`](crate::Builder::mount).
    pub mount: String,
    /// Its number.
    pub transport_id: TransportId,
    /// The id that its client was given on connect; `None` for anonymous clients.
    pub socket_id: Option<String>,
    /// The transport that carries it, or did last.
    pub transport: Transport,
    /// Whether a connection carries it now.
    pub is_attached: bool,
    /// The name of the other node of a cluster by which its stream comes, if it does: [`Socket::carried_by`](crate::Socket::carried_by).
    pub carried_by: Option<String>,
    /// Whether it outlives its connections.
    pub is_resumable: bool,
    /// The topics that it has joined, those that are being decided included, in no order.
    pub topics: Vec<Topic>,
    /// Its age, to a second exactly.
    pub age: Duration,
    /// The report of its client about the path between it and the server, if something failed there.
    pub path: Option<PathReport>,
    /// Frames and bytes that wait to be sent to its client, and the age of the oldest.
    pub waiting: Backlog,
    /// Frames and bytes that were sent and are kept until its client acknowledges them; nothing of a session that is not resumable.
    pub unacknowledged: Waiting,
}

/// One topic, as [`Lapwing::topics`] lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// Its name.
    pub topic: Topic,
    /// The number of its subscribers: joins, and tasks of the program.
    pub subscribers: usize,
}

/// Listings of this node. They walk while they are read: what is behind an `Iterator::take` is not looked at, what begins or ends
/// meanwhile may be in or not, and they hold no lock between two items.
///
/// ```
/// use lapwing::{Lapwing, Mount};
///
/// let lapwing = Lapwing::builder().mount("/socket", Mount::new()).build()?;
/// let subscription = lapwing.subscribe("orders:new");
/// for info in lapwing.topics().take(100) {
///     println!("{}: {} subscribers", info.topic, info.subscribers);
/// }
/// assert_eq!(lapwing.topics().count(), 1);
/// assert_eq!(lapwing.members("orders:new").count(), 0, "a task is no member");
/// assert_eq!(lapwing.sessions().count(), 0);
/// # drop(subscription);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Lapwing {
    /// The live sessions of all mounts. A thousand are held at a time; each that is looked at costs two locks for a moment and
    /// its topics a copy.
    pub fn sessions(&self) -> impl Iterator<Item = SessionInfo> {
        let node = self.node();
        self.mounts().iter().flat_map(move |mounted| {
            mounted.endpoint.walk().map(move |session| {
                let client = session.state();
                SessionInfo {
                    mount: mounted.name.clone(),
                    transport_id: client.transport_id,
                    socket_id: client.socket_id().map(|id| id.as_str().to_owned()),
                    transport: session.transport(),
                    is_attached: session.is_attached(),
                    carried_by: session.carried_by().and_then(|number| node.name_of(number)),
                    is_resumable: session.is_resumable(),
                    topics: client.state().joins.iter().map(|join| join.topic.clone()).collect(),
                    age: session.age(),
                    path: session.path(),
                    waiting: session.waiting(),
                    unacknowledged: session.unacknowledged(),
                }
            })
        })
    }

    /// The topics that anybody subscribes to. A sixty-fourth of them is copied at a time.
    pub fn topics(&self) -> impl Iterator<Item = TopicInfo> {
        self.node().topics.walk().map(|(topic, subscribers)| TopicInfo { topic, subscribers })
    }

    /// The entries of the journal after the one with this number, oldest first, as far as they are remembered; 0 is before all. Nothing
    /// unless the program asked for it ([`Builder::journal`](crate::Builder::journal)).
    ///
    /// ```
    /// use lapwing::{Lapwing, Mount};
    ///
    /// let lapwing = Lapwing::builder().mount("/socket", Mount::new()).journal(1_000).build()?;
    /// for entry in lapwing.journal(0) {
    ///     println!("{}: {:?}", entry.transport_id.0, entry.what);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn journal(&self, after: u64) -> Vec<Arc<JournalEntry>> {
        self.node().journal.get().map_or_else(Vec::new, |journal| journal.after(after))
    }

    /// The joins of a topic. Broadcasts on the topic wait while a thousand of them are copied.
    pub fn members(&self, topic: impl Into<Topic>) -> impl Iterator<Item = MemberInfo> {
        self.node().topics.members(topic.into())
    }
}
