//! Why joins end.

/// The reason why a join ended, as [`Channel::leave`](crate::Channel::leave) gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaveReason {
    /// The client left the topic, or the channel stopped normally.
    NormalLeave,
    /// The connection or the session is gone.
    Disconnect,
    /// The server removed the client.
    Kicked(String),
    /// The client joined the same topic again; this was the older join.
    DuplicateJoin,
    /// The server is shutting down.
    Draining,
    /// A callback panicked, a payload could not be encoded, or the channel stopped with an error.
    Crashed(String),
    /// The client was not let in after all: the cluster's engine did not confirm the subscription in time
    /// ([`NotConfirmed`](crate::NotConfirmed)), or its session was to come from another node, and stayed there. [`Channel::joined`](crate::Channel::joined) was
    /// not called.
    Unavailable,
    /// Broadcasts of another node are lost, and the mount has its clients join again: see
    /// [`Mount::rejoin_after_gaps`](crate::Mount::rejoin_after_gaps).
    Missed,
    /// The client's session goes on at another node of the cluster, with a join that was made there: see
    /// [`Joining::is_move`](crate::Joining::is_move).
    Moved,
}
