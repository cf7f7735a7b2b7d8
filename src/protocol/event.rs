//! The names that the protocol keeps for itself.

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
