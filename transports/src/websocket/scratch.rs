//! Buffers that belong to the thread, not to the connection: an idle connection holds none.

use std::cell::Cell;

/// Large enough that a burst of small frames leaves in one write and a large message arrives in few reads.
pub(super) const BYTES: usize = 64 * 1024;

thread_local! {
    static READ: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static WRITE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the thread's read buffer, [`BYTES`] long. Lent again from within, there is a new one for that time.
pub(super) fn with_read<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = READ.take();
    buffer.resize(BYTES, 0);
    let result = use_it(&mut buffer);
    READ.set(buffer);
    result
}

/// Lends the thread's write buffer, empty, with room for [`BYTES`].
pub(super) fn with_write<R>(use_it: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut buffer = WRITE.take();
    buffer.clear();
    buffer.reserve(BYTES);
    let result = use_it(&mut buffer);
    WRITE.set(buffer);
    result
}
