//! An answer as a member of gzip, a piece at a time, whose length is known before anything of it is written.
//!
//! ```text
//!   plain:   head  frame  ,  frame  ,  frame  tail
//!            └──── run ───┘    │    └── run ─────┘
//!   coded:   stored blocks   shared   stored blocks   end
//! ```
//!
//! What is between two frames that were compressed is a run: its length is known before its first byte is written, and that of each of
//! its stored blocks with it.
//!
//! Pure.

use crate::deflate::gzip::{self, Member, Part};

/// What was written of a member, and what is left of the run in it.
#[derive(Debug)]
pub(crate) struct Coded {
    member: Member,
    is_begun: bool,
    /// Plain bytes that are still to come in this run.
    run: usize,
    /// Those of them that have a place in the stored block that was begun.
    block: usize,
}

/// How long a member will be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    bytes: usize,
    run: usize,
    is_any_shared: bool,
}

impl Length {
    pub(crate) fn new() -> Self {
        Self { bytes: gzip::HEADER.len() + gzip::END_BYTES, run: 0, is_any_shared: false }
    }

    /// So many bytes as they are.
    pub(crate) fn add(&mut self, plain: usize) {
        self.run += plain;
    }

    /// So many bytes that were compressed.
    pub(crate) fn add_shared(&mut self, compressed: usize) {
        self.bytes += gzip::stored_bytes(std::mem::take(&mut self.run)) + compressed + gzip::FLUSHED.len();
        self.is_any_shared = true;
    }

    /// All of it; `None` if nothing in it is compressed.
    pub(crate) fn end(self) -> Option<usize> {
        self.is_any_shared.then(|| self.bytes + gzip::stored_bytes(self.run))
    }
}

impl Coded {
    /// A member that begins with a run of so many bytes.
    pub(crate) fn new(run: usize) -> Self {
        Self { member: Member::default(), is_begun: false, run, block: 0 }
    }

    /// Writes what comes first, once.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.is_begun, true) {
            out.extend_from_slice(&gzip::HEADER);
        }
    }

    /// Writes some bytes of the run.
    pub(crate) fn store(&mut self, mut plain: &[u8], out: &mut Vec<u8>) {
        if plain.is_empty() {
            return;
        }
        self.member.put(Part::of(plain));
        while !plain.is_empty() {
            if self.block == 0 {
                self.block = gzip::begin_stored(self.run.max(plain.len()), out);
            }
            let (now, then) = plain.split_at(plain.len().min(self.block));
            out.extend_from_slice(now);
            self.block -= now.len();
            self.run = self.run.saturating_sub(now.len());
            plain = then;
        }
    }

    /// A shared part was written; what ends it follows, and then a run of so many bytes.
    pub(crate) fn shared(&mut self, part: Part, run: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&gzip::FLUSHED);
        self.member.put(part);
        self.run = run;
    }

    /// Writes what comes last.
    pub(crate) fn end(&self, out: &mut Vec<u8>) {
        self.member.end(out);
    }
}
