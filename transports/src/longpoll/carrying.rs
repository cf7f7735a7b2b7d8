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
    token_of,
};
use crate::{
    connect::Transport,
    elsewhere::NotCarried,
    handler::Handler,
    http::body::{Body, RequestBody},
    manager::Manager,
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
    let carried = match manager.carry(owner, Transport::Longpoll, parts, Full::<Bytes>::default()).await {
        Ok(response) => whole(response).await,
        Err(why) => Err(why),
    };
    match carried {
        Ok(response) => response,
        // The session is gone, as after a restart: another one begins.
        Err(NotCarried::Gone) => create_session(manager, again).await,
        Err(NotCarried::Later) => {
            sleep(PAUSE).await;
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
    match manager.carry(owner, Transport::Longpoll, parts, body).await {
        Ok(response) => response,
        Err(NotCarried::Gone) => reply::status(Status::Gone, None),
        Err(NotCarried::Later) => reply::later(),
    }
}

async fn whole(response: Response<Body>) -> Result<Response<Body>, NotCarried> {
    if response.body().size_hint().upper().is_none_or(|bytes| bytes > WHOLE_BYTES_MAX) {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let whole = body.collect().await.map_err(|_| NotCarried::Later)?;
    Ok(Response::from_parts(parts, Body::from(whole.to_bytes())))
}
