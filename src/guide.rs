//! The guide, one page each: what to do in a program that uses lapwing. It is documentation alone. Links between the pages, and to other documents,
//! work in the repository, in `docs/guide`, and not here.

#[doc = include_str!("../docs/guide/axum.md")]
pub mod axum {}

#[doc = include_str!("../docs/guide/authentication.md")]
pub mod authentication {}

#[doc = include_str!("../docs/guide/state-and-errors.md")]
pub mod state_and_errors {}

#[doc = include_str!("../docs/guide/payloads.md")]
pub mod payloads {}

#[doc = include_str!("../docs/guide/presence.md")]
pub mod presence {}

#[doc = include_str!("../docs/guide/testing.md")]
pub mod testing {}

#[doc = include_str!("../docs/guide/slow-clients.md")]
pub mod slow_clients {}

#[cfg(feature = "deflate")]
#[doc = include_str!("../docs/guide/compression.md")]
pub mod compression {}

/// The page on compression, which comes with the feature `deflate`. Without it nothing is compressed, and what a program says of compression
/// has no effect.
#[cfg(not(feature = "deflate"))]
pub mod compression {}

#[doc = include_str!("../docs/guide/kept-topics.md")]
pub mod kept_topics {}

#[doc = include_str!("../docs/guide/http-api.md")]
pub mod http_api {}

#[doc = include_str!("../docs/guide/deploying.md")]
pub mod deploying {}

#[cfg(feature = "cluster")]
#[doc = include_str!("../docs/guide/cluster.md")]
pub mod cluster {}

#[doc = include_str!("../docs/guide/phoenix.md")]
pub mod phoenix {}

#[doc = include_str!("../docs/guide/socketio.md")]
pub mod socketio {}

#[doc = include_str!("../docs/sessions.md")]
pub mod sessions {}
