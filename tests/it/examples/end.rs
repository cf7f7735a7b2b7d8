//! SIGTERM, with clients that do not make it easy.

use std::{os::unix::process::ExitStatusExt as _, time::Duration};

use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{joined, program::Program};
use crate::support::{http2::Unheard, tls::connected};

/// What the examples that end gracefully wait for: five seconds for clients that do not answer the close, and five for streams
/// of HTTP/2. The rest is for a busy machine.
const END_MAX: Duration = Duration::from_secs(40);

async fn terminated(name: &'static str) -> (Program, std::process::ExitStatus, Option<u16>) {
    let mut program = Program::start(name).await;
    // None of these ever says anything again.
    let mut client = joined(&program, "mute").await;
    let _silent = TcpStream::connect(program.outside).await.unwrap();
    let mut half = TcpStream::connect(program.outside).await.unwrap();
    half.write_all(b"POST /socket/longpoll?lapwing=1 HTTP/1.1\r\nHost: localhost\r\n").await.unwrap();
    let mut unheard = None;
    if let Some(identity) = &program.identity {
        let stream = connected(program.outside, &identity.certificate, b"h2").await.unwrap();
        unheard = Some(Unheard::begin(stream, program.outside).await);
    }
    program.terminate();
    let code = client.close_code_within(END_MAX).await;
    let status = program.ended_within(END_MAX).await;
    drop(unheard);
    (program, status, code)
}

#[tokio::test]
async fn a_graceful_end_sends_clients_away_and_waits_for_none_of_them() {
    for name in ["demo", "hyper", "tls"] {
        let (_, status, code) = terminated(name).await;
        assert_eq!((status.code(), code), (Some(0), Some(1012)), "{name}");
    }
}

#[tokio::test]
async fn a_program_that_takes_no_signals_ends_at_once() {
    const SIGTERM: i32 = 15;
    for name in ["axum", "presence"] {
        let (_, status, _) = terminated(name).await;
        assert_eq!(status.signal(), Some(SIGTERM), "{name}");
    }
}
