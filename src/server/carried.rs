//! Requests that other nodes of a cluster got and that this one's mounts answer.

use std::sync::{Arc, Weak};

use http::Request;
use lapwing_cluster::moves::MoveOutput;
use lapwing_transports::{
    body::ResponseFuture,
    connect::{PathVariables, Transport},
    elsewhere::CarriedSocket,
};

use super::{Inner, Mounted};
use crate::cluster::relay::{Host, Upload};

/// Has a server answer what others carry to it.
pub(super) fn host(inner: &Arc<Inner>) {
    if let Some(link) = inner.node.link() {
        let host: Weak<dyn Host> = Arc::<Inner>::downgrade(inner);
        link.host(host);
    }
}

impl Inner {
    fn mounted(&self, mount: &str) -> Option<&Mounted> {
        self.mounts.iter().find(|mounted| mounted.name == mount)
    }
}

impl Host for Inner {
    fn serve_carried(
        &self,
        mount: &str,
        transport: Transport,
        request: Request<Upload>,
        variables: PathVariables,
        by: u64,
    ) -> Option<ResponseFuture> {
        Some(self.mounted(mount)?.endpoint.serve_carried(transport, request, variables, by))
    }

    fn handle_peer(&self, node: u64) {
        self.tell_heirs_to(node);
    }

    fn handle_move(self: Arc<Self>, output: MoveOutput) {
        self.handle_move_of(output);
    }

    fn serve_socket(&self, mount: &str, socket: CarriedSocket, variables: PathVariables, by: u64) {
        if let Some(mounted) = self.mounted(mount) {
            mounted.endpoint.serve_socket(socket, variables, by);
        }
    }
}
