//! A long-poll client: the session's token, the two places of it, polls and posts.

use std::net::SocketAddr;

use serde_json::Value;

use super::{
    channels::Vsn,
    http::{self, Response},
};

/// Where the token is put: clients up to 1.8 use the query, later ones the header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TokenIn {
    Query,
    Header,
}

pub(crate) const NDJSON: &str = "application/x-ndjson";
pub(crate) const JSON: &str = "application/json";

const TOKEN_HEADER: &str = "x-phoenix-longpoll-token";

pub(crate) struct LongPoll {
    pub(crate) address: SocketAddr,
    /// Path and query of every request, but for the token.
    path: String,
    token_in: TokenIn,
    pub(crate) vsn: Vsn,
    pub(crate) token: String,
}

/// An answered poll.
#[derive(Debug)]
pub(crate) struct Polled {
    pub(crate) status: u64,
    /// The messages, decoded.
    pub(crate) messages: Vec<Value>,
    pub(crate) token: Option<String>,
}

impl LongPoll {
    pub(crate) async fn open(address: SocketAddr, mount: &str) -> LongPoll {
        LongPoll::open_as(address, mount, Vsn::V2, "", TokenIn::Query).await
    }

    /// `query` is put before the version, as in `user=bob&`.
    pub(crate) async fn open_as(
        address: SocketAddr,
        mount: &str,
        vsn: Vsn,
        query: &str,
        token_in: TokenIn,
    ) -> LongPoll {
        let path = format!("{mount}/longpoll?{query}{}", vsn.query());
        let opened = polled(&http::get(address, &path).await);
        assert_eq!(opened.status, 410, "a session is created with 410");
        assert!(opened.messages.is_empty(), "a new session has nothing to say");
        let token = opened.token.expect("a new session has a token");
        LongPoll { address, path, token_in, vsn, token }
    }

    /// Polls, and takes the token of the answer as a client does.
    pub(crate) async fn poll(&mut self) -> Polled {
        let polled = self.poll_with(&self.token).await;
        if let Some(token) = &polled.token {
            self.token.clone_from(token);
        }
        polled
    }

    /// Polls with this token and keeps our own.
    pub(crate) async fn poll_with(&self, token: &str) -> Polled {
        let response = self.request("GET", token, &[], None).await;
        assert_eq!(response.status, 200, "a poll is answered with 200: {}", response.text());
        polled(&response)
    }

    /// Posts messages one by one: each must be accepted.
    pub(crate) async fn send(&self, message: Value) {
        let status = self.post(JSON, self.vsn.encode(&message).as_bytes()).await;
        assert_eq!(status, 200, "the POST of {message} is accepted");
    }

    /// Posts a body: the status in the answer's body.
    pub(crate) async fn post(&self, content_type: &str, body: &[u8]) -> u64 {
        let response = self.request("POST", &self.token, &[("content-type", content_type)], Some(body)).await;
        assert_eq!(response.status, 200, "a POST is answered with 200: {}", response.text());
        status(&response)
    }

    pub(crate) async fn request(
        &self,
        method: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Response {
        let mut headers = headers.to_vec();
        let path = match self.token_in {
            TokenIn::Query => format!("{}&token={}", self.path, percent_encoded(token)),
            TokenIn::Header => {
                headers.push((TOKEN_HEADER, token));
                self.path.clone()
            }
        };
        http::request(self.address, method, &path, &headers, body).await
    }
}

/// The status that an answer carries in its body.
pub(crate) fn status(response: &Response) -> u64 {
    let body = response.json();
    body["status"].as_u64().unwrap_or_else(|| panic!("no status in {body}"))
}

fn polled(response: &Response) -> Polled {
    let body = response.json();
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let decode = |message: &Value| {
        let text = message.as_str().expect("each message is a string");
        serde_json::from_str(text).unwrap_or_else(|_| message.clone())
    };
    Polled {
        status: status(response),
        messages: messages.iter().map(decode).collect(),
        token: body["token"].as_str().map(str::to_owned),
    }
}

/// A token is opaque: what a URL could not carry as it is must be escaped.
pub(crate) fn percent_encoded(token: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    token.bytes().map(escape).collect()
}
