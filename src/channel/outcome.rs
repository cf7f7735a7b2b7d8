//! Results of callbacks.

use smol_str::SmolStr;

use crate::{
    channel::failure::Failure,
    protocol::{IntoPayload, Payload},
};

/// The result of a callback: what it wants to happen next, or why it failed.
pub type Handled = Result<HandleResult, Failure>;

/// The outcome of a callback: what it wants to happen next.
#[derive(Debug)]
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
    /// The payload of the answer cannot be written: the same as returning the failure. With a reason the join ends then.
    Failed(Failure, Option<StopReason>),
    /// Any of these, whose answer is never compressed.
    Uncompressed(Box<Self>),
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
pub fn reply(status: impl AsRef<str>, payload: impl IntoPayload) -> HandleResult {
    HandleResult::NoReply.with_reply(status, payload)
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
    /// The same with an answer that is never compressed: for one that has a secret beside something that a stranger has chosen. See
    /// [the guide](crate::guide::compression).
    ///
    /// ```
    /// use lapwing::{Handled, Payload, reply};
    /// use serde_json::json;
    ///
    /// fn renewed(token: &str, name: &str) -> Handled {
    ///     Ok(reply("ok", json!({"token": token, "name": name})).uncompressed())
    /// }
    /// # assert!(renewed("t", "n").is_ok());
    /// ```
    #[must_use]
    pub fn uncompressed(self) -> Self {
        match self {
            Self::Uncompressed(_) => self,
            other => Self::Uncompressed(Box::new(other)),
        }
    }

    /// The same with an answer to the event before it.
    #[must_use]
    pub fn with_reply(self, status: impl AsRef<str>, payload: impl IntoPayload) -> Self {
        let status = SmolStr::new(status);
        let reason = match self {
            Self::Uncompressed(result) => return result.with_reply(status, payload).uncompressed(),
            Self::Stop(reason) | Self::StopWithReply(reason, ..) => Some(reason),
            Self::Failed(_, reason) => reason,
            Self::NoReply | Self::Reply(..) => None,
        };
        match (payload.into_payload(), reason) {
            (Ok(payload), Some(reason)) => Self::StopWithReply(reason, status, payload),
            (Ok(payload), None) => Self::Reply(status, payload),
            (Err(error), reason) => Self::Failed(Failure::internal(error), reason),
        }
    }
}

/// The reason for which a channel ends its own join.
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
