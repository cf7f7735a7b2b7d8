//! What holds for every stream, however the network cuts it.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;

/// A message and how a client happens to send it.
#[derive(Clone, Debug)]
struct Sent {
    message: Seen,
    /// Where it is cut into fragments.
    cuts: Vec<Index>,
    /// Control frames, each before the fragment of the same index, or after the message.
    between: Vec<Seen>,
}

fn control() -> impl Strategy<Value = Seen> {
    let payload = vec(any::<u8>(), 0..126);
    (payload, any::<bool>()).prop_map(
        |(payload, is_ping)| {
            if is_ping { Seen::Ping(payload) } else { Seen::Pong(payload) }
        },
    )
}

fn sent() -> impl Strategy<Value = Sent> {
    let message = prop_oneof![
        any::<String>().prop_map(Seen::Text),
        "[a-zé🦀]{0,200}".prop_map(Seen::Text),
        vec(any::<u8>(), 0..200).prop_map(Seen::Binary),
    ];
    (message, vec(any::<Index>(), 0..4), vec(control(), 0..4)).prop_map(|(message, cuts, between)| Sent {
        message,
        cuts,
        between,
    })
}

/// Appends the frames to `stream` and what is to be seen of them to `expected`.
fn send(sent: &Sent, stream: &mut Vec<u8>, expected: &mut Vec<Seen>) {
    let (first_opcode, payload) = match &sent.message {
        Seen::Text(text) => (OpCode::Text, text.as_bytes()),
        Seen::Binary(bytes) => (OpCode::Binary, &bytes[..]),
        control => unreachable!("{control:?} is no message"),
    };
    let mut cuts: Vec<usize> = sent.cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(payload.len());
    let mut between = sent.between.iter();
    let mut start = 0;
    for (index, &end) in cuts.iter().enumerate() {
        if let Some(control) = between.next() {
            send_control(control, stream);
            expected.push(control.clone());
        }
        let opcode = if index == 0 { first_opcode } else { OpCode::Continuation };
        let is_last = index + 1 == cuts.len();
        stream.extend(if is_last {
            whole(opcode, &payload[start..end])
        } else {
            open(opcode, &payload[start..end])
        });
        start = end;
    }
    expected.push(sent.message.clone());
    for control in between {
        send_control(control, stream);
        expected.push(control.clone());
    }
}

fn send_control(control: &Seen, stream: &mut Vec<u8>) {
    stream.extend(match control {
        Seen::Ping(payload) => whole(OpCode::Ping, payload),
        Seen::Pong(payload) => whole(OpCode::Pong, payload),
        other => unreachable!("{other:?} is not sent between fragments"),
    });
}

/// Feeds the stream in reads that end at `cuts`.
fn decode_cut(stream: &[u8], cuts: &[Index], limits: &DecodeLimits) -> (Vec<Seen>, Option<ProtocolError>) {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    ends.push(stream.len());
    ends.sort_unstable();
    let mut decoder = Decoder::new();
    let (mut all, mut start) = (Vec::new(), 0);
    for end in ends {
        let (seen, error) = decode_reads(&mut decoder, &stream[start..end], stream.len().max(1), limits);
        all.extend(seen);
        if let Some((_, error)) = error {
            return (all, Some(error));
        }
        start = end;
    }
    (all, None)
}

proptest! {
    #[test]
    fn what_is_sent_is_seen_however_it_is_cut(
        messages in vec(sent(), 0..6),
        cuts in vec(any::<Index>(), 0..12),
        read_bytes in 1_usize..40,
    ) {
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for message in &messages {
            send(message, &mut stream, &mut expected);
        }
        let limits = DecodeLimits::default();
        prop_assert_eq!(decode_cut(&stream, &cuts, &limits), (expected.clone(), None));
        let mut decoder = Decoder::new();
        prop_assert_eq!(decode_reads(&mut decoder, &stream, read_bytes, &limits), (expected, None));
        prop_assert!(decoder.is_idle());
    }

    #[test]
    fn damage_is_judged_alike_however_it_is_cut(
        messages in vec(sent(), 1..4),
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let (mut stream, mut unused) = (Vec::new(), Vec::new());
        for message in &messages {
            send(message, &mut stream, &mut unused);
        }
        for (place, bits) in damage {
            let place = place.index(stream.len());
            stream[place] ^= bits;
        }
        let limits = DecodeLimits::new().frame_bytes_max(150).message_bytes_max(180).fragments_max(3);
        let whole = decode_within(&stream, &limits);
        prop_assert_eq!(decode_cut(&stream, &cuts, &limits), whole);
    }

    #[test]
    fn noise_is_judged_alike_however_it_is_cut(
        stream in vec(prop_oneof![0x80_u8..0x84, 0x00_u8..0x03, Just(0x89), any::<u8>()], 0..80),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let limits = DecodeLimits::default();
        let whole = decode_within(&stream, &limits);
        prop_assert_eq!(decode_cut(&stream, &cuts, &limits), whole);
    }
}
