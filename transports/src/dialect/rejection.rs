//! A refusal as a client hears of it: a word for its transport, and for its page a code and a reason.

use super::server::{Refused, ServerControl, Told};
use crate::close::{CloseReason, reason_line};

/// The reason why a client may not begin or go on.
///
/// ```
/// use lapwing_transports::dialect::{rejection::Rejection, server::Refused};
///
/// let rejection = Rejection::told(Refused::Forbidden, 4401, "the token\nhas expired");
/// assert_eq!(rejection.control().to_string(), "!refused forbidden 4401 the token has expired");
/// assert_eq!(Rejection::from(Refused::Gap).control().to_string(), "!refused gap");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The word, which is all that older clients read.
    pub word: Refused,
    /// The code and the reason for the page. Most refusals have none, and their words say all.
    told: Option<Box<(u16, String)>>,
}

impl Rejection {
    /// A refusal of which the page is told. The reason becomes [one line](reason_line).
    #[must_use]
    pub fn told(word: Refused, code: u16, reason: &str) -> Self {
        Self { word, told: Some(Box::new((code, reason_line(reason)))) }
    }

    /// The rejection of a client that comes back to a session which has ended. `words` are the program's.
    #[must_use]
    pub fn of_ended(reason: CloseReason, words: Option<&str>) -> Self {
        match reason {
            CloseReason::Expired => Refused::Expired.into(),
            CloseReason::TooSlow | CloseReason::OverBudget => Refused::Gap.into(),
            CloseReason::LoginExpired | CloseReason::Dismissed => {
                Self::told(Refused::Closed, reason.code(), words.unwrap_or_else(|| reason.word()))
            }
            _ => Refused::Closed.into(),
        }
    }

    /// The line that says so.
    #[must_use]
    pub fn control(&self) -> ServerControl<'_> {
        let told = self.told.as_deref().map(|(code, reason)| Told { code: *code, reason });
        ServerControl::Refused { word: self.word, told }
    }
}

impl From<Refused> for Rejection {
    fn from(word: Refused) -> Self {
        Self { word, told: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_back_is_told_why_its_session_has_ended() {
        for reason in [CloseReason::TooSlow, CloseReason::OverBudget] {
            assert_eq!(Rejection::of_ended(reason, None), Refused::Gap.into());
        }
        assert_eq!(Rejection::of_ended(CloseReason::Expired, None), Refused::Expired.into());
        for reason in [CloseReason::LoginExpired, CloseReason::Dismissed] {
            let told = |words| Rejection::told(Refused::Closed, reason.code(), words);
            assert_eq!(Rejection::of_ended(reason, None), told(reason.word()));
            assert_eq!(Rejection::of_ended(reason, Some("bye")), told("bye"));
        }
        assert_eq!(Rejection::of_ended(CloseReason::Disconnected, Some("bye")), Refused::Closed.into());
    }
}
