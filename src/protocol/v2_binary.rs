//! V2's binary frames: one byte of kind, one byte of length for each field, the fields, the data.
//!
//! ```text
//! push, from a client   00 len(join_ref) len(ref)   len(topic) len(event)  join_ref ref topic event  data…
//! push, from the server 00 len(join_ref)            len(topic) len(event)  join_ref     topic event  data…
//! reply                 01 len(join_ref) len(ref)   len(topic) len(status) join_ref ref topic status data…
//! broadcast             02                          len(topic) len(event)               topic event  data…
//! ```
//!
//! An absent ref is written as one of length 0, and one of length 0 is read as the empty string, not as absent: so
//! Phoenix does it.

use std::borrow::Cow;

use bytes::Bytes;
use lapwing_transports::frame::Frame;

use super::{
    error::{DecodeError, EncodeError, Field},
    message::ChannelMsg,
    name::{Name, NameRef},
    payload::Payload,
    reference::Ref,
};

const PUSH: u8 = 0;
const REPLY: u8 = 1;
const BROADCAST: u8 = 2;

/// The kind and the four lengths of a push from a client.
const PUSH_HEADER_BYTES: usize = 5;

pub(super) fn decode_push(frame: &[u8]) -> Result<ChannelMsg, DecodeError> {
    // The kind comes first: a short frame of a wrong kind is of a wrong kind.
    if let Some(&kind) = frame.first()
        && kind != PUSH
    {
        return Err(DecodeError::UnknownKind(kind));
    }
    let Some((header, rest)) = frame.split_first_chunk::<PUSH_HEADER_BYTES>() else {
        return Err(DecodeError::Truncated { expected: PUSH_HEADER_BYTES, found: frame.len() });
    };
    let [_, join_ref_len, ref_len, topic_len, event_len] = header.map(usize::from);
    let expected = PUSH_HEADER_BYTES + join_ref_len + ref_len + topic_len + event_len;
    if frame.len() < expected {
        return Err(DecodeError::Truncated { expected, found: frame.len() });
    }
    let (join_ref, rest) = rest.split_at(join_ref_len);
    let (reference, rest) = rest.split_at(ref_len);
    let (topic, rest) = rest.split_at(topic_len);
    let (event, data) = rest.split_at(event_len);
    Ok(ChannelMsg {
        join_ref: Some(Ref::from(utf8(Field::JoinRef, join_ref)?)),
        reference: Some(Ref::from(utf8(Field::Ref, reference)?)),
        topic: Name::from(utf8(Field::Topic, topic)?),
        event: Name::from(utf8(Field::Event, event)?),
        payload: Payload::Binary(Bytes::copy_from_slice(data)),
    })
}

pub(super) fn encode_push(
    join_ref: Option<&Ref>,
    topic: &str,
    event: &str,
    data: &[u8],
) -> Result<Frame, EncodeError> {
    let join_ref = plain(join_ref);
    frame(PUSH, [(Field::JoinRef, &join_ref), (Field::Topic, topic), (Field::Event, event)], data)
}

pub(super) fn encode_reply(
    join_ref: Option<&Ref>,
    reference: Option<&Ref>,
    topic: NameRef<'_>,
    status: &str,
    data: &[u8],
) -> Result<Frame, EncodeError> {
    let (join_ref, reference) = (plain(join_ref), plain(reference));
    let topic = match topic {
        NameRef::Text(text) => text,
        NameRef::Json(json) => json.as_str(),
    };
    let fields = [
        (Field::JoinRef, &*join_ref),
        (Field::Ref, &*reference),
        (Field::Topic, topic),
        (Field::Status, status),
    ];
    frame(REPLY, fields, data)
}

pub(super) fn encode_broadcast(topic: &str, event: &str, data: &[u8]) -> Result<Frame, EncodeError> {
    frame(BROADCAST, [(Field::Topic, topic), (Field::Event, event)], data)
}

fn frame<const N: usize>(kind: u8, fields: [(Field, &str); N], data: &[u8]) -> Result<Frame, EncodeError> {
    let fields_len: usize = fields.iter().map(|(_, text)| text.len()).sum();
    let mut out = Vec::with_capacity(1 + N + fields_len + data.len());
    out.push(kind);
    for (field, text) in fields {
        let Ok(len) = u8::try_from(text.len()) else {
            return Err(EncodeError::FieldTooLong { field, len: text.len() });
        };
        out.push(len);
    }
    for (_, text) in fields {
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(data);
    Ok(Frame::binary(out))
}

fn plain(reference: Option<&Ref>) -> Cow<'_, str> {
    reference.map_or(Cow::Borrowed(""), Ref::to_plain)
}

fn utf8(field: Field, bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|source| DecodeError::FieldNotText { field, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_from_a_client_has_a_ref_and_one_from_the_server_has_none() {
        let msg = decode_push(b"\x00\x01\x02\x08\x03316chess:42img\xde\xad").unwrap();
        assert_eq!(msg.join_ref, Some(Ref::from("3")));
        assert_eq!(msg.reference, Some(Ref::from("16")));
        assert_eq!(msg.topic, "chess:42");
        assert_eq!(msg.event, "img");
        assert_eq!(msg.payload, Payload::from(vec![0xde, 0xad]));
        let frame = encode_push(msg.join_ref.as_ref(), "chess:42", "img", b"\xde\xad").unwrap();
        assert_eq!(&frame.payload()[..], b"\x00\x01\x08\x033chess:42img\xde\xad");
    }

    #[test]
    fn length_zero_is_the_empty_string_not_null() {
        let msg = decode_push(&[0, 0, 0, 0, 0]).unwrap();
        assert_eq!(msg.join_ref, Some(Ref::from("")));
        assert_eq!(msg.reference, Some(Ref::from("")));
        assert_eq!(msg.topic, "");
        assert_eq!(msg.payload, Payload::from(vec![]));
    }

    #[test]
    fn refs_that_are_no_strings_are_written_as_their_text() {
        let (number, escaped) = (Ref::from(12), Ref::from("\"\n"));
        let frame = encode_reply(Some(&number), Some(&escaped), "t".into(), "ok", b"").unwrap();
        assert_eq!(&frame.payload()[..], b"\x01\x02\x02\x01\x0212\"\ntok");
        let frame = encode_push(None, "t", "e", b"x").unwrap();
        assert_eq!(&frame.payload()[..], b"\x00\x00\x01\x01tex");
    }

    #[test]
    fn every_field_that_is_too_long_is_named() {
        let long = "é".repeat(128);
        let long_ref = Ref::from(long.as_str());
        let field = |result: Result<Frame, EncodeError>| match result {
            Err(EncodeError::FieldTooLong { field, len: 256 }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(encode_push(Some(&long_ref), "t", "e", b"")), Field::JoinRef);
        assert_eq!(field(encode_push(None, &long, "e", b"")), Field::Topic);
        assert_eq!(field(encode_push(None, "t", &long, b"")), Field::Event);
        assert_eq!(field(encode_reply(None, Some(&long_ref), "t".into(), "ok", b"")), Field::Ref);
        assert_eq!(field(encode_reply(None, None, "t".into(), &long, b"")), Field::Status);
        assert_eq!(field(encode_broadcast(&long, "e", b"")), Field::Topic);
        assert_eq!(field(encode_broadcast("t", &long, b"")), Field::Event);
        assert!(encode_broadcast(&long[..254], "e", b"").is_ok());
    }

    #[test]
    fn frames_that_are_cut_short_or_of_another_kind_are_refused() {
        let whole = b"\x00\x01\x01\x01\x0112te";
        assert!(decode_push(whole).is_ok());
        for len in 0..whole.len() {
            assert!(
                matches!(decode_push(&whole[..len]), Err(DecodeError::Truncated { found, .. }) if found == len)
            );
        }
        for kind in 1..=255 {
            assert!(matches!(decode_push(&[kind]), Err(DecodeError::UnknownKind(found)) if found == kind));
        }
    }

    #[test]
    fn fields_must_be_utf8() {
        let error = decode_push(b"\x00\x00\x00\x01\x00\xff").unwrap_err();
        assert!(matches!(error, DecodeError::FieldNotText { field: Field::Topic, .. }));
    }
}
