//! The ordinary cases once more with a client that somebody else wrote.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::protocol::{
        Message, WebSocketConfig,
        frame::{
            CloseFrame, Frame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

use super::ECHO;
use crate::support::testbed::Testbed;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(address: SocketAddr) -> Socket {
    let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    let url = format!("ws://{address}{ECHO}");
    let (socket, response) =
        connect_async_with_config(url, Some(config), true).await.expect("the echo opens");
    assert_eq!(response.status(), 101);
    socket
}

async fn echoed(socket: &mut Socket, message: Message) {
    socket.send(message.clone()).await.unwrap();
    let got = socket.next().await.expect("an answer").expect("a message");
    assert!(got == message, "{} bytes came back as {}", message.len(), got.len());
}

#[tokio::test]
async fn an_independent_client_gets_its_messages_back() {
    let testbed = Testbed::shared();
    let mut socket = connect(testbed.address()).await;
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 1_000_000, 16 * 1024 * 1024] {
        echoed(&mut socket, Message::text("é".repeat(length / 2))).await;
        echoed(&mut socket, Message::binary(vec![0xff; length])).await;
    }
    socket.close(None).await.unwrap();
}

#[tokio::test]
async fn an_independent_client_gets_pongs_and_whole_messages_from_fragments() {
    let testbed = Testbed::shared();
    let mut socket = connect(testbed.address()).await;
    let part =
        |text: &'static str, data, last| Message::Frame(Frame::message(text, OpCode::Data(data), last));
    for message in [
        part("one ", Data::Text, false),
        Message::Ping("between".into()),
        part("two ", Data::Continue, false),
        part("three", Data::Continue, true),
    ] {
        socket.send(message).await.unwrap();
    }
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong("between".into()));
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("one two three"));
}

#[tokio::test]
async fn an_independent_client_sees_its_close_answered_and_the_stream_end() {
    let testbed = Testbed::shared();
    for code in [CloseCode::Normal, CloseCode::Away, CloseCode::Library(4000)] {
        let mut socket = connect(testbed.address()).await;
        socket.close(Some(CloseFrame { code, reason: "bye".into() })).await.unwrap();
        let Some(Ok(Message::Close(Some(answer)))) = socket.next().await else { panic!("no close frame") };
        assert!(answer.code == code || answer.code == CloseCode::Normal, "{answer:?}");
        assert!(socket.next().await.is_none(), "the stream ends");
    }
}

#[tokio::test]
async fn ten_thousand_messages_come_back_in_order_while_more_are_sent() {
    const MESSAGES: u32 = 10_000;
    let testbed = Testbed::shared();
    let (mut sink, mut stream) = connect(testbed.address()).await.split();
    let send = async {
        for number in 0..MESSAGES {
            sink.feed(Message::text(number.to_string())).await.unwrap();
        }
        sink.flush().await.unwrap();
    };
    let receive = async {
        for number in 0..MESSAGES {
            let message = stream.next().await.unwrap().unwrap();
            assert_eq!(message, Message::text(number.to_string()));
        }
    };
    tokio::join!(send, receive);
}
