//! Reading V2's text frames.

use std::fmt;

use serde::{
    Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    error::DecodeError, escape, message::ChannelMsg, name::Name, object, payload::Payload, raw_json::RawJson,
    reference::Ref,
};

/// Reads an array of five or more elements.
pub(super) fn decode(text: &str) -> Result<ChannelMsg, DecodeError> {
    match usual(text) {
        Some(msg) => Ok(msg),
        None => careful(text),
    }
}

/// Reads what clients usually send: nothing but the five elements, without white space, the first four of them
/// strings without escapes or `null`. That is all that is looked for, so that it is found fast; `None` says only
/// that the text has to be read with more care.
fn usual(text: &str) -> Option<ChannelMsg> {
    let rest = text.strip_prefix('[')?;
    let (join_ref, rest) = plain_or_null(rest)?;
    let (reference, rest) = plain_or_null(rest)?;
    let (topic, rest) = plain(rest)?;
    let (event, rest) = plain(rest)?;
    // If there are more elements, this is not one JSON value.
    let payload = RawJson::new(rest.strip_suffix(']')?).ok()?;
    Some(ChannelMsg {
        join_ref: join_ref.map(Ref::from_plain),
        reference: reference.map(Ref::from_plain),
        topic: Name::from(topic),
        event: Name::from(event),
        payload: Payload::Json(payload),
    })
}

/// A string, or `null`, and what comes after the comma behind it.
fn plain_or_null(text: &str) -> Option<(Option<&str>, &str)> {
    if let Some(rest) = text.strip_prefix("null,") {
        return Some((None, rest));
    }
    plain(text).map(|(plain, rest)| (Some(plain), rest))
}

/// A string that needs no unescaping, and what comes after the comma behind it.
fn plain(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('"')?;
    let end = inner.bytes().position(escape::is_escaped)?;
    let (plain, rest) = inner.split_at(end);
    // What ends it is no quote where there is an escape, or a control character, which JSON forbids.
    Some((plain, rest.strip_prefix("\",")?))
}

/// Reads everything that is allowed.
fn careful(text: &str) -> Result<ChannelMsg, DecodeError> {
    if !object::starts_with(text, b'[') {
        // Broken JSON is told from JSON of another shape.
        serde_json::from_str::<&RawValue>(text).map_err(DecodeError::Json)?;
        return Err(DecodeError::NotArray);
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let elements = json.deserialize_seq(ElementsVisitor).map_err(DecodeError::Json)?;
    json.end().map_err(DecodeError::Json)?;
    let [join_ref, reference, topic, event, payload] =
        elements.map_err(|found| DecodeError::TooFewElements { found })?;
    Ok(ChannelMsg {
        join_ref: Ref::from_raw(join_ref).map_err(DecodeError::Json)?,
        reference: Ref::from_raw(reference).map_err(DecodeError::Json)?,
        topic: Name::from_raw(topic).map_err(DecodeError::Json)?,
        event: Name::from_raw(event).map_err(DecodeError::Json)?,
        payload: Payload::Json(RawJson::from_raw(payload)),
    })
}

/// Finds the first five elements and checks the rest, or counts them if there are fewer.
struct ElementsVisitor;

impl<'de> Visitor<'de> for ElementsVisitor {
    type Value = Result<[&'de RawValue; 5], usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of five elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut found = 0;
        let mut next = || {
            let element = seq.next_element::<&'de RawValue>()?;
            found += usize::from(element.is_some());
            Ok(element)
        };
        let (join_ref, reference, topic, event, payload) = (next()?, next()?, next()?, next()?, next()?);
        let (Some(join_ref), Some(reference), Some(topic), Some(event), Some(payload)) =
            (join_ref, reference, topic, event, payload)
        else {
            return Ok(Err(found));
        };
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Ok([join_ref, reference, topic, event, payload]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One element, with or without what the fast way stumbles over.
    fn element() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[a-zé:0-9]{0,12}".prop_map(|text| format!("\"{text}\"")),
            2 => Just("null".to_owned()),
            1 => "[ -~\n]{0,6}".prop_map(|text| serde_json::Value::from(text).to_string()),
            1 => "[ -~\u{0}-\u{1f}]{0,6}",
            1 => prop_oneof![Just("{}"), Just("[1,2]"), Just("{\"a\":[]}"), Just("5"), Just(" 1 ")].prop_map(String::from),
        ]
    }

    proptest! {
        #[test]
        fn the_fast_way_reads_nothing_that_the_careful_one_reads_differently(
            elements in proptest::collection::vec(element(), 3..8), end in prop_oneof![Just("]"), Just("] "), Just("")],
        ) {
            let text = format!("[{}{end}", elements.join(","));
            if let Some(msg) = usual(&text) {
                prop_assert_eq!(careful(&text).unwrap(), msg, "{}", text);
            }
        }
    }

    #[test]
    fn the_fast_way_is_taken_for_what_clients_send() {
        assert!(usual(r#"["3","4","chess:42","move",{"to":"e4"}]"#).is_some());
        assert!(usual(r#"[null,"8","phoenix","heartbeat",{}]"#).is_some());
        for text in [
            "[1,2,\"t\",\"e\",{}]",
            r#"["\\","1","t","e",{}]"#,
            r#"["3","1","t","e",{},1]"#,
            "[\"a\nb\",null,",
        ] {
            assert!(usual(text).is_none(), "{text}");
        }
    }
}
