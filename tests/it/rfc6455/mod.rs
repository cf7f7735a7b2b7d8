//! RFC 6455, case by case, against `/echo/websocket`: every message comes back, every violation is answered as the
//! RFC says. Sections are those of the Autobahn suite; the raw client does what a library would not.

mod closing;
mod control;
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
    websocket::{Event, Frame, RawSocket},
};

pub(crate) const ECHO: &str = "/echo/websocket";

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
