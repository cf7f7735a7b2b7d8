//! What a client is told: answers, and events.

use std::{panic::Location, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    protocol::{IntoPayload, Payload, Ref},
    testing::{
        patience::{PATIENCE, within},
        session::{Heard, TestSession, What},
    },
};

/// The answer to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// `ok` or `error`, or what else the channel says.
    pub status: String,
    /// The payload of the reply.
    pub response: Payload,
}

/// Something that the client was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Its name; `phx_close` and `phx_error` for the end of the join.
    pub event: String,
    /// Its payload.
    pub payload: Payload,
}

impl Reply {
    /// The response of an answer that is `ok`.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// assert_eq!(ada.ask("echo", json!(1)).await.ok(), json!(1));
    /// # }
    /// ```
    ///
    /// # Panics
    /// If it is not, or if the response is bytes.
    #[track_caller]
    pub fn ok(self) -> Value {
        self.response_of("ok")
    }

    /// The response of an answer that is an error.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// assert_eq!(ada.ask("dance", json!({})).await.error()["reason"], "unmatched event");
    /// # }
    /// ```
    ///
    /// # Panics
    /// If it is not, or if the response is bytes.
    #[track_caller]
    pub fn error(self) -> Value {
        self.response_of("error")
    }

    #[track_caller]
    fn response_of(&self, status: &str) -> Value {
        assert_eq!(self.status, status, "the answer is {:?}", self.response);
        parsed(&self.response)
    }
}

impl Event {
    /// The payload, read into a type.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// #[derive(serde::Deserialize)]
    /// struct Said { text: String }
    ///
    /// ada.send("say", json!({"text": "hi"}));
    /// assert_eq!(ada.next().await.parse::<Said>().text, "hi");
    /// # }
    /// ```
    ///
    /// # Panics
    /// If it does not fit.
    #[track_caller]
    #[must_use]
    pub fn parse<T: DeserializeOwned>(&self) -> T {
        self.payload.parse().unwrap_or_else(|error| panic!("{}: {error}", self.event))
    }
}

/// Waits for the answer to a message.
pub(super) async fn answer(
    session: Arc<TestSession>,
    caller: &'static Location<'static>,
    reference: Ref,
    event: String,
) -> Reply {
    let is_answer = |heard: &Heard| matches!(&heard.what, What::Reply { reference: Some(answered), .. } if *answered == reference);
    let heard = within(PATIENCE, session.hear(is_answer)).await;
    match heard.map(|heard| heard.what) {
        Some(What::Reply { status, response, .. }) => Reply { status, response },
        _ => panic!("{caller}: {event} is not answered within {PATIENCE:?}"),
    }
}

pub(super) fn event_of(heard: Heard) -> Event {
    match heard.what {
        What::Event { event, payload } => Event { event, payload },
        What::Reply { .. } => unreachable!("answers are asked for by their refs"),
    }
}

/// Whether two payloads say the same, however their JSON is written.
pub(super) fn same(one: &Payload, other: &Payload) -> bool {
    match (one, other) {
        (Payload::Json(_), Payload::Json(_)) => parsed(one) == parsed(other),
        _ => one == other,
    }
}

#[track_caller]
fn parsed(payload: &Payload) -> Value {
    payload.parse().unwrap_or_else(|error| panic!("{error}: {payload:?}"))
}

#[track_caller]
pub(super) fn payload_of(payload: impl IntoPayload) -> Payload {
    payload.into_payload().unwrap_or_else(|error| panic!("the payload cannot be written: {error}"))
}
