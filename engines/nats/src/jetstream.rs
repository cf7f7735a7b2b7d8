//! What is asked of JetStream about the one stream.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use lapwing_cluster_driver::{ConnectError, store::StoreError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    client::{Answer, Client, Question},
    protocol,
    servers::Servers,
    stream::{Config, KeptStream, Limits},
    subjects::{Asked, Subjects},
    time::milliseconds,
};

/// How often something is tried again that others were faster at.
const TRIES_MAX: usize = 16;

/// Epochs before the newest that are told of.
const EPOCHS_MAX: usize = 8;

/// There is no such stream.
const NO_STREAM: u64 = 10_059;

/// There is one, and it is not the same.
const ANOTHER_STREAM: u64 = 10_058;

/// There is no such message.
const NO_MESSAGE: u64 = 10_037;

/// The last message of the stream, or of the subject, is another one.
const WRONG_LAST: [u64; 2] = [10_070, 10_071];

/// The account has no JetStream; the server has none.
const NOT_ENABLED: [u64; 2] = [10_039, 10_076];

/// Fewer servers are there than there are to be replicas.
const NO_PEERS: u64 = 10_005;

/// What passes when the servers of a cluster have found each other and have chosen who leads them: an answer lacks something, there are too few, this
/// one is none of them yet, nobody leads, another does, the stream's own are not there.
const NOT_YET: [u64; 6] = [10_004, NO_PEERS, 10_007, 10_008, 10_009, 10_118];

/// There is not so much room as is to be reserved, in memory or in files.
const NO_ROOM: [u64; 3] = [10_023, 10_028, 10_047];

/// JetStream, and a stream that is there.
#[derive(Debug)]
pub(crate) struct JetStream {
    client: Client,
    subjects: Subjects,
    /// So much the stream keeps of each topic at least.
    limits: Mutex<Limits>,
    /// Whether several servers have it.
    is_replicated: AtomicBool,
    /// The ids of messages: no other connection has such ones, and none is there twice.
    ids: (u64, AtomicU64),
}

/// A message of the stream.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) subject: String,
    pub(crate) sequence: u64,
    /// When it came, in milliseconds since 1970.
    pub(crate) ms: u64,
    pub(crate) head: String,
    pub(crate) payload: Bytes,
}

/// A message that the stream is to take.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) subject: String,
    pub(crate) behind: Behind,
    /// A field of its head.
    pub(crate) field: Option<String>,
    pub(crate) payload: Bytes,
}

/// What a message has to stand behind for the stream to take it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Behind {
    /// The last message of its subject has this sequence; 0 if there is none.
    Last(u64),
    /// The one that is put before it is the last one of the stream.
    Put,
    /// The last one of the stream, of whatever subject, has this sequence.
    Stream(u64),
}

/// Why JetStream did not do what it was asked to.
#[derive(Clone, Debug, Deserialize)]
struct Failure {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl JetStream {
    /// Connects, and makes the stream if it is missing.
    pub(crate) async fn open(
        servers: &mut Servers,
        subjects: Subjects,
        stream: &KeptStream,
        needed: Limits,
    ) -> Result<Self, ConnectError> {
        let client = Client::open(servers, &subjects).await?;
        let random = getrandom::u64().map_err(|error| ConnectError::Away(error.to_string().into()))?;
        let ids = (random, AtomicU64::new(0));
        let (limits, is_replicated) = (Mutex::new(Limits::default()), AtomicBool::new(false));
        let here = Self { client, subjects, limits, is_replicated, ids };
        here.make(stream, needed).await.map_err(|error| match error {
            StoreError::Refused(why) => ConnectError::Refused(why),
            StoreError::Away(why) => ConnectError::Away(why),
            error => ConnectError::Away(error.into()),
        })?;
        Ok(here)
    }

    /// Whether the connection is lost.
    pub(crate) fn is_lost(&self) -> bool {
        self.client.is_lost()
    }

    /// Whether several servers have the stream. That a message stands behind the last one of its subject is then no more than a guess: a server asks that
    /// before the others have agreed, and takes two that are under way at once. What is asked when they have agreed is the last sequence of the stream.
    pub(crate) fn is_replicated(&self) -> bool {
        self.is_replicated.load(Ordering::Relaxed)
    }

    /// The last sequence of the stream.
    pub(crate) async fn last_sequence(&self) -> Result<u64, StoreError> {
        #[derive(Deserialize)]
        struct Info {
            state: State,
        }

        #[derive(Deserialize)]
        struct State {
            last_seq: u64,
        }

        let info = self.request::<Info>(Asked::Info, &json!({})).await?;
        Ok(info.map_err(Failure::error)?.state.last_seq)
    }

    /// Has the stream keep as much as is needed.
    pub(crate) async fn raise(&self, needed: Limits) -> Result<(), StoreError> {
        let known = *self.limits();
        if known.max(needed) == known {
            return Ok(());
        }
        for _ in 0..TRIES_MAX {
            let Some(config) = self.config().await? else { return Err(away("the stream is gone")) };
            let Some(raised) = config.raised(known.max(needed)) else {
                let mut limits = self.limits();
                *limits = limits.max(needed);
                return Ok(());
            };
            self.request::<serde_json::Value>(Asked::Update, &json!(raised))
                .await?
                .map_err(|failure| failure.error())?;
        }
        Err(away("others set the stream's limits all the time"))
    }

    /// The last message of each of these subjects.
    pub(crate) async fn last(&self, subjects: &[String]) -> Result<Vec<Option<Message>>, StoreError> {
        self.get(subjects.iter().map(|subject| json!({"last_by_subj": subject})).collect()).await
    }

    /// The messages with these sequences.
    pub(crate) async fn at(&self, sequences: &[u64]) -> Result<Vec<Option<Message>>, StoreError> {
        self.get(sequences.iter().map(|sequence| json!({"seq": sequence})).collect()).await
    }

    /// Has the stream take these. Returns their sequences; none of one that would not stand behind what it has to.
    pub(crate) async fn put(&self, puts: Vec<Put>) -> Result<Vec<Option<u64>>, StoreError> {
        #[derive(Deserialize)]
        struct Taken {
            seq: u64,
        }

        let (connection, count) = (self.ids.0, puts.len() as u64);
        let first = self.ids.1.fetch_add(count, Ordering::Relaxed);
        let questions = puts.into_iter().zip(first..).map(|(put, id)| Question {
            subject: put.subject,
            fields: fields((connection, id), put.behind, put.field),
            payload: put.payload,
        });
        let answers = self.client.ask_all(questions.collect()).await?;
        let taken = answers.into_iter().map(|answer| match self.read::<Taken>(answer)? {
            Ok(taken) => Ok(Some(taken.seq)),
            Err(failure) if WRONG_LAST.contains(&failure.err_code) => Ok(None),
            Err(failure) => Err(failure.error()),
        });
        taken.collect()
    }

    /// Whether a server takes this.
    pub(crate) fn has_room_for(&self, field: &str, payload: &[u8]) -> bool {
        let fields = fields((u64::MAX, u64::MAX), Behind::Put, Some(field.to_owned()));
        protocol::head_bytes(&fields) + payload.len() <= self.client.payload_max
    }

    /// The epoch of topics that nobody has used. It is a message of the stream, so that it is lost whenever anything is that came after it: a place
    /// before all entries is as good as its epoch is remembered. There is another one twice in the time that a message is kept.
    pub(crate) async fn epoch(&self) -> Result<u64, StoreError> {
        let subject = self.subjects.epochs();
        for _ in 0..TRIES_MAX {
            let end = if self.is_replicated() { Some(self.last_sequence().await?) } else { None };
            let last = self.last(std::slice::from_ref(&subject)).await?.pop().flatten();
            let known = last.as_ref().and_then(Epochs::read);
            let half = self.limits().age().as_millis() / 2;
            if let (Some(known), Some(last)) = (&known, &last)
                && u128::from(now_ms().saturating_sub(last.ms)) < half
            {
                return Ok(known.newest);
            }
            let newest = getrandom::u64().map_err(|error| away(error.to_string()))?;
            let expected = last.map_or(0, |last| last.sequence);
            let payload = Epochs::after(known, expected, newest).write();
            let behind = end.map_or(Behind::Last(expected), Behind::Stream);
            let put = Put { subject: subject.clone(), behind, field: None, payload };
            if self.put(vec![put]).await? != [None] {
                return Ok(newest);
            }
        }
        Err(away("others begin all the time"))
    }

    /// Whether an epoch of topics that nobody has used is remembered.
    pub(crate) async fn remembers(&self, epoch: u64) -> Result<bool, StoreError> {
        let subject = self.subjects.epochs();
        let last = self.last(std::slice::from_ref(&subject)).await?.pop().flatten();
        let Some(known) = last.as_ref().and_then(Epochs::read) else { return Ok(false) };
        if known.newest == epoch {
            return Ok(true);
        }
        let Some((_, sequence)) = known.earlier.iter().find(|(earlier, _)| *earlier == epoch) else {
            return Ok(false);
        };
        let there = self.at(&[*sequence]).await?.pop().flatten().filter(|message| message.subject == subject);
        Ok(there.as_ref().and_then(Epochs::read).is_some_and(|there| there.newest == epoch))
    }

    async fn make(&self, stream: &KeptStream, needed: Limits) -> Result<(), StoreError> {
        if self.config().await?.is_none() {
            let made = Config::new(&self.subjects, stream, needed);
            match self.request::<serde_json::Value>(Asked::Create, &json!(made)).await? {
                Ok(_) => {}
                // Another node was faster.
                Err(failure) if failure.err_code == ANOTHER_STREAM => {}
                Err(failure) => return Err(failure.refusal()),
            }
            // As it was made, perhaps by another node with other options.
            self.config().await?;
        }
        self.raise(needed).await
    }

    /// The stream's configuration; none if there is no stream.
    async fn config(&self) -> Result<Option<Config>, StoreError> {
        #[derive(Deserialize)]
        struct Info {
            config: Config,
        }

        let config = match self.request::<Info>(Asked::Info, &json!({})).await? {
            Ok(info) => info.config,
            Err(failure) if failure.err_code == NO_STREAM => return Ok(None),
            Err(failure) => return Err(failure.error()),
        };
        match config.problem(&self.subjects) {
            None => {
                self.is_replicated.store(config.is_replicated(), Ordering::Relaxed);
                Ok(Some(config))
            }
            Some(problem) => {
                let stream = self.subjects.stream();
                Err(StoreError::Refused(
                    format!(
                        "the stream {stream} cannot keep topics, as {problem}: delete it, and it is made anew"
                    )
                    .into(),
                ))
            }
        }
    }

    async fn get(&self, wanted: Vec<serde_json::Value>) -> Result<Vec<Option<Message>>, StoreError> {
        let subject = self.subjects.ask(Asked::Get);
        let questions = wanted.into_iter().map(|wanted| Question {
            subject: subject.clone(),
            fields: Vec::new(),
            payload: wanted.to_string().into(),
        });
        let answers = self.client.ask_all(questions.collect()).await?;
        let messages = answers.into_iter().map(|answer| match self.read::<Got>(answer)? {
            Ok(got) => {
                got.message.read().map(Some).ok_or_else(|| away("what JetStream answers cannot be read"))
            }
            Err(failure) if failure.err_code == NO_MESSAGE => Ok(None),
            Err(failure) => Err(failure.error()),
        });
        messages.collect()
    }

    async fn request<T: DeserializeOwned>(
        &self,
        asked: Asked,
        body: &impl Serialize,
    ) -> Result<Result<T, Failure>, StoreError> {
        let payload = serde_json::to_vec(body).map_err(|error| away(error.to_string()))?;
        let question =
            Question { subject: self.subjects.ask(asked), fields: Vec::new(), payload: payload.into() };
        self.read(self.client.ask(question).await?)
    }

    fn read<T: DeserializeOwned>(&self, answer: Answer) -> Result<Result<T, Failure>, StoreError> {
        #[derive(Deserialize)]
        struct Failed {
            error: Failure,
        }

        let Answer::Said(json) = answer else {
            return Err(if self.client.has_jetstream {
                away("JetStream does not answer, or the stream is gone")
            } else {
                StoreError::Refused(
                    "JetStream is off on this server: start nats-server with -js, or put `jetstream {}` into its configuration".into(),
                )
            });
        };
        if let Ok(failed) = serde_json::from_slice::<Failed>(&json) {
            return Ok(Err(failed.error));
        }
        serde_json::from_slice(&json).map(Ok).map_err(|error| away(error.to_string()))
    }

    fn limits(&self) -> std::sync::MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failure {
    /// As an error that may pass.
    fn error(self) -> StoreError {
        if NOT_ENABLED.contains(&self.err_code) { self.refusal() } else { away(self.text()) }
    }

    /// As an error that stays, unless it is one of servers that are about to find each other.
    fn refusal(self) -> StoreError {
        let text = self.text();
        if NOT_YET.contains(&self.err_code) { away(text) } else { StoreError::Refused(text.into()) }
    }

    /// What JetStream says, and what to do.
    fn text(&self) -> String {
        let hint = if NOT_ENABLED.contains(&self.err_code) {
            "; give the account of this user `jetstream: enabled`"
        } else if self.err_code == NO_PEERS {
            "; as many servers with JetStream have to be there as `KeptStream::replicas` says, each with room for `KeptStream::bytes_max`"
        } else if NO_ROOM.contains(&self.err_code) {
            "; `KeptStream::bytes_max` says how much is reserved, and the server's `max_file_store` and `max_memory_store` how much there is"
        } else {
            ""
        };
        format!("JetStream says: {} ({}){hint}", self.description, self.err_code)
    }
}

/// The answer to a request for a message.
#[derive(Deserialize)]
struct Got {
    message: Raw,
}

/// A message as JetStream writes it.
#[derive(Deserialize)]
struct Raw {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
    time: String,
}

impl Raw {
    fn read(self) -> Option<Message> {
        let Self { subject, seq, hdrs, data, time } = self;
        let head = String::from_utf8(STANDARD.decode(hdrs).ok()?).ok()?;
        let payload = STANDARD.decode(data).ok()?.into();
        Some(Message { subject, sequence: seq, ms: milliseconds(&time)?, head, payload })
    }
}

/// The epochs of topics that are not used yet: the newest, and those before it with their sequences.
#[derive(Debug, PartialEq, Eq)]
struct Epochs {
    newest: u64,
    earlier: Vec<(u64, u64)>,
}

impl Epochs {
    fn after(known: Option<Self>, sequence: u64, newest: u64) -> Self {
        let earlier = known.map_or_else(Vec::new, |known| {
            let mut earlier = vec![(known.newest, sequence)];
            earlier.extend(known.earlier.into_iter().take(EPOCHS_MAX - 1));
            earlier
        });
        Self { newest, earlier }
    }

    fn write(&self) -> Bytes {
        let earlier: Vec<_> =
            self.earlier.iter().map(|(epoch, sequence)| format!("{epoch:x}:{sequence:x}")).collect();
        format!("{:x};{}", self.newest, earlier.join(",")).into()
    }

    fn read(message: &Message) -> Option<Self> {
        let hexadecimal = |word: &str| u64::from_str_radix(word, 16).ok();
        let (newest, earlier) = std::str::from_utf8(&message.payload).ok()?.split_once(';')?;
        let earlier = earlier.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
            let (epoch, sequence) = pair.split_once(':')?;
            Some((hexadecimal(epoch)?, hexadecimal(sequence)?))
        });
        Some(Self { newest: hexadecimal(newest)?, earlier: earlier.collect::<Option<_>>()? })
    }
}

/// The fields of a message's head, by its id: that of its connection, and its own.
fn fields((connection, id): (u64, u64), behind: Behind, field: Option<String>) -> Vec<String> {
    let behind = match behind {
        Behind::Last(sequence) => format!("Nats-Expected-Last-Subject-Sequence: {sequence}"),
        Behind::Put => format!("Nats-Expected-Last-Msg-Id: {connection:x}:{:x}", id.wrapping_sub(1)),
        Behind::Stream(sequence) => format!("Nats-Expected-Last-Sequence: {sequence}"),
    };
    let own = format!("Nats-Msg-Id: {connection:x}:{id:x}");
    [own, behind].into_iter().chain(field).collect()
}

/// By this machine's clock. It is compared with the server's only for how old something is.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn away(why: impl Into<String>) -> StoreError {
    StoreError::Away(why.into().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_read_as_they_were_written_and_bounded() {
        let mut known = None;
        for number in 1..=12_u64 {
            let epochs = Epochs::after(known, number - 1, number << 40);
            let message = Message {
                subject: String::new(),
                sequence: number,
                ms: 0,
                head: String::new(),
                payload: epochs.write(),
            };
            assert_eq!(Epochs::read(&message).as_ref(), Some(&epochs));
            known = Some(epochs);
        }
        let known = known.unwrap();
        assert_eq!((known.earlier.len(), known.earlier[0]), (EPOCHS_MAX, (11 << 40, 11)));
        let odd = |payload: &'static str| Message {
            subject: String::new(),
            sequence: 1,
            ms: 0,
            head: String::new(),
            payload: Bytes::from_static(payload.as_bytes()),
        };
        for payload in ["", "x;", "1", "1;2", "1;2:x"] {
            assert_eq!(Epochs::read(&odd(payload)), None, "{payload}");
        }
    }
}
