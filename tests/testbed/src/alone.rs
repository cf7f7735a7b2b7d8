//! A server that is alone: it was built without the feature `cluster`.

use std::env;

use lapwing::{Builder, Lapwing};
use serde_json::Value;

use crate::AnyError;

/// What a server is built with.
///
/// # Errors
/// The environment says that it is not.
pub(crate) async fn start() -> Result<Builder, AnyError> {
    match env::var("ENGINE") {
        Ok(engine) if !engine.is_empty() => Err("ENGINE is for a testbed with the feature `cluster`".into()),
        _ => Ok(Lapwing::builder()),
    }
}

/// What `/stats` says of the cluster.
pub(crate) fn cluster(_: &Lapwing) -> Value {
    Value::Null
}
