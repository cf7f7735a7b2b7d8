//! The body of a request that another node has got.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Frame;
use lapwing_cluster_driver::Relay;
use lapwing_transports::body::Cut;

/// What the carrier sends up.
#[derive(Debug)]
pub(crate) struct Upload(Arc<Relay>);

impl Upload {
    pub(super) fn new(relay: Arc<Relay>) -> Self {
        Self(relay)
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Poll::Ready(match ready!(self.0.poll_recv(cx)) {
            Ok(Some(bytes)) => {
                // Whoever reads it has a bound of its own.
                self.0.used(bytes.len());
                Some(Ok(Frame::data(bytes)))
            }
            Ok(None) => None,
            Err(_) => Some(Err(Cut)),
        })
    }
}
