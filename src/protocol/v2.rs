//! Phoenix's current wire, `vsn` 2.0.x.

use lapwing_transports::frame::{Frame, Message};

use super::{
    error::{DecodeError, EncodeError},
    event,
    message::{ChannelMsg, error_payload},
    name::NameRef,
    payload::Payload,
    raw_json::RawJson,
    reference::Ref,
    serializer::{Outgoing, Serializer},
    text::{self, Piece},
    v2_binary, v2_text,
};

/// Phoenix's version 2: JSON arrays `[join_ref, ref, topic, event, payload]`, and binary frames for bytes.
///
/// Arrays may have more than five elements; those beyond are ignored. What is pushed or broadcast must be an object
/// or bytes, and with bytes no field may be longer than 255.
///
/// ```
/// use lapwing::protocol::{EncodeError, Outgoing, Payload, Serializer, V2};
/// use serde_json::json;
///
/// let broadcast = |payload: Payload| {
///     V2.encode(Outgoing::Broadcast { topic: "chess:42", event: "moved", payload: &payload })
/// };
/// let frame = broadcast(json!({"san": "e4"}).into())?;
/// assert_eq!(&frame.payload()[..], br#"[null,null,"chess:42","moved",{"san":"e4"}]"#);
///
/// assert!(matches!(broadcast(json!([1]).into()), Err(EncodeError::NotObject)));
/// # Ok::<(), EncodeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct V2;

impl Serializer for V2 {
    fn decode(&self, message: Message<'_>) -> Result<ChannelMsg, DecodeError> {
        match message {
            Message::Text(text) => v2_text::decode(text),
            Message::Binary(frame) => v2_binary::decode_push(frame),
        }
    }

    fn encode(&self, outgoing: Outgoing<'_>) -> Result<Frame, EncodeError> {
        match outgoing {
            Outgoing::Push { join_ref, topic, event, payload } => match payload {
                Payload::Json(json) => {
                    let join_ref = Piece::reference(join_ref);
                    Ok(event_frame([OPEN, join_ref, Piece::Json(",null,")], topic, event, pushable(json)?))
                }
                Payload::Binary(data) => v2_binary::encode_push(join_ref, topic, event, data),
            },
            Outgoing::Reply { join_ref, reference, topic, status, response } => match response {
                Payload::Json(json) => Ok(reply_frame([join_ref, reference], topic, status, json)),
                Payload::Binary(data) => v2_binary::encode_reply(join_ref, reference, topic, status, data),
            },
            Outgoing::Broadcast { topic, event, payload } => match payload {
                Payload::Json(json) => {
                    Ok(event_frame([Piece::Json("[null,null,")], topic, event, pushable(json)?))
                }
                Payload::Binary(data) => v2_binary::encode_broadcast(topic, event, data),
            },
            Outgoing::Recorded { at, topic, event, payload } => match payload {
                Payload::Json(json) => {
                    let head = [Piece::Json("[null,"), Piece::reference(Some(at)), COMMA];
                    Ok(event_frame(head, topic, event, pushable(json)?))
                }
                Payload::Binary(data) => v2_binary::encode_broadcast(topic, event, data),
            },
            Outgoing::Close { join_ref, topic } => {
                Ok(event_frame(head(join_ref), topic, event::CLOSE, Piece::Json("{}")))
            }
            Outgoing::Error { join_ref, topic, reason } => {
                let [open, reason, close] = error_payload(reason);
                let [topic, event] = [Piece::Text(topic), Piece::Text(event::ERROR)];
                Ok(text::frame(&[&head(join_ref), &[topic, COMMA, event, COMMA, open, reason, close, CLOSE]]))
            }
        }
    }

    fn name(&self) -> &str {
        "V2"
    }
}

/// A payload that may be pushed.
fn pushable(json: &RawJson) -> Result<Piece<'_>, EncodeError> {
    if json.is_object() { Ok(Piece::Json(json.as_str())) } else { Err(EncodeError::NotObject) }
}

const OPEN: Piece<'_> = Piece::Json("[");
const COMMA: Piece<'_> = Piece::Json(",");
const CLOSE: Piece<'_> = Piece::Json("]");

/// The beginning of what ends a join.
fn head(join_ref: Option<&Ref>) -> [Piece<'_>; 5] {
    [OPEN, Piece::reference(join_ref), COMMA, Piece::reference(join_ref), COMMA]
}

/// `[join_ref, ref, topic, event, payload]`, of which the head is written already. In few pieces, as each costs as much as the bytes
/// of a short one.
fn event_frame<const N: usize>(head: [Piece<'_>; N], topic: &str, event: &str, payload: Piece<'_>) -> Frame {
    text::frame(&[&head, &[Piece::Text(topic), COMMA, Piece::Text(event), COMMA, payload, CLOSE]])
}

/// `[join_ref, ref, topic, "phx_reply", {"response": response, "status": status}]`
fn reply_frame(refs: [Option<&Ref>; 2], topic: NameRef<'_>, status: &str, response: &RawJson) -> Frame {
    let [join_ref, reference] = refs.map(Piece::reference);
    text::frame(&[&[
        OPEN,
        join_ref,
        COMMA,
        reference,
        COMMA,
        Piece::name(topic),
        Piece::Json(",\"phx_reply\",{\"response\":"),
        Piece::Json(response.as_str()),
        Piece::Json(",\"status\":"),
        Piece::status(status),
        Piece::Json("}]"),
    ]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Name, Ref};

    fn decode(text: &str) -> Result<ChannelMsg, DecodeError> {
        V2.decode(Message::Text(text))
    }

    fn encode(outgoing: Outgoing<'_>) -> String {
        String::from_utf8(V2.encode(outgoing).unwrap().payload().to_vec()).unwrap()
    }

    #[test]
    fn five_or_more_elements_are_a_message() {
        let msg = decode(r#" [ "3" , "12" , "chess:42" , "x" , { } , "ignored", [99] ] "#).unwrap();
        assert_eq!(msg.join_ref, Some(Ref::from("3")));
        assert_eq!(msg.payload.as_json().unwrap().as_str(), "{ }");
        assert!(matches!(decode("[]"), Err(DecodeError::TooFewElements { found: 0 })));
        assert!(matches!(decode("[1,2,3,4]"), Err(DecodeError::TooFewElements { found: 4 })));
    }

    #[test]
    fn other_shapes_are_told_from_broken_json() {
        for text in ["{}", "5", "\"x\"", " null", "true"] {
            assert!(matches!(decode(text), Err(DecodeError::NotArray)), "{text}");
        }
        for text in ["", " ", "{", "[", "[1,2,3,4,5", "[1,2,3,4,5]]", "[1,2,3,4,5,x]", "[1,2", "garbage"] {
            assert!(matches!(decode(text), Err(DecodeError::Json(_))), "{text}");
        }
    }

    #[test]
    fn no_field_is_checked_for_its_type() {
        let msg = decode("[1,1.0,5,null,\"hey\"]").unwrap();
        assert_eq!(msg.join_ref, Some(Ref::from(1)));
        assert_ne!(msg.reference, msg.join_ref);
        assert_eq!(msg.topic, Name::from(RawJson::new("5").unwrap()));
        assert_eq!(msg.event.as_str(), None);
        assert_eq!(msg.payload, Payload::from(serde_json::json!("hey")));
        let reply = Outgoing::Reply {
            join_ref: None,
            reference: msg.reference.as_ref(),
            topic: msg.topic.as_ref(),
            status: "error",
            response: &serde_json::json!({"reason": "unmatched topic"}).into(),
        };
        let expected =
            r#"[null,1.0,5,"phx_reply",{"response":{"reason":"unmatched topic"},"status":"error"}]"#;
        assert_eq!(encode(reply), expected);
    }

    #[test]
    fn refs_stand_where_clients_look_for_them() {
        let (join_ref, reference, payload) = (Ref::from("3"), Ref::from("4"), Payload::empty());
        let (join_ref, reference) = (Some(&join_ref), Some(&reference));
        let (topic, event) = ("t\"\u{0}", "é");
        let push = Outgoing::Push { join_ref, topic, event, payload: &payload };
        assert_eq!(encode(push), r#"["3",null,"t\"\u0000","é",{}]"#);
        let broadcast = Outgoing::Broadcast { topic, event, payload: &payload };
        assert_eq!(encode(broadcast), r#"[null,null,"t\"\u0000","é",{}]"#);
        let reply =
            Outgoing::Reply { join_ref, reference, topic: "t".into(), status: "ok", response: &payload };
        assert_eq!(encode(reply), r#"["3","4","t","phx_reply",{"response":{},"status":"ok"}]"#);
        assert_eq!(encode(Outgoing::Close { join_ref, topic: "t" }), r#"["3","3","t","phx_close",{}]"#);
        let error = Outgoing::Error { join_ref, topic: "t", reason: "channel_crash" };
        assert_eq!(encode(error), r#"["3","3","t","phx_error",{"reason":"channel_crash"}]"#);
        assert_eq!(
            encode(Outgoing::Close { join_ref: None, topic: "t" }),
            r#"[null,null,"t","phx_close",{}]"#
        );
    }

    #[test]
    fn only_replies_may_carry_what_is_no_object() {
        for text in ["[1]", "5", "null", "\"{}\""] {
            let payload = Payload::from(RawJson::new(text).unwrap());
            let push = Outgoing::Push { join_ref: None, topic: "t", event: "e", payload: &payload };
            assert!(matches!(V2.encode(push), Err(EncodeError::NotObject)));
            let broadcast = Outgoing::Broadcast { topic: "t", event: "e", payload: &payload };
            assert!(matches!(V2.encode(broadcast), Err(EncodeError::NotObject)));
            let reply = Outgoing::Reply {
                join_ref: None,
                reference: None,
                topic: "t".into(),
                status: "ok",
                response: &payload,
            };
            assert_eq!(
                encode(reply),
                format!(r#"[null,null,"t","phx_reply",{{"response":{text},"status":"ok"}}]"#)
            );
        }
    }
}
