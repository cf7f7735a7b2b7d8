//! What a server says, put together from how a test knows it: a vector's fields, or a frame as a client reads it.

use std::collections::HashMap;

use lapwing::protocol::{ChannelMsg, DecodeError, Name, Outgoing, Payload, RawJson, Ref, Serializer, event};
use lapwing_transports::frame::Message;
use serde_json::Value;

/// A message of a server, owned.
pub(crate) struct Given {
    pub(crate) msg: ChannelMsg,
    /// Of a reply: status and response, which a binary frame keeps outside of the payload.
    reply: Option<(String, Payload)>,
    /// Of a `phx_error`.
    reason: Option<String>,
}

impl Given {
    /// From the five fields as a vector has them.
    pub(crate) fn from_fields(fields: &Value) -> Self {
        let msg = msg(fields);
        if msg.event == event::REPLY {
            let payload = &fields["payload"];
            let reply = (payload["status"].as_str().unwrap().to_owned(), payload_of(&payload["response"]));
            return Self { msg, reply: Some(reply), reason: None };
        }
        Self::from_msg(msg)
    }

    /// From a text frame, which a client reads as a server would.
    pub(crate) fn from_text(serializer: &dyn Serializer, text: &str) -> Result<Self, DecodeError> {
        serializer.decode(Message::Text(text)).map(Self::from_msg)
    }

    /// From a binary frame of the server, which only a client can read.
    pub(crate) fn from_binary(frame: &[u8]) -> Self {
        let (&kind, rest) = frame.split_first().unwrap();
        let fields = match kind {
            0 => 3,
            1 => 4,
            2 => 2,
            _ => panic!("kind {kind}"),
        };
        let (lens, mut rest) = rest.split_at(fields);
        let mut next = lens.iter().map(|&len| {
            let (field, tail) = rest.split_at(usize::from(len));
            rest = tail;
            std::str::from_utf8(field).unwrap().to_owned()
        });
        let mut next = || next.next().unwrap();
        // A client takes a ref of length 0 for none.
        let some = |text: String| (!text.is_empty()).then(|| Ref::from(text));
        let (join_ref, reference) = match kind {
            0 => (some(next()), None),
            1 => (some(next()), some(next())),
            _ => (None, None),
        };
        let (topic, last) = (Name::from(next()), next());
        let data = Payload::from(rest.to_vec());
        let empty = Payload::empty();
        let (event, payload, reply) = if kind == 1 {
            (event::REPLY.into(), empty, Some((last, data)))
        } else {
            (last.into(), data, None)
        };
        Self { msg: ChannelMsg { join_ref, reference, topic, event, payload }, reply, reason: None }
    }

    fn from_msg(msg: ChannelMsg) -> Self {
        let fields = msg.payload.parse::<HashMap<String, RawJson>>().unwrap_or_default();
        let text = |key| fields.get(key).and_then(|json: &RawJson| json.parse::<String>().ok());
        let response = fields.get("response").cloned();
        let reply = (msg.event == event::REPLY).then(|| (text("status").unwrap(), response.unwrap().into()));
        let reason = (msg.event == event::ERROR).then(|| text("reason").unwrap());
        Self { msg, reply, reason }
    }

    /// The message as lapwing would send it.
    pub(crate) fn outgoing(&self) -> Outgoing<'_> {
        let ChannelMsg { join_ref, reference, topic, event, payload } = &self.msg;
        let (join_ref, reference) = (join_ref.as_ref(), reference.as_ref());
        if let Some((status, response)) = &self.reply {
            return Outgoing::Reply { join_ref, reference, topic: topic.as_ref(), status, response };
        }
        let (topic, event) = (topic.as_str().unwrap(), event.as_str().unwrap());
        match (event, join_ref) {
            // The ref repeats the join_ref, and V1 says only the ref.
            (event::CLOSE, _) => Outgoing::Close { join_ref: reference, topic },
            (event::ERROR, _) => {
                Outgoing::Error { join_ref: reference, topic, reason: self.reason.as_ref().unwrap() }
            }
            (_, Some(_)) => Outgoing::Push { join_ref, topic, event, payload },
            (_, None) => Outgoing::Broadcast { topic, event, payload },
        }
    }

    pub(crate) fn reply(&self) -> Option<(&str, &Payload)> {
        self.reply.as_ref().map(|(status, response)| (status.as_str(), response))
    }
}

/// The message that a vector describes.
pub(crate) fn msg(fields: &Value) -> ChannelMsg {
    let reference = |key: &str| Ref::from_json(&fields[key].to_string()).unwrap();
    let name = |key: &str| Name::from(RawJson::from(fields[key].clone()));
    ChannelMsg {
        join_ref: reference("join_ref"),
        reference: reference("ref"),
        topic: name("topic"),
        event: name("event"),
        payload: payload_of(&fields["payload"]),
    }
}

/// A payload as a vector has it: `{"binary_hex": …}` stands for bytes.
fn payload_of(value: &Value) -> Payload {
    match value["binary_hex"].as_str() {
        Some(hex) => Payload::from(bytes(hex)),
        None => Payload::from(value.clone()),
    }
}

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "{hex}");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
