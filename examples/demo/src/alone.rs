//! The demo without other nodes.

use lapwing::{Builder, Lapwing};

use crate::{AnyError, room::Rooms};

/// What a server is built with, and its rooms.
pub(crate) async fn start() -> Result<(Builder, Rooms), AnyError> {
    Ok((Lapwing::builder(), Rooms::default()))
}
