//! A connection: two of Redis, one that says and one that hears.
//!
//! ```text
//!   submit ─▶ publishes ── a pipeline at a time ──▶ commands ──┐
//!          ─▶ batches ──── a command at a time ──▶ subscriber ─┤ Redis
//!   next ◀──────────────── sink ◀── pushes ────────────────────┘
//! ```
//!
//! Redis executes the commands of one connection in order, so of one node nothing overtakes anything: all that it publishes goes by
//! `commands`, and all that it hears comes by `subscriber`, in the order of the server's one thread.

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use lapwing_cluster::{Channel, Event, Names, Work};
use lapwing_cluster_driver::{Connection, Lost};
use redis::{RedisResult, aio::MultiplexedConnection};

use crate::{place::is_forbidden, sink::Sink};

/// Bytes that wait to be published, beyond which nothing more is taken.
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// Commands in a pipeline: what one answer confirms.
const PIPELINE_COMMANDS_MAX: usize = 1_024;

/// Bytes in a pipeline.
const PIPELINE_BYTES_MAX: usize = 256 * 1024;

/// A connection to a Redis.
#[must_use]
pub struct RedisConnection {
    names: Names,
    commands: MultiplexedConnection,
    subscriber: MultiplexedConnection,
    sink: Arc<Sink>,
    publishes: VecDeque<Publish>,
    waiting_bytes: usize,
    batches: VecDeque<Batch>,
    publishing: Option<Running<Option<u64>>>,
    subscribing: Option<Running<Batch>>,
}

impl std::fmt::Debug for RedisConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisConnection").finish_non_exhaustive()
    }
}

struct Publish {
    number: Option<u64>,
    channel: Channel,
    bytes: Bytes,
}

/// Channels that are to be delivered, or not any more.
#[derive(Clone)]
enum Batch {
    Subscribe(Vec<Channel>),
    Unsubscribe(Vec<Channel>),
}

/// A command that was sent, and what its answer is about.
struct Running<T> {
    answer: Pin<Box<dyn Future<Output = RedisResult<()>> + Send>>,
    about: T,
}

impl RedisConnection {
    pub(crate) fn new(
        names: Names,
        commands: MultiplexedConnection,
        subscriber: MultiplexedConnection,
        sink: Arc<Sink>,
    ) -> Self {
        Self {
            names,
            commands,
            subscriber,
            sink,
            publishes: VecDeque::new(),
            waiting_bytes: 0,
            batches: VecDeque::new(),
            publishing: None,
            subscribing: None,
        }
    }

    /// Sends what waits to be published, if an answer to what was sent before is not awaited. What gathers meanwhile goes together, so
    /// that a busy node needs few packets, and an idle one waits for nothing.
    fn start_publishing(&mut self) {
        if self.publishing.is_some() || self.publishes.is_empty() {
            return;
        }
        let mut pipeline = redis::pipe();
        let (mut commands, mut bytes, mut last) = (0, 0, None);
        while let Some(publish) = self.publishes.front()
            && commands < PIPELINE_COMMANDS_MAX
            && (commands == 0 || bytes + publish.bytes.len() <= PIPELINE_BYTES_MAX)
        {
            pipeline.cmd("PUBLISH").arg(self.names.name(publish.channel)).arg(&publish.bytes[..]).ignore();
            commands += 1;
            bytes += publish.bytes.len();
            last = publish.number.or(last);
            self.publishes.pop_front();
        }
        self.waiting_bytes -= bytes;
        let mut connection = self.commands.clone();
        let answer = Box::pin(async move { pipeline.query_async::<()>(&mut connection).await });
        self.publishing = Some(Running { answer, about: last });
    }

    fn start_subscribing(&mut self) {
        if self.subscribing.is_some() {
            return;
        }
        let Some(batch) = self.batches.pop_front() else { return };
        let names: Vec<String> = batch.channels().iter().map(|channel| self.names.name(*channel)).collect();
        let mut connection = self.subscriber.clone();
        let is_subscribe = matches!(batch, Batch::Subscribe(_));
        let answer = Box::pin(async move {
            if is_subscribe { connection.subscribe(names).await } else { connection.unsubscribe(names).await }
        });
        self.subscribing = Some(Running { answer, about: batch });
    }

    fn handle_answer(&mut self, batch: Batch, answer: RedisResult<()>) -> Result<Option<Event>, Lost> {
        Ok(match (answer, batch) {
            (Ok(()), Batch::Subscribe(channels)) => Some(Event::Subscribed(channels)),
            (Ok(()), Batch::Unsubscribe(channels)) => Some(Event::Unsubscribed(channels)),
            (Err(error), Batch::Subscribe(channels)) if is_forbidden(&error) => {
                if channels.len() == 1 {
                    return Ok(Some(Event::Refused(channels)));
                }
                // One of them is; Redis does not say which.
                let (some, others) = channels.split_at(channels.len() / 2);
                self.batches.push_front(Batch::Subscribe(others.to_vec()));
                self.batches.push_front(Batch::Subscribe(some.to_vec()));
                None
            }
            (Err(error), _) => return Err(Lost::new(error)),
        })
    }
}

impl Connection for RedisConnection {
    fn has_room(&self) -> bool {
        self.waiting_bytes < WAITING_BYTES_MAX
    }

    fn submit(&mut self, work: Work) {
        match work {
            Work::Subscribe(channels) => self.batches.push_back(Batch::Subscribe(channels)),
            Work::Unsubscribe(channels) => self.batches.push_back(Batch::Unsubscribe(channels)),
            Work::Publish { number, channel, bytes } => {
                self.waiting_bytes += bytes.len();
                self.publishes.push_back(Publish { number, channel, bytes });
            }
        }
    }

    async fn next(&mut self, events: &mut Vec<Event>) -> Result<(), Lost> {
        self.start_publishing();
        self.start_subscribing();
        tokio::select! {
            (last, answer) = done(&mut self.publishing) => {
                answer.map_err(Lost::new)?;
                events.extend(last.map(Event::Published));
            }
            (batch, answer) = done(&mut self.subscribing) => {
                events.extend(self.handle_answer(batch, answer)?);
            }
            () = self.sink.woken() => {
                if !self.sink.drain(events) {
                    return Err(Lost::new("the server closed it"));
                }
            }
        }
        Ok(())
    }

    async fn close(mut self) {
        loop {
            self.start_publishing();
            if self.publishing.is_none() {
                return;
            }
            // Nothing can be done about an error any more.
            let _ = done(&mut self.publishing).await;
        }
    }
}

impl Batch {
    fn channels(&self) -> &[Channel] {
        let (Self::Subscribe(channels) | Self::Unsubscribe(channels)) = self;
        channels
    }
}

/// Waits for the answer to a command, if there is one; for ever, if not. Dropping the future loses nothing.
async fn done<T>(running: &mut Option<Running<T>>) -> (T, RedisResult<()>) {
    let answer = match running {
        Some(running) => running.answer.as_mut().await,
        None => std::future::pending().await,
    };
    match running.take() {
        Some(running) => (running.about, answer),
        None => std::future::pending().await,
    }
}
