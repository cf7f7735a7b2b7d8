//! Requests for sessions of other nodes.

use http::{Request, Response, request::Parts};
use http_body_util::BodyExt as _;

use super::Manager;
use crate::{
    connect::Transport,
    elsewhere::{Carried, Kind, NotCarried},
    handler::Handler,
    http::body::{Body, RequestBody},
};

impl<H: Handler> Manager<H> {
    /// The other node that has the session of a request, as its token says; none for one that was carried here, and goes no further.
    pub(crate) fn owner(&self, kind: Kind, token: &str, parts: &Parts) -> Option<u64> {
        let owner = self.marks.owner(kind, token)?;
        parts.extensions.get::<Carried>().is_none().then_some(owner)
    }

    /// The answer of the node that has the session.
    pub(crate) async fn carry<B>(
        &self,
        owner: u64,
        transport: Transport,
        parts: Parts,
        body: B,
    ) -> Result<Response<Body>, NotCarried>
    where
        B: RequestBody<Data = bytes::Bytes>,
    {
        let Some(elsewhere) = self.marks.elsewhere() else { return Err(NotCarried::Gone) };
        let body = body.map_err(|error| -> Box<dyn std::error::Error + Send + Sync> { error.into() });
        elsewhere.carry(owner, transport, Request::from_parts(parts, body.boxed_unsync())).await
    }
}
