//! The references of a client's message.

use crate::protocol::Ref;

/// The two refs of a message, as its answer repeats them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refs {
    /// The join that the message belongs to.
    pub(crate) join_ref: Option<Ref>,
    /// The message itself.
    pub(crate) reference: Option<Ref>,
}
