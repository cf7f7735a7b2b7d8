//! One client above the transports: its joins, and what its messages mean.

pub(crate) mod accept;
mod address;
mod answering;
pub(crate) mod bucket;
mod calling;
pub(crate) mod client;
mod deadlines;
pub(crate) mod handler;
pub(crate) mod joins;
pub(crate) mod login;
pub(crate) mod meter;
#[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "there is no other node"))]
pub(crate) mod moving;
pub(crate) mod rates;
pub(crate) mod recovery;
pub(crate) mod renewal;
mod reply;
pub(crate) mod router;
pub(crate) mod task;
mod text_only;
mod trace;
