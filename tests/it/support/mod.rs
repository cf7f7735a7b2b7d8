//! What every wire test needs: a running testbed, and clients that share no code with the server.

use std::time::Duration;

pub(crate) mod bystander;
pub(crate) mod channels;
pub(crate) mod echo;
pub(crate) mod events;
pub(crate) mod frames;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod http2;
pub(crate) mod lab;
pub(crate) mod lateness;
pub(crate) mod longpoll;
pub(crate) mod sessions;
pub(crate) mod testbed;
pub(crate) mod tls;
pub(crate) mod websocket;

/// How long an answer may take before a test calls it missing. Generous: a loaded machine is no bug.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long nothing must arrive before a test believes that nothing comes.
pub(crate) const SILENCE: Duration = Duration::from_millis(100);
