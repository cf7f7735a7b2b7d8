//! Presences as phoenix.js wants them: `{key: {"metas": [{…, "phx_ref": …}]}}`.
//!
//! Metas are JSON objects already; the references are put in behind their last value, and nothing is parsed.

use lapwing_presence::Entry;

use super::{fetch::Extras, pending::Outgoing};
use crate::protocol::{Payload, RawJson};

/// The payload of `presence_state`.
pub(crate) fn state<'a>(entries: impl Iterator<Item = &'a Entry>, extras: &Extras) -> Payload {
    let entries: Vec<&Entry> = entries.collect();
    let mut json = String::with_capacity(bytes(&entries) + 2);
    push_map(&mut json, &entries, extras);
    Payload::Json(RawJson::from_valid(json))
}

/// The payload of `presence_diff`. Both sides are always there.
pub(super) fn diff(diff: &Outgoing, extras: &Extras) -> Payload {
    let (joins, leaves) = (diff.joins(), diff.leaves());
    let mut json = String::with_capacity(bytes(&joins) + bytes(&leaves) + 32);
    json.push_str("{\"joins\":");
    push_map(&mut json, &joins, extras);
    json.push_str(",\"leaves\":");
    push_map(&mut json, &leaves, extras);
    json.push('}');
    Payload::Json(RawJson::from_valid(json))
}

/// One key's presence, `{"metas": []}` if there is none.
pub(crate) fn presence<'a>(entries: impl Iterator<Item = &'a Entry>, extras: &Extras) -> Payload {
    let entries: Vec<&Entry> = entries.collect();
    let mut json = String::with_capacity(bytes(&entries) + 16);
    push_presence(&mut json, &entries, extras);
    Payload::Json(RawJson::from_valid(json))
}

/// The meta that an entry was tracked with.
pub(super) fn meta_of(entry: &Entry) -> Payload {
    Payload::Json(RawJson::from_valid(String::from_utf8_lossy(entry.meta()).into_owned()))
}

/// Roughly how long the entries will be.
fn bytes(entries: &[&Entry]) -> usize {
    entries.iter().map(|entry| entry.key().len() + entry.meta().len() + 96).sum::<usize>()
}

/// Entries, those of one key next to each other, as an object.
fn push_map(json: &mut String, entries: &[&Entry], extras: &Extras) {
    json.push('{');
    for (index, metas) in entries.chunk_by(|a, b| a.key() == b.key()).enumerate() {
        if index > 0 {
            json.push(',');
        }
        push_text(json, metas[0].key());
        json.push(':');
        push_presence(json, metas, extras);
    }
    json.push('}');
}

fn push_presence(json: &mut String, metas: &[&Entry], extras: &Extras) {
    json.push_str("{\"metas\":[");
    for (index, entry) in metas.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        push_meta(json, entry);
    }
    json.push(']');
    let members = metas.first().and_then(|entry| extras.get(entry.key()));
    if let Some(members) = members.filter(|members| !members.is_empty()) {
        json.push(',');
        json.push_str(members);
    }
    json.push('}');
}

/// A meta is a JSON object by the tracker's check, so that it ends in a brace.
fn push_meta(json: &mut String, entry: &Entry) {
    let meta = std::str::from_utf8(entry.meta()).unwrap_or("{}").trim();
    let open = meta.strip_suffix('}').unwrap_or("{");
    json.push_str(open);
    if open.trim_end() != "{" {
        json.push(',');
    }
    json.push_str("\"phx_ref\":\"");
    json.push_str(entry.tag().phx_ref().as_str());
    if let Some(previous) = entry.previous() {
        json.push_str("\",\"phx_ref_prev\":\"");
        json.push_str(previous.phx_ref().as_str());
    }
    json.push_str("\"}");
}

fn push_text(json: &mut String, text: &str) {
    json.push_str(&serde_json::to_string(text).expect("a string can always be written as JSON"));
}
