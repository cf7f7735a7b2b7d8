//! What of a session's frames is written next.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;

use super::carrying::Carrying;
use crate::{
    close::CloseReason,
    dialect::server::ServerControl,
    frame::Frame,
    live::waking::Core,
    websocket::{
        close_code::CloseCode,
        codec::{ClosePayload, OpCode, append_frame},
        extensions::Extensions,
        scratch,
    },
};

/// A frame of this size or more is written from its own bytes; smaller ones are gathered into one write, where
/// a copy costs less than another slice.
const VECTORED_BYTES_MIN: usize = 16 * 1024;

/// Pongs that wait to be written. A client that pings faster than it reads loses pongs, as RFC 6455 allows.
const CONTROL_BYTES_MAX: usize = 1_024;

/// What one gathering of the outbox found.
pub(in crate::websocket) struct Gathered {
    /// A frame too large to copy, to be written by itself.
    pub(in crate::websocket) large: Option<Frame>,
    pub(in crate::websocket) closed: Option<CloseReason>,
    pub(in crate::websocket) expired: bool,
    pub(in crate::websocket) superseded: bool,
    /// Superseded by no other: the client is to come again.
    pub(in crate::websocket) cut: bool,
}

impl Gathered {
    /// Nothing is to be written.
    pub(in crate::websocket) fn nothing(core: &Core) -> Self {
        let (closed, expired) = (core.session.closed(), core.expired);
        Self { large: None, closed, expired, superseded: false, cut: false }
    }

    /// Nothing is written until it is decided where the session goes on.
    pub(in crate::websocket) fn suspended(core: &Core) -> Self {
        Self { closed: None, ..Self::nothing(core) }
    }

    /// How many bytes were gathered, in `buffer` or by themselves without the first `written`.
    pub(in crate::websocket) fn bytes(&self, buffer: &[u8], extensions: Extensions, written: usize) -> usize {
        match &self.large {
            Some(frame) => extensions.form(frame).frame_bytes() - written,
            None => buffer.len(),
        }
    }
}

/// Takes what the socket took off the control frames, which came first in the last gathering.
pub(in crate::websocket) fn take_control(control: &mut Option<Box<Vec<u8>>>, taken: &mut usize) {
    let Some(bytes) = control else { return };
    let own = bytes.len().min(*taken);
    bytes.drain(..own);
    *taken -= own;
    if bytes.is_empty() {
        *control = None;
    }
}

/// Takes the frames off the outbox that the socket has taken in full; `written` bytes of them and of the next one. Returns how many they
/// are, and their bytes.
pub(in crate::websocket) fn take_written(
    core: &mut Core,
    carrying: Option<&mut Carrying>,
    extensions: Extensions,
    written: &mut usize,
) -> (usize, usize) {
    if *written == 0 {
        return (0, 0);
    }
    let before = *written;
    let mut is_whole = |frame: &Frame| {
        let whole = extensions.form(frame).frame_bytes();
        let left = written.checked_sub(whole);
        left.inspect(|left| *written = *left).is_some()
    };
    let frames = match &carrying {
        None => core.session.handle_written(is_whole),
        Some(carrying) => {
            core.session.waiting_after(carrying.sent).take_while(|frame| is_whole(frame)).count()
        }
    };
    let bytes = before - *written;
    if let Some(carrying) = carrying {
        carrying.sent.0 += frames as u64;
        if carrying.is_whole && !core.session.is_current(carrying.attachment) {
            *written = 0;
        }
    }
    (frames, bytes)
}

/// The socket has taken so many of the bytes that were gathered.
pub(in crate::websocket) fn note_written(carrying: Option<&mut Carrying>, taken: usize, gathered: usize) {
    if let Some(carrying) = carrying.filter(|_| taken > 0) {
        carrying.is_whole = taken == gathered;
    }
}

/// Copies waiting frames behind `buffer`, the first without its first `written` bytes. A frame that is too
/// large for that is returned if it is the first to be written. The number is that of the frames that are about to be written.
pub(in crate::websocket) fn gather<'a>(
    frames: impl Iterator<Item = &'a Frame>,
    extensions: Extensions,
    written: usize,
    buffer: &mut Vec<u8>,
) -> (Option<Frame>, usize) {
    let (mut skip, mut count) = (written, 0);
    for frame in frames {
        let form = extensions.form(frame);
        if form.payload().len() >= VECTORED_BYTES_MIN {
            let large = buffer.is_empty().then(|| frame.clone());
            count += usize::from(large.is_some());
            return (large, count);
        }
        if buffer.len() + form.frame_bytes() > scratch::BYTES {
            break;
        }
        if skip == 0 {
            form.append(buffer);
        } else {
            let start = buffer.len();
            form.append(buffer);
            buffer.drain(start..start + skip);
            skip = 0;
        }
        count += 1;
    }
    (None, count)
}

/// The socket takes no more for now, and has taken `written` bytes of the first frame that waits.
pub(in crate::websocket) fn stall(core: &mut Core, carrying: Option<&Carrying>, written: usize) {
    if carrying.is_none_or(|carrying| core.session.is_current(carrying.attachment)) {
        core.session.handle_stalled(usize::from(written > 0));
    }
}

/// Writes of a frame that is too large to copy what the socket takes.
pub(in crate::websocket) fn poll_write_large(
    io: Pin<&mut impl AsyncWrite>,
    cx: &mut Context<'_>,
    extensions: Extensions,
    frame: &Frame,
    written: usize,
) -> Poll<io::Result<usize>> {
    let (form, mut header) = (extensions.form(frame), [0; 10]);
    let header_bytes = form.encode_header(&mut header);
    let header = &header[written.min(header_bytes)..header_bytes];
    let payload = &form.payload()[written.saturating_sub(header_bytes)..];
    io.poll_write_vectored(cx, &[IoSlice::new(header), IoSlice::new(payload)])
}

/// The connection carries the session no more: another does, or it was cut and the client is to come again.
pub(in crate::websocket) fn queue_parting(control: &mut Option<Box<Vec<u8>>>, is_cut: bool) {
    if is_cut {
        return queue_close(control, CloseCode::SERVICE_RESTART.as_u16(), "");
    }
    queue_line(control, &ServerControl::Superseded.to_string());
    queue_close(control, CloseCode::SUPERSEDED.as_u16(), "");
}

/// A ping is to be answered, behind the frame that was begun.
pub(in crate::websocket) fn queue_pong(control: &mut Option<Box<Vec<u8>>>, payload: &[u8]) {
    let control = control.get_or_insert_default();
    if control.len() < CONTROL_BYTES_MAX {
        append_frame(OpCode::Pong, payload, control);
    }
}

/// A control line is to be written, behind the frame that was begun.
pub(in crate::websocket) fn queue_line(control: &mut Option<Box<Vec<u8>>>, line: &str) {
    append_frame(OpCode::Text, line.as_bytes(), control.get_or_insert_default());
}

/// The same for several.
pub(in crate::websocket) fn queue_lines(control: &mut Option<Box<Vec<u8>>>, lines: &str) {
    lines.lines().for_each(|line| queue_line(control, line));
}

/// The close frame is to be written, behind the frame that was begun.
pub(in crate::websocket) fn queue_close(control: &mut Option<Box<Vec<u8>>>, code: u16, reason: &str) {
    let code = CloseCode::from_wire(code).unwrap_or(CloseCode::GOING_AWAY);
    let payload = ClosePayload::new(code, reason);
    append_frame(OpCode::Close, payload.as_bytes(), control.get_or_insert_default());
}
