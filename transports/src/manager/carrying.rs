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
        if self.marks.elsewhere().is_none() || parts.extensions.get::<Carried>().is_some() {
            return None;
        }
        match kind {
            Kind::Session => self.owner_of_session(token),
            Kind::Polled | Kind::Ticket => self.marks.owner(kind, token),
        }
    }

    /// The other node that has a session: the one that its token names, unless it has gone to another one.
    fn owner_of_session(&self, token: &str) -> Option<u64> {
        let elsewhere = self.marks.elsewhere()?;
        let (named, token) = self.marks.session(token)?;
        if self.is_here(named, &token) {
            return None;
        }
        let heir = self.gone.heir(named, token.serial).or_else(|| elsewhere.heir(named, token.serial));
        Some(heir.unwrap_or(named)).filter(|owner| *owner != elsewhere.here())
    }

    /// Why a request is not carried that was to be, to the node that seemed to have the session of this token. One that has gone meanwhile was not lost with
    /// that node.
    pub(crate) fn not_carried(&self, why: NotCarried, to: u64, token: &str) -> NotCarried {
        if self.owner_of_session(token) == Some(to) { why } else { NotCarried::Later }
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
