//! What a client has brought, kept for when its session goes to another node, where the program is asked about it again: the request that it connected
//! with, its last token, and the parameters of its joins.

use std::{collections::HashMap, sync::PoisonError};

use bytes::Bytes;
use http::Uri;
use lapwing_transports::connect::{ConnectRequest, PeerAddr, Transport};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    cluster::headers::{headers, pairs},
    protocol::{Payload, RawJson},
    sync::{Mutex, MutexGuard},
    topics::broadcast::ChannelId,
};

/// What a client has brought.
#[derive(Debug)]
pub(crate) struct Luggage {
    /// The request, as JSON.
    request: RawJson,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<String>,
    params: HashMap<ChannelId, Payload>,
}

impl Luggage {
    /// What a client brings that connects.
    pub(crate) fn of(request: &ConnectRequest) -> Self {
        let head = ConnectHead {
            transport: request.transport.name().to_owned(),
            params: request.params.clone(),
            uri: request.uri.to_string(),
            headers: pairs(&request.headers),
            peer: request.extensions.get::<PeerAddr>().map(|peer| peer.0),
            auth_token: request.auth_token.clone(),
        };
        // What it consists of can be written.
        Self::new(RawJson::from_serialize(&head).unwrap_or(RawJson::empty_object()), None)
    }

    /// The same of a client that comes from another node.
    pub(crate) fn new(request: RawJson, token: Option<String>) -> Self {
        let state = Mutex::new(State { token, params: HashMap::new() });
        Self { request, state }
    }

    /// The request, and the last token that came in its place.
    pub(crate) fn request(&self) -> (RawJson, Option<String>) {
        (self.request.clone(), self.state().token.clone())
    }

    /// Bytes that it holds from the start.
    pub(crate) fn bytes(&self) -> usize {
        self.request.as_str().len() + self.state().token.as_ref().map_or(0, String::len)
    }

    /// The program has taken another token.
    pub(crate) fn set_token(&self, token: String) {
        self.state().token = Some(token);
    }

    /// The client joins with these parameters.
    pub(crate) fn add(&self, join: ChannelId, params: Payload) {
        self.state().params.insert(join, params);
    }

    pub(crate) fn params(&self, join: ChannelId) -> Option<Payload> {
        self.state().params.get(&join).cloned()
    }

    /// A join is over. Returns the bytes that were held for it.
    pub(crate) fn remove(&self, join: ChannelId) -> usize {
        self.state().params.remove(&join).as_ref().map_or(0, bytes_of_params)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that the parameters of a join hold as long as the join lasts.
pub(crate) fn bytes_of_params(params: &Payload) -> usize {
    // Its place in the table.
    64 + params.size()
}

/// The head of the request that a client connected with.
#[derive(Debug, Serialize, Deserialize)]
struct ConnectHead {
    transport: String,
    params: Map<String, Value>,
    uri: String,
    headers: Vec<(String, String)>,
    peer: Option<std::net::SocketAddr>,
    auth_token: Option<String>,
}

/// The request that another node has told of; none if it cannot be one.
pub(crate) fn read_request(request: &RawJson) -> Option<ConnectRequest> {
    let head: ConnectHead = request.parse().ok()?;
    let transports = [Transport::Websocket, Transport::Sse, Transport::Longpoll];
    let transport = transports.into_iter().find(|transport| transport.name() == head.transport)?;
    let mut request = ConnectRequest::new(transport, head.uri.parse::<Uri>().ok()?);
    request.is_resumable = true;
    request.params = head.params;
    request.headers = headers(&head.headers)?;
    request.auth_token = head.auth_token;
    if let Some(peer) = head.peer {
        request.extensions.insert(PeerAddr(peer));
    }
    Some(request)
}

/// Parameters as JSON.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Params {
    Json(RawJson),
    Bytes(Vec<u8>),
}

impl From<&Payload> for Params {
    fn from(payload: &Payload) -> Self {
        match payload {
            Payload::Json(json) => Self::Json(json.clone()),
            Payload::Binary(bytes) => Self::Bytes(bytes.to_vec()),
        }
    }
}

impl Params {
    pub(crate) fn into_payload(self) -> Payload {
        match self {
            Self::Json(json) => Payload::Json(json),
            Self::Bytes(bytes) => Payload::Binary(Bytes::from(bytes)),
        }
    }
}
