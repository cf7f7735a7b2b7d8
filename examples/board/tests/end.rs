//! SIGTERM, with clients that do not make it easy.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Requests have ten seconds. The rest is for a busy machine.
const END_MAX: Duration = Duration::from_secs(60);

struct Program(Child);

impl Program {
    /// The program, and the address at which it listens.
    fn start() -> (Self, String) {
        let mut board = Command::new(env!("CARGO_BIN_EXE_board"));
        board.env("PORT", "0").env("HOST", "127.0.0.1").env("DATABASE", ":memory:").stdout(Stdio::piped());
        let mut program = Self(board.spawn().unwrap());
        let lines = BufReader::new(program.0.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said = lines.map(|line| line.strip_prefix("listening on http://").map(str::to_owned));
        let address = said.flatten().next().expect("it says where it listens");
        (program, address)
    }

    /// Sends SIGTERM, and waits for the end.
    fn end(&mut self) -> ExitStatus {
        let killed = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let asked = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(asked.elapsed() < END_MAX, "it lives {END_MAX:?} after SIGTERM");
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `axum::serve` would wait for ever for the two, if the program let it.
#[test]
fn a_program_that_ends_waits_for_none_of_its_clients() {
    let (mut program, address) = Program::start();
    let _silent = TcpStream::connect(&address).unwrap();
    let mut half = TcpStream::connect(&address).unwrap();
    half.write_all(b"POST /login HTTP/1.1\r\nHost: localhost\r\n").unwrap();
    // This one is accepted behind the two.
    let mut whole = TcpStream::connect(&address).unwrap();
    whole.write_all(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    whole.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");

    assert_eq!(program.end().code(), Some(0));
}

/// Whoever waits for the line, as a supervisor does, may end the program from then on.
#[test]
fn a_program_that_says_where_it_listens_can_be_asked_to_end() {
    for _ in 0..10 {
        let (mut program, _) = Program::start();
        assert_eq!(program.end().code(), Some(0));
    }
}
