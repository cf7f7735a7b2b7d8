//! The heads of requests and answers between nodes, as JSON: a later release adds to them.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, Version, request::Parts};
use lapwing_transports::connect::{PathVariables, PeerAddr, Transport};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cluster::headers::{headers, pairs};

/// What the owner is told of a request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RequestHead {
    pub(super) mount: String,
    transport: String,
    method: String,
    uri: String,
    headers: Vec<(String, String)>,
    #[serde(default)]
    variables: Map<String, Value>,
    #[serde(default)]
    peer: Option<SocketAddr>,
    /// Of a WebSocket, of which the client has said which session it is for.
    #[serde(default)]
    pub(super) socket: Option<SocketHead>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SocketHead {
    pub(super) line: String,
    #[serde(default)]
    pub(super) auth_token: Option<String>,
    /// Of permessage-deflate, 0 without it.
    #[serde(default)]
    pub(super) window_bits: u8,
}

/// What the carrier is told of an answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ResponseHead {
    status: u16,
    headers: Vec<(String, String)>,
    /// Bytes of the body, if they are known.
    #[serde(default)]
    pub(super) length: Option<u64>,
}

impl RequestHead {
    pub(super) fn of(mount: &str, transport: Transport, parts: &Parts, socket: Option<SocketHead>) -> Self {
        let variables = parts.extensions.get::<PathVariables>().cloned().unwrap_or_default();
        Self {
            mount: mount.to_owned(),
            transport: transport.name().to_owned(),
            method: parts.method.as_str().to_owned(),
            uri: parts.uri.to_string(),
            headers: pairs(&parts.headers),
            variables: variables.0,
            peer: parts.extensions.get::<PeerAddr>().map(|peer| peer.0),
            socket,
        }
    }

    pub(super) fn write(&self) -> Bytes {
        written(self)
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(super) fn transport(&self) -> Option<Transport> {
        [Transport::Websocket, Transport::Sse, Transport::Longpoll]
            .into_iter()
            .find(|transport| transport.name() == self.transport)
    }

    pub(super) fn variables(&self) -> PathVariables {
        PathVariables(self.variables.clone())
    }

    /// The head of the request; none if it cannot be one.
    pub(super) fn parts(&self) -> Option<Parts> {
        let mut parts = Request::new(()).into_parts().0;
        parts.method = Method::from_bytes(self.method.as_bytes()).ok()?;
        parts.uri = self.uri.parse::<Uri>().ok()?;
        // No connection of HTTP/1.1 is behind it that would have to be looked after.
        parts.version = Version::HTTP_2;
        parts.headers = headers(&self.headers)?;
        if let Some(peer) = self.peer {
            parts.extensions.insert(PeerAddr(peer));
        }
        Some(parts)
    }
}

impl ResponseHead {
    pub(super) fn of<B: http_body::Body>(response: &Response<B>) -> Self {
        Self {
            status: response.status().as_u16(),
            headers: pairs(response.headers()),
            length: response.body().size_hint().exact(),
        }
    }

    pub(super) fn write(&self) -> Bytes {
        written(self)
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(super) fn response<B>(&self, body: B) -> Option<Response<B>> {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).ok()?;
        *response.headers_mut() = headers(&self.headers)?;
        Some(response)
    }
}

fn written(head: &impl Serialize) -> Bytes {
    // What they consist of can be written.
    serde_json::to_vec(head).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_arrives_as_it_was() {
        let request = Request::post("/socket/sse?lapwing=1&x=%20y")
            .header("x-twice", "1")
            .header("x-twice", "2")
            .header("cookie", &b"caf\xe9"[..])
            .extension(PeerAddr("10.0.0.7:80".parse().unwrap()))
            .extension(PathVariables(Map::from_iter([("user".to_owned(), "7".into())])));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let sent = RequestHead::of("/socket", Transport::Sse, &parts, None).write();
        let head = RequestHead::read(&sent).unwrap();
        let read = head.parts().unwrap();
        assert_eq!((&read.method, &read.uri, &read.headers), (&parts.method, &parts.uri, &parts.headers));
        assert_eq!((head.mount.as_str(), head.transport()), ("/socket", Some(Transport::Sse)));
        assert_eq!(head.variables().0["user"], "7");
        assert_eq!(read.extensions.get::<PeerAddr>(), parts.extensions.get());

        let response = Response::builder().status(503).header("retry-after", "1");
        let response = response.body(http_body_util::Full::new(Bytes::from_static(b"later"))).unwrap();
        let head = ResponseHead::read(&ResponseHead::of(&response).write()).unwrap();
        let read = head.response(()).unwrap();
        assert_eq!((read.status(), read.headers()), (response.status(), response.headers()));
        assert_eq!(head.length, Some(5));
    }

    #[test]
    fn what_is_no_head_is_none() {
        assert!(RequestHead::read(b"{}").is_none() && ResponseHead::read(b"[").is_none());
        let parts = Request::new(()).into_parts().0;
        let mut head = RequestHead::of("/", Transport::Longpoll, &parts, None);
        head.headers.push(("x".into(), "\u{100}".into()));
        assert!(head.parts().is_none());
        head.headers = vec![("no name".into(), String::new())];
        assert!(head.parts().is_none());
    }
}
