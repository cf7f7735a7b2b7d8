//! Close codes: why a WebSocket ended, and whether the client should come back.

use std::fmt;

/// The number in a close frame (RFC 6455, 7.4).
///
/// phoenix.js up to 1.8.15 does not reconnect after [`CloseCode::NORMAL`], so a server that wants its clients
/// back sends any other code.
///
/// ```
/// use lapwing_transports::websocket::close_code::CloseCode;
///
/// assert_eq!(CloseCode::from_wire(1001), Some(CloseCode::GOING_AWAY));
/// assert_eq!(CloseCode::GOING_AWAY.to_string(), "1001");
/// // 1006 says "no close frame came", so a close frame that carries it lies.
/// assert_eq!(CloseCode::from_wire(1006), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose of the connection is fulfilled. Older clients stay away after it.
    pub const NORMAL: Self = Self(1000);
    /// The server goes away, or wants this client to start anew.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the WebSocket protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A message of a kind that is not served, for instance binary where only text is understood.
    pub const UNSUPPORTED: Self = Self(1003);
    /// A message that is not what its kind promises: text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// The peer broke a rule of this server that has no code of its own.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// A frame or message over the limit.
    pub const TOO_BIG: Self = Self(1009);
    /// The server failed.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The server restarts: come back, after a random wait.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// The server is overloaded, or the client too slow: come back later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// A newer connection carries the resumable session.
    pub const SUPERSEDED: Self = Self(4000);
    /// The resumable session was not begun or not carried on; the line before says why.
    pub const REFUSED: Self = Self(4001);
    /// The client broke the session dialect. The session goes on.
    pub const BREACH: Self = Self(4002);

    /// A code from a close frame, or none if no endpoint may send it.
    ///
    /// Allowed are those that the RFC and the IANA registry define for the wire (1000 to 1003, 1007 to 1014)
    /// and the ranges for libraries and applications (3000 to 4999). Not allowed are 1004 (reserved), 1005,
    /// 1006 and 1015 (they say that no close frame came) and everything else.
    #[must_use]
    pub const fn from_wire(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number itself.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_meant_for_the_wire_are_accepted() {
        let allowed: Vec<u16> = (0..=u16::MAX).filter(|&code| CloseCode::from_wire(code).is_some()).collect();
        let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
        assert_eq!(allowed, expected);
    }

    #[test]
    fn every_constant_may_be_sent() {
        for code in [
            CloseCode::NORMAL,
            CloseCode::GOING_AWAY,
            CloseCode::PROTOCOL_ERROR,
            CloseCode::UNSUPPORTED,
            CloseCode::INVALID_PAYLOAD,
            CloseCode::POLICY_VIOLATION,
            CloseCode::TOO_BIG,
            CloseCode::INTERNAL_ERROR,
            CloseCode::SERVICE_RESTART,
            CloseCode::TRY_AGAIN_LATER,
        ] {
            assert_eq!(CloseCode::from_wire(code.as_u16()), Some(code));
        }
    }
}
