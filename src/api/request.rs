//! What is asked: read in full and judged before anything is done.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::answer::{Code, Refused};
use crate::{
    protocol::{Payload, RawJson, event},
    topics::{broadcast::Broadcast, history::Read, position::Position},
};

/// Bytes of a topic, an event, an id or a reason, as nodes of a cluster take them.
const TEXT_BYTES_MAX: usize = 1_024;

/// Messages of a history, if nothing is said of it.
const HISTORY_LIMIT: usize = 100;

/// An operation that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Publish,
    Batch,
    Disconnect,
    Kick,
    Presence,
    Count,
    History,
    Stats,
    Document,
}

impl Operation {
    pub(crate) const ALL: [Self; 9] = [
        Self::Publish,
        Self::Batch,
        Self::Disconnect,
        Self::Kick,
        Self::Presence,
        Self::Count,
        Self::History,
        Self::Stats,
        Self::Document,
    ];

    /// The last segment of its path.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Batch => "batch",
            Self::Disconnect => "disconnect",
            Self::Kick => "kick",
            Self::Presence => "presence",
            Self::Count => "count",
            Self::History => "history",
            Self::Stats => "stats",
            Self::Document => "openapi.json",
        }
    }

    /// Whether it comes by POST, with a body; the others by GET, with a query.
    pub(crate) fn is_post(self) -> bool {
        matches!(self, Self::Publish | Self::Batch | Self::Disconnect | Self::Kick)
    }

    pub(crate) fn find(path: &str) -> Option<Self> {
        let segment = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        Self::ALL.into_iter().find(|operation| operation.path() == segment)
    }
}

/// What a POST asks for.
#[derive(Debug)]
pub(crate) enum Post {
    Publish(Broadcast),
    Batch(Vec<Broadcast>),
    Disconnect { id: String, reason: String, for_good: bool },
    Kick { topic: String, id: String, reason: String },
}

/// What a GET asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Get {
    Presence { topic: String },
    Count { topic: String },
    History { topic: String, read: Read, limit: usize },
    Stats,
    Document,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publish {
    topic: String,
    event: String,
    #[serde(default = "RawJson::empty_object")]
    payload: RawJson,
    #[serde(default)]
    unrecorded: bool,
    #[serde(default)]
    latest: Option<String>,
    #[serde(default)]
    volatile: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    messages: Vec<Object<Publish>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Disconnect {
    id: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    for_good: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kick {
    topic: String,
    id: String,
    #[serde(default)]
    reason: String,
}

impl Post {
    /// Reads the body of an operation.
    pub(crate) fn read(operation: Operation, body: &[u8], batch_max: usize) -> Result<Self, Refused> {
        match operation {
            Operation::Publish => Ok(Self::Publish(parse::<Publish>(body)?.into_broadcast()?)),
            Operation::Batch => {
                let Batch { messages } = parse(body)?;
                match messages.len() {
                    0 => return Err(Refused::field("messages", "is empty")),
                    count if count > batch_max => {
                        let problem = format!("has {count} messages, and there may be {batch_max}");
                        return Err(Refused::field("messages", problem));
                    }
                    _ => {}
                }
                let numbered = messages.into_iter().enumerate();
                let read = numbered.map(|(index, Object(message))| {
                    message.into_broadcast().map_err(|refused| refused.within(&format!("messages[{index}]")))
                });
                Ok(Self::Batch(read.collect::<Result<_, _>>()?))
            }
            Operation::Disconnect => {
                let Disconnect { id, reason, for_good } = parse(body)?;
                check("id", &id)?;
                check_length("reason", &reason)?;
                Ok(Self::Disconnect { id, reason, for_good })
            }
            Operation::Kick => {
                let Kick { topic, id, reason } = parse(body)?;
                check("topic", &topic)?;
                check("id", &id)?;
                check_length("reason", &reason)?;
                Ok(Self::Kick { topic, id, reason })
            }
            _ => Err(Refused::new(Code::NotFound, "there is no such operation")),
        }
    }

    /// How many messages are published.
    pub(crate) fn messages(&self) -> usize {
        match self {
            Self::Batch(messages) => messages.len(),
            _ => 1,
        }
    }
}

impl Publish {
    fn into_broadcast(self) -> Result<Broadcast, Refused> {
        let Self { topic, event, payload, unrecorded, latest, volatile } = self;
        check("topic", &topic)?;
        check("event", &event)?;
        if event::is_reserved(&event) || event::is_of_presence(&event) {
            return Err(Refused::field("event", "is a name of the protocol's own"));
        }
        if !payload.is_object() {
            return Err(Refused::field("payload", "is not a JSON object"));
        }
        let mut broadcast = Broadcast::new(topic, event, Payload::Json(payload));
        if unrecorded {
            broadcast = broadcast.unrecorded();
        }
        match latest {
            Some(_) if volatile => Err(Refused::field("volatile", "does not go with `latest`")),
            Some(key) => {
                check("latest", &key)?;
                Ok(broadcast.latest(key))
            }
            None if volatile => Ok(broadcast.volatile()),
            None => Ok(broadcast),
        }
    }
}

impl Get {
    /// Reads the query of an operation.
    pub(crate) fn read(operation: Operation, query: &str, history_max: usize) -> Result<Self, Refused> {
        let mut parameters = Parameters::of(query)?;
        let get = match operation {
            Operation::Presence => Self::Presence { topic: parameters.topic()? },
            Operation::Count => Self::Count { topic: parameters.topic()? },
            Operation::History => {
                let topic = parameters.topic()?;
                let position = |field: &str, text: &str| {
                    text.parse::<Position>().map_err(|error| Refused::field(field, error))
                };
                let read = match (parameters.take("after"), parameters.take("before")) {
                    (Some(_), Some(_)) => return Err(Refused::field("before", "does not go with `after`")),
                    (Some(after), None) => Read::After(position("after", &after)?),
                    (None, Some(before)) => Read::Before(position("before", &before)?),
                    (None, None) => Read::Last,
                };
                let limit = match parameters.take("limit") {
                    None => HISTORY_LIMIT.min(history_max),
                    Some(limit) => match limit.parse() {
                        Ok(limit @ 1..) if limit <= history_max => limit,
                        _ => {
                            let problem = format!("is no number from 1 to {history_max}");
                            return Err(Refused::field("limit", problem));
                        }
                    },
                };
                Self::History { topic, read, limit }
            }
            Operation::Stats => Self::Stats,
            Operation::Document => Self::Document,
            _ => return Err(Refused::new(Code::NotFound, "there is no such operation")),
        };
        parameters.finish()?;
        Ok(get)
    }
}

/// The parameters of a query, each there once.
struct Parameters<'q>(Vec<(Cow<'q, str>, Cow<'q, str>)>);

impl<'q> Parameters<'q> {
    fn of(query: &'q str) -> Result<Self, Refused> {
        let mut parameters: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name).filter(|name| name.len() <= TEXT_BYTES_MAX);
            let name =
                name.ok_or_else(|| Refused::new(Code::Invalid, "the query is not percent-encoded UTF-8"))?;
            let value =
                decoded(value).ok_or_else(|| Refused::field(name.clone(), "is not percent-encoded UTF-8"))?;
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(Refused::field(name, "is there twice"));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(index).1.into_owned())
    }

    fn topic(&mut self) -> Result<String, Refused> {
        let topic = self.take("topic").ok_or_else(|| Refused::field("topic", "is missing"))?;
        check("topic", &topic)?;
        Ok(topic)
    }

    fn finish(self) -> Result<(), Refused> {
        match self.0.into_iter().next() {
            Some((name, _)) => Err(Refused::field(name, "is no parameter of this operation")),
            None => Ok(()),
        }
    }
}

/// Percent-decodes a part of a query.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                (high * 16 + low) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn check(field: &str, text: &str) -> Result<(), Refused> {
    if text.is_empty() { Err(Refused::field(field, "is empty")) } else { check_length(field, text) }
}

fn check_length(field: &str, text: &str) -> Result<(), Refused> {
    match text.len() {
        0..=TEXT_BYTES_MAX => Ok(()),
        bytes => Err(Refused::field(field, format!("has {bytes} bytes, and there may be {TEXT_BYTES_MAX}"))),
    }
}

/// A JSON object, and no list of values in some order, which serde takes for a struct as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

/// Reads JSON; says which field does not fit.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let Object(read) = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let field = Some(path).filter(|path| !matches!(&**path, "." | "?") && path.len() <= TEXT_BYTES_MAX);
        // What a field is called may be long.
        let message: String = error.inner().to_string().chars().take(200).collect();
        let field = match (missing(&message), field) {
            (Some(name), Some(part)) => Some(format!("{part}.{name}")),
            (Some(name), None) => Some(name.to_owned()),
            (None, field) => field,
        };
        Refused { field, ..Refused::new(Code::Invalid, message) }
    })?;
    deserializer.end().map_err(|error| Refused::new(Code::Invalid, error))?;
    Ok(read)
}

/// The member that is missing, which serde says in words alone: the path of such an error is that of the object.
fn missing(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split('`').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(operation: Operation, body: &str) -> (Option<String>, String) {
        let refused = Post::read(operation, body.as_bytes(), 2).unwrap_err();
        assert_eq!(refused.code, Code::Invalid);
        (refused.field, refused.message)
    }

    #[test]
    fn what_is_wrong_with_a_body_is_said_with_the_field() {
        let long = "x".repeat(1_025);
        for (operation, body, field, message) in [
            (Operation::Publish, "", None, "EOF while parsing"),
            (Operation::Publish, "[]", None, "invalid type: sequence, expected a JSON object"),
            (Operation::Publish, r#"["t","e",{},false]"#, None, "invalid type: sequence"),
            (Operation::Publish, "null", None, "invalid type: null, expected a JSON object"),
            (Operation::Batch, r#"{"messages":[["t","e"]]}"#, Some("messages[0]"), "invalid type: sequence"),
            (Operation::Publish, r#"{"topic":"t","event":"e"} x"#, None, "trailing characters"),
            (Operation::Publish, r#"{"event":"e"}"#, Some("topic"), "missing field `topic`"),
            (Operation::Publish, r#"{"topic":7,"event":"e"}"#, Some("topic"), "invalid type: integer"),
            (Operation::Publish, r#"{"topic":"","event":"e"}"#, Some("topic"), "is empty"),
            (
                Operation::Publish,
                r#"{"topic":"t","event":"phx_join"}"#,
                Some("event"),
                "is a name of the protocol",
            ),
            (Operation::Publish, r#"{"topic":"t","event":"presence_diff"}"#, Some("event"), "is a name"),
            (
                Operation::Publish,
                r#"{"topic":"t","event":"e","payload":[1]}"#,
                Some("payload"),
                "is not a JSON object",
            ),
            (Operation::Publish, r#"{"topic":"t","event":"e","extra":1}"#, Some("extra"), "unknown field"),
            (
                Operation::Publish,
                r#"{"topic":"t","event":"e","unrecorded":1}"#,
                Some("unrecorded"),
                "invalid type",
            ),
            (Operation::Batch, r#"{"messages":[]}"#, Some("messages"), "is empty"),
            (
                Operation::Batch,
                r#"{"messages":[{"topic":"t","event":"e"},{"topic":"t"}]}"#,
                Some("messages[1].event"),
                "missing field `event`",
            ),
            (
                Operation::Batch,
                r#"{"messages":[{"topic":"t","event":"e"},{"topic":"t","event":""}]}"#,
                Some("messages[1].event"),
                "is empty",
            ),
            (Operation::Disconnect, r#"{"id":""}"#, Some("id"), "is empty"),
            (Operation::Disconnect, r#"{"id":"a","for_good":"yes"}"#, Some("for_good"), "invalid type"),
            (Operation::Kick, r#"{"topic":"t","id":""}"#, Some("id"), "is empty"),
        ] {
            let (at, said) = refused(operation, body);
            assert_eq!(at.as_deref(), field, "{body}: {said}");
            assert!(said.starts_with(message), "{body}: {said}");
        }
        for (operation, body, field) in [
            (Operation::Publish, format!(r#"{{"topic":"{long}","event":"e"}}"#), "topic"),
            (Operation::Disconnect, format!(r#"{{"id":"a","reason":"{long}"}}"#), "reason"),
            (Operation::Kick, format!(r#"{{"topic":"t","id":"a","reason":"{long}"}}"#), "reason"),
        ] {
            let (at, said) = refused(operation, &body);
            assert_eq!((at.as_deref(), &*said), (Some(field), "has 1025 bytes, and there may be 1024"));
        }
        let (at, said) = refused(
            Operation::Publish,
            &format!(r#"{{"topic":"t","event":"e","{}":1}}"#, "x".repeat(1_000_000)),
        );
        assert!(at.is_none() && said.len() <= 200, "{said}");
    }

    #[test]
    fn a_batch_has_no_more_than_it_may() {
        let three = r#"{"topic":"t","event":"e"},"#.repeat(3);
        let (at, _) =
            refused(Operation::Batch, &format!(r#"{{"messages":[{}]}}"#, three.trim_end_matches(',')));
        assert_eq!(at.as_deref(), Some("messages"));
    }

    #[test]
    fn what_is_wrong_with_a_query_is_said_with_the_field() {
        for (operation, query, field) in [
            (Operation::Presence, "", Some("topic")),
            (Operation::Presence, "topic=", Some("topic")),
            (Operation::Presence, "topic=%zz", Some("topic")),
            (Operation::Presence, "topic=%ff", Some("topic")),
            (Operation::Presence, "topic=a&topic=b", Some("topic")),
            (Operation::Presence, "topic=a&limit=1", Some("limit")),
            (Operation::Presence, "%ff=a", None),
            (Operation::History, "topic=a&limit=0", Some("limit")),
            (Operation::History, "topic=a&limit=11", Some("limit")),
            (Operation::History, "topic=a&limit=-1", Some("limit")),
            (Operation::History, "topic=a&after=x", Some("after")),
            (Operation::History, "topic=a&after=a:1&before=a:2", Some("before")),
            (Operation::Stats, "topic=a", Some("topic")),
        ] {
            let refused = Get::read(operation, query, 10).unwrap_err();
            assert_eq!((refused.code, refused.field.as_deref()), (Code::Invalid, field), "{query}");
        }
    }

    #[test]
    fn what_is_right_is_read() {
        let Post::Publish(broadcast) =
            Post::read(Operation::Publish, br#"{"topic":"t","event":"e","payload":{"n": 1.10}}"#, 1).unwrap()
        else {
            panic!("it is a publication")
        };
        assert_eq!((&*broadcast.topic, &*broadcast.event), ("t", "e"));
        assert_eq!(broadcast.payload.as_json().unwrap().as_str(), r#"{"n": 1.10}"#, "passed on as it is");
        assert!(broadcast.is_recorded());
        let history = Get::read(Operation::History, "topic=a%3A+b&limit=7&after=k3:5", 10).unwrap();
        let after = Read::After("k3:5".parse().unwrap());
        assert_eq!(history, Get::History { topic: "a: b".into(), read: after, limit: 7 });
        let last = Get::History { topic: "a".into(), read: Read::Last, limit: 10 };
        assert_eq!(Get::read(Operation::History, "topic=a", 10).unwrap(), last);
    }
}
