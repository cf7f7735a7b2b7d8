//! Answers to polls as they are written: as they are and as gzip, in one piece and in many.

use std::{
    io::Read as _,
    pin::pin,
    task::{Context, Poll, Waker},
};

use flate2::read::GzDecoder;
use http::{Response, header::CONTENT_ENCODING};
use http_body::Body as _;
use proptest::{collection::vec, prelude::*};

use super::{
    pieces::Form,
    writing::{Around, Layout, Writing},
};
use crate::{
    connect::Transport,
    forms::Forms,
    frame::Frame,
    http::{body::Body, encoding::Encoding},
    live::{Common, Kind, LiveSession},
    session::Seq,
};

const LINES: Layout = Layout { form: Form::of_line, separator: b'\n', is_terminator: true };
const STRINGS: Layout = Layout { form: Form::of_json, separator: b',', is_terminator: false };

/// An answer, the pieces in which it came, and how many bytes were counted.
struct Written {
    is_gzip: bool,
    pieces: Vec<usize>,
    bytes: Vec<u8>,
    counted: u64,
}

/// An answer of these frames.
fn written(frames: &[Frame], layout: Layout, encoding: Encoding) -> Written {
    let common = Common::boundless();
    let session = LiveSession::new(common.clone(), Transport::Longpoll, Kind::Plain, ());
    for frame in frames {
        session.push(frame.clone());
    }
    let session = std::sync::Arc::new(session);
    let attachment = session.core().session.attach();
    let span = layout.span(&mut session.core(), &common.outbox, Seq(0), usize::MAX);
    assert_eq!(span.last, Seq(frames.len() as u64), "all of them have a place");
    let around = Around { head: b"{\"token\":\"secret\",\"messages\":[".to_vec(), tail: b"]}".to_vec() };
    let of = ((session, attachment), (layout, span));
    let response = Writing::answer(of.0, of.1, around, (), (encoding, Response::<Body>::new));
    let is_gzip = response.headers().contains_key(CONTENT_ENCODING);
    let mut body = pin!(response.into_body());
    let announced = body.size_hint().exact().expect("its length is known");
    let (mut bytes, mut pieces) = (Vec::new(), Vec::new());
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(piece)) = body.as_mut().poll_frame(&mut cx) {
        let piece = piece.expect("nobody cuts it").into_data().expect("a piece is bytes");
        pieces.push(piece.len());
        bytes.extend_from_slice(&piece);
        assert_eq!(body.size_hint().exact(), Some(announced - bytes.len() as u64));
    }
    assert!(body.is_end_stream() && bytes.len() as u64 == announced, "{} of {announced}", bytes.len());
    let counted = common.counters.traffic(Transport::Longpoll);
    assert_eq!(counted.frames_out, frames.len() as u64);
    Written { is_gzip, pieces, bytes, counted: counted.bytes_out }
}

fn unzipped(mut member: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(&mut member).read_to_end(&mut plain).expect("it is gzip, with the right CRC and length");
    assert!(member.is_empty(), "{} bytes are left", member.len());
    plain
}

/// A frame that is compressed, if it can be.
fn shared(frame: Frame) -> Frame {
    let mut frame = frame;
    frame.compress(Forms::LINES | Forms::STRINGS);
    frame
}

fn noise(bytes: usize) -> String {
    let mut dice = 7_u64;
    let mut roll = || {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b' ' + (dice >> 33) as u8 % 90)
    };
    (0..bytes).map(|_| roll()).collect()
}

#[test]
fn what_is_written_is_counted_also_of_large_frames() {
    for layout in [LINES, STRINGS] {
        for text in [noise(200), noise(100_000), "again ".repeat(50_000)] {
            for encoding in [Encoding::Off, Encoding::Gzip] {
                let written = written(&[shared(Frame::text(&*text))], layout, encoding);
                assert_eq!(written.counted, written.bytes.len() as u64, "{encoding:?}, {} bytes", text.len());
            }
        }
    }
}

#[test]
fn nothing_is_gzip_that_is_no_smaller_for_it_or_is_not_wanted_so() {
    let (small, noise) = (Frame::text("small"), Frame::text(noise(9_000)));
    let large = shared(Frame::text("again ".repeat(3_000)));
    for layout in [LINES, STRINGS] {
        for frames in [&[][..], &[shared(small.clone())], &[shared(noise.clone()), small.clone()]] {
            assert!(!written(frames, layout, Encoding::Gzip).is_gzip, "{frames:?}");
        }
        for (encoding, is_gzip) in
            [(Encoding::Off, false), (Encoding::Identity, false), (Encoding::Gzip, true)]
        {
            let frames = [small.clone(), large.clone()];
            assert_eq!(written(&frames, layout, encoding).is_gzip, is_gzip, "{encoding:?}");
        }
        // A secret is not compressed when it is pushed, and not when it is written.
        assert!(!written(&[Frame::text("again ".repeat(3_000))], layout, Encoding::Gzip).is_gzip);
    }
}

/// The bytes that are with the HTTP server at once are bounded by the size of a piece.
#[test]
fn pieces_are_small_however_large_the_answer() {
    let frames = [
        Frame::text(noise(300_000)),
        shared(Frame::text(noise(400).repeat(600))),
        Frame::binary(vec![7; 90_000]),
    ];
    for layout in [LINES, STRINGS] {
        for encoding in [Encoding::Off, Encoding::Gzip] {
            let written = written(&frames, layout, encoding);
            assert_eq!(written.is_gzip, encoding == Encoding::Gzip);
            assert!(written.pieces.iter().all(|bytes| *bytes < 3 * 8 * 1024), "{:?}", written.pieces);
            assert!(written.pieces.len() > 10);
        }
    }
}

#[test]
fn a_token_and_what_was_not_compressed_are_in_gzip_as_they_are() {
    let frames = [shared(Frame::text("again ".repeat(3_000))), Frame::text("the code is 7f3a09")];
    for layout in [LINES, STRINGS] {
        let written = written(&frames, layout, Encoding::Gzip);
        for literal in [&b"{\"token\":\"secret\",\"messages\":["[..], b"the code is 7f3a09"] {
            assert!(written.is_gzip && written.bytes.windows(literal.len()).any(|window| window == literal));
        }
    }
}

/// A frame of some kind and size.
fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let text = prop_oneof!["[ab\"\\\\]{1,40}", "\\PC{1,30}", "[\\x00-\\x7f]{1,30}", "[a-z]{1,3}\n[a-z]{1,3}"];
    let times = prop_oneof![4 => 1usize..20, 2 => 20usize..600, 1 => 600usize..5_000];
    let frame = (text, times, 0..4u8).prop_map(|(text, times, kind)| match kind {
        0 => Frame::text(text.repeat(times)),
        1 => shared(Frame::binary(text.repeat(times).into_bytes())),
        _ => shared(Frame::text(text.repeat(times))),
    });
    vec(frame, 0..9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A decoder that is not ours makes the plain answer of it, whatever is in it and wherever it is cut.
    #[test]
    fn as_gzip_an_answer_is_the_same(frames in frames()) {
        for layout in [LINES, STRINGS] {
            let plain = written(&frames, layout, Encoding::Off);
            let gzip = written(&frames, layout, Encoding::Gzip);
            prop_assert!(!plain.is_gzip && plain.counted == plain.bytes.len() as u64);
            prop_assert_eq!(gzip.counted, gzip.bytes.len() as u64);
            if gzip.is_gzip {
                prop_assert!(gzip.bytes.len() < plain.bytes.len());
                prop_assert_eq!(unzipped(&gzip.bytes), plain.bytes);
            } else {
                prop_assert_eq!(gzip.bytes, plain.bytes);
            }
        }
    }
}
