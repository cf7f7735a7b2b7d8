//! RFC 6455, case by case, against `/echo/websocket`: every message comes back, every violation is answered as the
//! RFC says. Sections are those of the Autobahn suite; the raw client does what a library would not.

mod closing;
mod control;
mod deflate;
mod failing;
mod framing;
mod handshake;
mod independent;
mod limits;
mod utf8;

use std::net::SocketAddr;

use crate::support::{
    PATIENCE,
    channels::brief,
    testbed::Testbed,
    websocket::{BINARY, CONTINUATION, Event, Frame, PING, RawSocket},
};

pub(crate) const ECHO: &str = "/echo/websocket";

/// What a client must not send, and the code that it is told.
pub(crate) fn breaches() -> Vec<(String, Vec<u8>, u16)> {
    let closes = closing::INVALID_CODES
        .iter()
        .map(|&code| (format!("a close with code {code}"), Frame::close(code, "").encode(), 1002));
    let others = [
        ("a reserved bit", Frame::text("x").rsv(2), 1002),
        ("an unknown opcode", Frame::new(3, "x"), 1002),
        ("an unknown control opcode", Frame::new(11, ""), 1002),
        ("no mask", Frame::text("x").unmasked(), 1002),
        ("text that is no UTF-8", Frame::text([0xff]), 1007),
        ("a continuation of nothing", Frame::new(CONTINUATION, "x"), 1002),
        ("a fragmented ping", Frame::new(PING, "x").more(), 1002),
        ("a long ping", Frame::new(PING, [0; 126]), 1002),
        ("too much", Frame::new(BINARY, "x").announcing(1 << 40), 1009),
        ("a close with half a code", Frame::new(8, [3]), 1002),
        ("a close whose reason is no UTF-8", Frame::close(1000, [0xff]), 1007),
    ];
    let others = others.map(|(name, frame, code)| (name.to_owned(), frame.encode(), code));
    others.into_iter().chain(closes).collect()
}

/// What a client may send, but not behind a breach: each would be answered, and the second begins a resumable session.
pub(crate) fn behind() -> [Vec<u8>; 4] {
    [Frame::new(PING, "late"), Frame::text("!open 30000"), Frame::text("late"), Frame::close(1000, "")]
        .map(|frame| frame.encode())
}

/// Answers to a violation of the protocol.
const PROTOCOL_ERROR: &[u16] = &[1002];
const INVALID_PAYLOAD: &[u16] = &[1007];

/// What a client sends, in pieces, and what it gets.
struct Case {
    name: String,
    /// Each is written on its own.
    sends: Vec<Vec<u8>>,
    /// What comes back, in order.
    echoes: Vec<Event>,
    /// The codes that the server may then fail the connection with; without any, it must go on living.
    fails: &'static [u16],
}

impl Case {
    /// Frames that are written in one go.
    fn new(name: impl Into<String>, frames: &[Frame]) -> Case {
        let bytes = frames.iter().flat_map(Frame::encode).collect();
        Case { name: name.into(), sends: vec![bytes], echoes: Vec::new(), fails: &[] }
    }

    /// These bytes, which may be half a frame.
    fn bytes(name: impl Into<String>, bytes: Vec<u8>) -> Case {
        Case { name: name.into(), sends: vec![bytes], echoes: Vec::new(), fails: &[] }
    }

    /// The same bytes, written in pieces of this size.
    fn chopped(self, size: usize) -> Case {
        let bytes = self.sends.concat();
        let sends = bytes.chunks(size).map(<[u8]>::to_vec).collect();
        Case { name: format!("{}, {size} octets at a time", self.name), sends, ..self }
    }

    fn echo(mut self, event: Event) -> Case {
        self.echoes.push(event);
        self
    }

    fn echo_text(self, text: &str) -> Case {
        self.echo(Event::Text(text.to_owned()))
    }

    fn fails(self, codes: &'static [u16]) -> Case {
        Case { fails: codes, ..self }
    }

    async fn run(&self, address: SocketAddr) -> Result<(), String> {
        let mut socket = RawSocket::connect(address, ECHO).await;
        for piece in &self.sends {
            // A server that fails the connection still lets its client say the rest.
            socket.send_bytes(piece).await.map_err(|error| format!("cut off: {error}"))?;
            tokio::task::yield_now().await;
        }
        for wanted in &self.echoes {
            expect(&mut socket, wanted).await?;
        }
        if self.fails.is_empty() {
            return expect_life(&mut socket).await;
        }
        match socket.next_within(PATIENCE).await {
            Some(Event::Close(code, _)) if self.fails.contains(&code) => {
                socket.send(Frame::close(code, "")).await;
                expect(&mut socket, &Event::End).await
            }
            Some(event) => Err(format!("wanted close {:?}, got {}", self.fails, brief(&event))),
            None => Err(format!("wanted close {:?}, got nothing", self.fails)),
        }
    }
}

async fn expect(socket: &mut RawSocket, wanted: &Event) -> Result<(), String> {
    let got = socket.next_within(PATIENCE).await;
    match got {
        Some(got) if got == *wanted => Ok(()),
        Some(got) => Err(format!("wanted {}, got {}", brief(wanted), brief(&got))),
        None => Err(format!("wanted {}, got nothing", brief(wanted))),
    }
}

/// The connection still works, and closes cleanly.
async fn expect_life(socket: &mut RawSocket) -> Result<(), String> {
    socket.send(Frame::text("still there?")).await;
    expect(socket, &Event::Text("still there?".to_owned())).await?;
    socket.send(Frame::close(1000, "")).await;
    expect(socket, &Event::Close(1000, String::new())).await?;
    expect(socket, &Event::End).await
}

/// Runs all cases of a table and shows all that fail.
async fn run(cases: Vec<Case>) {
    let testbed = Testbed::shared();
    let mut failures = Vec::new();
    for case in &cases {
        if let Err(why) = case.run(testbed.address()).await {
            failures.push(format!("{}: {why}", case.name));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases fail:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}
