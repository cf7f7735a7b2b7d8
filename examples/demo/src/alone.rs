//! The demo without other nodes.

use std::sync::Arc;

use lapwing::{Builder, Lapwing};

use crate::{AnyError, room::Rooms};

/// What a server is built with, and its rooms.
pub(crate) async fn start() -> Result<(Builder, Rooms), AnyError> {
    Ok((Lapwing::builder(), Rooms::default()))
}

/// Nothing is said elsewhere.
pub(crate) fn learn(_: &Lapwing, _: Arc<Rooms>) {}
