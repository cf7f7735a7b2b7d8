//! The program, as tests in other languages use it.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use lapwing_faults::Counters;
use serde_json::{Value, json};

use crate::support::{Client, Server};

struct Program {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, stdin, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    fn ask(&mut self, command: &str) -> Value {
        writeln!(self.stdin, "{command}").unwrap();
        serde_json::from_str(&self.line()).unwrap()
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lapwing-faults"));
    command.args(arguments);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_does_what_its_lines_say() {
    let server = Server::start().await;
    let mut program = Program::start(&["--target", &server.addr.to_string()]);
    let line = program.line();
    let addr = line.strip_prefix("listening on ").unwrap().parse().unwrap();

    let mut client = Client::connect(addr).await;
    client.get("/plain").await;
    client.response().await;
    assert_eq!(program.ask(r#"{"set":["down",{"kill_idle_ms":1000}]}"#), json!({"ok": true}));
    client.assert_reset().await;
    assert_eq!(program.ask(r#"{"lift":true}"#), json!({"ok": true}));
    let mut client = Client::connect(addr).await;
    client.get("/plain").await;
    client.response().await;
    assert_eq!(program.ask(r#"{"freeze":true}"#), json!({"ok": true}));
    client.get("/plain").await;
    client.assert_silent(Duration::from_millis(100)).await;
    assert_eq!(program.ask(r#"{"cut":true}"#), json!({"ok": true}));
    client.assert_reset().await;

    let answer = program.ask(r#"{"counters":true}"#);
    let counters: Counters = serde_json::from_value(answer["counters"].clone()).unwrap();
    assert_eq!((counters.connections, counters.resets, counters.requests["GET"]), (2, 2, 2));

    for wrong in [r#"{"set":["dwon"]}"#, r#"{"cut":false}"#, "{}", "", "down"] {
        assert!(program.ask(wrong)["error"].is_string(), "{wrong}");
    }
    drop(program.stdin);
    assert!(program.child.wait().unwrap().success());
}

#[test]
fn wrong_arguments_are_told() {
    for (arguments, problem) in [
        (&[][..], "--target is missing"),
        (&["--target"], "--target needs a value"),
        (&["--target", "127.0.0.1:1", "--listen", "x"], "x is no value for --listen"),
        (&["--help", "me"], "--help is no option"),
    ] {
        let output = command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with(problem) && text.contains("usage:"), "{text}");
    }
}
