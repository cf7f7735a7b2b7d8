//! POSTs that are refused before they have arrived: the answer arrives, whoever is still sending.

use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

use crate::support::{
    PATIENCE,
    http::{self, Response, ResponseReader},
    testbed::Testbed,
};

/// More than twice what a mount takes.
const FAR_TOO_MUCH: usize = 20_000_000;

/// Writes the whole request and reads then, as a client does that has one thread, and as browsers do.
async fn write_then_read(testbed: &Testbed, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let request = http::encode(testbed.address(), "POST", path, headers, Some(body));
    let mut stream = TcpStream::connect(testbed.address()).await.unwrap();
    stream.write_all(&request).await.unwrap_or_else(|error| panic!("{path}: cut off: {error}"));
    let mut reader = ResponseReader::default();
    let answer = timeout(PATIENCE, reader.read(&mut stream, false)).await.expect("an answer in time");
    answer.unwrap_or_else(|error| panic!("{path}: no answer: {error}"))
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
