//! Messages to bytes.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{
    Beat, KEPT, Kept, Message, PayloadKind, Publish, Repair, Slow, Tops, VERSION_MOVES, VERSION_OLDEST,
    VERSION_SLOW,
};
use crate::{id::Instance, varint::put as varint};

pub(super) fn message(message: &Message, from: Instance) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    out.put_u8(version(message));
    out.put_u8(kind(message));
    out.put_u64(from.0);
    match message {
        Message::Publish(it) => publish(it, &mut out),
        Message::Beat(it) => beat(it, &mut out),
        Message::Departed => {}
        Message::Ask { key, after, upto } => {
            for number in [key.0, *after, *upto] {
                varint(number, &mut out);
            }
        }
        Message::Repair(it) => repair(it, &mut out),
        Message::AskTops { after } => varint(*after, &mut out),
        Message::Tops(it) => tops(it, &mut out),
        Message::Presence(bytes) | Message::Relay(bytes) | Message::Move(bytes) => {
            out.extend_from_slice(bytes)
        }
        Message::Call { id, body } | Message::Answer { id, body } => {
            varint(*id, &mut out);
            out.extend_from_slice(body);
        }
        Message::Kept(it) => kept(it, &mut out),
    }
    out.freeze()
}

/// The oldest version that has room for a message.
fn version(message: &Message) -> u8 {
    match message {
        Message::Publish(Publish { slow: Some(_), .. }) => VERSION_SLOW,
        Message::Move(_) => VERSION_MOVES,
        _ => VERSION_OLDEST,
    }
}

fn kind(message: &Message) -> u8 {
    match message {
        Message::Publish(_) => 1,
        Message::Beat(_) => 2,
        Message::Departed => 3,
        Message::Ask { .. } => 4,
        Message::Repair(_) => 5,
        Message::AskTops { .. } => 6,
        Message::Tops(_) => 7,
        Message::Presence(_) => 8,
        Message::Call { .. } => 9,
        Message::Answer { .. } => 10,
        Message::Kept(_) => KEPT,
        Message::Relay(_) => 12,
        Message::Move(_) => 13,
    }
}

fn publish(publish: &Publish, out: &mut BytesMut) {
    let Publish { number, prev, topic, event, kind, slow: policy, payload } = publish;
    varint(*number, out);
    varint(*prev, out);
    text(topic, out);
    text(event, out);
    out.put_u8(match kind {
        PayloadKind::Json => 0,
        PayloadKind::Binary => 1,
        PayloadKind::JsonAsItIs => 2,
        PayloadKind::BinaryAsItIs => 3,
    });
    if let Some(policy) = policy {
        slow(policy, out);
    }
    out.extend_from_slice(payload);
}

fn slow(slow: &Slow, out: &mut BytesMut) {
    match slow {
        Slow::Close => out.put_u8(0),
        Slow::Volatile => out.put_u8(1),
        Slow::Latest => out.put_u8(2),
        Slow::LatestOf(key) => {
            out.put_u8(3);
            text(key, out);
        }
        Slow::Few { count, told_by } => {
            out.put_u8(4);
            varint(*count, out);
            text(told_by, out);
        }
    }
}

fn kept(kept: &Kept, out: &mut BytesMut) {
    let Kept { place, before, entry } = kept;
    out.put_u64(place.epoch);
    out.put_u64(place.number);
    out.put_u32(place.check);
    out.put_u32(*before);
    out.extend_from_slice(entry);
}

fn beat(beat: &Beat, out: &mut BytesMut) {
    varint(beat.number, out);
    text(&beat.name, out);
    out.put_u8(beat.versions.0);
    out.put_u8(beat.versions.1);
    out.put_u8(u8::from(beat.is_draining));
    tops(&beat.tops, out);
}

fn tops(tops: &Tops, out: &mut BytesMut) {
    varint(tops.top, out);
    varint(tops.since, out);
    varint(tops.lost, out);
    out.put_u8(tops.part.0);
    out.put_u8(tops.part.1);
    varint(tops.changed.len() as u64, out);
    for (key, number) in &tops.changed {
        varint(key.0, out);
        varint(*number, out);
    }
}

fn repair(repair: &Repair, out: &mut BytesMut) {
    for number in [repair.key.0, repair.after, repair.upto] {
        varint(number, out);
    }
    out.put_u8(u8::from(repair.is_complete));
    varint(repair.publishes.len() as u64, out);
    for publish in &repair.publishes {
        varint(publish.len() as u64, out);
        out.extend_from_slice(publish);
    }
}

fn text(text: &str, out: &mut BytesMut) {
    varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}
