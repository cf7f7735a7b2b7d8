//! Phoenix's first wire, `vsn` 1.0.x, and what a client gets that asks for none.

use lapwing_transports::frame::{Frame, Message};

use super::{
    error::{DecodeError, EncodeError},
    event,
    message::{ChannelMsg, error_payload, reply_payload},
    name::NameRef,
    object::{self, RefKey},
    reference::Ref,
    serializer::{Outgoing, Serializer},
    text::{self, Piece},
};

/// Phoenix's version 1: JSON objects.
///
/// A client's must have the keys `topic`, `event`, `payload` and `ref`, and may have `join_ref`; the server's never
/// have it. Any JSON may be pushed, but no bytes. A binary frame from a client is read as text.
///
/// ```
/// use lapwing::protocol::{EncodeError, Outgoing, Payload, Serializer, V1};
/// use serde_json::json;
///
/// let broadcast = |payload: Payload| {
///     V1.encode(Outgoing::Broadcast { topic: "chess:42", event: "clock", payload: &payload })
/// };
/// let frame = broadcast(json!({"w": 1}).into())?;
/// assert_eq!(&frame.payload()[..], br#"{"event":"clock","payload":{"w":1},"ref":null,"topic":"chess:42"}"#);
///
/// assert!(matches!(broadcast(vec![1, 2].into()), Err(EncodeError::BinaryPayload)));
/// # Ok::<(), EncodeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct V1;

impl Serializer for V1 {
    fn decode(&self, message: Message<'_>) -> Result<ChannelMsg, DecodeError> {
        object::decode(object::text_of(message)?, RefKey::Required)
    }

    fn encode(&self, outgoing: Outgoing<'_>) -> Result<Frame, EncodeError> {
        Ok(match outgoing {
            Outgoing::Push { topic, event, payload, .. } | Outgoing::Broadcast { topic, event, payload } => {
                let payload = [Piece::Json(object::json_of(payload)?.as_str())];
                text_frame(event, &payload, None, topic.into())
            }
            Outgoing::Recorded { at, topic, event, payload } => {
                let payload = [Piece::Json(object::json_of(payload)?.as_str())];
                text_frame(event, &payload, Some(at), topic.into())
            }
            Outgoing::Reply { reference, topic, status, response, .. } => {
                let payload = reply_payload(status, object::json_of(response)?);
                text_frame(event::REPLY, &payload, reference, topic)
            }
            Outgoing::Close { join_ref, topic } => {
                text_frame(event::CLOSE, &[Piece::Json("{}")], join_ref, topic.into())
            }
            Outgoing::Error { join_ref, topic, reason } => {
                text_frame(event::ERROR, &error_payload(reason), join_ref, topic.into())
            }
        })
    }

    fn name(&self) -> &str {
        "V1"
    }
}

/// The keys stand in Phoenix's order, so that recorded frames can be compared byte for byte.
fn text_frame(event: &str, payload: &[Piece<'_>], reference: Option<&Ref>, topic: NameRef<'_>) -> Frame {
    text::frame(&[
        &[Piece::Json("{\"event\":"), Piece::Text(event), Piece::Json(",\"payload\":")],
        payload,
        &[Piece::Json(",\"ref\":"), Piece::reference(reference)],
        &[Piece::Json(",\"topic\":"), Piece::name(topic), Piece::Json("}")],
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::{Name, Payload, RawJson};

    fn encode(outgoing: Outgoing<'_>) -> String {
        String::from_utf8(V1.encode(outgoing).unwrap().payload().to_vec()).unwrap()
    }

    #[test]
    fn the_server_never_says_join_ref() {
        let (join_ref, reference, payload) = (Ref::from("3"), Ref::from("4"), Payload::from(json!([1])));
        let (join_ref, reference) = (Some(&join_ref), Some(&reference));
        let push = Outgoing::Push { join_ref, topic: "t", event: "e", payload: &payload };
        assert_eq!(encode(push), r#"{"event":"e","payload":[1],"ref":null,"topic":"t"}"#);
        let reply =
            Outgoing::Reply { join_ref, reference, topic: "t".into(), status: "ok", response: &payload };
        let expected =
            r#"{"event":"phx_reply","payload":{"response":[1],"status":"ok"},"ref":"4","topic":"t"}"#;
        assert_eq!(encode(reply), expected);
        let close = Outgoing::Close { join_ref, topic: "t" };
        assert_eq!(encode(close), r#"{"event":"phx_close","payload":{},"ref":"3","topic":"t"}"#);
        let error = Outgoing::Error { join_ref: None, topic: "t", reason: "channel_crash" };
        let expected = r#"{"event":"phx_error","payload":{"reason":"channel_crash"},"ref":null,"topic":"t"}"#;
        assert_eq!(encode(error), expected);
    }

    #[test]
    fn bytes_cannot_go_out() {
        let payload = Payload::from(vec![1]);
        let reply = Outgoing::Reply {
            join_ref: None,
            reference: None,
            topic: "t".into(),
            status: "ok",
            response: &payload,
        };
        for outgoing in [
            Outgoing::Push { join_ref: None, topic: "t", event: "e", payload: &payload },
            Outgoing::Broadcast { topic: "t", event: "e", payload: &payload },
            reply,
        ] {
            assert!(matches!(V1.encode(outgoing), Err(EncodeError::BinaryPayload)));
        }
    }

    #[test]
    fn a_binary_frame_is_read_as_text() {
        let text = r#"{"topic":5,"event":"e","payload":{},"ref":null}"#;
        let msg = V1.decode(Message::Binary(text.as_bytes())).unwrap();
        assert_eq!(msg, V1.decode(Message::Text(text)).unwrap());
        assert_eq!(msg.topic, Name::from(RawJson::new("5").unwrap()));
        assert!(matches!(V1.decode(Message::Binary(b"\xff")), Err(DecodeError::NotText(_))));
    }

    #[test]
    fn ref_must_be_there() {
        let decode = |text| V1.decode(Message::Text(text));
        assert!(
            decode(r#"{"topic":"t","event":"e","payload":{},"ref":null,"join_ref":"1"}"#)
                .unwrap()
                .join_ref
                .is_some()
        );
        assert!(matches!(
            decode(r#"{"topic":"t","event":"e","payload":{}}"#),
            Err(DecodeError::MissingKey(_))
        ));
    }
}
