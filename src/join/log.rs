//! What is logged about joins, and how often.

use crate::occasionally::Occasionally;

/// The limits of the log lines about a route's joins, each kind by itself.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) crashes: Occasionally,
    pub(crate) failures: Occasionally,
    pub(crate) leave_crashes: Occasionally,
    pub(crate) encodings: Occasionally,
    pub(crate) endless: Occasionally,
    pub(crate) unconfirmed: Occasionally,
    pub(crate) placeless: Occasionally,
}
