//! A resumable session as bytes, by which it goes on at another place: [`Session::freeze`] and [`thaw`].
//!
//! ```text
//!   open ── freeze ──▶ Frozen ── encode ──▶ bytes ── thaw ──▶ open, at another place
//!                        └────── take_back ────────────────▶ open, where it was
//! ```
//!
//! A session that is frozen is no session: nothing is taken by it, and of those two ways on its holder may go one. What is pushed into it
//! ([`Frozen::push`]) stands behind all else if it goes on where it was, and is in no bytes.
//!
//! Law, for every point in the life of a session (`tests/laws/`): to its client, a session that was frozen and thawed is one whose connection was
//! cut. It gets the same frames under the same numbers, once and in order; what it says is taken once; bounds,
//! policies and fences stay what they were; an attachment from before is never current again.
//!
//! What does not come along: the attachments, and what they had in hand, which the client may have; compressed payloads; and the time for
//! which the session was under way, since no silence of that time is the client's.
//!
//! ```text
//! version u8 (1) · flags u8 · beat u32 · attachment u32 · silent u32 · detached u32      times in milliseconds
//! received u64 · taken u64 · acknowledged u64 · sent u64 · reached u64 · frames u32 · frames
//!
//! flags    1 away, 2 proven, 4 between polls
//! frame    kind u8 · policy · length u32 · payload
//! kind     1 bytes and not text, 2 a fence, and the policy's number from the fifth bit on
//! policy   0 none · 1 latest: key · 2 volatile · 3 few: count u32, key · 4 dropped: count u64, key
//! key      length u32 · text
//! ```
//!
//! Numbers are big-endian.

use std::{fmt, sync::Arc};

use bytes::{Buf, BufMut as _, Bytes};

use super::{
    Attachment, Counts, Pushed, Seq, Session,
    life::{CarriedBy, Lasting, Life, LongLife, Tick},
    outbox::{Outbox, OutboxLimits},
    retained::Retained,
};
use crate::{
    close::CloseReason,
    frame::{Frame, FrameKind},
    policy::{Few, Key, Policy},
};

/// The version that is written and read.
const VERSION: u8 = 1;

const IS_AWAY: u8 = 1;
const IS_PROVEN: u8 = 2;
const IS_BETWEEN_POLLS: u8 = 4;

const IS_BINARY: u8 = 1;
const IS_FENCE: u8 = 2;
const POLICY_SHIFT: u8 = 4;

/// No session comes to such a number: frames a nanosecond apart would take a hundred years.
const SEQ_MAX: u64 = 1 << 62;

/// Bytes of a frame beside its payload and its policy, at least.
const FRAME_HEAD_BYTES: usize = 1 + 4;

/// A frame may pass the bound, and another that belongs to it.
const FRAMES_BEYOND: usize = 2;

/// A session that is between two places.
#[derive(Debug)]
pub struct Frozen {
    session: Session,
    /// For how long the client had been silent.
    silent_ms: u32,
    detached_ms: u32,
}

/// A session that goes on here.
#[derive(Debug)]
pub struct Thawed {
    /// It, detached.
    pub session: Session,
    /// When its client was last heard, on this place's clock.
    pub heard: Tick,
}

/// Why bytes are no session that can go on here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThawError {
    /// They end too soon, or go on behind the last frame.
    Length,
    /// They are of a version that is not read here.
    Version(u8),
    /// A number, a kind or a text makes no sense.
    Value,
    /// More frames wait than may here.
    TooMany,
}

impl fmt::Display for ThawError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => f.write_str("the session does not end where it should"),
            Self::Version(version) => write!(f, "version {version} of a session is not read here"),
            Self::Value => f.write_str("a value of the session is out of its range"),
            Self::TooMany => f.write_str("more frames of the session wait than may"),
        }
    }
}

impl std::error::Error for ThawError {}

impl Session {
    /// Takes the session out of its place; its client was last heard at `heard`. What an attachment has in hand counts as sent.
    ///
    /// # Errors
    /// The session as it was, if it is closed, or does not outlive its connections.
    ///
    /// ```
    /// use lapwing_transports::{
    ///     frame::Frame, session::{Seq, Session, frozen, life::Tick, outbox::OutboxLimits},
    /// };
    ///
    /// let (limits, now) = (OutboxLimits::default(), Tick(1_000));
    /// let mut session = Session::resumable();
    /// session.push(Frame::text("a"), &limits);
    /// let bytes = session.freeze(now, now).unwrap().encode();
    ///
    /// let mut session = frozen::thaw(&bytes, Tick(77), &limits, &|_, _| None).unwrap().session;
    /// assert_eq!(session.push(Frame::text("b"), &limits), lapwing_transports::session::Pushed::Queued);
    /// assert_eq!(session.last_pushed(), Seq(2));
    ///
    /// assert!(Session::default().freeze(now, now).is_err());
    /// ```
    #[allow(clippy::result_large_err, reason = "it goes back to where it came from")]
    pub fn freeze(mut self, heard: Tick, now: Tick) -> Result<Frozen, Self> {
        if self.closed.is_some() || self.counts.is_none() {
            return Err(self);
        }
        let detached = self.detached_for(now);
        // Whoever carries it now is not current from here on, wherever the session goes on.
        self.attach();
        self.life.carry(CarriedBy::Nothing);
        // The sweep of wherever it goes on looks anew.
        self.life.set_late(false);
        let silent_ms = now.0.wrapping_sub(heard.0);
        Ok(Frozen { session: self, silent_ms, detached_ms: detached.as_millis() as u32 })
    }
}

impl Frozen {
    /// The session as bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let Some(counts) = &self.session.counts else { return Bytes::new() };
        let Session { outbox, life, received, attachment, .. } = &self.session;
        let Lasting { beat_ms, is_away, is_proven } = counts.life.lasting();
        let mut out = Vec::with_capacity(64 + outbox.bytes() + 64 * outbox.len());
        out.put_u8(VERSION);
        let flags = [(is_away, IS_AWAY), (is_proven, IS_PROVEN), (life.is_between_polls(), IS_BETWEEN_POLLS)];
        out.put_u8(flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum());
        for number in [beat_ms, attachment.0, self.silent_ms, self.detached_ms] {
            out.put_u32(number);
        }
        for seq in [*received, counts.taken, counts.acknowledged, counts.sent, counts.retained.reached()] {
            out.put_u64(seq.0);
        }
        out.put_u32(outbox.len() as u32);
        outbox.iter().for_each(|frame| put_frame(frame, &mut out));
        out.into()
    }

    /// Keeps a frame, and another that belongs to it, for when the session goes on where it was; where there is no room for both, neither.
    pub fn push(&mut self, frame: Frame, then: Option<Frame>, limits: &OutboxLimits) -> Pushed {
        self.session.try_push(frame, then, limits)
    }

    /// What stands in the place of the session meanwhile: it is closed, so that nothing can be pushed into it or taken by it, carried by
    /// nothing, and knows how far both sides had come.
    #[must_use]
    pub fn stand_in(&self) -> Session {
        let Session { received, attachment, .. } = self.session;
        let taken = self.session.last_taken();
        let (retained, life) = (Retained::of(received, 0), LongLife::default());
        let counts = Counts { taken, sent: received, acknowledged: received, retained, life };
        let closed = Some(CloseReason::Draining);
        let counts = Some(Box::new(counts));
        Session { outbox: Outbox::default(), received, attachment, closed, life: Life::default(), counts }
    }

    /// The session goes on where it was, detached: nobody else has it, nor will. Returns it with when its client was last heard.
    #[must_use]
    pub fn take_back(self, now: Tick) -> Thawed {
        let Self { mut session, silent_ms, detached_ms } = self;
        if let Some(counts) = &mut session.counts {
            counts.life = LongLife::of_lasting(counts.life.lasting(), now.before(detached_ms));
        }
        Thawed { session, heard: now.before(silent_ms) }
    }
}

/// The session that these bytes are, on a place with these bounds. `few` makes the policy of frames of which only so many may wait, from the
/// text of its key and that number; where it makes none, they wait as all others do.
///
/// Allocates no more than twice as much as there are bytes, and what the frames take besides.
///
/// # Errors
/// See [`ThawError`].
pub fn thaw(
    bytes: &[u8],
    now: Tick,
    limits: &OutboxLimits,
    few: &dyn Fn(&str, usize) -> Option<Few>,
) -> Result<Thawed, ThawError> {
    let mut reader = Reader(bytes);
    match reader.byte()? {
        VERSION => {}
        version => return Err(ThawError::Version(version)),
    }
    let flags = reader.byte()?;
    if flags & !(IS_AWAY | IS_PROVEN | IS_BETWEEN_POLLS) != 0 {
        return Err(ThawError::Value);
    }
    let (beat_ms, attachment) = (reader.number()?, reader.number()?);
    let (silent_ms, detached_ms) = (reader.number()?, reader.number()?);
    let (received, taken, acknowledged) = (reader.seq()?, reader.seq()?, reader.seq()?);
    let (sent, reached) = (reader.seq()?, reader.seq()?);
    let outbox = reader.outbox(limits, few)?;
    let last = Seq(received.0 + outbox.len() as u64);
    if received > sent || sent > reached || reached > last || received > acknowledged || acknowledged > last {
        return Err(ThawError::Value);
    }
    let kept = outbox.iter().take((reached.0 - received.0) as usize);
    let retained = Retained::of(reached, kept.map(|frame| frame.payload().len()).sum());
    let lasting = Lasting { beat_ms, is_away: flags & IS_AWAY != 0, is_proven: flags & IS_PROVEN != 0 };
    let mut life = Life::default();
    if flags & IS_BETWEEN_POLLS != 0 {
        life.carry(CarriedBy::Poll);
        life.carry(CarriedBy::Nothing);
    }
    let counts = Counts {
        taken,
        sent,
        acknowledged,
        retained,
        life: LongLife::of_lasting(lasting, now.before(detached_ms)),
    };
    let session = Session {
        outbox,
        received,
        attachment: Attachment(attachment),
        closed: None,
        life,
        counts: Some(Box::new(counts)),
    };
    Ok(Thawed { session, heard: now.before(silent_ms) })
}

fn put_frame(frame: &Frame, out: &mut Vec<u8>) {
    let mut kind = if frame.kind() == FrameKind::Binary { IS_BINARY } else { 0 };
    if frame.is_fence() {
        kind |= IS_FENCE;
    }
    let of_policy = |number: u8| kind | number << POLICY_SHIFT;
    match frame.policy() {
        None => out.put_u8(kind),
        Some(Policy::Latest(key)) => {
            out.put_u8(of_policy(1));
            put_counted(key.text().as_bytes(), out);
        }
        Some(Policy::Volatile) => out.put_u8(of_policy(2)),
        Some(Policy::Few(few)) => {
            out.put_u8(of_policy(3));
            out.put_u32(u32::try_from(few.frames_max()).unwrap_or(u32::MAX));
            put_counted(few.key().text().as_bytes(), out);
        }
        Some(Policy::Dropped(key, count)) => {
            out.put_u8(of_policy(4));
            out.put_u64(*count);
            put_counted(key.text().as_bytes(), out);
        }
    }
    put_counted(frame.payload(), out);
}

fn put_counted(bytes: &[u8], out: &mut Vec<u8>) {
    out.put_u32(bytes.len() as u32);
    out.put_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn outbox(
        &mut self,
        limits: &OutboxLimits,
        few: &dyn Fn(&str, usize) -> Option<Few>,
    ) -> Result<Outbox, ThawError> {
        let count = self.number()? as usize;
        if count > self.0.len() / FRAME_HEAD_BYTES {
            return Err(ThawError::Length);
        }
        let most = limits.frames_max.saturating_add(limits.unacknowledged_frames_max);
        if count > most.saturating_add(FRAMES_BEYOND) {
            return Err(ThawError::TooMany);
        }
        let mut outbox = Outbox::default();
        for _ in 0..count {
            outbox.push(self.frame(few)?);
        }
        if self.0.is_empty() { Ok(outbox) } else { Err(ThawError::Length) }
    }

    fn frame(&mut self, few: &dyn Fn(&str, usize) -> Option<Few>) -> Result<Frame, ThawError> {
        let kind = self.byte()?;
        let policy = match kind >> POLICY_SHIFT {
            0 => None,
            1 => Some(Policy::Latest(Key::new(self.text()?))),
            2 => Some(Policy::Volatile),
            3 => {
                let count = self.number()? as usize;
                if count == 0 {
                    return Err(ThawError::Value);
                }
                few(self.text()?, count).map(|few| Policy::Few(Arc::new(few)))
            }
            4 => {
                let count = self.wide()?;
                Some(Policy::Dropped(Key::new(self.text()?), count))
            }
            _ => return Err(ThawError::Value),
        };
        let frame = match kind & ((1 << POLICY_SHIFT) - 1) & !IS_FENCE {
            0 => Frame::text(self.text()?),
            IS_BINARY => Frame::binary(Bytes::copy_from_slice(self.counted()?)),
            _ => return Err(ThawError::Value),
        };
        let frame = if kind & IS_FENCE == 0 { frame } else { frame.as_fence() };
        Ok(if let Some(policy) = policy { frame.with_policy(policy) } else { frame })
    }

    fn text(&mut self) -> Result<&'a str, ThawError> {
        std::str::from_utf8(self.counted()?).map_err(|_| ThawError::Value)
    }

    fn counted(&mut self) -> Result<&'a [u8], ThawError> {
        let len = self.number()? as usize;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(ThawError::Length)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn seq(&mut self) -> Result<Seq, ThawError> {
        let number = self.wide()?;
        if number <= SEQ_MAX { Ok(Seq(number)) } else { Err(ThawError::Value) }
    }

    fn byte(&mut self) -> Result<u8, ThawError> {
        self.0.try_get_u8().map_err(|_| ThawError::Length)
    }

    fn number(&mut self) -> Result<u32, ThawError> {
        self.0.try_get_u32().map_err(|_| ThawError::Length)
    }

    fn wide(&mut self) -> Result<u64, ThawError> {
        self.0.try_get_u64().map_err(|_| ThawError::Length)
    }
}
