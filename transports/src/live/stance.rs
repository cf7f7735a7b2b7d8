//! Where a session stands that has come from another node, or goes to one, as values. [`super::still`] moves them.

use std::task::Waker;

use super::baggage::Name;
use crate::{
    close::CloseReason,
    session::{Attachment, frozen::Frozen, life::Tick},
};

/// What there is to know of a session that has come from another node, goes to one, or has its stream by way of one. No other has it.
#[derive(Debug, Default)]
pub(crate) struct Moving {
    pub(super) stance: Stance,
    /// By what tokens of other nodes the session is known, the newest first.
    pub(super) names: Vec<Name>,
    /// By which other node its stream comes.
    pub(super) carrier: Option<Carrier>,
}

impl Moving {
    /// Whether there is nothing to know but where it stands.
    pub(super) fn is_plain(&self) -> bool {
        self.names.is_empty() && self.carrier.is_none()
    }
}

/// The other node by which a session's stream comes, and since when; or since it was last said that it does, and how often it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carrier {
    pub(super) node: u64,
    pub(super) since: Tick,
    pub(super) told: u8,
}

#[derive(Debug, Default)]
pub(super) enum Stance {
    #[default]
    Here,
    /// No frame of the client is taken.
    Still,
    Frozen(Box<Frost>),
    /// It was taken back; this attachment was cut, and no other has taken its place yet.
    Cut(Attachment),
    /// It is another node's. What carried it was cut.
    Gone(Attachment),
    /// It is to come from another node, or has come at that time, and cannot be found yet.
    Reserved(Option<Tick>),
}

/// A frozen session, and what comes for it meanwhile.
#[derive(Debug)]
pub(super) struct Frost {
    pub(super) frozen: Frozen,
    /// What carried it.
    pub(super) cut: Attachment,
    /// Why it is to be closed if it goes on here.
    pub(super) closed: Option<CloseReason>,
    /// Requests that wait for the decision.
    pub(super) waiting: Vec<Waker>,
}
