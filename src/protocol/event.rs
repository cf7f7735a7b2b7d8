//! The names that the protocol keeps for itself, and those of presence.

/// A client asks to join a topic.
pub const JOIN: &str = "phx_join";
/// A client leaves a topic.
pub const LEAVE: &str = "phx_leave";
/// The server answers a message.
pub const REPLY: &str = "phx_reply";
/// A join ended because something went wrong; clients rejoin.
pub const ERROR: &str = "phx_error";
/// A join ended in good order; clients do not rejoin.
pub const CLOSE: &str = "phx_close";
/// A client asks whether the connection lives.
pub const HEARTBEAT: &str = "heartbeat";
/// The topic on which heartbeats travel; an event of another name on it is an ordinary event.
pub const HEARTBEAT_TOPIC: &str = "phoenix";
/// A client brings a new token, on the topic of heartbeats: see [`Mount::on_token`](crate::Mount::on_token).
pub const TOKEN: &str = "token";
/// The presences of a topic.
pub const PRESENCE_STATE: &str = "presence_state";
/// Changes of the presences of a topic: who came and who went.
pub const PRESENCE_DIFF: &str = "presence_diff";
/// The number of presences, on topics where clients are told numbers.
pub const PRESENCE_COUNT: &str = "presence_count";
/// The position of the bytes before it in the history of a kept topic, for clients that asked: see [`Mount::keep`](crate::Mount::keep).
pub const AT: &str = "_at";

/// Returns whether a program may neither push nor broadcast an event of this name.
///
/// Clients take these for the protocol's own: `phx_close` ends the channel of everybody who gets it, and
/// `chan_reply_7` passes for the answer to the seventh message. A program that passes on what a client calls its event
/// would let one client do that to all others.
///
/// ```
/// use lapwing::protocol::event;
///
/// assert!(event::is_reserved("phx_close") && event::is_reserved("chan_reply_7"));
/// assert!(!event::is_reserved("say"));
/// ```
#[must_use]
pub fn is_reserved(event: &str) -> bool {
    event.starts_with("phx_") || event.starts_with("chan_reply_")
}

/// Returns whether only presence itself sends events of this name.
///
/// ```
/// use lapwing::protocol::event;
///
/// assert!(event::is_of_presence("presence_diff") && !event::is_of_presence("presence"));
/// ```
#[must_use]
pub fn is_of_presence(event: &str) -> bool {
    [PRESENCE_STATE, PRESENCE_DIFF, PRESENCE_COUNT].contains(&event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_protocol_and_of_presence_are_told_from_those_of_programs() {
        for name in [JOIN, LEAVE, REPLY, ERROR, CLOSE, "phx_other", "chan_reply_7"] {
            assert!(is_reserved(name) && !is_of_presence(name), "{name}");
        }
        for name in [PRESENCE_STATE, PRESENCE_DIFF, PRESENCE_COUNT] {
            assert!(is_of_presence(name) && !is_reserved(name), "{name}");
        }
        for name in ["say", "phx", "reply", "presence", ""] {
            assert!(!is_reserved(name) && !is_of_presence(name), "{name:?}");
        }
    }
}
