//! Requests for sessions of other nodes.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::{
    Manager,
    under_way::{Named, Place},
};
use crate::{
    connect::Transport,
    dialect::{VERSION_PARAM, client::ClientControl, post},
    elsewhere::{Carried, CarriedBody, Kind, NotCarried, TOKEN_BYTES_MAX, Whose},
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
        let mut body = body.map_err(|error| -> Box<dyn Error + Send + Sync> { error.into() }).boxed_unsync();
        let session = if is_of_a_session(&parts) {
            // It has been read, and does not have to be waited for.
            let first = body.frame().await.and_then(Result::ok).and_then(|first| first.into_data().ok());
            let first = first.unwrap_or_default();
            let session = self.named_in(&first);
            body = Behind { first, body }.boxed_unsync();
            session
        } else {
            polled_token(&parts).and_then(|token| self.named_by(token))
        };
        let place =
            session.map(|session| self.under_way.place(session).ok_or(NotCarried::Later)).transpose()?;
        let answer = elsewhere.carry(owner, transport, Request::from_parts(parts, body)).await?;
        Ok(match place {
            Some(place) => answer.map(|body| place.until_dropped(body)),
            None => answer,
        })
    }

    /// A place for a WebSocket of a session that another node has.
    pub(crate) fn place_for(&self, token: Option<&str>) -> Result<Option<Place>, NotCarried> {
        let session = token.and_then(|token| self.resumable(token));
        session.map(|session| self.under_way.place(session).ok_or(NotCarried::Later)).transpose()
    }

    /// The session that the first line of a body is about. A ticket is good once, and what it is for takes the place of what carried its session before.
    fn named_in(&self, body: &[u8]) -> Option<Named> {
        let line = body.split(|byte| *byte == b'\n').next()?;
        match post::purpose(line) {
            Ok(ClientControl::Send { token } | ClientControl::Resume { token, .. }) => self.resumable(token),
            _ => None,
        }
    }

    fn resumable(&self, token: &str) -> Option<Named> {
        let (node, token) = self.marks.session(token)?;
        Some(Named::Resumable(node, token.serial))
    }

    fn named_by(&self, token: &str) -> Option<Named> {
        let mut bytes = [0; TOKEN_BYTES_MAX + 2];
        let (Whose::Of(node), says) = self.marks.read(Kind::Polled, token, &mut bytes)? else { return None };
        Some(Named::Polled(node, u32::from_be_bytes(says.get(..4)?.try_into().ok()?)))
    }
}

/// Whether a request is in the session dialect.
fn is_of_a_session(parts: &Parts) -> bool {
    let mut pairs = parts.uri.query().unwrap_or_default().split('&');
    pairs.any(|pair| pair.strip_prefix(VERSION_PARAM).is_some_and(|value| value.starts_with('=')))
}

/// The token of a request of Phoenix's long-poll. The header wins over the query.
fn polled_token(parts: &Parts) -> Option<&str> {
    let header = parts.headers.get("x-phoenix-longpoll-token").and_then(|value| value.to_str().ok());
    header.or_else(|| parts.uri.query()?.split('&').rev().find_map(|pair| pair.strip_prefix("token=")))
}

/// A body of which the first piece was looked at.
struct Behind {
    first: Bytes,
    body: CarriedBody,
}

impl http_body::Body for Behind {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.first)))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
