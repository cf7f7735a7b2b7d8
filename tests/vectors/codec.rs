//! Every vector that has a frame.

use std::collections::BTreeSet;

use lapwing::protocol::{DecodeError, EncodeError, Field, Payload, RawJson, Serializer, SerializerList};
use lapwing_transports::frame::{Frame, FrameKind, Message};
use serde_json::Value;

use crate::{
    given::{Given, bytes, msg},
    left_out::{CONSEQUENCE_LEFT_OUT, LEFT_OUT},
};

const VECTORS: &str = include_str!("../data/vectors.json");

#[test]
fn every_vector_with_a_frame_holds() {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let list = SerializerList::default();
    let mut checked = 0;
    for vector in file["vectors"].as_array().unwrap() {
        let id = vector["id"].as_str().unwrap();
        if LEFT_OUT.iter().any(|(left, _)| *left == id) {
            continue;
        }
        let serializer = list.select(vector["vsn"].as_str().unwrap()).unwrap();
        match vector["direction"].as_str() {
            Some("c2s") => check_decoding(&*serializer, vector),
            Some("s2c") => check_encoding(&*serializer, vector),
            other => panic!("{id}: direction {other:?}"),
        }
        checked += 1;
    }
    assert_eq!(checked + LEFT_OUT.len(), file["vectors"].as_array().unwrap().len());
}

#[test]
fn what_is_left_out_is_in_the_file_and_is_not_about_frames() {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    let find = |id: &str| {
        vectors.iter().find(|vector| vector["id"] == id).unwrap_or_else(|| panic!("no vector {id}"))
    };
    for (id, reason) in LEFT_OUT {
        let vector = find(id);
        assert!(
            vector["opcode"] == "http" || vector["dialect"] == "supabase",
            "{id} could be checked here: {reason}"
        );
    }
    let with_consequence: BTreeSet<&str> = vectors
        .iter()
        .filter(|vector| vector["server"].is_string())
        .map(|vector| vector["id"].as_str().unwrap())
        .collect();
    let listed: BTreeSet<&str> = CONSEQUENCE_LEFT_OUT.iter().map(|(id, _)| *id).collect();
    assert_eq!(listed, with_consequence);
}

#[test]
fn supabases_own_kinds_are_refused_as_phoenix_refuses_them() {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let v2 = SerializerList::default().select("2.0.0").unwrap();
    for vector in file["vectors"].as_array().unwrap() {
        if vector["dialect"] == "supabase" && vector["direction"] == "c2s" {
            let frame = bytes(vector["hex"].as_str().unwrap());
            assert!(matches!(v2.decode(Message::Binary(&frame)), Err(DecodeError::UnknownKind(3))));
        }
    }
}

fn check_decoding(serializer: &dyn Serializer, vector: &Value) {
    let binary = vector["hex"].as_str().map(bytes);
    let message = match &binary {
        Some(frame) => Message::Binary(frame),
        None => Message::Text(vector["text"].as_str().unwrap()),
    };
    let result = serializer.decode(message);
    let Some(expected) = vector["expected_error"].as_str() else {
        let (decoded, expected) = (result.unwrap(), msg(&vector["decoded"]));
        assert_eq!(decoded.join_ref, expected.join_ref, "{vector}");
        assert_eq!(decoded.reference, expected.reference, "{vector}");
        assert_eq!(decoded.topic, expected.topic, "{vector}");
        assert_eq!(decoded.event, expected.event, "{vector}");
        assert_eq!(value(&decoded.payload), value(&expected.payload), "{vector}");
        return;
    };
    let error = result.unwrap_err();
    let fits = match &error {
        DecodeError::NotArray => expected.ends_with("not an array"),
        DecodeError::Json(_) => expected.ends_with("JSON syntax"),
        DecodeError::MissingKey(field) => expected.ends_with(&format!("missing key \"{field}\"")),
        DecodeError::Truncated { .. } | DecodeError::UnknownKind(_) => binary.is_some(),
        _ => false,
    };
    assert!(fits, "{vector}: {error}");
}

fn check_encoding(serializer: &dyn Serializer, vector: &Value) {
    let Some(expected) = vector["expected_error"].as_str() else {
        let given = Given::from_fields(&vector["decoded"]);
        check_frame(&serializer.encode(given.outgoing()).unwrap(), vector);
        return;
    };
    let given = Given::from_fields(&vector["fields"]);
    let error = serializer.encode(given.outgoing()).unwrap_err();
    match expected.strip_prefix("encode error naming ") {
        Some(field) => {
            let field = field.strip_suffix("; nothing is sent").unwrap();
            assert!(
                matches!(error, EncodeError::FieldTooLong { field: found, len: 256 } if found.to_string() == field)
            );
            assert_ne!(field, Field::Payload.to_string());
        }
        None => assert!(matches!(error, EncodeError::NotObject), "{vector}: {error}"),
    }
}

fn check_frame(frame: &Frame, vector: &Value) {
    if let Some(hex) = vector["hex"].as_str() {
        assert_eq!(frame.kind(), FrameKind::Binary);
        assert_eq!(frame.payload()[..], bytes(hex), "{vector}");
        return;
    }
    assert_eq!(frame.kind(), FrameKind::Text);
    let found: Value = serde_json::from_slice(frame.payload()).unwrap();
    let expected: Value = serde_json::from_str(vector["text"].as_str().unwrap()).unwrap();
    assert_eq!(found, expected, "{vector}");
    if let Some(keys) = vector["keys_exactly"].as_array() {
        let found: BTreeSet<&str> = found.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(found, keys.iter().map(|key| key.as_str().unwrap()).collect(), "{vector}");
    }
}

/// For comparing payloads whatever their white space and the order of their keys.
fn value(payload: &Payload) -> Result<Value, Vec<u8>> {
    match payload {
        Payload::Json(json) => Ok(RawJson::parse(json).unwrap()),
        Payload::Binary(bytes) => Err(bytes.to_vec()),
    }
}
