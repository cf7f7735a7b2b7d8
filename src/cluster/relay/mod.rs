//! Requests for sessions of other nodes, carried to them and answered there.
//!
//! ```text
//!   client ── request ──▶ this node, the carrier                       the owner
//!                         Carrier ── head, body ──▶ (engine) ──▶ Pump ─▶ serve ─▶ Endpoint
//!          ◀── answer ──  Download ◀── (engine) ◀── head, body ◀─────────┘
//! ```
//!
//! The owner answers as if the client had reached it; nothing of what the bytes mean is known in between.

mod carrier;
mod download;
mod head;
mod io;
mod owner;
mod upload;

use std::sync::Arc;

use http::Request;
use lapwing_cluster::moves::MoveOutput;
use lapwing_transports::{
    body::ResponseFuture,
    connect::{PathVariables, Transport},
    elsewhere::CarriedSocket,
};

pub(crate) use self::{carrier::Carrier, owner::serve, upload::Upload};

/// The mounts of this node, as others' requests find them.
pub(crate) trait Host: Send + Sync {
    /// Answers a request that the node `by` carries here; none if there is no such mount.
    fn serve_carried(
        &self,
        mount: &str,
        transport: Transport,
        request: Request<Upload>,
        variables: PathVariables,
        by: u64,
    ) -> Option<ResponseFuture>;

    /// Serves a WebSocket that the node `by` carries here.
    fn serve_socket(&self, mount: &str, socket: CarriedSocket, variables: PathVariables, by: u64);

    /// Another node is there, which does not know what has come here before.
    fn handle_peer(&self, node: u64);

    /// Something is known of a session that goes from one node to another.
    fn handle_move(self: Arc<Self>, output: MoveOutput);
}
