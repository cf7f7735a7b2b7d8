//! Additions of the program to presences: names, pictures, whatever a key stands for.

use std::{collections::HashMap, pin::Pin, sync::Arc, time::Duration};

use lapwing_presence::Entry;
use lapwing_transports::quoted::Quoted;
use moka::sync::Cache;
use serde_json::{Map, Value};

use crate::{
    occasionally::{Occasionally, occasionally},
    topic::Topic,
};

/// Fetches what is to be added to each of many keys of a topic.
pub(crate) type Fetch = Arc<
    dyn Fn(Topic, Vec<String>) -> Pin<Box<dyn Future<Output = HashMap<String, Map<String, Value>>> + Send>>
        + Send
        + Sync,
>;

/// How long a fetch may take before presences go out without what it would have added.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Keys whose additions are remembered at most.
const CACHED_MAX: u64 = 100_000;

/// The program's callback, and what it said lately.
///
/// It is never called on the engine's thread: a list waits for it where it was asked for, a diff in a task of its own.
#[derive(Clone)]
pub(crate) struct Fetcher {
    fetch: Fetch,
    /// By topic and key: the additions as JSON members, ready to be put in, each followed by nothing.
    cache: Cache<(Topic, String), Arc<str>>,
    /// Of the log lines about fetches that took too long.
    late: Arc<Occasionally>,
}

/// Additions by key.
pub(crate) type Extras = HashMap<String, Arc<str>>;

impl Fetcher {
    /// Remembers what was fetched for so long.
    pub(crate) fn new(fetch: Fetch, time_to_live: Duration) -> Self {
        let cache = Cache::builder().max_capacity(CACHED_MAX).time_to_live(time_to_live).build();
        Self { fetch, cache, late: Arc::default() }
    }

    /// The additions of all keys among the entries, with one call for those that are not remembered.
    pub(crate) async fn extras(&self, topic: &Topic, entries: impl Iterator<Item = &Entry>) -> Extras {
        let mut extras = Extras::new();
        let mut missing: Vec<String> = Vec::new();
        for entry in entries {
            if extras.contains_key(entry.key()) || missing.last().is_some_and(|key| key == entry.key()) {
                continue;
            }
            match self.cache.get(&(topic.clone(), entry.key().to_owned())) {
                Some(members) => drop(extras.insert(entry.key().to_owned(), members)),
                None => missing.push(entry.key().to_owned()),
            }
        }
        missing.sort();
        missing.dedup();
        if missing.is_empty() {
            return extras;
        }
        let Ok(mut fetched) =
            tokio::time::timeout(TIMEOUT, (self.fetch)(topic.clone(), missing.clone())).await
        else {
            let (topic, keys) = (Quoted::new(topic), missing.len());
            occasionally!(
                self.late,
                warn,
                %topic,
                keys,
                "presences go out without what was to be fetched: it took too long"
            );
            return extras;
        };
        for key in missing {
            let members = members(fetched.remove(&key).unwrap_or_default());
            self.cache.insert((topic.clone(), key.clone()), members.clone());
            extras.insert(key, members);
        }
        extras
    }
}

/// An object's members without its braces. `metas` is the library's own.
fn members(mut object: Map<String, Value>) -> Arc<str> {
    object.remove("metas");
    let json = Value::Object(object).to_string();
    json[1..json.len() - 1].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_put_in_as_they_are_but_for_metas() {
        let object = serde_json::json!({"name": "Ada", "metas": [1], "n": 2});
        let Value::Object(object) = object else { unreachable!() };
        assert_eq!(&*members(object), r#""n":2,"name":"Ada""#);
        assert_eq!(&*members(Map::new()), "");
    }
}
