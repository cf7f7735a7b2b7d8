//! Clients that mean harm by the means of HTTP/2. What can be answered on a stream is, and its connection goes on; what
//! cannot ends the connection, with a reason, and no other.

use super::observed;
use crate::support::{
    frames::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, Raw, SETTINGS, encode,
        field, get_fields,
    },
    http2::{Connection, Next},
    testbed::Testbed,
    websocket::Frame,
};

const PROTOCOL_ERROR: u32 = 1;
const CANCEL: [u8; 4] = [0, 0, 0, 8];
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;
const FLOW_CONTROL_ERROR: u32 = 3;

/// A connection with a WebSocket on stream 1, that others must not disturb, and one beside it.
async fn watched() -> (Raw, Raw) {
    let (address, _) = observed().await;
    let (mut raw, mut neighbour) = (Raw::connect(address).await, Raw::connect(address).await);
    raw.websocket(1, "/websocket").await;
    neighbour.websocket(1, "/websocket").await;
    (raw, neighbour)
}

/// The ids of a client's streams after the first.
fn ids(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|n| 3 + 2 * n)
}

fn opened_and_reset(count: u32, fields: &[u8]) -> Vec<u8> {
    ids(count)
        .flat_map(|id| {
            [encode(HEADERS, END_HEADERS | END_STREAM, id, fields), encode(RST_STREAM, 0, id, &CANCEL)]
                .concat()
        })
        .collect()
}

#[tokio::test]
async fn a_thousand_requests_reset_at_once_disturb_no_other_stream() {
    let (mut raw, mut neighbour) = watched().await;
    assert!(raw.send(&opened_and_reset(1_000, &get_fields("/longpoll?vsn=2.0.0"))).await);
    raw.assert_echoes(1).await;
    neighbour.assert_echoes(1).await;
}

#[tokio::test]
async fn one_reset_more_ends_its_connection_with_a_word() {
    let (mut raw, mut neighbour) = watched().await;
    // Short enough to be there at once: what the server has accepted in the meantime is not counted.
    let fields = b"\x82\x86\x84\x01\x04test";
    assert!(raw.send(&opened_and_reset(1_001, fields)).await);
    assert_eq!(raw.expect_end().await, ENHANCE_YOUR_CALM);
    neighbour.assert_echoes(1).await;
}

#[tokio::test]
async fn a_thousand_websockets_reset_at_once_leave_no_session_behind() {
    let testbed = Testbed::start();
    let mut raw = Raw::connect(testbed.address()).await;
    let fields = crate::support::frames::connect_fields("/socket/websocket?vsn=2.0.0");
    assert!(raw.send(&opened_and_reset(1_000, &fields)).await);
    assert!(raw.send(&encode(PING, 0, 0, &[7; 8])).await);
    raw.expect(PING, 0).await;
    testbed.wait_for_stat("sessions", 0, crate::support::PATIENCE).await;
    assert_eq!(Connection::connect(testbed.address()).await.get("/health").await.text(), "ok");
}

#[tokio::test]
async fn resets_without_end_cost_a_bounded_amount_and_only_their_own_connection() {
    let testbed = Testbed::start();
    let mut neighbour = Raw::connect(testbed.address()).await;
    neighbour.websocket(1, "/echo/websocket").await;
    let before = testbed.rss();
    for _ in 0..5 {
        let mut raw = Raw::connect(testbed.address()).await;
        // The server may end the connection in the middle: then the rest cannot be written.
        let _ = raw.send(&opened_and_reset(50_000, &get_fields("/socket/longpoll?vsn=2.0.0"))).await;
        neighbour.assert_echoes(1).await;
    }
    let grown = testbed.rss().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes");
    neighbour.assert_echoes(1).await;
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused_one_by_one() {
    let (mut raw, _) = watched().await;
    let waiting: Vec<u8> = ids(1_001)
        .flat_map(|id| {
            encode(HEADERS, END_HEADERS, id, &crate::support::frames::connect_fields("/websocket"))
        })
        .collect();
    assert!(raw.send(&waiting).await);
    // With the one that is open there is room for 999.
    for id in ids(1_001).skip(999) {
        let reset = raw.expect_kind(RST_STREAM).await;
        assert_eq!((reset.stream, reset.reason()), (id, REFUSED_STREAM));
    }
    raw.assert_echoes(1).await;
}

#[tokio::test]
async fn a_pseudo_header_of_responses_is_an_error_of_its_stream() {
    let (mut raw, mut neighbour) = watched().await;
    let fields = [get_fields("/longpoll"), field(":status", "200")].concat();
    assert!(raw.send(&encode(HEADERS, END_HEADERS | END_STREAM, 3, &fields)).await);
    assert_eq!(raw.expect(RST_STREAM, 3).await.reason(), PROTOCOL_ERROR);
    raw.assert_echoes(1).await;
    neighbour.assert_echoes(1).await;
}

#[tokio::test]
async fn a_pseudo_header_that_nobody_knows_ends_its_connection_with_a_word() {
    // A proxy passes none on, so whoever sends one has the connection for itself.
    let (mut raw, mut neighbour) = watched().await;
    let fields = [get_fields("/longpoll"), field(":color", "red")].concat();
    assert!(raw.send(&encode(HEADERS, END_HEADERS | END_STREAM, 3, &fields)).await);
    assert_eq!(raw.expect_end().await, PROTOCOL_ERROR);
    neighbour.assert_echoes(1).await;
}

#[tokio::test]
async fn a_protocol_without_connect_is_an_error_of_its_stream() {
    let (mut raw, _) = watched().await;
    let fields = [get_fields("/websocket"), field(":protocol", "websocket")].concat();
    assert!(raw.send(&encode(HEADERS, END_HEADERS | END_STREAM, 3, &fields)).await);
    assert_eq!(raw.expect(RST_STREAM, 3).await.reason(), PROTOCOL_ERROR);
    raw.assert_echoes(1).await;
}

#[tokio::test]
async fn headers_beyond_the_limit_are_answered_with_431_on_their_stream() {
    let (address, _) = observed().await;
    let connection = Connection::connect(address).await;
    let mut bystander = connection.websocket("/websocket").await;
    let path = format!("/longpoll?vsn=2.0.0&x={}", "x".repeat(17 * 1024));
    assert_eq!(connection.get(&path).await.status, 431);
    bystander.send("still there");
    assert_eq!(bystander.next_text().await, "still there");
}

#[tokio::test]
async fn a_flood_of_fields_without_end_is_cut_off() {
    let (mut raw, mut neighbour) = watched().await;
    let some = field("x-flood", &"x".repeat(4_000)).repeat(4);
    let mut is_open = raw.send(&encode(HEADERS, END_STREAM, 3, &get_fields("/longpoll"))).await;
    let mut sent = 0;
    while is_open && sent < 1_000 {
        is_open = raw.send(&encode(CONTINUATION, 0, 3, &some)).await;
        sent += 1;
        tokio::task::yield_now().await;
    }
    assert_ne!(raw_end(&mut raw).await, Some(0), "the connection does not end in peace");
    neighbour.assert_echoes(1).await;
}

/// Why the connection ended, if the server's words were not lost with it.
async fn raw_end(raw: &mut Raw) -> Option<u32> {
    let mut reason = None;
    while let Some(frame) = raw.next().await {
        if frame.kind == crate::support::frames::GOAWAY {
            reason = Some(frame.reason());
        }
    }
    reason
}

#[tokio::test]
async fn small_continuations_without_end_are_cut_off_with_a_word() {
    let (mut raw, mut neighbour) = watched().await;
    let mut flood = encode(HEADERS, END_STREAM, 3, &get_fields("/longpoll"));
    for _ in 0..50 {
        flood.extend_from_slice(&encode(CONTINUATION, 0, 3, &field("a", "b")));
    }
    assert!(raw.send(&flood).await);
    assert_eq!(raw.expect_end().await, ENHANCE_YOUR_CALM);
    neighbour.assert_echoes(1).await;
}

#[tokio::test]
async fn broken_compression_ends_its_connection_with_a_word() {
    let (mut raw, mut neighbour) = watched().await;
    // An entry of the dynamic table that nobody put there.
    assert!(raw.send(&encode(HEADERS, END_HEADERS, 3, &[0xff, 0xff, 0x7f])).await);
    assert_eq!(raw.expect_end().await, PROTOCOL_ERROR);
    neighbour.assert_echoes(1).await;
}

#[tokio::test]
async fn more_than_a_window_on_a_stream_that_is_not_read_resets_it_alone() {
    let (mut raw, mut neighbour) = watched().await;
    // Before the server knows that its settings have arrived, the window of the standard holds.
    assert!(raw.send(&encode(SETTINGS, ACK, 0, &[])).await);
    raw.websocket(3, "/websocket?deaf=1").await;
    for _ in 0..5 {
        assert!(raw.send(&encode(DATA, 0, 3, &vec![0; 16 * 1024])).await);
    }
    assert_eq!(raw.expect(RST_STREAM, 3).await.reason(), FLOW_CONTROL_ERROR);
    raw.assert_echoes(1).await;
    neighbour.assert_echoes(1).await;
}

#[tokio::test]
async fn empty_frames_without_end_are_cut_off_with_a_word() {
    let (mut raw, mut neighbour) = watched().await;
    assert!(raw.send(&encode(DATA, 0, 1, &[]).repeat(1_000)).await);
    assert_eq!(raw.expect_end().await, ENHANCE_YOUR_CALM);
    neighbour.assert_echoes(1).await;
}

#[tokio::test]
async fn a_connect_that_announces_a_body_ends_its_connection_and_no_other() {
    // hyper takes back no more than the stream, it means to; but then it ends the connection. See `docs/http2.md`.
    let (mut raw, mut neighbour) = watched().await;
    let fields =
        [crate::support::frames::connect_fields("/websocket"), field("content-length", "5")].concat();
    assert!(raw.send(&encode(HEADERS, END_HEADERS, 3, &fields)).await);
    while raw.next().await.is_some() {}
    neighbour.assert_echoes(1).await;
}

#[tokio::test]
async fn pings_and_settings_in_masses_are_answered_and_disturb_nobody() {
    let (mut raw, mut neighbour) = watched().await;
    let flood = [encode(PING, 0, 0, &[1; 8]), encode(SETTINGS, 0, 0, &[])].concat();
    for _ in 0..100 {
        assert!(raw.send(&flood.repeat(10)).await);
        for _ in 0..10 {
            let answer = raw.expect(PING, 0).await;
            assert_eq!(answer.flags, ACK);
        }
    }
    raw.assert_echoes(1).await;
    neighbour.assert_echoes(1).await;
}

#[tokio::test]
async fn who_sends_far_more_than_the_limit_on_a_stream_is_told_1009() {
    let testbed = Testbed::shared();
    let connection = Connection::connect(testbed.address()).await;
    for path in ["/echo/websocket", "/socket/websocket?vsn=2.0.0"] {
        for _ in 0..3 {
            let mut stream = connection.websocket(path).await;
            let message = Frame::text(vec![b'x'; 20_000_000]).encode();
            stream.up.send_data(message.into(), false).unwrap();
            assert_eq!(stream.next().await, Next::Close(1009), "{path}");
            assert_eq!(stream.next().await, Next::End, "{path}");
        }
    }
    assert_eq!(connection.get("/health").await.text(), "ok");
}
