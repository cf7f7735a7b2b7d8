//! What callbacks ask for.

use smol_str::SmolStr;

use crate::protocol::Payload;

/// What a callback wants to happen next.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HandleResult {
    /// Answer the event with a status, `"ok"` and `"error"` by convention, and a payload. From a callback that
    /// answers no event it does nothing.
    Reply(SmolStr, Payload),
    /// Nothing.
    NoReply,
    /// End the join.
    Stop(StopReason),
    /// Answer the event and then end the join.
    StopWithReply(StopReason, SmolStr, Payload),
}

/// Answers the event with a status and a payload.
///
/// ```
/// use lapwing::{HandleResult, reply};
/// use serde_json::json;
///
/// assert!(matches!(reply("ok", json!({"id": 9})), HandleResult::Reply(status, _) if status == "ok"));
/// ```
#[must_use]
pub fn reply(status: impl AsRef<str>, payload: impl Into<Payload>) -> HandleResult {
    HandleResult::Reply(SmolStr::new(status), payload.into())
}

/// Does nothing further.
///
/// ```
/// use lapwing::{HandleResult, noreply};
///
/// assert!(matches!(noreply(), HandleResult::NoReply));
/// ```
#[must_use]
pub fn noreply() -> HandleResult {
    HandleResult::NoReply
}

/// Ends the join.
///
/// ```
/// use lapwing::{HandleResult, StopReason, reply, stop};
/// use serde_json::json;
///
/// assert!(matches!(stop(StopReason::Normal), HandleResult::Stop(_)));
/// let result = stop(StopReason::Normal).with_reply("ok", json!({}));
/// assert!(matches!(result, HandleResult::StopWithReply(..)));
/// ```
#[must_use]
pub fn stop(reason: StopReason) -> HandleResult {
    HandleResult::Stop(reason)
}

impl HandleResult {
    /// The same with an answer to the event before it.
    #[must_use]
    pub fn with_reply(self, status: impl AsRef<str>, payload: impl Into<Payload>) -> Self {
        let (status, payload) = (SmolStr::new(status), payload.into());
        match self {
            Self::Stop(reason) | Self::StopWithReply(reason, ..) => {
                Self::StopWithReply(reason, status, payload)
            }
            Self::NoReply | Self::Reply(..) => Self::Reply(status, payload),
        }
    }
}

/// Why a channel ends its own join.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// It is done: the client gets `phx_close` and stays away.
    Normal,
    /// It is shut down: the client gets `phx_close` and stays away.
    Shutdown,
    /// The client was thrown out: it gets `phx_close` and stays away.
    Kicked(String),
    /// Something went wrong: the client gets `phx_error` and joins again.
    Error(String),
}
