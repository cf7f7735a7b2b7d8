//! The bodies of a session's requests and answers: read within bounds, written from the session's own frames.
//!
//! ```text
//! writing ─ {window pieces* coded*}     inbound
//! ```

pub(crate) mod coded;
pub(crate) mod inbound;
pub(crate) mod pieces;
#[cfg(feature = "deflate")]
#[cfg(test)]
mod tests;
pub(crate) mod window;
pub(crate) mod writing;
