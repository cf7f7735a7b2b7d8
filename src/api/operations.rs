//! What the operations do.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{
    OPENAPI,
    answer::{Code, Done, Refused, done},
    request::{Get, Post},
};
use crate::{
    cluster::question::Everywhere,
    node::BroadcastError,
    presence::PresenceError,
    protocol::{Payload, RawJson},
    pubsub::Disconnect,
    server::Lapwing,
    topics::{broadcast::Broadcast, history::HistoryError, position::Position, published::Published},
};

/// What became of a publication.
#[derive(Serialize)]
struct WasPublished {
    /// Null where the topic is not kept.
    position: Option<Position>,
    sent: &'static str,
}

/// A history.
#[derive(Serialize)]
struct Remembered<'a> {
    at: Position,
    messages: Vec<Message<'a>>,
}

/// A message of a history.
#[derive(Serialize)]
struct Message<'a> {
    event: &'a str,
    payload: RawJson,
    position: Option<Position>,
}

/// Who is there. What programs and clients say of themselves is passed on as it is: read and written again, large numbers would not be what they
/// were, and what nests deeply could not be read.
#[derive(Serialize)]
struct Present {
    presences: RawJson,
}

/// Changes something.
pub(super) async fn post(lapwing: &Lapwing, post: Post) -> Done {
    match post {
        Post::Publish(broadcast) => done(&published(lapwing, broadcast)?),
        Post::Batch(messages) => {
            let results = messages.into_iter().map(|broadcast| match published(lapwing, broadcast) {
                Ok(published) => serde_json::to_value(published).unwrap_or_default(),
                Err(refused) => json!({"error": refused.to_json()}),
            });
            done(&json!({"results": results.collect::<Vec<_>>()}))
        }
        Post::Disconnect { id, reason, for_good } => {
            let disconnect = Disconnect::because(reason);
            let disconnect = if for_good { disconnect.for_good() } else { disconnect };
            everywhere(lapwing.disconnect_everywhere_with(id, disconnect).await)
        }
        Post::Kick { topic, id, reason } => everywhere(lapwing.kick_everywhere(topic, id, reason).await),
    }
}

/// Looks something up.
pub(super) async fn get(lapwing: &Lapwing, get: Get) -> Done {
    match get {
        Get::Presence { topic } => {
            let state = lapwing.presences(topic).await.map_err(absent)?;
            done(&Present { presences: state.as_json().map_or(RawJson::empty_object(), RawJson::clone) })
        }
        Get::Count { topic } => {
            let present = lapwing.presence_count(topic.as_str()).await.map_err(absent)?;
            let Everywhere { count, missing } = lapwing.count_members(topic).await;
            done(&json!({"keys": present.keys, "metas": present.metas, "members": count, "missing": missing}))
        }
        Get::History { topic, read, limit } => {
            let at = lapwing.fetch_position(topic.as_str()).await.map_err(not_there)?;
            let messages = lapwing.fetch_history(topic, read, limit).await.map_err(not_there)?;
            let messages = messages.iter().map(message).collect();
            done(&Remembered { at, messages })
        }
        Get::Stats => done(&lapwing.stats()),
        Get::Document => Ok(OPENAPI.into()),
    }
}

fn published(lapwing: &Lapwing, broadcast: Broadcast) -> Result<WasPublished, Refused> {
    let Published { position, sent } = lapwing.publish(broadcast).map_err(|error| not_published(&error))?;
    Ok(WasPublished { position, sent: sent.word() })
}

fn not_published(error: &BroadcastError) -> Refused {
    match error {
        BroadcastError::TooLarge(too_large) => {
            Refused { field: Some(too_large.what.into()), ..Refused::new(Code::TooLarge, too_large) }
        }
        BroadcastError::ReservedEvent => Refused::field("event", error),
        BroadcastError::EmptyTopic => Refused::field("topic", error),
        BroadcastError::Policy(_) => Refused::new(Code::Invalid, error),
        BroadcastError::Encode(_) => Refused::field("payload", error),
        BroadcastError::PubSub(_) | BroadcastError::NotKept(_) => Refused::new(Code::Unavailable, error),
    }
}

fn everywhere(ended: Result<Everywhere, BroadcastError>) -> Done {
    let Everywhere { count, missing } = ended.map_err(|error| not_published(&error))?;
    done(&json!({"connections": count, "missing": missing}))
}

fn absent(error: PresenceError) -> Refused {
    match error {
        PresenceError::StateTooLong { .. } => Refused::new(Code::TooLarge, error),
        error => Refused::new(Code::Unavailable, error),
    }
}

fn not_there(error: HistoryError) -> Refused {
    let code = match error {
        HistoryError::NotKept => Code::NotKept,
        HistoryError::NotRecovered(_) => Code::NotRecovered,
        HistoryError::NotHere | HistoryError::Away => Code::Unavailable,
    };
    Refused { field: Some("topic".into()).filter(|_| code == Code::NotKept), ..Refused::new(code, error) }
}

fn message(message: &Arc<Broadcast>) -> Message<'_> {
    let payload = match &message.payload {
        Payload::Json(json) => json.clone(),
        // Bytes have no place in JSON.
        Payload::Binary(bytes) => json!({"bytes": bytes.len()}).into(),
    };
    Message { event: &message.event, payload, position: message.position }
}
