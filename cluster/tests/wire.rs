//! The bytes between nodes: as they were, and whatever else arrives.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use bytes::Bytes;
use lapwing_cluster::{
    Instance, Key,
    wire::{
        Beat, Kept, Message, PayloadKind, Place, Publish, Repair, Slow, Tops, WireError, WireLimits, sender,
    },
};
use proptest::prelude::*;

/// One message of each kind, in the order of the frozen file.
fn samples() -> Vec<(&'static str, Message)> {
    let tops =
        Tops { top: 300, since: 7, lost: 0, part: (0, 1), changed: vec![(Key(3), 299), (Key(127), 300)] };
    let publish = Publish {
        number: 300,
        prev: 299,
        topic: "room:1".into(),
        event: "said".into(),
        kind: PayloadKind::Json,
        slow: None,
        payload: Bytes::from_static(br#"{"text":"hi"}"#),
    };
    let again = Message::Publish(publish.clone()).encode(Instance(0x0102_0304_0506_0708));
    let again_kept = again.clone();
    let beat =
        Beat { number: 9, name: "one".into(), versions: (1, 1), is_draining: true, tops: tops.clone() };
    let repair = Repair { key: Key(3), after: 1, upto: 300, is_complete: true, publishes: vec![again] };
    let place = Place { epoch: 0x0102_0304_0506_0708, number: 300, check: 0x00ab_cdef };
    let kept = Kept { place, before: 7, entry: again_kept };
    vec![
        ("publish", Message::Publish(publish)),
        ("beat", Message::Beat(beat)),
        ("departed", Message::Departed),
        ("ask", Message::Ask { key: Key(3), after: 1, upto: 300 }),
        ("repair", Message::Repair(repair)),
        ("ask-tops", Message::AskTops { after: 7 }),
        ("tops", Message::Tops(tops)),
        ("presence", Message::Presence(Bytes::from_static(b"delta"))),
        ("call", Message::Call { id: 5, body: Bytes::from_static(b"who") }),
        ("answer", Message::Answer { id: 5, body: Bytes::from_static(b"me") }),
        ("kept", Message::Kept(kept)),
        ("relay", Message::Relay(Bytes::from_static(b"\x01"))),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Bytes {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// What is in version 2 alone: publications with each policy for slow clients.
fn samples_of_version_2() -> Vec<(&'static str, Message)> {
    let policies = [
        ("close", Slow::Close),
        ("volatile", Slow::Volatile),
        ("latest", Slow::Latest),
        ("latest-of", Slow::LatestOf("bus:12".into())),
        ("few", Slow::Few { count: 3, told_by: "missed".into() }),
    ];
    let Message::Publish(publish) = samples().swap_remove(0).1 else { unreachable!("it is the first") };
    let with = |slow| Message::Publish(Publish { slow: Some(slow), ..publish.clone() });
    policies.into_iter().map(|(name, slow)| (name, with(slow))).collect()
}

/// A later release must read what this one wrote, and this one says what it writes.
#[test]
fn the_frozen_bytes_of_version_1_are_written_and_read() {
    check_frozen(include_str!("data/wire-1.txt"), samples());
}

#[test]
fn the_frozen_bytes_of_version_3_are_written_and_read() {
    let says = Message::Move(Bytes::from_static(b"\x01"));
    check_frozen("move 030d010203040506070801\n", vec![("move", says)]);
}

#[test]
fn the_frozen_bytes_of_version_2_are_written_and_read() {
    check_frozen(include_str!("data/wire-2.txt"), samples_of_version_2());
}

fn check_frozen(frozen: &str, samples: Vec<(&str, Message)>) {
    let lines: Vec<(&str, &str)> = frozen.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!(lines.len(), samples.len());
    for ((name, bytes), (sample, message)) in lines.into_iter().zip(samples) {
        assert_eq!(name, sample);
        assert_eq!(hex(&message.encode(Instance(0x0102_0304_0506_0708))), bytes, "{name}");
        let read = Message::decode(&unhex(bytes), &WireLimits::default());
        assert_eq!(read, Ok((Instance(0x0102_0304_0506_0708), message)), "{name}");
    }
}

#[test]
fn limits_are_kept() {
    let limits = WireLimits { message_bytes_max: 100, text_bytes_max: 4, tops_max: 1, publishes_max: 0 };
    for (name, message) in samples() {
        let bytes = message.encode(Instance(1));
        let expected = match name {
            "publish" | "beat" | "tops" | "repair" => Err(WireError::TooLarge),
            _ => Ok((Instance(1), message)),
        };
        assert_eq!(Message::decode(&bytes, &limits), expected, "{name}");
    }
    let long = Message::Presence(Bytes::from(vec![0; 100])).encode(Instance(1));
    assert_eq!(Message::decode(&long, &limits), Err(WireError::TooLarge));
}

#[test]
fn what_is_not_known_here_is_an_error_that_says_whose_it_was() {
    let bytes = Message::Departed.encode(Instance(7));
    let mut later = bytes.to_vec();
    later[0] = 4;
    assert_eq!(Message::decode(&later.clone().into(), &WireLimits::default()), Err(WireError::Version(4)));
    assert_eq!(sender(&later), Some(Instance(7)));
    let mut unknown = bytes.to_vec();
    unknown[1] = 99;
    assert_eq!(Message::decode(&unknown.into(), &WireLimits::default()), Err(WireError::Kind(99)));
    let mut more = bytes.to_vec();
    more.push(0);
    assert_eq!(Message::decode(&more.into(), &WireLimits::default()), Err(WireError::Length));
    assert_eq!(sender(b"short"), None);
}

#[test]
fn a_count_without_items_reserves_nothing() {
    // A repair that announces 1,000 publications and has none.
    let mut bytes = vec![1, 5, 0, 0, 0, 0, 0, 0, 0, 1, 3, 1, 9, 1];
    bytes.extend([0xe8, 0x07]);
    assert_eq!(Message::decode(&bytes.into(), &WireLimits::default()), Err(WireError::Length));
}

#[test]
fn a_publication_before_its_predecessor_is_none() {
    let publish = Publish {
        number: 5,
        prev: 5,
        topic: "t".into(),
        event: "e".into(),
        kind: PayloadKind::Binary,
        slow: None,
        payload: Bytes::new(),
    };
    let bytes = Message::Publish(publish).encode(Instance(1));
    assert_eq!(Message::decode(&bytes, &WireLimits::default()), Err(WireError::Value));
}

#[test]
fn every_kind_of_payload_is_read_as_it_was_written_and_no_other_is_read() {
    let kinds = [PayloadKind::Json, PayloadKind::Binary, PayloadKind::JsonAsItIs, PayloadKind::BinaryAsItIs];
    for (number, kind) in kinds.into_iter().enumerate() {
        let (topic, event, payload) = ("t".into(), "e".into(), Bytes::from_static(b"{}"));
        let message =
            Message::Publish(Publish { number: 5, prev: 4, topic, event, kind, slow: None, payload });
        let bytes = message.encode(Instance(1));
        let at = bytes.len() - 3;
        assert_eq!(usize::from(bytes[at]), number);
        assert_eq!(Message::decode(&bytes, &WireLimits::default()), Ok((Instance(1), message)));
        let mut unknown = bytes.to_vec();
        unknown[at] = 4;
        assert_eq!(Message::decode(&unknown.into(), &WireLimits::default()), Err(WireError::Value));
    }
}

#[test]
fn a_policy_that_is_none_or_too_long_is_not_read() {
    let limits = WireLimits { text_bytes_max: 6, ..WireLimits::default() };
    for (name, message) in samples_of_version_2() {
        let bytes = message.encode(Instance(1));
        assert_eq!(Message::decode(&bytes, &limits), Ok((Instance(1), message)), "{name}");
        let mut unknown = bytes.to_vec();
        let at = unknown.iter().position(|byte| *byte == b'd').unwrap() + 2;
        unknown[at] = 5;
        assert_eq!(Message::decode(&unknown.into(), &limits), Err(WireError::Value), "{name}");
        // It has to be there in version 2, and may not be in version 1: what follows is the payload.
        let mut first = bytes.to_vec();
        first[0] = 1;
        let Ok((_, Message::Publish(publish))) = Message::decode(&first.into(), &limits) else {
            panic!("{name} is a publication in either version")
        };
        assert_eq!((publish.slow, publish.payload), (None, bytes.slice(at..)), "{name}");
    }
    let Message::Publish(mut publish) = samples().swap_remove(0).1 else { unreachable!("it is the first") };
    publish.slow = Some(Slow::LatestOf("bus:123".into()));
    let long = Message::Publish(publish).encode(Instance(1));
    assert_eq!(Message::decode(&long, &limits), Err(WireError::TooLarge));
}

proptest! {
    /// Whatever arrives: an answer, and what was read is written back as it came or shorter.
    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), version in 1u8..3, kind in 0u8..14) {
        if bytes.len() > 2 {
            (bytes[0], bytes[1]) = (version, kind);
        }
        let bytes = Bytes::from(bytes);
        if let Ok((from, message)) = Message::decode(&bytes, &WireLimits::default()) {
            let again = message.encode(from);
            prop_assert!(again.len() <= bytes.len());
            prop_assert_eq!(Message::decode(&again, &WireLimits::default()), Ok((from, message)));
        }
    }

    /// A message with a byte changed is read as something, or refused; never a panic.
    #[test]
    fn a_changed_byte_is_survived(sample in 0usize..17, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut samples = samples();
        samples.extend(samples_of_version_2());
        let mut bytes = samples[sample].1.encode(Instance(1)).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Message::decode(&bytes.into(), &WireLimits::default());
    }
}
