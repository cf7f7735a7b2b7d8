//! What is kept in a Redis: a stream for the entries of each topic, and a hash that says where it stands.

use std::{error::Error, fmt, time::Duration};

use bytes::Bytes;
use lapwing_cluster::{
    Names,
    wire::{CHECK_BITS, Kept, Place, kept_head},
};
use lapwing_cluster_driver::store::{
    Append, Doing, Found, PUBLISHERS_MAX, Page, Read, Store, StoreError, UNUSED_REMEMBERED_FOR, count,
    remembered_for,
};
use redis::{RedisError, RedisResult, Value, aio::MultiplexedConnection};
use tokio::sync::Mutex;

use crate::place::{NotMaster, Server, is_master, is_refusal, open};

/// What a script's field has before the entry.
const HEAD_BYTES: usize = 16;

/// How long an answer may take. A server that has not answered by then may still do what it was asked to.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

const APPEND: &str = include_str!("append.lua");

const READ: &str = include_str!("read.lua");

/// The topics that an application keeps in a Redis.
pub(crate) struct RedisStore {
    server: Server,
    names: Names,
    connected: Mutex<Option<Connected>>,
}

/// A connection, and what the server calls the scripts.
#[derive(Clone)]
struct Connected {
    connection: MultiplexedConnection,
    append: String,
    read: String,
}

impl RedisStore {
    pub(crate) fn new(server: Server, names: Names) -> Self {
        Self { server, names, connected: Mutex::new(None) }
    }

    /// The connection that there is, or a new one.
    async fn connected(&self) -> Result<Connected, StoreError> {
        let mut connected = self.connected.lock().await;
        if let Some(connected) = &*connected {
            return Ok(connected.clone());
        }
        let connecting = tokio::time::timeout(ANSWER_TIMEOUT, self.connect()).await;
        let new = connecting.map_err(|_| StoreError::Away("it does not answer".into()))??;
        Ok(connected.insert(new).clone())
    }

    async fn connect(&self) -> Result<Connected, StoreError> {
        let client = self.server.client().await.map_err(said)?;
        let mut connection = open(&client, None).await.map_err(said)?;
        if !is_master(&mut connection).await.map_err(said)? {
            return Err(StoreError::Away(NotMaster.into()));
        }
        let mut load = redis::pipe();
        load.cmd("SCRIPT").arg("LOAD").arg(APPEND).cmd("SCRIPT").arg("LOAD").arg(READ);
        let (append, read) = load.query_async(&mut connection).await.map_err(said)?;
        Ok(Connected { connection, append, read })
    }

    /// Waits for an answer. Whatever goes wrong, the next that is asked for is asked on another connection: this one may be lost, to a server
    /// that is a master no more, or to one that has lost the scripts.
    async fn answered<T>(&self, answer: impl Future<Output = RedisResult<T>>) -> Result<T, StoreError> {
        let error = match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => said(error),
            Err(_) => StoreError::Away("it does not answer".into()),
        };
        *self.connected.lock().await = None;
        Err(error)
    }

    fn keys(&self, topic: &str) -> [String; 2] {
        let prefix = self.names.prefix();
        [format!("{prefix}k:{topic}"), format!("{prefix}m:{topic}")]
    }

    async fn append_all(&self, appends: &[Append]) -> Result<(), StoreError> {
        let mut connected = self.connected().await?;
        let mut pipeline = redis::pipe();
        for append in appends {
            let Append { topic, channel, publisher, number, entry, bounds } = append;
            let [entries, meta] = self.keys(topic);
            pipeline.cmd("EVALSHA").arg(&connected.append).arg(2).arg(entries).arg(meta);
            pipeline.arg(&epoch()?.to_be_bytes()[..]).arg(publisher.to_string()).arg(*number);
            pipeline
                .arg(bounds.entries)
                .arg(bounds.bytes)
                .arg(ms(bounds.age))
                .arg(ms(remembered_for(bounds.age)));
            pipeline.arg(PUBLISHERS_MAX).arg(self.names.name(*channel)).arg(&kept_head(*publisher)[..]);
            pipeline.arg(&entry[..]).ignore();
        }
        self.answered(pipeline.query_async(&mut connected.connection)).await
    }

    async fn find(&self, read: &Read, after: Option<Place>) -> Result<Found, StoreError> {
        let mut connected = self.connected().await?;
        let [entries, meta] = self.keys(&read.topic);
        let mut command = redis::cmd("EVALSHA");
        command.arg(&connected.read).arg(2).arg(entries).arg(meta).arg(&epoch()?.to_be_bytes()[..]);
        command
            .arg(after.map_or(0, |place| place.number))
            .arg(count(read.entries_max))
            .arg(ms(read.bounds.age));
        command.arg(ms(UNUSED_REMEMBERED_FOR));
        let answer: Value = self.answered(command.query_async(&mut connected.connection)).await?;
        found(answer, count(read.entries_max))
            .ok_or_else(|| StoreError::Away("somebody else has written to the topic's keys".into()))
    }
}

impl Store for RedisStore {
    fn append<'a>(&'a self, appends: &'a [Append]) -> Doing<'a, ()> {
        Box::pin(self.append_all(appends))
    }

    fn read<'a>(&'a self, read: &'a Read) -> Doing<'a, Page> {
        Box::pin(async move {
            let refused = match Page::new(read.after, read.entries_max, self.find(read, read.after).await?) {
                Ok(page) => return Ok(page),
                Err(refused) => refused,
            };
            match Page::new(None, read.entries_max, self.find(read, None).await?) {
                Ok(page) => Ok(Page { refused: Some(refused), ..page }),
                Err(_) => unreachable!("no place was asked for"),
            }
        })
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("server", &self.server).finish_non_exhaustive()
    }
}

/// What the script of reads answers; none if it is nothing that the scripts have written.
fn found(answer: Value, count: usize) -> Option<Found> {
    let Value::Array(answer) = answer else { return None };
    let [Value::BulkString(epoch), number, check, Value::Array(entries)] =
        <[Value; 4]>::try_from(answer).ok()?
    else {
        return None;
    };
    let epoch = u64::from_be_bytes(epoch.try_into().ok()?);
    let top = Place { epoch, number: decimal(&number)?, check: u32::try_from(decimal(&check)?).ok()? };
    let mut found = Vec::with_capacity(entries.len() / 2);
    for pair in entries.chunks_exact(2) {
        let [number, Value::BulkString(field)] = pair else { return None };
        let word = |at: usize| Some(u32::from_be_bytes(field.get(at..at + 4)?.try_into().ok()?));
        let (check, before) = (word(0)?, word(4)?);
        let entry = Bytes::copy_from_slice(field.get(HEAD_BYTES..)?);
        found.push(Kept { place: Place { epoch, number: decimal(number)?, check }, before, entry });
    }
    let is_all = found.len() < count;
    (top.check >> CHECK_BITS == 0).then_some(Found { top, entries: found, is_all })
}

fn decimal(value: &Value) -> Option<u64> {
    let Value::BulkString(digits) = value else { return None };
    str::from_utf8(digits).ok()?.parse().ok()
}

fn ms(time: Duration) -> u64 {
    // Redis refuses what is more; ten thousand years are for ever.
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 48)
}

/// For a topic of which the server knows nothing.
fn epoch() -> Result<u64, StoreError> {
    getrandom::u64().map_err(|error| StoreError::Away(error.to_string().into()))
}

fn said(error: RedisError) -> StoreError {
    let is_refused = is_refusal(&error);
    let error: Box<dyn Error + Send + Sync> = error.into();
    if is_refused { StoreError::Refused(error) } else { StoreError::Away(error) }
}
