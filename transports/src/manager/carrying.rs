//! Requests for sessions of other nodes.

use std::{error::Error, time::Duration};

use http::{Method, Request, Response, request::Parts};
use http_body_util::BodyExt as _;

use super::{
    Manager,
    under_way::{Named, PATIENCE, Place},
};
use crate::{
    connect::Transport,
    elsewhere::{Carried, Kind, NotCarried, TOKEN_BYTES_MAX, Whose},
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

    /// The answer of the node that has the session; of a ticket it is not known which that is, but a ticket is good once, and what it is for takes the
    /// place of what carried its session before.
    pub(crate) async fn carry<B>(
        &self,
        (owner, session): (u64, Option<Named>),
        transport: Transport,
        parts: Parts,
        body: B,
    ) -> Result<Response<Body>, NotCarried>
    where
        B: RequestBody<Data = bytes::Bytes>,
    {
        let Some(elsewhere) = self.marks.elsewhere() else { return Err(NotCarried::Gone) };
        let body = body.map_err(|error| -> Box<dyn Error + Send + Sync> { error.into() });
        // A stock client makes a request of what it says, however much that is; whoever has a poll under way is told to come later at once.
        let patience = if parts.method == Method::POST { PATIENCE } else { Duration::ZERO };
        let place = self.place_for(session, patience).await?;
        let answer =
            elsewhere.carry(owner, transport, Request::from_parts(parts, body.boxed_unsync())).await?;
        Ok(match place {
            Some(place) => answer.map(|body| place.until_dropped(body)),
            None => answer,
        })
    }

    /// A place for a request of a session that another node has.
    pub(crate) async fn place_for(
        &self,
        session: Option<Named>,
        patience: Duration,
    ) -> Result<Option<Place>, NotCarried> {
        let Some(session) = session else { return Ok(None) };
        let patience = if matches!(session, Named::Polled(..)) { patience } else { Duration::ZERO };
        self.under_way.place(session, patience).await.map(Some).ok_or(NotCarried::Later)
    }

    /// The session that the token of a resumable one is of.
    pub(crate) fn resumable(&self, token: &str) -> Option<Named> {
        let (node, token) = self.marks.session(token)?;
        Some(Named::Resumable(node, token.serial))
    }

    /// The session that the token of a stock client is of.
    pub(crate) fn polled(&self, token: &str) -> Option<Named> {
        let mut bytes = [0; TOKEN_BYTES_MAX + 2];
        let (Whose::Of(node), says) = self.marks.read(Kind::Polled, token, &mut bytes)? else { return None };
        Some(Named::Polled(node, u32::from_be_bytes(says.get(..4)?.try_into().ok()?)))
    }
}
