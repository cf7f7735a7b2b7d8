//! What the fuzz targets share: an allocator that counts, and cost as a law.
//!
//! A target says what an input may cost: bytes held afterwards, bytes at the peak, and work. Work is counted in
//! allocations, not in time: on a busy machine an input that takes long proves nothing, and one that allocates ten
//! times for each of its bytes does. (What computes for ever without allocating is seen by libFuzzer's own `-timeout`.)

pub mod session;

// An allocator that counts cannot be written without it; it adds nothing but counting to the system's.
#[allow(unsafe_code)]
mod counting {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    pub(crate) struct Counting;

    pub(crate) static LIVE: AtomicUsize = AtomicUsize::new(0);
    pub(crate) static PEAK: AtomicUsize = AtomicUsize::new(0);
    pub(crate) static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

    fn took(bytes: usize) {
        ALLOCATIONS.fetch_add(1, Relaxed);
        let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
        PEAK.fetch_max(live, Relaxed);
    }

    // SAFETY: every call is handed to the system's allocator as it is.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            took(layout.size());
            // SAFETY: as above.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            LIVE.fetch_sub(layout.size(), Relaxed);
            // SAFETY: as above.
            unsafe { System.dealloc(block, layout) }
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            LIVE.fetch_sub(layout.size(), Relaxed);
            took(size);
            // SAFETY: as above.
            unsafe { System.realloc(block, layout, size) }
        }
    }

    #[global_allocator]
    static COUNTING: Counting = Counting;
}

use std::sync::atomic::Ordering::Relaxed;

use counting::{ALLOCATIONS, LIVE, PEAK};

/// Bytes that are allocated now.
pub fn live() -> usize {
    LIVE.load(Relaxed)
}

/// The most bytes that were allocated at once since the last call.
pub fn peak() -> usize {
    PEAK.swap(live(), Relaxed)
}

/// Allocations so far, those that grow a block among them.
pub fn allocations() -> usize {
    ALLOCATIONS.load(Relaxed)
}

/// What reading an input may cost.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Bytes at the peak, for each byte of the input.
    pub bytes_per_byte: usize,
    /// Input bytes for each allocation.
    pub bytes_per_allocation: usize,
}

/// Bytes that any input may take, and allocations: a header, an error's text, the first block of a list.
const BYTES_ANY: usize = 1024;
const ALLOCATIONS_ANY: usize = 16;

impl Bound {
    /// Does something with an input of so many bytes, and looks that it costs no more than it may.
    #[track_caller]
    pub fn hold<R>(self, input_bytes: usize, work: impl FnOnce() -> R) -> R {
        peak();
        let (bytes, count) = (live(), allocations());
        let result = work();
        let (bytes, count) = (peak().saturating_sub(bytes), allocations() - count);
        let bytes_max = BYTES_ANY + self.bytes_per_byte * input_bytes;
        let count_max = ALLOCATIONS_ANY + input_bytes / self.bytes_per_allocation;
        assert!(bytes <= bytes_max, "{input_bytes} bytes of input took {bytes}, and may take {bytes_max}");
        assert!(
            count <= count_max,
            "{input_bytes} bytes of input made {count} allocations of at most {count_max}"
        );
        result
    }
}
