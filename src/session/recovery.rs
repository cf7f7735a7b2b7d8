//! A join on a kept topic: what its client asks for, what it is told, and what it gets.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::debug;

use crate::{
    join::Join,
    occasionally::occasionally,
    protocol::{Payload, RawJson},
    topics::history::{Answer, NotRecovered, Recovery, Since},
};

/// Longer texts are no positions, whatever is in them.
const SINCE_BYTES_MAX: usize = 64;

/// The parameter of a join that asks: looked at where it lies.
#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, rename = "_since")]
    since: Option<&'a RawValue>,
}

/// What the params of a join ask for; `None` if nothing, or if the topic is not kept.
pub(super) fn asked(join: &Join, params: &Payload) -> Option<Since> {
    if !join.node().topics.kept()?.is_kept(&join.topic) {
        return None;
    }
    // A list has no names, and is not read as if it had.
    let params = params.as_json().filter(|params| params.is_object())?;
    let since = serde_json::from_str::<Params<'_>>(params.as_str()).ok()?.since?.get();
    let text = Some(since).filter(|since| since.len() <= SINCE_BYTES_MAX);
    let text = text.and_then(|since| serde_json::from_str::<String>(since).ok());
    Some(text.map_or(Since::Unreadable, |text| Since::read(&text)))
}

/// Answers a join that asked, and gives its client what it missed. The topic's members are locked, so that what is broadcast
/// comes after that.
pub(super) fn answer(
    join: &Arc<Join>,
    since: Since,
    reply: &Payload,
    answer: impl FnOnce(&Payload),
) -> Option<Recovery> {
    let mut recovery = join.node().topics.kept()?.recover(&join.topic, since, join.room())?;
    answer(&merged(reply, &recovery.answer));
    let (replay, not_recovered) = (&recovery.answer.replay, recovery.answer.refused);
    let result = not_recovered.map_or("recovered", NotRecovered::word);
    join.node().topics.meter.recoveries.add(result, 1);
    let told = Recovery { replayed: replay.end - replay.start, not_recovered };
    recovery.replay(|recorded| {
        if join.intercepts_any() {
            join.mail(recorded.broadcast.clone());
            return;
        }
        match recorded.frames(join.peer.serializer()) {
            Ok(frames) => frames.each_anew(|frame| join.peer.push_broadcast(frame)),
            Err(error) => {
                debug!(%error, topic = %join.quoted_topic(), "a client that cannot be given a message is passed by")
            }
        }
    });
    Some(told)
}

/// Tells the program of a reply to which nothing can be added: its client gets what it missed and learns no position. Said while
/// nothing is locked.
pub(super) fn warn_if_placeless(join: &Join, reply: &Payload) {
    if fields(reply).is_some() {
        return;
    }
    let (topic, channel) = (join.quoted_topic(), join.kind().name());
    occasionally!(join.log().placeless, warn, %topic, channel, "a reply that is no object has no place for a position");
}

/// What is within the braces of a reply that is an object.
fn fields(reply: &Payload) -> Option<&str> {
    let text = reply.as_json()?.as_str().trim();
    Some(text.strip_prefix('{')?.strip_suffix('}')?.trim())
}

/// The channel's own reply, and what the client is told beside it.
fn merged(reply: &Payload, answer: &Answer) -> Payload {
    let Some(own) = fields(reply) else { return reply.clone() };
    let comma = if own.is_empty() { "" } else { "," };
    let Answer { at, replay, refused } = answer;
    let (recovered, replayed) = (refused.is_none(), replay.end - replay.start);
    let reason = refused.map(|why| format!(r#","_reason":"{}""#, why.word())).unwrap_or_default();
    let text =
        format!(r#"{{{own}{comma}"_at":"{at}","_recovered":{recovered},"_replayed":{replayed}{reason}}}"#);
    RawJson::new(&text).map_or_else(|_| reply.clone(), Payload::Json)
}
