//! Why a session ended, as data: each reason has a close code that tells the client whether to come back.

/// The reason why a session ended or is about to.
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
    /// The client said more than it may, and faster.
    TooFast,
    /// The client's login has run out: with a new one it may come back.
    LoginExpired,
    /// The program ended the session for good: the client is to stay away.
    Dismissed,
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
            Self::LoginExpired => 4401,
            Self::TooFast => 4429,
            Self::Dismissed => 4403,
            Self::Protocol(code) => code,
        }
    }

    /// The code in the close frame of a plain WebSocket: that of the reason, but 1000 for [`Dismissed`](Self::Dismissed). After
    /// that phoenix.js up to 1.8.15 stays away, and it knows no other code to do so.
    #[must_use]
    pub fn plain_code(self) -> u16 {
        if self == Self::Dismissed { 1000 } else { self.code() }
    }

    /// The words of all reasons, in the order of [`index`](Self::index).
    pub const WORDS: [&'static str; 15] = [
        "client",
        "lost",
        "idle",
        "disconnected",
        "draining",
        "too_slow",
        "over_budget",
        "bad_message",
        "protocol",
        "abandoned",
        "expired",
        "internal",
        "too_fast",
        "login_expired",
        "dismissed",
    ];

    /// The reason in a word, for clients and for statistics.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS[self.index()]
    }

    /// The place of the reason's word among [all](Self::WORDS).
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Lost => 1,
            Self::Idle => 2,
            Self::Disconnected => 3,
            Self::Draining => 4,
            Self::TooSlow => 5,
            Self::OverBudget => 6,
            Self::BadMessage => 7,
            Self::Protocol(_) => 8,
            Self::Abandoned => 9,
            Self::Expired => 10,
            Self::Internal => 11,
            Self::TooFast => 12,
            Self::LoginExpired => 13,
            Self::Dismissed => 14,
        }
    }

    /// Whether the program may say it in words of its own.
    #[cfg(feature = "net")]
    pub(crate) fn takes_words(self) -> bool {
        matches!(self, Self::LoginExpired | Self::Dismissed | Self::Disconnected)
    }

    /// The reason in the close frame of a plain WebSocket. Those of Phoenix are empty.
    #[cfg(any(feature = "net", test))]
    pub(crate) fn plain_words(self, words: Option<&str>) -> &str {
        match self {
            Self::LoginExpired | Self::Dismissed => words.unwrap_or(self.word()),
            _ => words.unwrap_or_default(),
        }
    }
}

/// A text of the program's as a client may be told it: one line, without control characters, of 123 bytes at most, which is
/// what a close frame holds.
///
/// ```
/// use lapwing_transports::close::reason_line;
///
/// assert_eq!(reason_line("not\na  member "), "not a member");
/// assert_eq!(reason_line(&"é".repeat(100)).len(), 122);
/// ```
#[must_use]
pub fn reason_line(text: &str) -> String {
    let mut line = String::new();
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    for word in words.filter(|word| !word.is_empty()) {
        if line.len() >= REASON_BYTES_MAX {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word[..word.floor_char_boundary(REASON_BYTES_MAX - line.len())]);
    }
    line.truncate(line.trim_end().len());
    line
}

/// Bytes of a reason: a close frame has 125, two of which are the code.
const REASON_BYTES_MAX: usize = 123;

#[cfg(test)]
mod tests {
    use super::*;

    /// Those that the client of a resumable session can be told, in its order; the others end connections, or are for statistics.
    fn is_told(reason: CloseReason) -> bool {
        match reason {
            CloseReason::Client
            | CloseReason::Disconnected
            | CloseReason::Draining
            | CloseReason::TooSlow
            | CloseReason::OverBudget
            | CloseReason::BadMessage
            | CloseReason::Expired
            | CloseReason::Internal
            | CloseReason::TooFast
            | CloseReason::LoginExpired
            | CloseReason::Dismissed => true,
            CloseReason::Lost | CloseReason::Idle | CloseReason::Protocol(_) | CloseReason::Abandoned => {
                false
            }
        }
    }

    const ALL: [CloseReason; 15] = [
        CloseReason::Client,
        CloseReason::Lost,
        CloseReason::Idle,
        CloseReason::Disconnected,
        CloseReason::Draining,
        CloseReason::TooSlow,
        CloseReason::OverBudget,
        CloseReason::BadMessage,
        CloseReason::Protocol(1002),
        CloseReason::Abandoned,
        CloseReason::Expired,
        CloseReason::Internal,
        CloseReason::TooFast,
        CloseReason::LoginExpired,
        CloseReason::Dismissed,
    ];

    #[test]
    fn every_reason_that_a_client_is_told_is_in_the_documents_table() {
        let page = include_str!("../../docs/close-codes.md");
        let (table, stock) = page.split_once("\n## With the transports of phoenix.js").unwrap();
        let has = |table: &str, code: u16, word: &str| {
            let row = |line: &&str| {
                line.starts_with('|') && line.contains(&code.to_string()) && line.contains(word)
            };
            table.lines().any(|line| row(&line))
        };
        for reason in ALL.into_iter().filter(|&reason| is_told(reason)) {
            assert!(has(table, reason.code(), &format!("`{}`", reason.word())), "{reason:?} is missing");
        }
        for reason in ALL {
            let code = reason.plain_code();
            assert!(
                code == 1000 || has(stock, code, reason.plain_words(None)),
                "{reason:?} is missing for stock clients"
            );
        }
        assert!(has(stock, 1000, "`dismissed`"));
        for code in [1002, 1007, 1008, 1009] {
            assert!(has(stock, code, "over WebSocket"), "{code} is missing for stock clients");
        }
    }

    #[test]
    fn every_reason_has_a_place_of_its_own() {
        let places: Vec<usize> = ALL.into_iter().map(CloseReason::index).collect();
        assert_eq!(places, (0..CloseReason::WORDS.len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_reason_is_one_line_that_fits_into_a_close_frame() {
        assert_eq!(reason_line(""), "");
        assert_eq!(reason_line(" \u{7f}\r\n\u{0} "), "");
        assert_eq!(reason_line("a\tb\u{85}c  d"), "a b c d");
        for text in [
            "x".repeat(1_000),
            "é".repeat(1_000),
            "wörds ".repeat(1_000),
            "x".repeat(122) + " y",
            "x".repeat(123) + " y",
        ] {
            let line = reason_line(&text);
            assert!((121..=123).contains(&line.len()) && line == line.trim(), "{line}");
        }
    }

    #[test]
    fn each_reason_has_its_code_and_its_word() {
        for (reason, code, word) in [
            (CloseReason::Client, 1000, "client"),
            (CloseReason::Lost, 1006, "lost"),
            (CloseReason::Idle, 1002, "idle"),
            (CloseReason::Disconnected, 1001, "disconnected"),
            (CloseReason::Draining, 1012, "draining"),
            (CloseReason::TooSlow, 1013, "too_slow"),
            (CloseReason::OverBudget, 1013, "over_budget"),
            (CloseReason::BadMessage, 1011, "bad_message"),
            (CloseReason::Protocol(1007), 1007, "protocol"),
            (CloseReason::Abandoned, 1006, "abandoned"),
            (CloseReason::Expired, 1006, "expired"),
            (CloseReason::Internal, 1011, "internal"),
            (CloseReason::TooFast, 4429, "too_fast"),
            (CloseReason::LoginExpired, 4401, "login_expired"),
            (CloseReason::Dismissed, 4403, "dismissed"),
        ] {
            assert_eq!((reason.code(), reason.word()), (code, word), "{reason:?}");
        }
    }

    #[test]
    fn a_plain_websocket_is_closed_with_the_reasons_code_but_after_a_dismissal() {
        for reason in ALL {
            let code = if reason == CloseReason::Dismissed { 1000 } else { reason.code() };
            assert_eq!(reason.plain_code(), code, "{reason:?}");
        }
    }

    #[test]
    fn a_plain_websocket_is_told_the_programs_words_and_of_a_login_or_a_dismissal_always_some() {
        for reason in ALL {
            let is_said = matches!(reason, CloseReason::LoginExpired | CloseReason::Dismissed);
            assert_eq!(reason.plain_words(None), if is_said { reason.word() } else { "" }, "{reason:?}");
            assert_eq!(reason.plain_words(Some("bye")), "bye", "{reason:?}");
        }
    }

    #[cfg(feature = "net")]
    #[test]
    fn the_program_has_words_for_what_it_does_itself() {
        let own: Vec<_> = ALL.into_iter().filter(|reason| reason.takes_words()).collect();
        assert_eq!(own, [CloseReason::Disconnected, CloseReason::LoginExpired, CloseReason::Dismissed]);
    }
}
