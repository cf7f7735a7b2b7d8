//! Laws that hold for whatever messages and frames chance brings.

use lapwing::protocol::{
    ChannelMsg, EncodeError, FiveKey, Name, Outgoing, Payload, RawJson, Ref, Serializer, V1, V2, parse,
    serialize,
};
use lapwing_transports::frame::{Frame, Message};
use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value};

use crate::given::Given;

/// Strings of any characters, those included that JSON has to escape.
fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![4 => any::<char>(), 1 => (0u8..0x80).prop_map(char::from), 1 => Just('"')];
    prop_oneof![4 => vec(character, 0..40).prop_map(String::from_iter), 1 => vec(any::<char>(), 50..300).prop_map(String::from_iter)]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((text(), inner), 0..5).prop_map(|entries| Value::from(Map::from_iter(entries))),
        ]
    })
}

fn object() -> impl Strategy<Value = Payload> {
    vec((text(), value()), 0..5).prop_map(|entries| Value::from(Map::from_iter(entries)).into())
}

fn reference() -> impl Strategy<Value = Option<Ref>> {
    let json = value().prop_map(|value| Ref::from_json(&value.to_string()).unwrap());
    prop_oneof![1 => Just(None), 3 => text().prop_map(|text| Some(Ref::from(text))), 1 => json]
}

/// Refs that a binary frame can carry and give back.
fn plain_reference() -> impl Strategy<Value = Option<Ref>> {
    prop_oneof![Just(None), "[^\u{0}]{1,60}".prop_map(|text| Some(Ref::from(text)))]
}

fn name() -> impl Strategy<Value = Name> {
    let json = value().prop_map(|value| Name::from(RawJson::from(value)));
    prop_oneof![4 => text().prop_map(Name::from), 1 => json]
}

fn data() -> impl Strategy<Value = Payload> {
    vec(any::<u8>(), 0..40).prop_map(Payload::from)
}

fn decode(serializer: &dyn Serializer, frame: &Frame) -> ChannelMsg {
    serializer.decode(Message::Text(std::str::from_utf8(frame.payload()).unwrap())).unwrap()
}

fn reply_payload(status: &str, response: &Payload) -> Value {
    serde_json::json!({"status": status, "response": response.parse::<Value>().unwrap()})
}

proptest! {
    #[test]
    fn pushes_and_broadcasts_come_back_as_they_went(
        join_ref in reference(), topic in text(), event in text(), payload in object(),
    ) {
        let push = Outgoing::Push { join_ref: join_ref.as_ref(), topic: &topic, event: &event, payload: &payload };
        let broadcast = Outgoing::Broadcast { topic: &topic, event: &event, payload: &payload };
        let msg = |join_ref| ChannelMsg {
            join_ref,
            reference: None,
            topic: topic.as_str().into(),
            event: event.as_str().into(),
            payload: payload.clone(),
        };
        for serializer in [&V2 as &dyn Serializer, &FiveKey] {
            prop_assert_eq!(decode(serializer, &serializer.encode(push).unwrap()), msg(join_ref.clone()));
            prop_assert_eq!(decode(serializer, &serializer.encode(broadcast).unwrap()), msg(None));
        }
        prop_assert_eq!(decode(&V1, &V1.encode(push).unwrap()), msg(None));
        prop_assert_eq!(decode(&V1, &V1.encode(broadcast).unwrap()), msg(None));
    }

    #[test]
    fn replies_come_back_as_they_went(
        join_ref in reference(), reference in reference(), topic in name(), status in text(), response in value(),
    ) {
        let response = Payload::from(response);
        let reply = Outgoing::Reply {
            join_ref: join_ref.as_ref(),
            reference: reference.as_ref(),
            topic: topic.as_ref(),
            status: &status,
            response: &response,
        };
        for (serializer, join_ref) in [(&V1 as &dyn Serializer, None), (&V2, join_ref.clone()), (&FiveKey, join_ref.clone())] {
            let msg = decode(serializer, &serializer.encode(reply).unwrap());
            prop_assert_eq!(msg.join_ref, join_ref);
            prop_assert_eq!(&msg.reference, &reference);
            prop_assert_eq!(&msg.topic, &topic);
            prop_assert_eq!(msg.event, "phx_reply");
            prop_assert_eq!(msg.payload.parse::<Value>().unwrap(), reply_payload(&status, &response));
        }
    }

    #[test]
    fn ends_come_back_with_the_join_ref_for_a_ref(join_ref in reference(), topic in text(), reason in text()) {
        let close = Outgoing::Close { join_ref: join_ref.as_ref(), topic: &topic };
        let error = Outgoing::Error { join_ref: join_ref.as_ref(), topic: &topic, reason: &reason };
        for serializer in [&V1 as &dyn Serializer, &V2, &FiveKey] {
            let msg = decode(serializer, &serializer.encode(close).unwrap());
            prop_assert_eq!(&msg.reference, &join_ref);
            prop_assert_eq!(msg.payload, Payload::empty());
            let msg = decode(serializer, &serializer.encode(error).unwrap());
            prop_assert_eq!(&msg.reference, &join_ref);
            prop_assert_eq!(msg.payload.parse::<Value>().unwrap(), serde_json::json!({"reason": reason}));
        }
    }

    #[test]
    fn any_message_survives_serialize_and_parse(
        join_ref in reference(), reference in reference(), topic in name(), event in name(), payload in value(),
    ) {
        let msg = ChannelMsg { join_ref, reference, topic, event, payload: payload.into() };
        prop_assert_eq!(parse(&serialize(&msg).unwrap()).unwrap(), msg);
    }

    #[test]
    fn a_binary_push_of_a_client_is_read(
        join_ref in "\\PC{0,60}", reference in "\\PC{0,60}", topic in "\\PC{0,60}", event in "\\PC{0,60}", data in data(),
    ) {
        let fields = [&join_ref, &reference, &topic, &event];
        let mut frame = vec![0];
        frame.extend(fields.map(|field| u8::try_from(field.len()).unwrap()));
        fields.iter().for_each(|field| frame.extend(field.as_bytes()));
        frame.extend(data.as_binary().unwrap());
        let msg = V2.decode(Message::Binary(&frame)).unwrap();
        let expected = ChannelMsg {
            join_ref: Some(join_ref.into()),
            reference: Some(reference.into()),
            topic: topic.into(),
            event: event.into(),
            payload: data,
        };
        prop_assert_eq!(msg, expected);
    }

    #[test]
    fn binary_frames_of_the_server_are_what_a_client_reads(
        join_ref in plain_reference(), reference in plain_reference(), topic in text(), last in text(), data in data(),
    ) {
        let (join_ref, reference) = (join_ref.as_ref(), reference.as_ref());
        let push = Outgoing::Push { join_ref, topic: &topic, event: &last, payload: &data };
        let broadcast = Outgoing::Broadcast { topic: &topic, event: &last, payload: &data };
        let reply = Outgoing::Reply { join_ref, reference, topic: (&*topic).into(), status: &last, response: &data };
        let fits = topic.len() <= 255 && last.len() <= 255;
        for (outgoing, join_ref, reference) in
            [(push, join_ref, None), (broadcast, None, None), (reply, join_ref, reference)]
        {
            let result = V2.encode(outgoing);
            if !fits {
                let is_too_long = matches!(result, Err(EncodeError::FieldTooLong { .. }));
                prop_assert!(is_too_long);
                continue;
            }
            let given = Given::from_binary(result.unwrap().payload());
            prop_assert_eq!(given.msg.join_ref.as_ref(), join_ref);
            prop_assert_eq!(given.msg.reference.as_ref(), reference);
            prop_assert_eq!(&given.msg.topic, &topic.as_str());
            match given.reply() {
                Some((status, response)) => prop_assert_eq!((status, response), (last.as_str(), &data)),
                None => prop_assert_eq!((given.msg.event.as_str().unwrap(), &given.msg.payload), (last.as_str(), &data)),
            }
        }
    }

    #[test]
    fn no_bytes_make_a_serializer_panic(bytes in vec(any::<u8>(), 0..200), kind in 0u8..4) {
        let mut frame = bytes;
        for _ in 0..2 {
            for serializer in [&V1 as &dyn Serializer, &V2, &FiveKey] {
                let _ = serializer.decode(Message::Binary(&frame));
                let _ = serializer.decode(Message::Text(&String::from_utf8_lossy(&frame)));
            }
            frame.insert(0, kind);
        }
    }

    #[test]
    fn a_damaged_frame_is_read_or_refused(
        msg in (reference(), reference(), name(), name(), value()), at in any::<prop::sample::Index>(), with in any::<char>(),
    ) {
        let (join_ref, reference, topic, event, payload) = msg;
        let msg = ChannelMsg { join_ref, reference, topic, event, payload: payload.into() };
        let mut damaged: Vec<char> = serialize(&msg).unwrap().chars().collect();
        let at = at.index(damaged.len());
        damaged[at] = with;
        let damaged: String = damaged.into_iter().collect();
        let is_json = serde_json::from_str::<Value>(&damaged).is_ok();
        if let Ok(msg) = parse(&damaged) {
            prop_assert_eq!(parse(&serialize(&msg).unwrap()).unwrap(), msg);
        } else if is_json {
            // What is JSON still is refused only for a key that is missing now.
            let error = parse(&damaged).unwrap_err().to_string();
            prop_assert!(error.starts_with("frame has no key"), "{}", error);
        }
    }
}
