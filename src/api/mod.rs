//! An HTTP API for the rest of a system: programs in other languages publish, end connections and ask who is there.
//!
//! ```
//! use lapwing::{Lapwing, Mount, api::ApiOptions};
//!
//! let lapwing = Lapwing::builder().mount("/socket", Mount::new()).build()?;
//! // The key is a secret of yours: from the environment, say.
//! let api = lapwing.api(ApiOptions::new("wv8Jq2GfRk4sXw3bNq7T")?);
//! let app: axum::Router = axum::Router::new().nest_service("/api", api);
//! # let _ = app;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing is there unless it is mounted, and there is none without a key. The guide's page `http-api` has an example of each operation, and
//! [`OPENAPI`] is the whole as a document, which the service gives out, too, to whoever has the key.

mod answer;
mod done;
mod operations;
mod request;
mod service;

use std::{fmt, time::Duration};

#[cfg(fuzzing)]
pub(crate) use self::request::{Get, Operation, Post};
pub use self::service::ApiService;
use lapwing_transports::options::error::{FOREVER, OptionError};

/// The OpenAPI document of the operations, as JSON.
pub const OPENAPI: &str = include_str!("../../docs/api.json");

/// As of the inspector: whoever may guess as fast as a server answers needs years for as many bytes at random.
const KEY_BYTES_MIN: usize = 8;

/// The key of the API, and its bounds.
#[derive(Clone)]
#[must_use]
pub struct ApiOptions {
    pub(crate) keys: Vec<Vec<u8>>,
    pub(crate) body_bytes_max: usize,
    pub(crate) body_timeout: Duration,
    pub(crate) batch_max: usize,
    pub(crate) history_max: usize,
    pub(crate) remembered_bytes_max: u64,
    pub(crate) remembered_for: Duration,
}

impl ApiOptions {
    /// Options with this key, which requests bring as `Authorization: Bearer KEY`. It is compared in a time that does not depend on how much of a
    /// wrong one is right. Make it at random, with 128 bits at least; whoever has it may do all that the API does.
    ///
    /// # Errors
    /// If the key has less than eight bytes, or can stand in no header: it consists of visible ASCII.
    ///
    /// ```
    /// use lapwing::api::ApiOptions;
    ///
    /// assert!(ApiOptions::new("wv8Jq2GfRk4sXw3bNq7T").is_ok());
    /// assert!(ApiOptions::new("").is_err(), "a key that was forgotten opens the door to nobody");
    /// assert!(ApiOptions::new("short").is_err(), "and one that is guessed to everybody");
    /// ```
    pub fn new(key: impl Into<String>) -> Result<Self, OptionError> {
        Self {
            keys: Vec::new(),
            body_bytes_max: 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            batch_max: 1_000,
            history_max: 1_000,
            remembered_bytes_max: 8 * 1024 * 1024,
            remembered_for: Duration::from_secs(600),
        }
        .also(key)
    }

    /// Takes another key, too: to replace one without an interruption.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn also(mut self, key: impl Into<String>) -> Result<Self, OptionError> {
        let key = key.into();
        if key.len() < KEY_BYTES_MIN {
            return Err(OptionError::new(
                "ApiOptions::new",
                "the key is empty, or has less than 8 bytes: take a long one, made at random",
            ));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(OptionError::new(
                "ApiOptions::new",
                "a key consists of visible ASCII, without spaces",
            ));
        }
        self.keys.push(key.into_bytes());
        Ok(self)
    }

    /// Bytes of a request's body. Default 1 MiB; then 413, and nothing was done. 0 is taken for 1.
    pub fn body_bytes_max(mut self, bytes: usize) -> Self {
        self.body_bytes_max = bytes.max(1);
        self
    }

    /// Sets the time that a body may take to arrive. Default 30 s; then 408, and nothing was done.
    pub fn body_timeout(mut self, time: Duration) -> Self {
        self.body_timeout = time.min(FOREVER);
        self
    }

    /// Messages of one batch. Default 1,000, which are published in a few milliseconds; more are refused, all of them. 0 is taken for 1.
    pub fn batch_max(mut self, messages: usize) -> Self {
        self.batch_max = messages.max(1);
        self
    }

    /// Messages that one answer with a history has at most. Default 1,000.
    pub fn history_max(mut self, messages: usize) -> Self {
        self.history_max = messages.max(1);
        self
    }

    /// Bytes that are set aside for answers to requests with an `Idempotency-Key`, and for how long each is remembered. Default 8 MiB, some
    /// forty thousand publications, and ten minutes, in which a client tries again and gives up. The oldest are forgotten for want of room.
    pub fn remembered(mut self, bytes_max: u64, time: Duration) -> Self {
        self.remembered_bytes_max = bytes_max;
        self.remembered_for = time.min(FOREVER);
        self
    }
}

impl fmt::Debug for ApiOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiOptions").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}
