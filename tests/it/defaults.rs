//! The guides name bounds in numbers: they are the defaults.

use std::{fmt::Debug, fs, path::Path};

use lapwing::{Drain, LongpollOptions, OutboxLimits, ResumeOptions, SseOptions, WebsocketOptions};

/// With a comma for each thousand, as the guides write numbers.
fn number(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().ok().unwrap().to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8(groups.join(&b',')).unwrap()
}

fn seconds(seconds: u64) -> String {
    format!("{seconds} s")
}

/// A default, as what options print of themselves says it: a number, or whole seconds. Nobody else may read an option.
#[track_caller]
fn default_of(options: &impl Debug, field: &str) -> u64 {
    let printed = format!("{options:#?}");
    let value = printed.lines().find_map(|line| line.trim().strip_prefix(&format!("{field}: ")));
    let value = value.unwrap_or_else(|| panic!("no {field} in {printed}"));
    value.trim_end_matches([',', 's']).parse().unwrap_or_else(|_| panic!("{field} is {value}"))
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
    let outbox = |field| default_of(&OutboxLimits::default(), field);
    let resume = |field| default_of(&ResumeOptions::default(), field);
    let websocket = |field| default_of(&WebsocketOptions::default(), field);
    let sse = |field| default_of(&SseOptions::default(), field);
    let hold = default_of(&LongpollOptions::default(), "window");
    let ticket = seconds(sse("ticket_lifetime"));
    says(
        "sessions.md",
        &[
            format!("| window | {} |", seconds(resume("window"))),
            format!(
                "| frames that wait to be sent to a client | {} and {} MiB, one frame more",
                number(outbox("frames_max")),
                outbox("bytes_max") >> 20
            ),
            format!(
                "| frames sent and not acknowledged | {} and {} MiB, one frame more",
                number(outbox("unacknowledged_frames_max")),
                outbox("unacknowledged_bytes_max") >> 20
            ),
            format!(
                "| sessions known after their end | {} for {} min |",
                number(resume("ended_max")),
                resume("ended_lifetime") / 60
            ),
            format!("| first line of a WebSocket | {} |", seconds(resume("greeting_timeout"))),
            format!(
                "| a frame of the client | {} bytes; on a WebSocket within {} |",
                number(websocket("message_bytes_max")),
                seconds(websocket("message_timeout"))
            ),
            format!(
                "| body of a POST | {} bytes, {} lines, {} |",
                number(resume("body_bytes_max")),
                number(resume("lines_max")),
                seconds(resume("body_timeout"))
            ),
            format!("| tickets | {}, {ticket} each |", number(sse("tickets_max"))),
            format!("| hold of a poll | {} |", seconds(hold)),
            format!("works once, for {} seconds.", sse("ticket_lifetime")),
            format!("(a comment of {} KB,", sse("prelude_bytes") >> 10),
            format!(
                "data: !opened 9vZ… {} {} {} {}",
                resume("window") * 1_000,
                hold * 1_000,
                websocket("message_bytes_max"),
                resume("body_bytes_max")
            ),
        ],
    );
}

#[test]
fn the_guide_for_proxies_names_the_defaults() {
    let bytes = default_of(&ResumeOptions::default(), "body_bytes_max");
    says(
        "proxies.md",
        &[
            format!("no longer than the hold, {} seconds", default_of(&LongpollOptions::default(), "window")),
            format!("A POST of the session dialect may have up to {} bytes.", number(bytes)),
            // nginx counts in MiB.
            format!("client_max_body_size {}m;", bytes.div_ceil(1 << 20)),
        ],
    );
}

#[test]
fn the_guide_for_servers_names_the_defaults() {
    let body_timeout = default_of(&LongpollOptions::default(), "body_timeout");
    assert_eq!(body_timeout, default_of(&ResumeOptions::default(), "body_timeout"));
    says(
        "guide/deploying.md",
        &[
            format!("the bodies of its own requests {}.", seconds(body_timeout)),
            format!("After {}, by default, the", seconds(default_of(&Drain::default(), "timeout"))),
            format!(
                "and each has {} to answer.",
                seconds(default_of(&WebsocketOptions::default(), "linger"))
            ),
        ],
    );
}
