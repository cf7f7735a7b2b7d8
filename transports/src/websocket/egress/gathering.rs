//! Frames of the outbox as they are written: many small ones in one write, a large one by itself.

use crate::{
    frame::Frame,
    websocket::{extensions::Extensions, scratch},
};

/// A frame of this size or more is written from its own bytes; smaller ones are gathered into one write, where
/// a copy costs less than another slice.
pub(super) const VECTORED_BYTES_MIN: usize = 16 * 1024;

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

/// Takes a frame off the first `written` bytes of some, if all of it is there.
#[inline]
pub(super) fn take_whole(written: &mut usize, frame: &Frame, extensions: Extensions) -> bool {
    let left = written.checked_sub(extensions.form(frame).frame_bytes());
    left.inspect(|left| *written = *left).is_some()
}
