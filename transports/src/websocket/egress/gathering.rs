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

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bytes: &[usize]) -> Vec<Frame> {
        bytes.iter().map(|bytes| Frame::binary((0..*bytes).map(|at| at as u8).collect::<Vec<_>>())).collect()
    }

    /// The bytes of the frame that is written by itself, the number of frames that are about to be written, and the bytes behind those that are
    /// in the buffer before.
    fn gathered(bytes: &[usize], before: usize) -> (Option<usize>, usize, usize) {
        let (frames, mut buffer) = (frames(bytes), vec![0; before]);
        let (large, count) = gather(frames.iter(), Extensions::default(), 0, &mut buffer);
        (large.map(|frame| frame.payload().len()), count, buffer.len() - before)
    }

    #[test]
    fn small_frames_are_copied_and_a_large_one_is_written_by_itself() {
        let large = 16 * 1024;
        assert_eq!(gathered(&[10, large - 1, 20], 0), (None, 3, 12 + 4 + large - 1 + 22));
        assert_eq!(gathered(&[large, 10], 0), (Some(large), 1, 0));
        assert_eq!(gathered(&[10, large, 10], 0), (None, 1, 12), "what is before it comes first");
        assert_eq!(gathered(&[large, 10], 5), (None, 0, 0));
    }

    #[test]
    fn as_much_is_copied_as_there_is_room_for() {
        let quarter = scratch::BYTES / 4 - 4;
        assert_eq!(gathered(&[quarter; 5], 0), (None, 4, scratch::BYTES));
        assert_eq!(gathered(&[quarter; 5], 1), (None, 3, scratch::BYTES / 4 * 3));
    }

    #[test]
    fn what_was_written_of_the_first_frame_is_not_copied_again() {
        let (frames, extensions) = (frames(&[300, 10]), Extensions::default());
        let mut all = Vec::new();
        frames.iter().for_each(|frame| extensions.form(frame).append(&mut all));
        for written in [0, 1, 4, 5, 303] {
            let mut buffer = vec![7; 3];
            assert_eq!(gather(frames.iter(), extensions, written, &mut buffer).1, 2);
            assert_eq!((&buffer[..3], &buffer[3..]), (&[7; 3][..], &all[written..]), "{written}");
        }
    }
}
