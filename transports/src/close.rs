//! Why a session ended, as data: each reason has a close code that tells the client whether to come back.

/// Why a session ended or is about to.
///
/// The code of each reason is chosen so that a stock client reconnects unless the client itself asked for the
/// end: phoenix.js up to 1.8.15 takes code 1000 as "stay away", so the server never sends 1000 on its own.
///
/// ```
/// use lapwing_transports::close::CloseReason;
///
/// assert_eq!(CloseReason::Draining.code(), 1012);
/// assert_eq!(CloseReason::TooSlow.code(), 1013);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client closed the connection in an orderly way.
    Client,
    /// The connection ended without a close: end of stream or an I/O error.
    Lost,
    /// Nothing came from the client for the idle timeout.
    Idle,
    /// The program disconnected the client, by socket id or through its session.
    Disconnected,
    /// The server is shutting down; the client should connect again, to another node.
    Draining,
    /// The client did not take its frames fast enough and its outbox reached its bound.
    TooSlow,
    /// The mount held as many bytes for its clients as it may, and this session was among those for which most were held, or
    /// asked for more.
    OverBudget,
    /// The handler could not decode a message.
    BadMessage,
    /// The client broke the WebSocket protocol; carries the close code (1002, 1007, 1009).
    Protocol(u16),
    /// A long-poll session was not polled for one and a half windows.
    Abandoned,
    /// Nothing was heard from the client of a resumable session for its window.
    Expired,
    /// The handler failed in a way that only a bug can cause.
    Internal,
}

impl CloseReason {
    /// The WebSocket close code that goes with the reason.
    ///
    /// Where a code has no place on the wire (the connection is gone), it is the code that the client's own
    /// end would report: 1006 for a lost connection.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Client => 1000,
            Self::Disconnected => 1001,
            // Phoenix under Bandit answers silence with 1002; a recorded fact that clients have met.
            Self::Idle => 1002,
            Self::Lost | Self::Abandoned | Self::Expired => 1006,
            Self::BadMessage | Self::Internal => 1011,
            Self::Draining => 1012,
            Self::TooSlow | Self::OverBudget => 1013,
            Self::Protocol(code) => code,
        }
    }

    /// The reason in a word, for clients and for statistics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Lost => "lost",
            Self::Idle => "idle",
            Self::Disconnected => "disconnected",
            Self::Draining => "draining",
            Self::TooSlow => "too_slow",
            Self::OverBudget => "over_budget",
            Self::BadMessage => "bad_message",
            Self::Protocol(_) => "protocol",
            Self::Abandoned => "abandoned",
            Self::Expired => "expired",
            Self::Internal => "internal",
        }
    }
}
