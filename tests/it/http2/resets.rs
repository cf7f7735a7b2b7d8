//! How a stream ends that nobody closed: each reset, a GOAWAY, a lost connection, as a reason for the session's end.

use h2::Reason;
use lapwing::transports::close::CloseReason;
use tokio::{sync::mpsc::UnboundedReceiver, time::timeout};

use super::observed;
use crate::rfc6455::{behind, breaches};
use crate::support::{
    PATIENCE,
    http2::{Connection, Next, Stream},
};

const PATH: &str = "/websocket";

async fn reason(ended: &mut UnboundedReceiver<CloseReason>) -> CloseReason {
    timeout(PATIENCE, ended.recv()).await.expect("the session ends in time").expect("the server runs")
}

async fn assert_echoes(stream: &mut Stream) {
    stream.send("still there");
    assert_eq!(stream.next_text().await, "still there");
}

#[tokio::test]
async fn each_reset_ends_its_session_with_a_reason_and_no_other() {
    let (address, mut ended) = observed().await;
    let connection = Connection::connect(address).await;
    let mut bystander = connection.websocket(PATH).await;
    for (reset, expected) in [
        (Reason::NO_ERROR, CloseReason::Lost),
        (Reason::CANCEL, CloseReason::Lost),
        (Reason::REFUSED_STREAM, CloseReason::Lost),
        (Reason::CONNECT_ERROR, CloseReason::Lost),
        (Reason::ENHANCE_YOUR_CALM, CloseReason::Lost),
        (Reason::INADEQUATE_SECURITY, CloseReason::Lost),
        (Reason::HTTP_1_1_REQUIRED, CloseReason::Lost),
        (Reason::SETTINGS_TIMEOUT, CloseReason::Lost),
        (Reason::from(0x1234), CloseReason::Lost),
        (Reason::PROTOCOL_ERROR, CloseReason::Protocol(1002)),
        (Reason::FLOW_CONTROL_ERROR, CloseReason::Protocol(1002)),
        (Reason::FRAME_SIZE_ERROR, CloseReason::Protocol(1002)),
        (Reason::COMPRESSION_ERROR, CloseReason::Protocol(1002)),
        (Reason::STREAM_CLOSED, CloseReason::Protocol(1002)),
        (Reason::INTERNAL_ERROR, CloseReason::Internal),
    ] {
        let mut stream = connection.websocket(PATH).await;
        assert_echoes(&mut stream).await;
        stream.reset(reset);
        assert_eq!(reason(&mut ended).await, expected, "{reset:?}");
        assert_echoes(&mut bystander).await;
    }
}

#[tokio::test]
async fn a_reset_while_the_server_writes_has_the_same_reason() {
    let (address, mut ended) = observed().await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1_000).initial_connection_window_size(1 << 20);
    let connection = Connection::connect_as(address, &builder).await;
    let mut stream = connection.websocket(PATH).await;
    // The echo of this does not fit into the stream's window, so the server waits.
    for _ in 0..40 {
        stream.send(&"x".repeat(1_000));
    }
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    stream.reset(Reason::PROTOCOL_ERROR);
    assert_eq!(reason(&mut ended).await, CloseReason::Protocol(1002));
}

#[tokio::test]
async fn the_end_of_a_stream_without_a_close_is_a_lost_connection() {
    let (address, mut ended) = observed().await;
    let connection = Connection::connect(address).await;
    let mut stream = connection.websocket(PATH).await;
    stream.up.send_data(bytes::Bytes::new(), true).unwrap();
    assert_eq!(reason(&mut ended).await, CloseReason::Lost);
    assert_eq!(stream.next().await, Next::End);
}

#[tokio::test]
async fn a_close_is_the_clients_own_wish() {
    let (address, mut ended) = observed().await;
    let connection = Connection::connect(address).await;
    let mut stream = connection.websocket(PATH).await;
    stream.close();
    assert_eq!(reason(&mut ended).await, CloseReason::Client);
}

#[tokio::test]
async fn a_lost_connection_loses_all_of_its_sessions() {
    let (address, mut ended) = observed().await;
    let connection = Connection::connect(address).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(connection.websocket(PATH).await);
    }
    connection.cut();
    drop(streams);
    for _ in 0..20 {
        assert_eq!(reason(&mut ended).await, CloseReason::Lost);
    }
}

#[tokio::test]
async fn nothing_that_comes_behind_an_error_has_an_effect_on_its_stream() {
    let (address, mut ended) = observed().await;
    let connection = Connection::connect(address).await;
    for (name, breach, code) in breaches() {
        for in_one_frame in [true, false] {
            let mut stream = connection.websocket(PATH).await;
            assert_echoes(&mut stream).await;
            let bytes =
                if in_one_frame { [breach.clone(), behind().concat()].concat() } else { breach.clone() };
            stream.up.send_data(bytes.into(), false).unwrap();
            if !in_one_frame {
                for frame in behind() {
                    stream.up.send_data(frame.into(), false).unwrap();
                }
            }
            assert_eq!(stream.next().await, Next::Close(code), "{name}");
            assert_eq!(stream.next().await, Next::End, "{name}");
            assert_eq!(reason(&mut ended).await, CloseReason::Protocol(code), "{name}");
        }
    }
}

#[tokio::test]
async fn a_broken_frame_on_the_stream_is_a_breach_of_the_websocket_protocol() {
    let (address, mut ended) = observed().await;
    let connection = Connection::connect(address).await;
    let mut bystander = connection.websocket(PATH).await;
    let mut stream = connection.websocket(PATH).await;
    stream.up.send_data(bytes::Bytes::from_static(&[0xf1, 0x80, 0, 0, 0, 0]), false).unwrap();
    assert_eq!(stream.next().await, Next::Close(1002));
    assert_eq!(reason(&mut ended).await, CloseReason::Protocol(1002));
    assert_echoes(&mut bystander).await;
}
