//! What is held for clients: each kind of it driven to its bound by clients that mean harm, with a client beside them that
//! means none. Afterwards everything is given back.

mod sessions;

use std::{net::SocketAddr, time::Duration};

use lapwing::transports::{endpoint::Endpoint, options::TransportOptions};

use crate::support::echo::{self, Echo};

/// A server that echoes, with a budget.
async fn serve(bytes_max: usize, set: impl FnOnce(&mut TransportOptions)) -> (Endpoint<Echo>, SocketAddr) {
    let mut options = TransportOptions::default();
    options.budget_bytes_max = bytes_max;
    set(&mut options);
    echo::serve(options).await
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// Waits until nothing is held any more.
async fn until_all_is_given_back(endpoint: &Endpoint<Echo>) {
    until("all is given back", || endpoint.bytes_held() == 0).await;
}
