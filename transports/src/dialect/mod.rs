//! The session dialect: the lines and tokens by which a client and a server carry one session over any transport.
//!
//! Pure, and read and written in both directions, for a server, a client, and their tests. `docs/sessions.md` is the
//! specification.
//!
//! ```text
//! {post rejection} ─ {client server} ─ lines      token
//! ```

pub mod client;
pub mod lines;
pub mod post;
pub mod rejection;
pub mod server;
#[cfg(feature = "net")]
pub(crate) mod token;

/// The parameter of a query by which a client asks for the dialect over HTTP.
pub const VERSION_PARAM: &str = "lapwing";

/// The version that is spoken here, as that parameter's value.
pub const VERSION: &str = "1";

/// The WebSocket subprotocol by which a client asks for the dialect.
pub const SUBPROTOCOL: &str = "lapwing.1";

#[cfg(test)]
mod tests;
