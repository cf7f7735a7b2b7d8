//! What of a session's frames is written next.

use super::{
    carrying::Carrying,
    codec::{OpCode, append_frame},
    extensions::Extensions,
    scratch,
};
use crate::{frame::Frame, live::waking::Core};

/// A frame of this size or more is written from its own bytes; smaller ones are gathered into one write, where
/// a copy costs less than another slice.
const VECTORED_BYTES_MIN: usize = 16 * 1024;

/// Pongs that wait to be written. A client that pings faster than it reads loses pongs, as RFC 6455 allows.
const CONTROL_BYTES_MAX: usize = 1_024;

/// The frame that is to be written next.
pub(super) fn first_waiting<'a>(core: &'a Core, carrying: Option<&Carrying>) -> Option<&'a Frame> {
    match carrying {
        None => core.session.first_waiting(),
        Some(carrying) => core.session.waiting_after(carrying.sent).next(),
    }
}

/// Copies waiting frames behind `buffer`, the first without its first `written` bytes. A frame that is too
/// large for that is returned if it is the first to be written. The number is that of the frames that are about to be written.
pub(super) fn gather<'a>(
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
pub(super) fn stall(core: &mut Core, carrying: Option<&Carrying>, written: usize) {
    if carrying.is_none_or(|carrying| core.session.is_current(carrying.attachment)) {
        core.session.handle_stalled(usize::from(written > 0));
    }
}

/// A ping is to be answered, behind the frame that was begun.
pub(super) fn queue_pong(control: &mut Option<Box<Vec<u8>>>, payload: &[u8]) {
    let control = control.get_or_insert_default();
    if control.len() < CONTROL_BYTES_MAX {
        append_frame(OpCode::Pong, payload, control);
    }
}
