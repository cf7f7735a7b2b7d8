//! Sessions and topics, as lists and one by one.

use std::{cmp::Ordering, collections::HashMap, sync::Arc};

use lapwing::{
    Happening, JournalEntry, Lapwing, PathFailure, Read, SessionInfo, TopicInfo,
    transports::{close::CloseReason, connect::Transport},
};
use serde::{Serialize, de::IgnoredAny};
use serde_json::{Map, Value, json};

use crate::inspector::{
    pages::{self, ROWS},
    samples::millis,
    shown::Shown,
};

/// Topics of a session, and members, presences and messages of a topic, that are shown.
const SHOWN_MAX: usize = 100;
/// More presences than these are only counted: the list of them would be large.
const PRESENCES_MAX: usize = 1_000;

/// What is asked of a list.
#[derive(Debug)]
pub(crate) struct Asked {
    search: String,
    sort: String,
    is_ascending: bool,
    page: usize,
}

impl Asked {
    pub(crate) fn of(params: &Map<String, Value>) -> Self {
        let text = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            search: text("search").to_lowercase(),
            sort: text("sort"),
            is_ascending: text("order") == "ascending",
            page: text("page").parse().unwrap_or(0),
        }
    }

    /// A key by which what comes first is largest.
    fn directed(&self, key: u64) -> u64 {
        if self.is_ascending { u64::MAX - key } else { key }
    }

    fn finds(&self, text: &str) -> bool {
        // The beginning of a name of megabytes says enough.
        let end = text.floor_char_boundary(1_024);
        text[..end].to_lowercase().contains(&self.search)
    }
}

/// A row of a list, in the order of its number.
struct Row<T> {
    number: u64,
    of: T,
}

impl<T> PartialEq for Row<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<T> Eq for Row<T> {}

impl<T> PartialOrd for Row<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Row<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number.cmp(&other.number)
    }
}

fn listed<T: Serialize>(rows: Vec<T>, total: usize) -> Value {
    json!({"rows": rows, "total": total, "perPage": ROWS, "pagesMax": pages::PAGE_MAX + 1})
}

/// A page of the sessions.
pub(crate) fn sessions(lapwing: &Lapwing, asked: &Asked) -> Value {
    let is_asked_for = |session: &SessionInfo| {
        asked.search.is_empty()
            || session.socket_id.as_deref().is_some_and(|id| asked.finds(id))
            || asked.finds(&session.mount)
            || is_carried_so(session, &asked.search)
            || session.transport_id.0.to_string() == asked.search
            || session.topics.iter().any(|topic| asked.finds(topic.as_str()))
    };
    let rows = lapwing.sessions().filter(is_asked_for);
    let rows = rows.map(|session| Row { number: session.transport_id.0, of: session });
    let key = |row: &Row<SessionInfo>| {
        let session = &row.of;
        asked.directed(match &*asked.sort {
            "waiting" => session.waiting.bytes as u64,
            "unacknowledged" => session.unacknowledged.bytes as u64,
            "topics" => session.topics.len() as u64,
            _ => session.transport_id.0,
        })
    };
    let (rows, total) = pages::page(rows, asked.page, key);
    listed(rows.iter().map(|row| session_row(&row.of, 3)).collect(), total)
}

/// Whether a word, in which a program or the page says it, is what carries a session.
fn is_carried_so(session: &SessionInfo, word: &str) -> bool {
    match word {
        "away" => !session.is_attached,
        "long-poll" => session.transport == Transport::Longpoll,
        "event stream" | "an event stream" => session.transport == Transport::Sse,
        name => session.transport.name() == name,
    }
}

fn session_row(session: &SessionInfo, topics_max: usize) -> Value {
    let topics: Vec<_> =
        session.topics.iter().take(topics_max).map(|topic| Shown::of(topic.as_str())).collect();
    let path = session.path.as_ref().map(|path| {
        let failure = |failure: &PathFailure| {
            let ms = failure.after.map(|after| after.as_millis() as u64);
            json!({"transport": failure.transport.name(), "how": failure.how, "ms": ms})
        };
        json!({
            "roundTripMs": path.round_trip.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            "failures": path.failures.iter().map(failure).collect::<Vec<_>>(),
        })
    });
    json!({
        "id": session.transport_id.0.to_string(),
        "ageMs": u64::try_from(session.age.as_millis()).unwrap_or(u64::MAX),
        "path": path,
        "mount": Shown::of(&session.mount),
        "user": session.socket_id.as_deref().map(Shown::of),
        "transport": session.transport.name(),
        "isAttached": session.is_attached,
        "carriedBy": session.carried_by.as_deref().map(Shown::of),
        "isResumable": session.is_resumable,
        "topics": topics,
        "topicCount": session.topics.len(),
        "waiting": {
            "frames": session.waiting.frames,
            "bytes": session.waiting.bytes,
            "ms": u64::try_from(session.waiting.age.as_millis()).unwrap_or(u64::MAX),
        },
        "unacknowledged": {"frames": session.unacknowledged.frames, "bytes": session.unacknowledged.bytes},
    })
}

/// One session, and what the journal has of it. `None` if neither has heard of it.
pub(crate) fn session(lapwing: &Lapwing, id: u64) -> Option<Value> {
    let entries = lapwing.journal(0);
    let own: Vec<_> = entries.iter().filter(|entry| entry.transport_id.0 == id).collect();
    let live = lapwing.sessions().find(|session| session.transport_id.0 == id);
    if live.is_none() && own.is_empty() {
        return None;
    }
    let user = match (&live, own.last()) {
        (Some(live), _) => live.socket_id.as_deref(),
        (None, last) => last.and_then(|entry| entry.socket_id.as_deref()),
    };
    let user = user.map(Shown::of);
    let newest = own.len().saturating_sub(SHOWN_MAX);
    let entries: Vec<_> = own[newest..].iter().map(|entry| entry_row(entry)).collect();
    Some(
        json!({"session": live.as_ref().map(|live| session_row(live, SHOWN_MAX)), "user": user, "entries": entries, "left": newest}),
    )
}

/// An entry of the journal.
pub(crate) fn entry_row(entry: &JournalEntry) -> Value {
    let mut row = json!({"at": millis(entry.at), "number": entry.number});
    let mut set = |name: &str, value: &str| row[name] = value.into();
    match &entry.what {
        Happening::Opened { transport } => {
            set("what", "opened");
            set("transport", transport.name());
        }
        Happening::Carried { transport } => {
            set("what", "carried");
            set("transport", transport.name());
        }
        Happening::Away => set("what", "away"),
        Happening::Back => set("what", "back"),
        Happening::Joined { topic } => {
            set("what", "joined");
            set("topic", topic);
        }
        Happening::Refused { topic } => {
            set("what", "refused");
            set("topic", topic);
        }
        Happening::Left { topic, reason } => {
            set("what", "left");
            set("topic", topic);
            set("reason", reason);
        }
        Happening::Closed { reason } => {
            set("what", "closed");
            set("reason", reason.word());
        }
        _ => set("what", "something else"),
    }
    row
}

/// How often sessions ended for which reason, as far as the journal goes back.
pub(crate) fn ends(entries: &[Arc<JournalEntry>]) -> HashMap<&'static str, u64> {
    let mut ends = HashMap::new();
    for entry in entries {
        if let Happening::Closed { reason } = entry.what {
            *ends.entry(CloseReason::word(reason)).or_default() += 1;
        }
    }
    ends
}

/// A page of the topics.
pub(crate) fn topics(lapwing: &Lapwing, asked: &Asked) -> Value {
    let rows = lapwing.topics().filter(|info| asked.search.is_empty() || asked.finds(info.topic.as_str()));
    // Numbered as they come: their order is that of the tables.
    let rows = rows.zip(0..).map(|(info, number)| Row { number, of: info });
    let key = |row: &Row<TopicInfo>| match &*asked.sort {
        "name" => asked.directed(u64::MAX - prefix(row.of.topic.as_str())),
        _ => asked.directed(row.of.subscribers as u64),
    };
    let (rows, total) = pages::page(rows, asked.page, key);
    let row =
        |info: &TopicInfo| json!({"topic": Shown::of(info.topic.as_str()), "subscribers": info.subscribers});
    listed(rows.iter().map(|Row { of, .. }| row(of)).collect(), total)
}

/// The beginning of a name as a number of the same order.
fn prefix(name: &str) -> u64 {
    let mut first = [0; 8];
    for (place, byte) in first.iter_mut().zip(name.bytes()) {
        *place = byte;
    }
    u64::from_be_bytes(first)
}

/// One topic: who has joined it, who is present, what it remembers. Payloads are nobody's business here.
pub(crate) async fn topic(lapwing: &Lapwing, name: &str) -> Value {
    let mut members = lapwing.members(name);
    let member = |member: lapwing::MemberInfo| json!({"id": member.transport_id.0.to_string(), "user": member.socket_id.as_deref().map(Shown::of)});
    let shown: Vec<_> = members.by_ref().take(SHOWN_MAX).map(member).collect();
    let count = shown.len() + members.count();
    let present = lapwing.presence_count(name).await.ok();
    let mut keys = Vec::new();
    if present.is_some_and(|count| (1..=PRESENCES_MAX).contains(&count.keys))
        && let Ok(state) = lapwing.presences(name).await
        && let Ok(state) = state.parse::<HashMap<String, IgnoredAny>>()
    {
        keys = state.into_keys().collect();
        keys.sort_unstable();
        keys.truncate(SHOWN_MAX);
    }
    let keys: Vec<_> = keys.iter().map(|key| Shown::of(key)).collect();
    // In a cluster the store is asked, whether or not anybody here is joined.
    let history = lapwing.fetch_history(name, Read::Last, SHOWN_MAX).await.ok().map(|messages| {
        let message = |message: &Arc<lapwing::Broadcast>| {
            let position = message.position.map(|position| position.to_string());
            json!({"event": Shown::of(&message.event), "bytes": message.payload.size(), "position": position})
        };
        messages.iter().map(message).collect::<Vec<_>>()
    });
    let everywhere = lapwing.count_members(name).await;
    json!({
        "topic": Shown::of(name),
        "members": {"rows": shown, "total": count, "everywhere": everywhere.count, "missing": everywhere.missing},
        "presence": present.map(|count| json!({"people": count.keys, "metas": count.metas, "keys": keys})),
        "history": history,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_order_as_numbers() {
        let names = ["", "a", "ab", "b", "room:1", "room:2", "rooms"];
        assert!(names.is_sorted_by_key(|name| prefix(name)));
        assert_eq!(prefix("a long name of a topic"), prefix("a long n"));
    }
}
