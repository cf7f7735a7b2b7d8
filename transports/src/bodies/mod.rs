//! The bodies of a session's requests and answers: read within bounds, written from the session's own frames.
//!
//! ```text
//! writing ─ {window pieces*}     inbound
//! ```

pub(crate) mod inbound;
pub(crate) mod pieces;
pub(crate) mod window;
pub(crate) mod writing;
