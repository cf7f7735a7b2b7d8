//! A session with its connection's egress, a socket that takes what it likes, and a client that decodes what comes.

use std::sync::Arc;

use super::heard::{Client, Heard};
use crate::{
    close::CloseReason,
    connect::Transport,
    dialect::token::Secret,
    frame::Frame,
    live::{Common, Kind, LiveSession, resumable::Resumable, waking::Due},
    session::{Attachment, Seq, outbox::OutboxLimits},
    websocket::{
        egress::{Egress, Next, Piece, Rest, carrying::Carrying, control::PONG_BYTES_MAX},
        extensions::Extensions,
    },
};

/// Bytes of control frames that may wait: pongs, the last of which passes the bound, a line, and the end.
const CONTROL_BYTES_MAX: usize = PONG_BYTES_MAX + 4 * 127;

/// What `next` was, to the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Wrote,
    Blocked,
    Flushed,
    Idle,
    /// The end was queued.
    Closed,
    Ended,
}

/// How the connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Lost,
    /// With last words.
    Said,
}

pub(super) struct World {
    pub(super) session: LiveSession<()>,
    pub(super) egress: Egress,
    attachment: Option<Attachment>,
    buffer: Vec<u8>,
    pub(super) client: Client,
    /// All that was pushed and found its place.
    pushed: Vec<Vec<u8>>,
    /// How many of them the client has.
    pub(super) got: usize,
    /// All else that it has got, each with the number of frames before it.
    pub(super) said: Vec<(usize, Heard)>,
    pongs: u32,
    pub(super) is_closed: bool,
    flushed: usize,
    last: Turn,
    /// From which byte on the session is not the connection's any more.
    left_at: Option<usize>,
    /// How many frames another connection has sent since.
    elsewhere: u64,
    /// Whether the last write took all that it was given.
    is_whole: bool,
    is_to_be_lost: bool,
    pub(super) end: Option<End>,
}

impl World {
    pub(super) fn plain() -> Self {
        let session = LiveSession::new(Common::boundless(), Transport::Websocket, Kind::Plain, ());
        Self::new(session, None, Seq(0))
    }

    /// A resumable session whose client has `received` frames of those that were pushed.
    pub(super) fn resumable(frames: usize, received: usize) -> Self {
        Self::bounded(frames, received, OutboxLimits::default())
    }

    pub(super) fn bounded(frames: usize, received: usize, limits: OutboxLimits) -> Self {
        let mut common = Common::boundless();
        Arc::get_mut(&mut common).expect("nobody else has it").outbox = limits;
        let kind = Kind::Resumable(Resumable::new(1, Secret::new([7; 16])));
        let session = LiveSession::new(common, Transport::Websocket, kind, ());
        session.core().session.attach();
        let mut world = Self::new(session, None, Seq(0));
        (0..frames).for_each(|_| world.push(20));
        let received = Seq(received as u64);
        let attachment = world.session.core().session.resume(received).unwrap();
        Self { pushed: world.pushed, ..Self::new(world.session, Some(attachment), received) }
    }

    fn new(session: LiveSession<()>, attachment: Option<Attachment>, received: Seq) -> Self {
        let carrying = attachment.map(|attachment| Box::new(Carrying::new(attachment, received, Seq(0))));
        Self {
            session,
            egress: Egress::new(carrying),
            attachment,
            buffer: Vec::new(),
            client: Client::new(attachment.is_some()),
            pushed: Vec::new(),
            got: received.0 as usize,
            said: Vec::new(),
            pongs: 0,
            is_closed: false,
            flushed: 0,
            last: Turn::Idle,
            left_at: None,
            elsewhere: 0,
            is_whole: true,
            is_to_be_lost: false,
            end: None,
        }
    }

    /// The client takes compressed frames.
    pub(super) fn inflating(mut self) -> Self {
        self.egress.set_extensions(Extensions::carried(15));
        self.client.inflates = true;
        self
    }

    /// Pushes a frame of about so many bytes. It is text that begins with its number, or bytes.
    pub(super) fn push(&mut self, bytes: usize) {
        let mut payload = format!("{} ", self.pushed.len()).into_bytes();
        payload.extend((0..bytes).map(|at| b'a' + (at / 8 % 26) as u8));
        let frame = match bytes % 3 {
            0 => Frame::binary(payload.clone()),
            _ => Frame::text(String::from_utf8(payload.clone()).unwrap()),
        };
        #[cfg(feature = "deflate")]
        let frame = {
            let mut frame = frame;
            if self.client.inflates && bytes.is_multiple_of(2) {
                frame.compress(crate::forms::Forms::MESSAGES);
            }
            frame
        };
        if self.session.push(frame).is_at_end() {
            self.pushed.push(payload);
        }
    }

    pub(super) fn ask_with_ping(&mut self) {
        if self.egress.closing.is_sending() {
            self.pongs += 1;
            // Who has read something goes round once more.
            self.last = Turn::Wrote;
            self.egress.queue_pong(&self.pongs.to_be_bytes());
        }
    }

    pub(super) fn queue_lines(&mut self, lines: &str) {
        // So does who has something to say.
        self.last = Turn::Wrote;
        self.egress.queue_lines(lines);
    }

    /// The client asks for a sign of life in the session dialect.
    pub(super) fn ask_with_line(&mut self) {
        if let Some(carrying) = self.egress.carrying_mut() {
            carrying.pong = true;
        }
    }

    /// Frames come from the client.
    pub(super) fn say(&mut self, frames: u64, bytes: usize) {
        let Some(carrying) = self.egress.carrying_mut() else { return };
        let mut core = self.session.core();
        for _ in 0..frames {
            let next = Seq(core.session.last_taken().0 + 1);
            core.session.take(next);
        }
        carrying.unacknowledged_bytes += bytes;
    }

    pub(super) fn make_due(&mut self, due: Due) {
        if self.attachment.is_some() && !self.has_left() {
            self.is_to_be_lost |= due == Due::RENEW;
            self.session.core().due.set(due);
        }
    }

    /// The client says that it has what it has, or more.
    pub(super) fn acknowledge(&mut self, more: u64) {
        if self.attachment.is_some() {
            self.session.acknowledge(Seq(self.got as u64 + more));
        }
    }

    /// The session is closed, by the program or by its bounds.
    pub(super) fn close(&mut self, reason: CloseReason) {
        self.session.close(reason);
    }

    pub(super) fn expire(&mut self) {
        self.is_to_be_lost = true;
        self.session.core().expire();
    }

    /// As `Connection::begin_close` has it.
    pub(super) fn end_by(&mut self, change: impl FnOnce(&mut Egress)) {
        let was_open = self.egress.closing.is_open();
        change(&mut self.egress);
        if was_open && !self.egress.closing.is_open() && self.attachment.is_none() {
            self.session.close(CloseReason::Client);
        }
    }

    /// The client goes on by way of another connection, which sends it so many frames and hears that they have come.
    pub(super) fn supersede(&mut self, then: u64) {
        let Some(attachment) = self.attachment else { return };
        let mut core = self.session.core();
        if core.is_absent() || core.session.closed().is_some() {
            return;
        }
        if core.session.is_current(attachment) || core.is_cut(attachment) {
            let received = Seq(self.got as u64);
            core.session.resume(received).unwrap();
            core.attached(Transport::Sse);
        }
        let sent = (self.got as u64 + then).min(core.session.last_pushed().0);
        self.elsewhere = self.elsewhere.max(sent);
        core.session.handle_sent(Seq(self.elsewhere));
        core.session.handle_receipt(Seq(self.elsewhere));
        drop(core);
        self.leave();
    }

    pub(super) fn freeze(&mut self) {
        if self.attachment.is_some() && !self.has_left() && self.session.freeze().is_ok() {
            self.leave();
        }
    }

    /// It is decided where a frozen session goes on.
    pub(super) fn decide(&mut self, is_here: bool) {
        if is_here {
            self.session.take_back();
        } else {
            self.session.release_frozen();
        }
    }

    fn leave(&mut self) {
        self.left_at.get_or_insert(self.client.bytes());
    }

    pub(super) fn has_left(&self) -> bool {
        self.left_at.is_some()
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.attachment.is_some_and(|attachment| self.session.core().is_suspended(attachment))
    }

    /// Goes on until nothing is left to be done, or the socket, which takes so many bytes at a time, takes nothing.
    pub(super) fn write(&mut self, room: usize) -> Turn {
        loop {
            let turn = self.turn(room);
            if !matches!(turn, Turn::Wrote | Turn::Closed | Turn::Flushed) {
                return turn;
            }
        }
    }

    /// One step of `Connection::poll_write`, with a socket that takes so many bytes.
    pub(super) fn turn(&mut self, room: usize) -> Turn {
        if self.end.is_some() {
            return Turn::Ended;
        }
        if self.egress.closing.is_finishing() {
            self.say_last_words();
            return Turn::Ended;
        }
        let rest = self.rest();
        let next = self.egress.next(&mut self.session.core(), &self.session.common, &mut self.buffer);
        let turn = match next {
            Next::Write(piece) => self.write_piece(&piece, room),
            Next::Flush => {
                self.flushed = self.client.bytes();
                self.egress.handle_flushed();
                Turn::Flushed
            }
            Next::Idle => Turn::Idle,
            Next::Close(closed) => {
                if let Some(reason) = closed {
                    self.end_by(|egress| egress.closing.handle_close(reason));
                }
                self.egress.queue_end(closed, &self.session);
                Turn::Closed
            }
            Next::Part => {
                assert!(self.has_left() && !self.is_frozen(), "it parts from a session that it carries");
                Turn::Closed
            }
            Next::Lost => {
                let is_cut_off = self.has_left() && !self.is_whole;
                assert!(self.is_to_be_lost || is_cut_off, "law 5: it ends without a word, and for no reason");
                self.end = Some(End::Lost);
                Turn::Ended
            }
        };
        self.hear();
        if self.end.is_none() && self.egress.closing.is_finishing() {
            self.say_last_words();
        }
        if self.end.is_none() {
            self.check(turn, rest);
        }
        self.last = turn;
        turn
    }

    fn say_last_words(&mut self) {
        let egress = std::mem::replace(&mut self.egress, Egress::new(None));
        let (_, last_words) = egress.into_last_words();
        self.client.get(&last_words);
        self.hear();
        assert!(!self.client.is_within_a_frame(), "law 2: the close frame is within another one");
        assert!(self.is_closed, "law 3: the connection ends without a close frame");
        self.end = Some(End::Said);
    }

    fn write_piece(&mut self, piece: &Piece, room: usize) -> Turn {
        assert!(!self.is_frozen(), "law 6: something of a frozen session is written");
        let mut header = [0; 10];
        let bytes = match self.egress.parts(piece, &mut header) {
            None => self.buffer.clone(),
            Some(parts) => parts.concat(),
        };
        assert!(!bytes.is_empty(), "nothing is written");
        let taken = room.min(bytes.len());
        if taken == 0 {
            if !self.egress.handle_blocked(&mut self.session.core(), piece) {
                assert!(self.has_left(), "law 5: it ends without a word, and for no reason");
                self.end = Some(End::Lost);
            }
            return Turn::Blocked;
        }
        self.is_whole = taken == bytes.len();
        self.client.get(&bytes[..taken]);
        self.egress.handle_taken(taken, piece);
        Turn::Wrote
    }

    fn hear(&mut self) {
        loop {
            let Some(heard) = self.client.hear() else { return };
            assert!(!self.is_closed, "law 3: something is behind the close frame: {heard:?}");
            match &heard {
                Heard::Frame(payload) => {
                    assert!(
                        self.left_at.is_none_or(|left| self.client.whole_bytes() <= left),
                        "law 5: a frame of a session that is another's"
                    );
                    let expected = self.pushed.get(self.got);
                    assert_eq!(Some(payload), expected, "law 1: frame {} is another", self.got);
                    self.got += 1;
                    continue;
                }
                Heard::Pong(_) | Heard::Line(_) => {}
                Heard::Close(..) => self.is_closed = true,
            }
            self.said.push((self.got, heard));
        }
    }

    fn rest(&self) -> Rest {
        self.egress.rest(&self.session.core(), &self.session.common.outbox, false)
    }

    fn check(&self, turn: Turn, rest: Rest) {
        self.check_what_is_sent(turn);
        let mut control = Vec::new();
        self.egress.control.append_to(&mut control);
        assert!(control.len() <= CONTROL_BYTES_MAX, "law 8: {} bytes of control wait", control.len());
        let was_at_rest = matches!(self.last, Turn::Idle | Turn::Flushed);
        if was_at_rest && rest != Rest::None && self.egress.closing.is_open() {
            assert!(
                matches!(turn, Turn::Idle | Turn::Flushed),
                "law 7: it was about to sleep, and then {turn:?}"
            );
        }
        if turn == Turn::Idle {
            assert_eq!(self.flushed, self.client.bytes(), "law 7: what was written is not flushed");
            if !self.has_left() {
                assert!(control.is_empty(), "law 7: control frames wait");
                assert!(!self.client.is_within_a_frame(), "law 7: the rest of a frame waits");
                self.check_that_all_is_written();
            }
        }
    }

    fn check_what_is_sent(&self, turn: Turn) {
        if let Some(carrying) = self.egress.carrying() {
            let got = Seq(self.got as u64);
            assert!(carrying.sent <= got, "law 4: {:?} are taken for sent, and {got:?} are", carrying.sent);
            if matches!(turn, Turn::Idle | Turn::Flushed) && !self.has_left() {
                assert_eq!(carrying.sent, got, "law 4: frames are not taken for sent");
            }
        } else if matches!(turn, Turn::Idle | Turn::Flushed) {
            assert_eq!(self.session.core().session.last_received(), Seq(self.got as u64), "law 4");
        }
        let core = self.session.core();
        let gone = core.session.last_received();
        assert!(self.has_left() || gone <= Seq(self.got as u64), "law 4: {gone:?} are gone, and not written");
    }

    fn check_that_all_is_written(&self) {
        let core = self.session.core();
        let Some(carrying) = self.egress.carrying() else {
            return assert!(core.session.is_drained(), "law 7: frames wait");
        };
        let limits = &self.session.common.outbox;
        if self.egress.closing.is_open() {
            let mut left = core.session.sendable_after(carrying.sent, limits);
            assert!(left.next().is_none(), "law 7: frames wait");
            assert_eq!((carrying.pong, core.due), (false, Due::default()), "law 7: a line is due");
        }
    }
}
