//! The stream that keeps topics: what it is made with, and what one that is there has to be.

use std::time::Duration;

use lapwing_cluster_driver::store::{Bounds, remembered_for};
use serde::{Deserialize, Serialize};

use crate::subjects::Subjects;

/// The stream of JetStream in which a NATS keeps topics. One that is there already is taken as it is: these say how it is made.
///
/// ```
/// use lapwing_nats::KeptStream;
///
/// let stream = KeptStream::new().replicas(3).bytes_max(256 * 1024 * 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct KeptStream {
    storage: Storage,
    replicas: u8,
    bytes_max: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Storage {
    File,
    Memory,
}

impl Default for KeptStream {
    fn default() -> Self {
        Self::new()
    }
}

impl KeptStream {
    /// In files of one server, a gigabyte at most.
    pub fn new() -> Self {
        Self { storage: Storage::File, replicas: 1, bytes_max: 1 << 30 }
    }

    /// In memory: everything is forgotten when the server restarts, and clients that come back are told `epoch`.
    pub fn in_memory(mut self) -> Self {
        self.storage = Storage::Memory;
        self
    }

    /// On so many servers of a cluster: 1, 3 or 5. Default 1. With more than one, nodes append one after the other, whatever the topics. While fewer
    /// servers are there the stream cannot be made, and the engine is away. One that is there and is changed is noticed with the next connection.
    pub fn replicas(mut self, replicas: u8) -> Self {
        self.replicas = replicas;
        self
    }

    /// Bytes of it, for all topics together. At the bound the oldest entries of any topic go, and who missed them is told `trimmed`. Default 1 GiB. JetStream
    /// reserves them; a server that has less refuses to make the stream.
    pub fn bytes_max(mut self, bytes: u64) -> Self {
        self.bytes_max = bytes;
        self
    }
}

/// How much of each topic a stream keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    entries: i64,
    age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 1, age: remembered_for(Duration::ZERO) }
    }
}

impl Limits {
    /// What the bounds of one topic need: its last entry is kept for as long as is remembered where it stands.
    pub(crate) fn of(bounds: &Bounds) -> Self {
        Self { entries: i64::try_from(bounds.entries).unwrap_or(i64::MAX), age: remembered_for(bounds.age) }
    }

    pub(crate) fn max(self, other: Self) -> Self {
        Self { entries: self.entries.max(other.entries), age: self.age.max(other.age) }
    }

    /// For how long anything is kept at least.
    pub(crate) fn age(self) -> Duration {
        self.age
    }
}

/// A stream's configuration, as JetStream has it. What is not named here is handed back as it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Config {
    name: String,
    subjects: Vec<String>,
    retention: String,
    discard: String,
    max_age: i64,
    #[serde(default = "unlimited")]
    max_msgs_per_subject: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    republish: Option<Republish>,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

fn unlimited() -> i64 {
    -1
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Republish {
    src: String,
    dest: String,
}

impl Config {
    pub(crate) fn new(subjects: &Subjects, stream: &KeptStream, limits: Limits) -> Self {
        let (src, dest) = subjects.published();
        let KeptStream { storage, replicas, bytes_max } = stream;
        let rest = serde_json::json!({
            "storage": storage,
            "num_replicas": replicas,
            "max_bytes": i64::try_from(*bytes_max).unwrap_or(i64::MAX),
            "max_msgs": -1,
            "max_msg_size": -1,
            "max_consumers": -1,
            // Ids of messages say what stands directly behind what; none is given twice.
            "duplicate_window": 1_000_000_000,
        });
        Self {
            name: subjects.stream().to_owned(),
            subjects: vec![subjects.taken()],
            retention: "limits".to_owned(),
            discard: "old".to_owned(),
            max_age: ns(limits.age),
            max_msgs_per_subject: limits.entries,
            republish: Some(Republish { src, dest }),
            rest: rest.as_object().cloned().unwrap_or_default(),
        }
    }

    /// Why a stream that is there cannot keep topics, if so.
    pub(crate) fn problem(&self, subjects: &Subjects) -> Option<&'static str> {
        let (src, dest) = subjects.published();
        if self.subjects != [subjects.taken()] {
            Some("it takes other subjects")
        } else if self.republish != Some(Republish { src, dest }) {
            Some("it does not publish what it keeps, or elsewhere")
        } else if self.retention != "limits" || self.discard != "old" {
            Some("its oldest messages are not those that go")
        } else {
            None
        }
    }

    /// Whether several servers have it.
    pub(crate) fn is_replicated(&self) -> bool {
        self.rest.get("num_replicas").and_then(serde_json::Value::as_u64).is_some_and(|replicas| replicas > 1)
    }

    /// The same that keeps as much as is needed; none if it does. What others need is not lowered.
    pub(crate) fn raised(&self, needed: Limits) -> Option<Self> {
        let is_enough = |has: i64, needed: i64| has <= 0 || has >= needed;
        let age = ns(needed.age);
        if is_enough(self.max_age, age) && is_enough(self.max_msgs_per_subject, needed.entries) {
            return None;
        }
        let raised = |has: i64, needed: i64| if is_enough(has, needed) { has } else { needed };
        Some(Self {
            max_age: raised(self.max_age, age),
            max_msgs_per_subject: raised(self.max_msgs_per_subject, needed.entries),
            ..self.clone()
        })
    }
}

/// Nanoseconds, as JetStream counts time.
fn ns(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use lapwing_cluster::{Names, Spread};

    use super::*;

    fn subjects() -> Subjects {
        Subjects::new(Names::new("chat", '.', Spread::default()).unwrap())
    }

    fn limits(entries: usize, secs: u64) -> Limits {
        Limits::of(&Bounds { entries, bytes: 0, age: Duration::from_secs(secs) })
    }

    #[test]
    fn limits_are_raised_and_never_lowered_and_what_is_not_known_stays() {
        let made = Config::new(&subjects(), &KeptStream::new().in_memory(), limits(100, 300));
        assert_eq!(made.rest["storage"], "memory");
        let mut json = serde_json::to_value(&made).unwrap();
        json["placement"] = "there".into();
        let there: Config = serde_json::from_value(json).unwrap();
        assert_eq!(there.problem(&subjects()), None);
        assert_eq!(there.raised(limits(100, 300)), None);
        assert_eq!(there.raised(limits(1, 43_200)), None, "a day is enough for half of one");
        let raised = there.raised(limits(7, 43_201)).unwrap();
        assert_eq!((raised.max_msgs_per_subject, raised.max_age), (100, 86_402_000_000_000));
        assert_eq!(raised.raised(limits(200, 1)).unwrap().max_msgs_per_subject, 200);
        assert_eq!(raised.rest["placement"], "there");
        let endless = Config { max_age: 0, max_msgs_per_subject: -1, ..made };
        assert_eq!(endless.raised(limits(usize::MAX, u64::MAX)), None);
    }

    #[test]
    fn a_stream_is_made_as_it_is_asked_for() {
        let made = |stream: &KeptStream| Config::new(&subjects(), stream, limits(100, 300));
        let json = |stream: &KeptStream| serde_json::to_value(made(stream)).unwrap();
        let (one, three) = (KeptStream::new(), KeptStream::new().replicas(3).bytes_max(7));
        assert_eq!((&json(&one)["num_replicas"], &json(&three)["num_replicas"]), (&1.into(), &3.into()));
        assert_eq!((&json(&one)["max_bytes"], &json(&three)["max_bytes"]), (&(1 << 30).into(), &7.into()));
        assert!(!made(&one).is_replicated() && made(&three).is_replicated());
        let name = &json(&one)["name"];
        assert_eq!(
            (name, &json(&one)["subjects"]),
            (&"lw_chat_kept".into(), &serde_json::json!(["lw.chat.k.>"]))
        );
    }

    #[test]
    fn a_stream_without_a_limit_keeps_as_many_as_are_needed_and_stays_without() {
        let mut json =
            serde_json::to_value(Config::new(&subjects(), &KeptStream::new(), limits(1, 1))).unwrap();
        json.as_object_mut().unwrap().remove("max_msgs_per_subject");
        let there: Config = serde_json::from_value(json).unwrap();
        assert_eq!(there.raised(limits(1_000_000, 1)), None);
        assert_eq!(there.raised(limits(1, 100_000)).unwrap().max_msgs_per_subject, -1);
    }

    #[test]
    fn what_several_topics_need_is_the_most_of_each() {
        let both = limits(100, 300).max(limits(7, 100_000));
        assert_eq!(both, limits(100, 100_000));
        assert_eq!(both.age(), remembered_for(Duration::from_secs(100_000)));
        assert_eq!(Limits::default().max(limits(1, 1)), limits(1, 1));
    }

    #[test]
    fn a_stream_of_another_kind_is_not_taken() {
        let made = Config::new(&subjects(), &KeptStream::new(), Limits::default());
        for other in [
            Config { subjects: vec!["lw.>".to_owned()], ..made.clone() },
            Config { republish: None, ..made.clone() },
            Config { discard: "new".to_owned(), ..made.clone() },
            Config { retention: "interest".to_owned(), ..made },
        ] {
            let problem = other.problem(&subjects()).unwrap_or_default();
            assert!(problem.starts_with("it"), "{other:?}");
        }
    }
}
