//! A message, and the making of the usual ones.

use super::{
    event,
    name::Name,
    payload::Payload,
    raw_json::RawJson,
    reference::Ref,
    text::{Piece, concat},
};

/// A message in either direction: five fields.
///
/// ```
/// use lapwing::protocol::{Ref, make_msg, parse, serialize};
/// use serde_json::json;
///
/// let msg = make_msg(Some(Ref::from("0")), Some(Ref::from("1")), "room:lobby", "new_msg", json!({}));
/// let text = serialize(&msg)?;
/// assert_eq!(text, r#"{"join_ref":"0","ref":"1","topic":"room:lobby","event":"new_msg","payload":{}}"#);
/// assert_eq!(parse(&text)?, msg);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelMsg {
    /// Which join of the topic the message belongs to; on the wire `join_ref`.
    pub join_ref: Option<Ref>,
    /// The reference that a reply will repeat; on the wire `ref`.
    pub reference: Option<Ref>,
    /// The topic.
    pub topic: Name,
    /// The event.
    pub event: Name,
    /// The payload.
    pub payload: Payload,
}

/// A message of the five fields.
///
/// ```
/// use lapwing::protocol::{Payload, make_msg};
///
/// let msg = make_msg(None, None, "room:lobby", "image", vec![0xde, 0xad]);
/// assert_eq!(msg.payload, Payload::from(vec![0xde, 0xad]));
/// ```
#[must_use]
pub fn make_msg(
    join_ref: Option<Ref>,
    reference: Option<Ref>,
    topic: impl Into<Name>,
    event: impl Into<Name>,
    payload: impl Into<Payload>,
) -> ChannelMsg {
    ChannelMsg { join_ref, reference, topic: topic.into(), event: event.into(), payload: payload.into() }
}

/// A `phx_reply`.
///
/// ```
/// use lapwing::protocol::{Ref, reply_msg};
/// use serde_json::json;
///
/// let msg = reply_msg(Some(Ref::from("3")), Some(Ref::from("4")), "chess:42", "ok", json!([1]));
/// assert_eq!(msg.event, "phx_reply");
/// assert_eq!(msg.payload.parse::<serde_json::Value>()?, json!({"status": "ok", "response": [1]}));
/// # Ok::<(), lapwing::protocol::PayloadError>(())
/// ```
#[must_use]
pub fn reply_msg(
    join_ref: Option<Ref>,
    reference: Option<Ref>,
    topic: impl Into<Name>,
    status: &str,
    response: impl Into<RawJson>,
) -> ChannelMsg {
    let payload = RawJson::from_valid(concat(&[&reply_payload(status, &response.into())]));
    make_msg(join_ref, reference, topic, event::REPLY, payload)
}

/// A `phx_error`: the join ended because something went wrong.
///
/// ```
/// use lapwing::protocol::{Ref, error_msg};
/// use serde_json::json;
///
/// let join_ref = Some(Ref::from("3"));
/// let msg = error_msg(join_ref.clone(), join_ref, "chess:42", "channel_crash");
/// assert_eq!(msg.payload, json!({"reason": "channel_crash"}).into());
/// ```
#[must_use]
pub fn error_msg(
    join_ref: Option<Ref>,
    reference: Option<Ref>,
    topic: impl Into<Name>,
    reason: &str,
) -> ChannelMsg {
    let payload = RawJson::from_valid(concat(&[&error_payload(reason)]));
    make_msg(join_ref, reference, topic, event::ERROR, payload)
}

/// A `phx_close`: the join ended in good order. Its ref repeats the join_ref, as clients expect.
///
/// ```
/// use lapwing::protocol::{Ref, close_msg};
///
/// let msg = close_msg(Some(Ref::from("3")), "chess:42");
/// assert_eq!(msg.reference, msg.join_ref);
/// ```
#[must_use]
pub fn close_msg(join_ref: Option<Ref>, topic: impl Into<Name>) -> ChannelMsg {
    make_msg(join_ref.clone(), join_ref, topic, event::CLOSE, Payload::empty())
}

/// The payload of a reply, with the keys in Phoenix's order: recorded replies can be compared byte for byte.
pub(super) fn reply_payload<'a>(status: &'a str, response: &'a RawJson) -> [Piece<'a>; 5] {
    [
        Piece::Json("{\"response\":"),
        Piece::Json(response.as_str()),
        Piece::Json(",\"status\":"),
        Piece::status(status),
        Piece::Json("}"),
    ]
}

/// The payload of a `phx_error`.
pub(super) fn error_payload(reason: &str) -> [Piece<'_>; 3] {
    [Piece::Json("{\"reason\":"), Piece::Text(reason), Piece::Json("}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_escaped_and_a_response_is_not_touched() {
        let response = RawJson::new("{\"a\" : 1.0}").unwrap();
        let msg = reply_msg(None, None, "t", "so \"so\"", response);
        assert_eq!(
            msg.payload.as_json().unwrap().as_str(),
            r#"{"response":{"a" : 1.0},"status":"so \"so\""}"#
        );
    }
}
