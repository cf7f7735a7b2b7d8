//! A server that is alone, or a node of a cluster, as the environment says.

use std::{env, error::Error, fmt::Write as _, time::Duration};

use lapwing::{
    Builder, ClusterOptions, Lapwing,
    cluster::{AtStart, Engine, KeptStream, Nats, Redis, Spread, StartError},
};
use serde_json::Value;

use crate::{AnyError, kept};

/// What a server is built with.
///
/// # Errors
/// `ENGINE` is no address, `APP` no name, or the engine refuses the node. One that is away is waited for.
pub(crate) async fn start() -> Result<Builder, AnyError> {
    let builder = Lapwing::builder();
    let Some(address) = env::var("ENGINE").ok().filter(|engine| !engine.is_empty()) else {
        return Ok(builder);
    };
    let scheme = address.split_once("://").map_or(&*address, |(scheme, _)| scheme);
    let cluster = match scheme {
        "nats" => {
            let nats = Nats::at(&address).map_err(unusable)?;
            start_on(if kept() > 0 { nats.keeping(KeptStream::new()) } else { nats }).await
        }
        "redis" | "unix" => start_on(Redis::at(&address).map_err(unusable)?).await,
        scheme => return Err(format!("ENGINE is redis://…, unix://… or nats://…, and not {scheme:?}").into()),
    };
    Ok(builder.cluster(cluster.map_err(unusable)?))
}

async fn start_on(engine: impl Engine) -> Result<lapwing::Cluster, StartError> {
    let options = ClusterOptions::new(env::var("APP").unwrap_or_else(|_| "testbed".into()))
        .name(env::var("NODE").unwrap_or_default())
        .at_start(AtStart::Wait);
    // Sessions of a node that goes down go to the others.
    let options = if env::var("MOVES").as_deref() == Ok("off") { options } else { options.with_moves() };
    let options = match env::var("FOLLOW_MS").ok().and_then(|ms| ms.parse().ok()) {
        Some(ms) => options.follow_after(Duration::from_millis(ms)),
        None => options,
    };
    // Each topic with a channel of its own, for tests of joins that are the first on their channel.
    let options = match env::var("SPREAD").as_deref() {
        Ok("topics") => options.spread(Spread::Topics),
        _ => options,
    };
    let options = match env::var("SECRET") {
        Ok(secret) => options.secret(secret),
        Err(_) => options,
    };
    options.start(engine).await
}

/// Says what it is about, with its causes.
fn unusable(error: impl Error) -> AnyError {
    let mut text = format!("ENGINE cannot be used: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        // A text takes everything.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text.into()
}

/// What `/stats` says of the cluster; null of a server that is alone.
pub(crate) fn cluster(lapwing: &Lapwing) -> Value {
    serde_json::to_value(lapwing.cluster()).unwrap_or_default()
}
