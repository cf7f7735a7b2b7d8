//! The demo as one of several nodes: `ENGINE=redis://…` says where they meet, `NODE` this one's name, and `RESTART` that
//! something starts it again when it ends, so that the page may have it end.

use std::{env, sync::Arc};

use lapwing::{
    Builder, ClusterOptions, Lapwing,
    cluster::{AtStart, Redis},
};

use crate::{AnyError, room::Rooms};

/// What a server is built with, and its rooms. What is said in them is kept in the Redis, for all nodes.
pub(crate) async fn start() -> Result<(Builder, Rooms), AnyError> {
    let Ok(engine) = env::var("ENGINE") else { return Ok((Lapwing::builder(), Rooms::default())) };
    let name = env::var("NODE").unwrap_or_else(|_| std::process::id().to_string());
    let options = ClusterOptions::new("lapwing-demo").name(&name).at_start(AtStart::Wait).with_moves();
    let restart = env::var("RESTART").is_ok().then(Arc::default);
    let cluster = options.start(Redis::at(&engine)?).await?;
    Ok((Lapwing::builder().cluster(cluster), Rooms { node: Some(name), restart }))
}
