//! The wire: what a client sees of a running server, judged by clients that share no code with it.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

mod api;
mod bounds;
mod budget;
mod callbacks;
mod cluster;
mod compression;
mod contract;
mod crowd;
mod cut;
mod defaults;
mod dropped;
mod examples;
mod floods;
mod hostile;
mod http2;
mod joins;
mod kept;
mod kit;
mod limits;
mod logins;
mod logs;
mod longpoll;
mod metrics;
mod mistakes;
mod moderating;
mod mounting;
mod names;
mod oracle;
mod pauses;
mod presence_order;
mod presence_program;
mod pressure;
mod rates;
mod refusals;
mod reserved;
mod results;
mod rfc6455;
mod rows;
mod server;
mod sessions;
mod shutdown;
mod slow;
mod support;
mod vectors;
