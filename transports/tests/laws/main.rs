//! The laws of a resumable session (docs/sessions.md §1), for both ends of it on a network that cuts, delays, repeats
//! and reorders.
//!
//! The server's end is the real state machine; the client's end is what the document asks of one, in a few lines. A
//! schedule is a seed: a failure names it, and `LAWS_SEED=n cargo test -p lapwing-transports --test laws` replays it alone.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

mod cases;
mod moving;
mod pushing;
mod times;

use std::collections::VecDeque;

use lapwing_transports::{
    close::CloseReason,
    frame::Frame,
    session::{
        Attachment, ResumeError, Seq, Session, Taken,
        life::{CarriedBy, Tie},
        outbox::OutboxLimits,
    },
};

use self::{pushing::Mark, times::Times};

const SCHEDULES: u64 = 20_000;
const FRAMES_MAX: usize = 12;
const BYTES_MAX: usize = 200;
const KEPT_FRAMES_MAX: usize = 7;
const KEPT_BYTES_MAX: usize = 90;
const LIMITS: OutboxLimits = OutboxLimits::new()
    .frames_max(FRAMES_MAX)
    .bytes_max(BYTES_MAX)
    .unacknowledged_frames_max(KEPT_FRAMES_MAX)
    .unacknowledged_bytes_max(KEPT_BYTES_MAX);

/// What tells of dropped frames may be larger than the one in whose place it stands.
const TOLD_BYTES: usize = 12;

/// What the client is asked on a connection.
const QUESTION: &str = "!ping";

/// A small generator: the same everywhere for the same seed.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// What the document asks of a client.
#[derive(Default)]
struct Client {
    /// What it handed on.
    handed_on: Vec<String>,
    /// How many frames it made.
    made: u64,
    /// How many of them the server is known to have.
    acknowledged: u64,
}

/// A connection that carries a session, with what is under way on it.
struct Connection {
    attachment: Attachment,
    /// What the server has sent on it.
    server_sent: Seq,
    /// What the client has taken off it, and what it has sent on it.
    client_received: u64,
    client_sent: u64,
    /// What the server is about to send on it: copies of frames.
    hand: Vec<String>,
    down: VecDeque<String>,
    up: VecDeque<u64>,
    acks: VecDeque<u64>,
}

/// A POST under way: numbers from the first, and an acknowledgement. It may arrive late, twice, or never.
#[derive(Clone)]
struct Post {
    frames: Vec<u64>,
    ack: u64,
}

struct World {
    random: Random,
    session: Session,
    times: Times,
    client: Client,
    /// How often the server has pushed something.
    said: u64,
    /// What the server pushed while the session was open, as it stands: a state may take an older one's place.
    pushed: Vec<String>,
    marks: Vec<Mark>,
    /// The current stream takes no more.
    is_stalled: bool,
    /// A poll carried the session last.
    was_polled: bool,
    /// The sweep has found that what is unsent waits for long.
    is_late: bool,
    /// What the server took.
    taken: Vec<u64>,
    connections: Vec<Connection>,
    posts: Vec<Post>,
    /// Resumes under way: what the client had when it asked. They may arrive late, or never.
    asked: Vec<u64>,
    known: Known,
}

/// What the server was told, from which follows what it still has to keep.
#[derive(Default)]
struct Known {
    /// The last frame that the client said it has.
    acknowledged: u64,
    /// The last frame that the current attachment has sent.
    sent: u64,
    /// The last frame that need not be kept: acknowledged, and passed by the attachment that was current then.
    done: u64,
    /// The last frame that any attachment has sent, or may have.
    reached: u64,
    /// How many frames behind `sent` the current attachment is about to send.
    in_hand: u64,
}

impl Known {
    fn settle(&mut self) {
        self.done = self.done.max(self.acknowledged.min(self.sent));
        self.reached = self.reached.max(self.sent).max(self.done);
    }

    /// The last frame that the client may have.
    fn told(&self) -> u64 {
        self.reached.max(self.sent + self.in_hand)
    }

    /// Another attachment becomes the current one.
    fn give_up_hand(&mut self) {
        self.reached = self.told();
        self.in_hand = 0;
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut session = Session::resumable();
        Self {
            random: Random::new(seed),
            times: Times::of(&mut session, Tie::Window),
            session,
            client: Client::default(),
            said: 0,
            pushed: Vec::new(),
            marks: Vec::new(),
            is_stalled: false,
            was_polled: false,
            is_late: false,
            taken: Vec::new(),
            connections: Vec::new(),
            posts: Vec::new(),
            asked: Vec::new(),
            known: Known::default(),
        }
    }

    fn step(&mut self) {
        match self.random.below(29) {
            0..=4 => self.push(),
            5..=6 => self.client.made += 1,
            7 => self.attach(),
            8..=10 => self.server_writes(),
            24..=25 => self.server_gathers(),
            11..=13 => self.client_reads(),
            14 => self.client_writes(),
            15..=16 => self.server_reads(),
            17 => self.acknowledge(),
            18 => self.post(),
            19 => self.post_arrives(),
            20 => self.cut(),
            21 => self.asked.push(self.client.handed_on.len() as u64),
            22 => self.resume_arrives(),
            23 => self.poll(),
            28 => self.goes_on_elsewhere(),
            26 => {
                self.is_late = self.random.below(2) == 0;
                self.session.handle_swept(self.is_late);
            }
            _ => self.times.pass(&mut self.session, &mut self.random),
        }
        self.check();
    }

    /// The frames after `from` up to `to`: the bytes of the last, how many they are, and their bytes.
    fn amount(&self, from: u64, to: u64) -> (usize, usize, usize) {
        let frames = &self.pushed[from.min(to) as usize..to as usize];
        (frames.last().map_or(0, String::len), frames.len(), frames.iter().map(String::len).sum())
    }

    /// The client goes on with its session on another connection; the one before may live on for a while.
    fn attach(&mut self) {
        if self.session.closed().is_some() {
            return;
        }
        let received = Seq(self.client.handed_on.len() as u64);
        let attachment = self.resume(received).expect("an honest client is never refused");
        self.carry(attachment, received);
    }

    fn resume(&mut self, received: Seq) -> Result<Attachment, ResumeError> {
        self.times.hear();
        self.times.prove(&mut self.session);
        let attachment = self.session.resume(received)?;
        self.times.carry(&mut self.session, CarriedBy::Stream);
        (self.is_stalled, self.was_polled, self.is_late) = (false, false, false);
        self.known.give_up_hand();
        self.known.sent = received.0;
        self.receipt(received.0);
        Ok(attachment)
    }

    /// The client has so many frames, which the session was told by other means already.
    fn receipt(&mut self, received: u64) {
        if received <= self.session.last_pushed().0 {
            self.known.acknowledged = self.known.acknowledged.max(received);
        }
        self.known.settle();
    }

    fn handle_receipt(&mut self, received: u64) {
        self.session.handle_receipt(Seq(received));
        self.receipt(received);
        self.times.hear();
    }

    fn handle_sent(&mut self, sent: Seq) {
        self.session.handle_sent(sent);
        self.known.in_hand = self.known.in_hand.saturating_sub(sent.0.saturating_sub(self.known.sent));
        self.known.sent = sent.0;
        self.known.settle();
    }

    /// A resume arrives late: the client may have taken and acknowledged more since, by another connection.
    fn resume_arrives(&mut self) {
        if self.session.closed().is_some() || self.asked.is_empty() {
            return;
        }
        let index = self.random.below(self.asked.len() as u64) as usize;
        let received = self.asked.swap_remove(index);
        match self.resume(Seq(received)) {
            Ok(attachment) => self.carry(attachment, Seq(received)),
            Err(ResumeError::Gap) => {
                assert!(received < self.client.handed_on.len() as u64, "what is missing is gone");
            }
            Err(ResumeError::Ahead) => panic!("the client has it"),
        }
    }

    fn carry(&mut self, attachment: Attachment, received: Seq) {
        let server_has = self.session.last_taken().0;
        self.client.acknowledged = self.client.acknowledged.max(server_has);
        self.connections.push(Connection {
            attachment,
            server_sent: received,
            client_received: received.0,
            client_sent: server_has,
            hand: Vec::new(),
            down: VecDeque::new(),
            up: VecDeque::new(),
            acks: VecDeque::new(),
        });
    }

    fn any_wire(&mut self) -> Option<&mut Connection> {
        let count = self.connections.len() as u64;
        if count == 0 {
            return None;
        }
        let index = self.random.below(count) as usize;
        self.connections.get_mut(index)
    }

    /// The current attachment copies frames into a write, which comes of it later, whatever happens meanwhile.
    fn server_gathers(&mut self) {
        let Some(index) =
            self.connections.iter().position(|connection| self.session.is_current(connection.attachment))
        else {
            return;
        };
        let connection = &mut self.connections[index];
        let frames = self.session.sendable_after(connection.server_sent, &LIMITS).take(3);
        connection.hand = frames.map(|frame| String::from_utf8(frame.payload().to_vec()).unwrap()).collect();
        self.known.in_hand = connection.hand.len() as u64;
        self.session.handle_in_hand(connection.hand.len());
    }

    /// A write takes some of the frames in hand, or all. One whose attachment was superseded meanwhile may do that, too.
    fn server_writes(&mut self) {
        self.server_gathers();
        let Some(index) =
            (!self.connections.is_empty()).then(|| self.random.below(self.connections.len() as u64) as usize)
        else {
            return;
        };
        let count = self.random.below(self.connections[index].hand.len() as u64 + 1) as usize;
        let connection = &mut self.connections[index];
        let hand = std::mem::take(&mut connection.hand);
        connection.server_sent.0 += count as u64;
        let (sent, is_current) = (connection.server_sent, self.session.is_current(connection.attachment));
        connection.down.extend(hand[..count].iter().cloned());
        if !is_current {
            return;
        }
        if count > 0 {
            self.handle_sent(sent);
            self.session.handle_flowing();
            self.is_stalled = false;
        }
        if count < hand.len() {
            let begun = self.random.below(2);
            self.session.handle_stalled(begun as usize);
            (self.is_stalled, self.known.in_hand) = (true, begun);
        }
        if self.session.is_question_due(&LIMITS) {
            self.session.handle_asked();
            assert!(!self.session.is_question_due(&LIMITS), "one question is open at a time");
            self.connections[index].down.push_back(QUESTION.into());
        }
    }

    fn client_reads(&mut self) {
        let have = self.client.handed_on.len() as u64;
        let Some(connection) = self.any_wire() else { return };
        let Some(text) = connection.down.pop_front() else { return };
        if text == QUESTION {
            return connection.acks.push_back(have);
        }
        connection.client_received += 1;
        let number = connection.client_received;
        self.client_takes(number, text);
    }

    fn client_takes(&mut self, number: u64, text: String) {
        let have = self.client.handed_on.len() as u64;
        assert!(number <= have + 1, "the server skipped a frame");
        if number == have + 1 {
            self.client.handed_on.push(text);
        }
    }

    fn client_writes(&mut self) {
        let made = self.client.made;
        let Some(connection) = self.any_wire() else { return };
        while connection.client_sent < made {
            connection.client_sent += 1;
            connection.up.push_back(connection.client_sent);
        }
    }

    fn server_reads(&mut self) {
        let Some(connection) = self.any_wire() else { return };
        let (ack, frame) = (connection.acks.pop_front(), connection.up.pop_front());
        if let Some(ack) = ack {
            self.handle_receipt(ack);
        }
        if frame.is_some() {
            let Some(number) = frame else { return };
            self.server_takes(number);
        }
    }

    fn server_takes(&mut self, number: u64) -> bool {
        self.times.hear();
        if self.session.closed().is_some() {
            return false;
        }
        let had = self.session.last_taken().0;
        assert_eq!(had, self.taken.len() as u64);
        let wanted = match number {
            number if number <= had => Taken::Duplicate,
            number if number == had + 1 => Taken::Next,
            _ => Taken::Early,
        };
        assert_eq!(self.session.take(Seq(number)), wanted, "number {number} after {had}");
        match wanted {
            Taken::Next => self.taken.push(number),
            Taken::Duplicate => {}
            Taken::Early => return false,
        }
        true
    }

    fn acknowledge(&mut self) {
        let have = self.client.handed_on.len() as u64;
        if let Some(connection) = self.any_wire() {
            connection.acks.push_back(have);
        }
    }

    fn post(&mut self) {
        let from = self.client.acknowledged + 1;
        let frames = (from..=self.client.made).take(4).collect();
        self.posts.push(Post { frames, ack: self.client.handed_on.len() as u64 });
    }

    /// Any of the POSTs under way arrives; it may be repeated later, and its answer may be lost.
    fn post_arrives(&mut self) {
        if self.posts.is_empty() {
            return;
        }
        let index = self.random.below(self.posts.len() as u64) as usize;
        let post = self.posts[index].clone();
        if self.random.below(3) > 0 {
            self.posts.swap_remove(index);
        }
        self.handle_receipt(post.ack);
        for number in post.frames {
            if !self.server_takes(number) {
                break;
            }
        }
        if self.random.below(4) > 0 {
            self.client.acknowledged = self.client.acknowledged.max(self.session.last_taken().0);
        }
    }

    /// A connection dies, with all that is under way on it.
    fn cut(&mut self) {
        if !self.connections.is_empty() {
            let index = self.random.below(self.connections.len() as u64) as usize;
            let connection = self.connections.swap_remove(index);
            if self.session.is_current(connection.attachment) {
                self.times.detach(&mut self.session);
            }
        }
    }

    /// A poll: attached, answered, detached. The answer is lost one time in three.
    fn poll(&mut self) {
        let before = self.client.handed_on.len() as u64;
        match self.resume(Seq(before)) {
            Ok(_) => self.times.carry(&mut self.session, CarriedBy::Poll),
            Err(ResumeError::Gap | ResumeError::Ahead) => panic!("an honest client is never refused"),
        }
        self.was_polled = true;
        let mut answer: Vec<_> = self.session.sendable_after(Seq(before), &LIMITS).cloned().collect();
        self.session.handle_in_hand(answer.len());
        self.known.in_hand = answer.len() as u64;
        if self.random.below(4) == 0 {
            self.push();
        }
        if self.random.below(4) == 0 {
            // It is cut off.
            answer.truncate(self.random.below(answer.len() as u64 + 1) as usize);
        }
        self.handle_sent(Seq(before + answer.len() as u64));
        if self.random.below(3) > 0 {
            for (number, frame) in (before + 1..).zip(answer) {
                let text = String::from_utf8(frame.payload().to_vec()).unwrap();
                self.client_takes(number, text);
            }
        }
        self.times.detach(&mut self.session);
    }

    fn check(&self) {
        let handed_on = self.client.handed_on.len();
        assert!(self.pushed.starts_with(&self.client.handed_on), "out of order, lost, or twice (down)");
        assert!(
            self.taken.iter().copied().eq(1..=self.taken.len() as u64),
            "out of order, lost, or twice (up)"
        );
        assert!(self.taken.len() as u64 <= self.client.made);
        assert!(
            self.session.last_received().0 <= handed_on as u64,
            "acknowledged what the client does not have"
        );
        assert_eq!(self.session.last_received().0, self.known.done, "kept too much, or too little");
        let waiting = self.session.waiting().count();
        assert_eq!(self.session.is_drained(), waiting == 0);
        self.check_bounds();
        let current = self
            .connections
            .iter()
            .filter(|connection| self.session.is_current(connection.attachment))
            .count();
        assert!(current <= 1, "two attachments");
        assert_eq!(self.session.last_received().0 + waiting as u64, self.session.last_pushed().0);
    }

    /// What is unsent and what is unacknowledged are counted and bounded apart.
    fn check_bounds(&self) {
        let (last, frames, bytes) = self.amount(self.known.done, self.known.reached);
        let kept = self.session.unacknowledged();
        assert_eq!((kept.frames, kept.bytes), (frames, bytes), "what is unacknowledged");
        if self.session.closed().is_none() {
            let is_within = frames <= KEPT_FRAMES_MAX && bytes - last < KEPT_BYTES_MAX;
            assert!(is_within || frames <= 1, "more is unacknowledged than may be");
        }
        let (_, frames, bytes) = self.amount(self.known.reached, self.pushed.len() as u64);
        // The one that was let in last may stand anywhere, in the place of an older state.
        let unsent = &self.pushed[self.known.reached as usize..];
        let largest = unsent.iter().map(String::len).max().unwrap_or(0);
        let unsent = self.session.unsent();
        assert_eq!((unsent.frames, unsent.bytes), (frames, bytes), "what is unsent");
        assert!(
            frames <= FRAMES_MAX && (bytes - largest < BYTES_MAX + TOLD_BYTES || frames == 1),
            "more waits than may"
        );
        let is_half_empty = frames <= FRAMES_MAX / 2 && bytes <= BYTES_MAX / 2;
        assert_eq!(self.session.is_relaxed(&LIMITS), frames <= 1 || is_half_empty);
        let is_behind = self.known.sent < self.known.reached;
        let is_full = kept.frames >= KEPT_FRAMES_MAX || kept.bytes >= KEPT_BYTES_MAX;
        let is_held =
            self.session.closed().is_none() && !is_behind && frames > 0 && kept.frames > 0 && is_full;
        assert_eq!(self.session.is_held(&LIMITS), is_held, "whether the client is waited for");
    }

    /// The network is whole again: whatever was sent arrives, unless the session was closed.
    fn settle(&mut self) {
        if self.session.closed().is_some() {
            return;
        }
        self.attach();
        let newest = self.connections.len() - 1;
        self.connections.swap(0, newest);
        self.connections.truncate(1);
        for _ in 0..200 {
            self.server_writes();
            self.client_reads();
            self.client_writes();
            self.server_reads();
            self.check();
        }
        assert_eq!(self.client.handed_on, self.pushed, "lost in silence (down)");
        assert_eq!(self.taken.len() as u64, self.client.made, "lost in silence (up)");
    }
}

/// Runs a schedule; returns whether its session was closed.
fn run(seed: u64) -> bool {
    let mut world = World::new(seed);
    let steps = 20 + world.random.below(180);
    for _ in 0..steps {
        world.step();
    }
    world.settle();
    world.session.closed().is_some()
}

#[test]
fn the_laws_hold_for_every_schedule() {
    if let Ok(seed) = std::env::var("LAWS_SEED") {
        run(seed.parse().expect("LAWS_SEED is a number"));
        return;
    }
    let mut closed = 0;
    for seed in 1..=SCHEDULES {
        match std::panic::catch_unwind(|| run(seed)) {
            Ok(was_closed) => closed += u64::from(was_closed),
            Err(_) => panic!("the laws do not hold: replay with LAWS_SEED={seed}"),
        }
    }
    // Both fates of a session are well represented.
    assert!(closed > SCHEDULES / 20 && closed < SCHEDULES * 19 / 20, "{closed} of {SCHEDULES} were closed");
}
