//! Event streams as gzip.

use std::{
    io::Read as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use flate2::{Decompress, FlushDecompress, read::GzDecoder};
use http_body::Body as _;
use proptest::{collection::vec, prelude::*};

use super::stream::EventStream;
use crate::{
    close::CloseReason,
    connect::{ConnectRequest, Refusal, Transport},
    dialect::lines,
    forms::Forms,
    frame::{Frame, Message},
    handler::Handler,
    live::{Kind, LiveSession, resumable::Resumable},
    manager::{Manager, admission::Attached, dice},
    options::{SseOptions, TransportOptions},
    session::Seq,
};

struct Deaf;

impl Handler for Deaf {
    type State = ();

    async fn connect(&self, _: ConnectRequest) -> Result<(), Refusal> {
        Ok(())
    }

    fn received(&self, _: &Arc<LiveSession<()>>, _: Message<'_>) -> Result<(), CloseReason> {
        Ok(())
    }
}

const GREETING: &str = "!opened 8a9ee2a1c0 60000 10000";

/// An event stream, what carries it, and what has come of it.
struct Listener {
    session: Arc<LiveSession<()>>,
    stream: Pin<Box<EventStream<Deaf>>>,
    came: Vec<u8>,
}

impl Listener {
    fn new(prelude_bytes: usize, is_gzip: bool) -> Self {
        let sse = SseOptions::default().prelude_bytes(prelude_bytes);
        let manager = Arc::new(Manager::new(Deaf, TransportOptions::default().sse(sse)));
        let kind = Kind::Resumable(Resumable::new(1, dice::secret().expect("there is randomness")));
        let session = Arc::new(LiveSession::new(manager.common.clone(), Transport::Sse, kind, ()));
        let attachment = session.core().session.attach();
        let (sent, taken, greeting) = (Seq(0), Seq(0), GREETING.to_owned());
        let attached = Attached { session: session.clone(), attachment, sent, taken, greeting };
        Self { session, stream: Box::pin(EventStream::new(manager, attached, is_gzip)), came: Vec::new() }
    }

    /// Reads all that there is, without waiting. Returns whether the stream is over.
    fn read(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match self.stream.as_mut().poll_frame(&mut cx) {
                Poll::Pending => return false,
                Poll::Ready(None) => return true,
                Poll::Ready(Some(piece)) => {
                    let piece = piece.expect("nobody cuts it").into_data().expect("a piece is bytes");
                    self.came.extend_from_slice(&piece);
                }
            }
        }
    }

    /// What a decoder that we have not written knows by now.
    fn known(&self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(self.came.len() * 1_100);
        let mut inflate = Decompress::new(false);
        inflate.decompress_vec(&self.came[10..], &mut plain, FlushDecompress::Sync).expect("it is DEFLATE");
        plain
    }

    /// The same of a stream that is over.
    fn whole(&self) -> Vec<u8> {
        let (mut plain, mut member) = (Vec::new(), &self.came[..]);
        GzDecoder::new(&mut member)
            .read_to_end(&mut plain)
            .expect("it is gzip, with the right CRC and length");
        assert!(member.is_empty(), "{} bytes are left", member.len());
        plain
    }

    fn has(&self, literal: &str) -> bool {
        self.came.windows(literal.len()).any(|window| window == literal.as_bytes())
    }
}

fn shared(text: String) -> Frame {
    let mut frame = Frame::text(text);
    frame.compress(Forms::LINES);
    frame
}

/// Whoever sees the lengths of what is encrypted learns nothing of a token by it, nor a decoder of another frame.
#[test]
fn the_prelude_the_token_and_what_was_not_compressed_are_as_they_are() {
    let mut listener = Listener::new(2_048, true);
    assert!(!listener.read());
    assert!(listener.has(GREETING) && listener.came.len() > 2_048, "{}", listener.came.len());
    let said = "the same words again and again, ".repeat(40);
    listener.session.push(shared(said.clone()));
    assert!(!listener.read());
    assert!(!listener.has(&said[..100]), "that one was compressed");
    let before = listener.came.len();
    for secret in [said.clone(), "a short one".to_owned()] {
        listener.session.push(Frame::text(&*secret));
        assert!(!listener.read());
        assert!(listener.has(&secret));
    }
    assert!(listener.came.len() - before > said.len(), "nothing of it stands for what was said before");
}

#[test]
fn a_stream_that_ends_says_so_however_it_ends() {
    for is_superseded in [false, true] {
        let mut listener = Listener::new(0, true);
        listener.session.push(shared("again and again, ".repeat(90)));
        assert!(!listener.read());
        if is_superseded {
            let _ = listener.session.core().session.attach();
        } else {
            listener.session.close(CloseReason::Disconnected);
        }
        assert!(listener.read(), "it is over");
        let last = if is_superseded { "data: !superseded\n\n" } else { "data: !closed " };
        let plain = String::from_utf8(listener.whole()).unwrap();
        assert!(plain.lines().count() == 8 && plain.contains(last), "{plain}");
    }
}

#[test]
fn what_is_written_is_what_is_counted() {
    for is_gzip in [false, true] {
        let mut listener = Listener::new(0, is_gzip);
        assert!(!listener.read());
        let before = listener.came.len();
        for times in [1, 100, 10_000] {
            listener.session.push(shared("again and again, ".repeat(times)));
        }
        assert!(!listener.read());
        let counted = listener.session.common.counters.traffic(Transport::Sse);
        assert_eq!((counted.frames_out, counted.bytes_out), (3, (listener.came.len() - before) as u64));
    }
}

/// One pointer and twelve bytes more than without.
#[test]
fn a_stream_is_no_larger_for_it() {
    assert!(size_of::<EventStream<Deaf>>() <= 80, "{} bytes", size_of::<EventStream<Deaf>>());
}

/// What is done to a listener's session.
#[derive(Clone, Debug)]
enum Step {
    Push(Frame),
    /// Whatever waits is written.
    Read,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let text = prop_oneof!["[ab\"\\\\!*]{0,40}", "\\PC{1,30}", "[a-z]{1,3}\n[a-z]{1,3}"];
    let times = prop_oneof![4 => 1usize..20, 2 => 20usize..600, 1 => 600usize..3_000];
    let step = (text, times, 0..6u8).prop_map(|(text, times, kind)| match kind {
        0 => Step::Push(Frame::text(text.repeat(times))),
        1 => Step::Push(Frame::binary(text.repeat(times).into_bytes())),
        2 | 3 => Step::Push(shared(text.repeat(times))),
        _ => Step::Read,
    });
    vec(step, 0..14)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever has been written, all events of it are known; and in the end it is gzip.
    #[test]
    fn each_event_is_known_once_it_is_written(steps in steps(), prelude_bytes in 0usize..3_000) {
        let mut listener = Listener::new(prelude_bytes, true);
        let mut said = format!(":{}\n\ndata: {GREETING}\n\n", " ".repeat(prelude_bytes.saturating_sub(1))).into_bytes();
        for step in steps {
            if let Step::Push(frame) = step {
                let mut line = Vec::new();
                lines::append_line(&lines::guarded(frame.clone()), &mut line);
                said.extend_from_slice(&[b"data: ", &line[..], b"\n\n"].concat());
                listener.session.push(frame);
            } else {
                prop_assert!(!listener.read());
                prop_assert_eq!(&listener.known()[..], &said[..]);
            }
        }
        listener.session.close(CloseReason::Disconnected);
        prop_assert!(listener.read());
        let line = listener.session.closed_line(CloseReason::Disconnected);
        said.extend_from_slice(format!("data: {line}\n\n").as_bytes());
        prop_assert_eq!(&listener.whole()[..], &said[..]);
    }
}
