//! What a client says of the path between it and the server: what it tried before, and how far away it is.

use std::time::Duration;

use crate::connect::Transport;

/// Failures that are kept of one report.
const FAILURES_MAX: usize = 8;

/// Characters of what is said of a failure.
const HOW_BYTES_MAX: usize = 32;

/// The report of a session's client about the path between it and the server, when it last moved: only clients with the transport of `js/` do, and
/// only once something has failed, or was slower than something else.
///
/// It is a client's word: nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathReport {
    /// The time that a question and its answer took, if it knows.
    pub round_trip: Option<Duration>,
    /// The transports that failed, each with the last failure of it, oldest first; and those that were only slower than another.
    pub failures: Vec<PathFailure>,
}

/// The failure of a transport that did not work, or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathFailure {
    /// The transport.
    pub transport: Transport,
    /// The manner, in the client's word, of letters, digits and `_`: `silent` if nothing came back, `refused`, `post` if the way up did not work,
    /// `mute` if it carried nothing any more, a close code, a status of HTTP, and others; `slower` if nothing was wrong with it, as far as is
    /// known, but that another one had answered first.
    pub how: String,
    /// The time that a transport had had which was only slower.
    pub after: Option<Duration>,
}

impl PathReport {
    /// Reads what follows `!path`. What makes no sense is left out: a later version may say more.
    pub(crate) fn read(round_trip_ms: u64, failures: &str) -> Self {
        let failures = failures.split(' ').filter_map(|failure| {
            let (name, how) = failure.split_once(':')?;
            let transport = Transport::ALL.into_iter().find(|transport| transport.name() == name)?;
            let (how, after) = match how.split_once(':') {
                Some((how, ms)) => (how, Some(Duration::from_millis(u64::from(ms.parse::<u32>().ok()?)))),
                None => (how, None),
            };
            let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            let is_sound = (1..=HOW_BYTES_MAX).contains(&how.len()) && how.bytes().all(is_word);
            is_sound.then(|| PathFailure { transport, how: how.to_owned(), after })
        });
        let round_trip = (round_trip_ms > 0).then(|| Duration::from_millis(round_trip_ms));
        Self { round_trip, failures: failures.take(FAILURES_MAX).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_only_slower_has_a_time() {
        let read = PathReport::read(35, "websocket:slower:1020 sse:slower longpoll:slower:-1 sse:slower:1:2");
        let read: Vec<_> = read.failures.iter().map(|it| (it.transport, &*it.how, it.after)).collect();
        let after = Some(Duration::from_millis(1_020));
        assert_eq!(read, [(Transport::Websocket, "slower", after), (Transport::Sse, "slower", None)]);
        let most = PathReport::read(0, "sse:slower:4294967295 sse:slower:4294967296").failures;
        assert_eq!(most.len(), 1, "{most:?}");
    }

    #[test]
    fn what_makes_no_sense_is_left_out_and_the_rest_has_a_bound() {
        let read =
            PathReport::read(35, "websocket:refused pigeon:lost sse:Silent sse:held longpoll: x sse:a:b");
        let failures: Vec<_> = read.failures.iter().map(|it| (it.transport, &*it.how)).collect();
        assert_eq!(failures, [(Transport::Websocket, "refused"), (Transport::Sse, "held")]);
        assert_eq!(read.round_trip, Some(Duration::from_millis(35)));
        assert_eq!(PathReport::read(0, ""), PathReport::default());
        assert_eq!(PathReport::read(0, &"sse:a ".repeat(40)).failures.len(), FAILURES_MAX);
        assert!(PathReport::read(0, &format!("sse:{}", "a".repeat(33))).failures.is_empty());
    }
}
