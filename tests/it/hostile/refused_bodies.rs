//! POSTs that are refused before they have arrived: the answer arrives, whoever is still sending.

use std::{net::SocketAddr, time::Duration};

use lapwing::transports::options::{LongpollOptions, ResumeOptions, TransportOptions};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

use crate::support::{
    PATIENCE, echo,
    http::{self, Response, ResponseReader},
    longpoll::{LongPoll, status},
    sessions::{Session, Transport},
    testbed::Testbed,
};

/// More than twice what a mount takes.
const FAR_TOO_MUCH: usize = 20_000_000;

/// Writes the whole request and reads then, as a client does that has one thread, and as browsers do.
async fn write_then_read(testbed: &Testbed, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let request = http::encode(testbed.address(), "POST", path, headers, Some(body));
    let mut stream = TcpStream::connect(testbed.address()).await.unwrap();
    write(&mut stream, path, &request).await;
    read(&mut stream, path).await
}

/// Writes what a server that waits for the rest of a request must take.
async fn write(stream: &mut TcpStream, path: &str, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap_or_else(|error| panic!("{path}: cut off: {error}"));
}

async fn read(stream: &mut TcpStream, path: &str) -> Response {
    let mut reader = ResponseReader::default();
    let answer = timeout(PATIENCE, reader.read(stream, false)).await.expect("an answer in time");
    answer.unwrap_or_else(|error| panic!("{path}: no answer: {error}"))
}

/// A POST whose body comes in chunks and has begun.
async fn begun(address: SocketAddr, path: &str, first: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    write(&mut stream, path, head.as_bytes()).await;
    write(&mut stream, path, &chunk(first.as_bytes())).await;
    stream
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

#[tokio::test]
async fn a_post_of_far_too_much_is_told_so_every_time() {
    let testbed = Testbed::shared();
    let body = vec![b'x'; FAR_TOO_MUCH];
    for path in ["/socket/longpoll?lapwing=1&vsn=2.0.0", "/socket/sse?lapwing=1&vsn=2.0.0"] {
        for _ in 0..10 {
            let answer = write_then_read(&testbed, path, &[], &body).await;
            assert_eq!(answer.status, 413, "{path}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_post_that_is_refused_for_what_it_is_is_told_so_whatever_it_brings() {
    let testbed = Testbed::shared();
    let body = vec![b'x'; FAR_TOO_MUCH];
    let foreign = [("Origin", "https://evil.example")];
    for (path, headers, status) in [
        ("/socket_default/longpoll?lapwing=1&vsn=2.0.0", &foreign[..], 403),
        ("/socket/longpoll?lapwing=2&vsn=2.0.0", &[], 400),
        // The stock dialect has its statuses in the body.
        ("/socket_default/longpoll?vsn=2.0.0", &foreign[..], 200),
        ("/socket/longpoll?vsn=2.0.0&token=nobodys", &[], 200),
        ("/socket/websocket?vsn=2.0.0", &[], 400),
    ] {
        for _ in 0..3 {
            let answer = write_then_read(&testbed, path, headers, &body).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.text());
        }
    }
}

/// Where a body for a live session goes, and how it begins: in the dialect of sessions and in the stock one.
async fn bodies(address: SocketAddr, mount: &str) -> [(String, String); 2] {
    let session = Session::open(address, mount, Transport::Longpoll).await;
    let stock = LongPoll::open(address, mount).await;
    [
        (Transport::Longpoll.path(mount), format!("!send {}\n!from 1\n", session.token)),
        (format!("{mount}/longpoll?vsn=2.0.0&token={}", stock.token), "[".to_owned()),
    ]
}

#[tokio::test]
async fn a_post_of_far_too_much_in_chunks_is_told_so_every_time() {
    const PIECE: usize = 100_000;
    let testbed = Testbed::shared();
    let piece = chunk(&[b' '; PIECE]);
    for _ in 0..3 {
        let targets = bodies(testbed.address(), "/socket").await;
        for ((path, first), status) in targets.into_iter().zip([413, 400]) {
            let mut stream = begun(testbed.address(), &path, &first).await;
            for _ in 0..FAR_TOO_MUCH / PIECE {
                write(&mut stream, &path, &piece).await;
            }
            write(&mut stream, &path, b"0\r\n\r\n").await;
            read(&mut stream, &path).await.assert_refuses(status);
        }
    }
}

/// The client sees the answer only when it has sent what it wanted to, which is more than what came in time.
#[tokio::test]
async fn a_post_that_comes_too_slowly_is_told_so_every_time() {
    const IN_TIME: Duration = Duration::from_millis(200);
    const PACE: Duration = Duration::from_millis(10);
    let resume = ResumeOptions::default().body_timeout(IN_TIME);
    let longpoll = LongpollOptions::default().body_timeout(IN_TIME);
    let options = TransportOptions::default().resume(resume).longpoll(longpoll);
    let (_endpoint, address) = echo::serve(options).await;
    for _ in 0..5 {
        for (path, first) in bodies(address, "/echo").await {
            let mut stream = begun(address, &path, &first).await;
            let answered = async {
                while !matches!(timeout(PACE, stream.peek(&mut [0])).await, Ok(Ok(1))) {
                    write(&mut stream, &path, &chunk(b" ")).await;
                }
            };
            timeout(PATIENCE, answered).await.expect("an answer in time");
            for _ in 0..100 {
                write(&mut stream, &path, &chunk(&[b' '; 10_000])).await;
            }
            write(&mut stream, &path, b"0\r\n\r\n").await;
            let answer = read(&mut stream, &path).await;
            if answer.status == 200 {
                assert_eq!(status(&answer), 408, "{path}: {}", answer.text());
            } else {
                answer.assert_refuses(408);
            }
        }
    }
}
