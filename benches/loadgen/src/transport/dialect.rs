//! The session dialect of docs/sessions.md: what a client counts, the control
//! lines it acts on, when it acknowledges, and the POSTs that carry its frames
//! on the wires that are HTTP.
use super::http::{Http, Lines, unescape};
use super::*;
use crate::protocol::number;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// An acknowledgement is due after so many frames ...
const ACK_EVERY: u64 = 32;
/// ... or so many bytes of them ...
const ACK_BYTES: usize = 256 * 1024;
/// ... or so long after the first of them, in nanoseconds.
const ACK_AFTER: u64 = 2_000_000_000;
/// Frames in one POST; the server takes 2,000 lines.
const LINES_MAX: usize = 1_000;

/// One end of a session.
#[derive(Default)]
pub(crate) struct Session {
    /// empty before the session is begun
    token: String,
    /// a connection carries the session now
    attached: bool,
    /// the acknowledgement's time is in `Acks`
    timed: bool,
    /// frames sent, received, and acknowledged to the server
    sent: u64,
    received: u64,
    acked: u64,
    /// bytes of the frames that are not acknowledged
    unacked_bytes: usize,
    /// when the first frame came that is not acknowledged
    since: u64,
}

impl Session {
    /// The first line on a new connection; the server is to say something after
    /// `beat` milliseconds of silence.
    pub fn greeting(&mut self, beat: u32) -> String {
        if self.token.is_empty() {
            return format!("!open {beat}");
        }
        self.acked = self.received;
        self.unacked_bytes = 0;
        format!("!resume {} {} {beat}", self.token, self.received)
    }

    /// What a poll says. One that finds out whether the session is still there does not wait.
    pub fn poll(&mut self, beat: u32) -> String {
        let waits = self.token.is_empty() || self.attached;
        self.greeting(if waits { beat } else { 0 })
    }

    pub fn is_begun(&self) -> bool {
        !self.token.is_empty()
    }

    pub fn count_sent(&mut self, frames: usize) {
        self.sent += frames as u64;
    }

    /// The connection is gone, the session is not.
    pub fn detach(&mut self) {
        self.attached = false;
    }

    pub fn is_ack_due(&self) -> bool {
        self.received - self.acked >= ACK_EVERY || self.unacked_bytes >= ACK_BYTES
    }

    /// The acknowledgement, which is from now on taken as said.
    pub fn ack(&mut self) -> String {
        self.acked = self.received;
        self.unacked_bytes = 0;
        format!("!ack {}", self.received)
    }

    /// Acts on a line from the server. Returns whether it wants an acknowledgement now.
    pub fn line(
        &mut self,
        now: u64,
        line: &[u8],
        text: &mut Vec<u8>,
        sink: &mut impl Sink,
        out: &mut Outbox,
    ) -> Result<bool, Fail> {
        let frame = match line {
            [] => return Ok(false),
            [b'!', c, ..] if c.is_ascii_alphabetic() => return self.control(line, sink, out),
            [b'*', ..] => return Err("a frame of bytes, which nothing here asks for".into()),
            [b'"', rest @ ..] => {
                unescape(rest, text).ok_or("malformed JSON string")?;
                &text[..]
            }
            _ => line,
        };
        if !self.attached {
            return Err("a frame before the session was begun".into());
        }
        if self.received == self.acked {
            self.since = now;
        }
        self.received += 1;
        self.unacked_bytes += frame.len();
        sink.frame(now, frame, out)?;
        Ok(false)
    }

    fn control(&mut self, line: &[u8], sink: &mut impl Sink, out: &mut Outbox) -> Result<bool, Fail> {
        let mut words = line.split(|&c| c == b' ');
        let word = words.next().unwrap_or(b"");
        let argument = words.next().unwrap_or(b"");
        match word {
            b"!opened" if self.token.is_empty() => {
                self.token = String::from_utf8_lossy(argument).into_owned();
                self.attached = true;
                sink.open(out);
            }
            b"!resumed" => {
                let taken = number(argument).ok_or("!resumed without a number")?;
                if std::mem::replace(&mut self.attached, true) {
                    return if taken <= self.sent {
                        Ok(false)
                    } else {
                        Err("the server claims too many frames".into())
                    };
                }
                if taken != self.sent {
                    return Err(format!("resumed with {taken} of {} frames", self.sent));
                }
                sink.resumed();
            }
            b"!ack" | b"!ping" | b"!pong" => {
                if number(argument).ok_or("a control line without its number")? > self.sent {
                    return Err("the server claims too many frames".into());
                }
                return Ok(word == b"!ping");
            }
            b"!opened" | b"!refused" | b"!superseded" | b"!closed" => {
                return Err(String::from_utf8_lossy(line).into_owned());
            }
            _ => {}
        }
        Ok(false)
    }
}

/// When which session has to acknowledge, though nothing more comes.
#[derive(Default)]
pub(crate) struct Acks(BinaryHeap<Reverse<(u64, usize)>>);

impl Acks {
    /// Looks at a session that may have received something.
    pub fn note(&mut self, id: usize, s: &mut Session) {
        if s.received > s.acked && !s.timed {
            s.timed = true;
            self.0.push(Reverse((s.since + ACK_AFTER, id)));
        }
    }
    /// A session whose time may have come.
    pub fn due(&mut self, now: u64) -> Option<usize> {
        let &Reverse((time, id)) = self.0.peek()?;
        if time > now {
            return None;
        }
        self.0.pop();
        Some(id)
    }
    /// Whether a session that was due has to acknowledge now.
    pub fn is_time(&mut self, id: usize, s: &mut Session) -> bool {
        s.timed = false;
        let is_time = s.attached && s.received > s.acked && s.since + ACK_AFTER <= sys::now();
        if s.attached && !is_time {
            self.note(id, s);
        }
        is_time
    }
}

/// The way up on a wire that is HTTP: POSTs on a socket of their own, one at a time.
#[derive(Default)]
pub(crate) struct Up {
    http: Http,
    queue: Lines,
    /// the server wants an acknowledgement
    pub wanted: bool,
}

impl Up {
    pub fn extend(&mut self, out: &Outbox) {
        self.queue.extend(out);
    }

    /// Posts what waits, unless a POST is still under way. With `acks` what was
    /// received is acknowledged, when it is due or along with frames.
    pub fn post(
        &mut self,
        io: &mut Io,
        id: usize,
        target: &Target,
        segment: &str,
        s: &mut Session,
        acks: bool,
    ) -> Result<(), Fail> {
        let due = acks && (self.wanted || s.is_ack_due());
        if self.http.busy || !s.attached || (self.queue.count == 0 && !due) {
            return Ok(());
        }
        self.wanted = false;
        let mut body = format!("!send {}", s.token).into_bytes();
        if due || (acks && s.received > s.acked) {
            body.push(b'\n');
            body.extend_from_slice(s.ack().as_bytes());
        }
        let (lines, count) = self.queue.take(LINES_MAX);
        if count > 0 {
            write!(body, "\n!from {}\n", s.sent + 1).expect("writing to memory");
            body.extend_from_slice(&lines);
            s.count_sent(count);
        }
        self.http.request(io, id, POST, request(target, segment, &body), true)
    }

    /// Something happened on the socket of the POSTs.
    pub fn event(&mut self, io: &mut Io, id: usize, ev: u32, s: &Session, keep: bool) -> Result<(), Fail> {
        let answered = self.http.event(io, id, POST, ev, |_, r| {
            let taken = r.body.strip_prefix(b"!ack ").and_then(number);
            if r.status == 200 && taken == Some(s.sent) {
                return Ok(());
            }
            Err(format!("POST answered {} {} ({} frames sent)", r.status, String::from_utf8_lossy(r.body), s.sent))
        })?;
        if answered && self.queue.count == 0 && !keep {
            self.http.shut();
        }
        Ok(())
    }

    pub fn shut(&mut self) {
        self.http.shut();
    }
}

/// The role of the socket that brings frames, and of the one for POSTs.
pub(crate) const DOWN: u64 = 0;
pub(crate) const POST: u64 = 1;

/// A POST with these lines.
pub(crate) fn request(target: &Target, segment: &str, body: &[u8]) -> Vec<u8> {
    let accept = if target.deflate { "Accept-Encoding: gzip\r\n" } else { "" };
    let more = format!("Content-Type: text/plain\r\n{accept}Content-Length: {}\r\n\r\n", body.len());
    let mut b = head("POST", target, segment, "&lapwing=1", &more);
    b.extend_from_slice(body);
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Vec<String>);

    impl Sink for Seen {
        fn open(&mut self, _: &mut Outbox) {
            self.0.push("open".into());
        }
        fn resumed(&mut self) {
            self.0.push("resumed".into());
        }
        fn frame(&mut self, _: u64, frame: &[u8], _: &mut Outbox) -> Result<(), Fail> {
            self.0.push(String::from_utf8_lossy(frame).into_owned());
            Ok(())
        }
    }

    fn feed(s: &mut Session, lines: &[&str]) -> (Vec<String>, Result<bool, Fail>) {
        let (mut seen, mut last) = (Seen::default(), Ok(false));
        for line in lines {
            last = s.line(7, line.as_bytes(), &mut Vec::new(), &mut seen, &mut Outbox::default());
        }
        (seen.0, last)
    }

    #[test]
    fn lines_are_counted_or_obeyed() {
        let mut s = Session::default();
        assert_eq!(s.greeting(120_000), "!open 120000");
        assert!(feed(&mut s, &["[early]"]).1.is_err());
        let (seen, last) = feed(&mut s, &["!opened TOK 60000 10000", "[1]", "", "!news 1", r#""!\n""#, "!ping 0"]);
        assert_eq!((seen, last), (vec!["open".into(), "[1]".into(), "!\n".into()], Ok(true)));
        assert_eq!(s.ack(), "!ack 2");
        assert!(feed(&mut s, &["!ack 1"]).1.is_err(), "nothing was sent");
        s.count_sent(1);
        assert_eq!(feed(&mut s, &["!ack 1"]).1, Ok(false));
        s.detach();
        assert_eq!(
            (s.greeting(120_000).as_str(), s.poll(120_000).as_str()),
            ("!resume TOK 2 120000", "!resume TOK 2 0")
        );
        assert!(feed(&mut s, &["!resumed 0"]).1.is_err());
        s.detach();
        assert_eq!(feed(&mut s, &["!resumed 1"]).0, ["resumed"]);
        assert_eq!(feed(&mut s, &["!closed 1012 draining"]).1, Err("!closed 1012 draining".into()));
    }

    #[test]
    fn acknowledgements_are_due_by_number_and_by_time() {
        let (mut s, mut acks) = (Session::default(), Acks::default());
        feed(&mut s, &["!opened TOK 60000 10000"]);
        feed(&mut s, &["x"; 31]);
        assert!(!s.is_ack_due());
        acks.note(5, &mut s);
        acks.note(5, &mut s);
        feed(&mut s, &["x"]);
        assert!(s.is_ack_due());
        assert_eq!(acks.due(7), None);
        assert_eq!(acks.due(7 + ACK_AFTER), Some(5));
        assert_eq!(acks.due(u64::MAX), None, "noted once");
        assert!(acks.is_time(5, &mut s));
        s.ack();
        assert!(!acks.is_time(5, &mut s) && !s.is_ack_due());
        feed(&mut s, &[&"x".repeat(ACK_BYTES)]);
        assert!(s.is_ack_due());
        s.ack();
        assert!(!s.is_ack_due());
    }
}
