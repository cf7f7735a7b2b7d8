//! The guides name bounds in numbers: they are the defaults.

use std::{fs, path::Path, time::Duration};

use lapwing::{
    Drain,
    transports::options::{LongpollOptions, ResumeOptions, SseOptions, TransportOptions, WebsocketOptions},
};

/// With a comma for each thousand, as the guides write numbers.
fn number(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().ok().unwrap().to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8(groups.join(&b',')).unwrap()
}

fn seconds(duration: Duration) -> String {
    assert_eq!(duration.subsec_nanos(), 0, "the guides have whole seconds");
    format!("{} s", duration.as_secs())
}

#[track_caller]
fn says(guide: &str, sentences: &[String]) {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(guide)).unwrap();
    for sentence in sentences {
        assert!(text.contains(sentence), "docs/{guide} does not say: {sentence}");
    }
}

#[test]
fn the_dialect_names_the_defaults() {
    let TransportOptions { outbox, .. } = TransportOptions::default();
    let resume = ResumeOptions::default();
    let websocket = WebsocketOptions::default();
    let sse = SseOptions::default();
    let hold = LongpollOptions::default().window;
    let ticket = seconds(sse.ticket_lifetime);
    says(
        "sessions.md",
        &[
            format!("| window | {} |", seconds(resume.window)),
            format!(
                "| frames kept for a client | {} and {} MiB, one frame more",
                number(outbox.frames_max),
                outbox.bytes_max >> 20
            ),
            format!(
                "| sessions known after their end | {} for {} min |",
                number(resume.ended_max),
                resume.ended_lifetime.as_secs() / 60
            ),
            format!("| first line of a WebSocket | {} |", seconds(resume.greeting_timeout)),
            format!(
                "| a frame of the client | {} bytes; on a WebSocket within {} |",
                number(websocket.limits.message_bytes_max),
                seconds(websocket.message_timeout)
            ),
            format!(
                "| body of a POST | {} bytes, {} lines, {} |",
                number(resume.body_bytes_max),
                number(resume.lines_max),
                seconds(resume.body_timeout)
            ),
            format!("| tickets | {}, {ticket} each |", number(sse.tickets_max)),
            format!("| hold of a poll | {} |", seconds(hold)),
            format!("works once, for {} seconds.", sse.ticket_lifetime.as_secs()),
            format!("(a comment of {} KB,", sse.prelude_bytes >> 10),
            format!(
                "data: !opened 9vZ… {} {} {} {}",
                resume.window.as_millis(),
                hold.as_millis(),
                websocket.limits.message_bytes_max,
                resume.body_bytes_max
            ),
        ],
    );
}

#[test]
fn the_guide_for_proxies_names_the_defaults() {
    let bytes = ResumeOptions::default().body_bytes_max;
    says(
        "proxies.md",
        &[
            format!("no longer than the hold, {} seconds", LongpollOptions::default().window.as_secs()),
            format!("A POST of the session dialect may have up to {} bytes.", number(bytes)),
            // nginx counts in MiB.
            format!("client_max_body_size {}m;", bytes.div_ceil(1 << 20)),
        ],
    );
}

#[test]
fn the_guide_for_servers_names_the_defaults() {
    let websocket = WebsocketOptions::default();
    let body_timeout = LongpollOptions::default().body_timeout;
    assert_eq!(body_timeout, ResumeOptions::default().body_timeout);
    says(
        "guide/deploying.md",
        &[
            format!("the bodies of its own requests {}.", seconds(body_timeout)),
            format!("After {}, by default, the", seconds(Drain::default().timeout)),
            format!("and each has {} to answer.", seconds(websocket.linger)),
        ],
    );
}
