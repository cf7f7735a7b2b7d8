//! Reading a message from a JSON object, for the two serializers that write it as one.

use std::fmt;

use lapwing_transports::frame::Message;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    error::{DecodeError, EncodeError, Field},
    message::ChannelMsg,
    name::Name,
    payload::Payload,
    raw_json::RawJson,
    reference::Ref,
};

/// Whether an object has to name its ref, if only to say `null`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RefKey {
    Required,
    Optional,
}

/// Whether the first byte that is no white space is this one.
pub(super) fn starts_with(json: &str, byte: u8) -> bool {
    json.trim_start_matches([' ', '\t', '\n', '\r']).as_bytes().first() == Some(&byte)
}

/// The text of a frame, whichever opcode it came with.
pub(super) fn text_of(message: Message<'_>) -> Result<&str, DecodeError> {
    match message {
        Message::Text(text) => Ok(text),
        Message::Binary(bytes) => std::str::from_utf8(bytes).map_err(DecodeError::NotText),
    }
}

/// The JSON of a payload, for those who cannot write bytes.
pub(super) fn json_of(payload: &Payload) -> Result<&RawJson, EncodeError> {
    payload.as_json().ok_or(EncodeError::BinaryPayload)
}

/// Reads the five keys in any order. Of a key that comes twice the last one counts, as in Phoenix.
pub(super) fn decode(text: &str, ref_key: RefKey) -> Result<ChannelMsg, DecodeError> {
    if !starts_with(text, b'{') {
        // Broken JSON is told from JSON of another shape.
        serde_json::from_str::<&RawValue>(text).map_err(DecodeError::Json)?;
        return Err(DecodeError::NotObject);
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let values = json.deserialize_map(ValuesVisitor).map_err(DecodeError::Json)?;
    json.end().map_err(DecodeError::Json)?;
    if ref_key == RefKey::Required && values.reference.is_none() {
        return Err(DecodeError::MissingKey(Field::Ref));
    }
    let reference = |raw: Option<&RawValue>| raw.map_or(Ok(None), Ref::from_raw).map_err(DecodeError::Json);
    let required = |raw: Option<_>, field| raw.ok_or(DecodeError::MissingKey(field));
    let name = |raw, field| Name::from_raw(required(raw, field)?).map_err(DecodeError::Json);
    Ok(ChannelMsg {
        join_ref: reference(values.join_ref)?,
        reference: reference(values.reference)?,
        topic: name(values.topic, Field::Topic)?,
        event: name(values.event, Field::Event)?,
        payload: Payload::Json(RawJson::from_raw(required(values.payload, Field::Payload)?)),
    })
}

#[derive(Default)]
struct Values<'a> {
    join_ref: Option<&'a RawValue>,
    reference: Option<&'a RawValue>,
    topic: Option<&'a RawValue>,
    event: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
}

struct ValuesVisitor;

impl<'de> Visitor<'de> for ValuesVisitor {
    type Value = Values<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = Values::default();
        while let Some(key) = map.next_key::<Key>()? {
            let place = match key {
                Key::Field(Field::JoinRef) => &mut values.join_ref,
                Key::Field(Field::Ref) => &mut values.reference,
                Key::Field(Field::Topic) => &mut values.topic,
                Key::Field(Field::Event) => &mut values.event,
                Key::Field(Field::Payload) => &mut values.payload,
                Key::Field(_) | Key::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *place = Some(map.next_value()?);
        }
        Ok(values)
    }
}

enum Key {
    Field(Field),
    Unknown,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, key: &str) -> Result<Key, E> {
                Ok(match key {
                    "join_ref" => Key::Field(Field::JoinRef),
                    "ref" => Key::Field(Field::Ref),
                    "topic" => Key::Field(Field::Topic),
                    "event" => Key::Field(Field::Event),
                    "payload" => Key::Field(Field::Payload),
                    _ => Key::Unknown,
                })
            }
        }

        deserializer.deserialize_identifier(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_any_order_in_any_spelling_and_the_last_counts() {
        let text =
            r#"{"x":[{}],"ref":1,"p\u0061yload":{ },"event":"e","topic":"old","topic":"t","join_ref":"2"}"#;
        let msg = decode(text, RefKey::Required).unwrap();
        assert_eq!(msg.join_ref, Some(Ref::from("2")));
        assert_eq!(msg.reference, Some(Ref::from(1)));
        assert_eq!(msg.topic, "t");
        assert_eq!(msg.payload.as_json().unwrap().as_str(), "{ }");
    }

    #[test]
    fn white_space_around_an_object_is_json() {
        assert!(decode("\r\n\t {\"topic\":1,\"event\":1,\"payload\":1} \n", RefKey::Optional).is_ok());
        // A no-break space is white space elsewhere.
        assert!(decode("\u{a0}{\"topic\":1,\"event\":1,\"payload\":1}", RefKey::Optional).is_err());
    }

    #[test]
    fn every_missing_key_is_named() {
        let keys = ["topic", "event", "payload", "ref"];
        let fields = [Field::Topic, Field::Event, Field::Payload, Field::Ref];
        for (missing, expected) in keys.iter().zip(fields) {
            let rest: Vec<_> =
                keys.iter().filter(|key| *key != missing).map(|key| format!("\"{key}\":null")).collect();
            let error = decode(&format!("{{{}}}", rest.join(",")), RefKey::Required).unwrap_err();
            assert!(
                matches!(error, DecodeError::MissingKey(field) if field == expected),
                "{missing}: {error}"
            );
        }
        assert!(decode(r#"{"topic":"t","event":"e","payload":{}}"#, RefKey::Optional).is_ok());
    }

    #[test]
    fn other_shapes_are_told_from_broken_json() {
        for text in ["[]", "5", "\"x\"", "null", r#" [ "1" , "1" , "t" , "phx_join" , { } ] "#] {
            assert!(matches!(decode(text, RefKey::Required), Err(DecodeError::NotObject)), "{text}");
        }
        for text in ["", "{", "[\"1\",\"1\"", "{}}", "{\"a\"}", "garbage"] {
            assert!(matches!(decode(text, RefKey::Required), Err(DecodeError::Json(_))), "{text}");
        }
    }
}
