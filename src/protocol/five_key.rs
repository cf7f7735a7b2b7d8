//! The wire of the design that lapwing carries out: one object of five keys per message, in both directions.

use lapwing_transports::frame::{Frame, Message};

use super::{
    error::{DecodeError, EncodeError},
    event,
    message::{ChannelMsg, error_payload, reply_payload},
    name::NameRef,
    object::{self, RefKey},
    payload::Payload,
    reference::Ref,
    serializer::{Outgoing, Serializer},
    text::{self, Piece},
};

/// JSON objects with the keys `join_ref`, `ref`, `topic`, `event` and `payload`, in both directions.
///
/// This is [`V1`](super::V1) with `join_ref` also on what the server sends. It is in no default list; a mount that
/// wants it says so.
///
/// ```
/// use lapwing::protocol::{FiveKey, Outgoing, Payload, Ref, SerializerList, V2};
///
/// let list = SerializerList::new().with("~> 1.0.0", FiveKey).with("~> 2.0.0", V2);
/// let five_key = list.select("1.0.0").expect("it is in the list");
/// let frame = five_key.encode(Outgoing::Push {
///     join_ref: Some(&Ref::from("0")),
///     topic: "room:lobby",
///     event: "hi",
///     payload: &Payload::empty(),
/// })?;
/// let expected = br#"{"join_ref":"0","ref":null,"topic":"room:lobby","event":"hi","payload":{}}"#;
/// assert_eq!(&frame.payload()[..], expected);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct FiveKey;

impl Serializer for FiveKey {
    fn decode(&self, message: Message<'_>) -> Result<ChannelMsg, DecodeError> {
        parse(object::text_of(message)?)
    }

    fn encode(&self, outgoing: Outgoing<'_>) -> Result<Frame, EncodeError> {
        match outgoing {
            Outgoing::Push { join_ref, topic, event, payload } => {
                json_frame([join_ref, None], topic, event, payload)
            }
            Outgoing::Broadcast { topic, event, payload } => json_frame([None, None], topic, event, payload),
            Outgoing::Recorded { at, topic, event, payload } => {
                json_frame([None, Some(at)], topic, event, payload)
            }
            Outgoing::Reply { join_ref, reference, topic, status, response } => {
                let payload = reply_payload(status, object::json_of(response)?);
                Ok(text_frame([join_ref, reference], topic, event::REPLY.into(), &payload))
            }
            Outgoing::Close { join_ref, topic } => {
                json_frame([join_ref, join_ref], topic, event::CLOSE, &Payload::empty())
            }
            Outgoing::Error { join_ref, topic, reason } => {
                let payload = error_payload(reason);
                Ok(text_frame([join_ref, join_ref], topic.into(), event::ERROR.into(), &payload))
            }
        }
    }

    fn name(&self) -> &str {
        "FiveKey"
    }
}

/// Writes a message as an object of five keys, the payload verbatim.
///
/// # Errors
///
/// [`EncodeError::BinaryPayload`] if the payload is bytes.
///
/// ```
/// use lapwing::protocol::{RawJson, make_msg, serialize};
///
/// let payload = RawJson::new(r#"{"price": 1.10}"#)?;
/// let text = serialize(&make_msg(None, None, "room:lobby", "new_msg", payload))?;
/// let expected = r#"{"join_ref":null,"ref":null,"topic":"room:lobby","event":"new_msg","payload":{"price": 1.10}}"#;
/// assert_eq!(text, expected);
///
/// assert!(serialize(&make_msg(None, None, "room:lobby", "image", vec![1])).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn serialize(msg: &ChannelMsg) -> Result<String, EncodeError> {
    let payload = [Piece::Json(object::json_of(&msg.payload)?.as_str())];
    let refs = [msg.join_ref.as_ref(), msg.reference.as_ref()];
    let head = head(refs, msg.topic.as_ref(), msg.event.as_ref());
    Ok(text::concat(&[&head, &payload, &[Piece::Json("}")]]))
}

/// Reads a message from an object of five keys. They come in any order, unknown ones are ignored, and absent refs
/// are as good as `null`.
///
/// # Errors
///
/// [`DecodeError`] with what is wrong with the text.
///
/// ```
/// use lapwing::protocol::parse;
///
/// let msg = parse(r#"{"event":"new_msg","topic":"room:lobby","payload":{"a": 1},"ref":"1","x":0}"#)?;
/// assert_eq!(msg.topic, "room:lobby");
/// assert_eq!(msg.join_ref, None);
///
/// let error = parse(r#"{"topic":"room:lobby","payload":{}}"#).unwrap_err();
/// assert_eq!(error.to_string(), "frame has no key \"event\"");
/// # Ok::<(), lapwing::protocol::DecodeError>(())
/// ```
pub fn parse(text: &str) -> Result<ChannelMsg, DecodeError> {
    object::decode(text, RefKey::Optional)
}

fn json_frame(
    refs: [Option<&Ref>; 2],
    topic: &str,
    event: &str,
    payload: &Payload,
) -> Result<Frame, EncodeError> {
    let payload = [Piece::Json(object::json_of(payload)?.as_str())];
    Ok(text_frame(refs, topic.into(), event.into(), &payload))
}

fn text_frame(
    refs: [Option<&Ref>; 2],
    topic: NameRef<'_>,
    event: NameRef<'_>,
    payload: &[Piece<'_>],
) -> Frame {
    text::frame(&[&head(refs, topic, event), payload, &[Piece::Json("}")]])
}

/// All that comes before the payload. The refs are the join_ref and the ref.
fn head<'a>(refs: [Option<&'a Ref>; 2], topic: NameRef<'a>, event: NameRef<'a>) -> [Piece<'a>; 9] {
    let [join_ref, reference] = refs.map(Piece::reference);
    [
        Piece::Json("{\"join_ref\":"),
        join_ref,
        Piece::Json(",\"ref\":"),
        reference,
        Piece::Json(",\"topic\":"),
        Piece::name(topic),
        Piece::Json(",\"event\":"),
        Piece::name(event),
        Piece::Json(",\"payload\":"),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::{Name, RawJson, close_msg, error_msg, make_msg, reply_msg};

    fn encode(outgoing: Outgoing<'_>) -> String {
        String::from_utf8(FiveKey.encode(outgoing).unwrap().payload().to_vec()).unwrap()
    }

    #[test]
    fn frames_are_what_serialize_writes() {
        let (join_ref, reference) = (Ref::from("3"), Ref::from("4"));
        let refs = (Some(&join_ref), Some(&reference));
        let owned = (Some(join_ref.clone()), Some(reference.clone()));
        let payload = Payload::from(json!({"a": [1]}));
        let response = json!([null]);

        let msg = make_msg(owned.0.clone(), None, "t", "e", &payload);
        let push = Outgoing::Push { join_ref: refs.0, topic: "t", event: "e", payload: &payload };
        assert_eq!(encode(push), serialize(&msg).unwrap());
        let msg = make_msg(None, None, "t", "e", &payload);
        let broadcast = Outgoing::Broadcast { topic: "t", event: "e", payload: &payload };
        assert_eq!(encode(broadcast), serialize(&msg).unwrap());
        let msg = reply_msg(owned.0.clone(), owned.1.clone(), "t", "ok", response.clone());
        let reply = Outgoing::Reply {
            join_ref: refs.0,
            reference: refs.1,
            topic: "t".into(),
            status: "ok",
            response: &response.into(),
        };
        assert_eq!(encode(reply), serialize(&msg).unwrap());
        let msg = close_msg(owned.0.clone(), "t");
        assert_eq!(encode(Outgoing::Close { join_ref: refs.0, topic: "t" }), serialize(&msg).unwrap());
        let msg = error_msg(owned.0.clone(), owned.0, "t", "oh \"no\"");
        let error = Outgoing::Error { join_ref: refs.0, topic: "t", reason: "oh \"no\"" };
        assert_eq!(encode(error), serialize(&msg).unwrap());
    }

    #[test]
    fn names_that_are_no_strings_come_back_as_they_were() {
        let text = r#"{"join_ref":1,"ref":[2],"topic":5,"event":null,"payload":"x"}"#;
        let msg = FiveKey.decode(Message::Binary(text.as_bytes())).unwrap();
        assert_eq!(msg.event, Name::from(RawJson::new("null").unwrap()));
        assert_eq!(serialize(&msg).unwrap(), text);
    }

    #[test]
    fn it_has_a_name_of_its_own_in_logs() {
        assert_eq!(FiveKey.name(), "FiveKey");
    }
}
