//! Stock clients whose session another node has.

use std::{sync::Arc, time::Duration};

use bytes::{Buf as _, Bytes};
use http::{Response, request::Parts};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use tokio::time::sleep;

use super::{
    create_session,
    reply::{self, Status},
    token::Token,
    token_of,
};
use crate::{
    connect::Transport,
    elsewhere::{Kind as TokenKind, NotCarried, TOKEN_BYTES_MAX},
    handler::Handler,
    http::body::{Body, RequestBody},
    manager::Manager,
    session::Seq,
};

/// Bytes of an answer that is had whole before it is given on, so that a client never gets a part of it.
const WHOLE_BYTES_MAX: u64 = 64 * 1024;

/// How long a poll waits that cannot be carried: the client asks again at once.
const PAUSE: Duration = Duration::from_secs(1);

/// A poll. One that was lost has cost nothing: frames are kept until a later one proves that they were received.
pub(super) async fn carry_poll<H: Handler>(
    manager: Arc<Manager<H>>,
    owner: u64,
    parts: Parts,
) -> Response<Body> {
    let token = token_of(&parts).unwrap_or_default().to_owned();
    let again = parts.clone();
    let owner_of = (owner, manager.polled(&token));
    let carried = match manager.carry(owner_of, Transport::Longpoll, parts, Full::<Bytes>::default()).await {
        Ok(response) => whole(response).await,
        Err(why) => Err(why),
    };
    match carried {
        Ok(response) => response,
        // The session is gone, as after a restart: another one begins.
        Err(NotCarried::Gone) => create_session(manager, again).await,
        Err(NotCarried::Later) => {
            sleep(PAUSE).await;
            let token = with_cursor(&manager, owner, &token).unwrap_or(token);
            reply::no_messages(Status::NoMessages, &token)
        }
    }
}

/// A POST. One that was lost may have been heard, so that its client is told: it connects anew.
pub(super) async fn carry_post<H: Handler, B: RequestBody>(
    manager: Arc<Manager<H>>,
    owner: u64,
    parts: Parts,
    body: B,
) -> Response<Body> {
    let body = body.map_frame(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())));
    let session = token_of(&parts).and_then(|token| manager.polled(token));
    match manager.carry((owner, session), Transport::Longpoll, parts, body).await {
        Ok(response) => response,
        Err(NotCarried::Gone) => reply::status(Status::Gone, None),
        Err(NotCarried::Later) => reply::later(),
    }
}

/// The token of a client that has received nothing, where its own does not say so: its next poll would be taken to have what this one was handed,
/// and lost. To those whose token never changes this is nothing new.
fn with_cursor<H: Handler>(manager: &Manager<H>, owner: u64, token: &str) -> Option<String> {
    let mut bytes = [0; TOKEN_BYTES_MAX + 2];
    let (_, says) = manager.marks.read(TokenKind::Polled, token, &mut bytes)?;
    let bare = Token::of_bytes(says).filter(|token| token.cursor.is_none())?;
    let token = Token { cursor: Some(Seq(0)), ..bare };
    Some(manager.marks.write_of(owner, TokenKind::Polled, &token.bytes()))
}

async fn whole(response: Response<Body>) -> Result<Response<Body>, NotCarried> {
    if response.body().size_hint().upper().is_none_or(|bytes| bytes > WHOLE_BYTES_MAX) {
        return Ok(response);
    }
    let (parts, mut body) = response.into_parts();
    // Copied, as more comes only once what came is not held any more.
    let mut whole = Vec::with_capacity(body.size_hint().upper().unwrap_or_default() as usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| NotCarried::Later)?;
        whole.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
    Ok(Response::from_parts(parts, Body::from(whole)))
}
