//! What one client does at full speed, and what the others get of the worker meanwhile.

use std::{
    io::Write as _,
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{connection::Connection, task::Task};
use crate::{
    close::CloseReason,
    connect::{ConnectRequest, Refusal, Transport},
    frame::{Frame, Message},
    handler::Handler,
    live::{Kind, LiveSession, resumable::Resumable},
    manager::{Manager, admission::Attached, dice},
    options::TransportOptions,
    session::Seq,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Counts messages; at "hold" it waits until the others have said what they have to say, at "ask" it answers.
struct Counter {
    received: AtomicUsize,
    /// How many had come when "ask" came.
    before_asked: AtomicUsize,
    holding: Mutex<mpsc::Sender<()>>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

impl Handler for Counter {
    type State = ();

    async fn connect(&self, _: ConnectRequest) -> Result<(), Refusal> {
        Ok(())
    }

    fn received(&self, session: &Arc<LiveSession<()>>, message: Message<'_>) -> Result<(), CloseReason> {
        let received = self.received.fetch_add(1, Ordering::Relaxed);
        if message == Message::Text("hold") {
            self.holding.lock().unwrap().send(()).unwrap();
            self.go_on.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        } else if message == Message::Text("ask") {
            self.before_asked.store(received, Ordering::Relaxed);
            session.push(Frame::text("answer"));
        }
        Ok(())
    }
}

fn counter() -> (Counter, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (holding, is_holding) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let counter = Counter {
        received: AtomicUsize::new(0),
        before_asked: AtomicUsize::new(usize::MAX),
        holding: Mutex::new(holding),
        go_on: Mutex::new(may_go_on),
    };
    (counter, is_holding, go_on)
}

/// A client's text frame, masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// On one worker a client has sent as much as the sockets take, and another one asks something.
#[test]
fn who_sends_at_full_speed_does_not_keep_the_worker_from_the_others() {
    let (counter, is_holding, go_on) = counter();
    let manager = Arc::new(Manager::new(counter, TransportOptions::default()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn({
        let manager = manager.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for _ in 0..2 {
                    let (stream, _) = listener.accept().unwrap();
                    stream.set_nonblocking(true).unwrap();
                    let io = tokio::net::TcpStream::from_std(stream).unwrap();
                    let session =
                        LiveSession::new(manager.common.clone(), Transport::Websocket, Kind::Plain, ());
                    let session = manager.enter(session).unwrap();
                    let connection = Connection::new(io, manager.clone(), session, Vec::new());
                    manager.tasks.spawn(Task::new(connection));
                }
                manager.tasks.close();
                manager.tasks.wait().await;
            });
        }
    });
    let mut flooder = std::net::TcpStream::connect(address).unwrap();
    let mut asker = std::net::TcpStream::connect(address).unwrap();
    flooder.write_all(&frame("hold")).unwrap();
    is_holding.recv_timeout(PATIENCE).unwrap();
    flooder.set_nonblocking(true).unwrap();
    let flood = frame("x").repeat(10_000);
    let mut flooded = 0;
    while let Ok(count) = flooder.write(&flood) {
        flooded += count / frame("x").len();
    }
    asker.write_all(&frame("ask")).unwrap();
    go_on.send(()).unwrap();
    asker.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 8];
    std::io::Read::read_exact(&mut asker, &mut answer).unwrap();
    assert_eq!(&answer[2..], b"answer");
    let before = manager.handler.before_asked.load(Ordering::Relaxed);
    assert!(flooded > 20_000, "there was a flood: {flooded}");
    assert!(before < 2_000, "{before} of {flooded} messages came first");
    drop((flooder, asker));
    server.join().unwrap();
}

/// A client that asks for a sign of life again and again and does not read gets one when it reads.
#[tokio::test]
async fn one_pong_waits_for_a_client_that_does_not_read() {
    const ASKED: usize = 500;
    let (counter, ..) = counter();
    let manager = Arc::new(Manager::new(counter, TransportOptions::default()));
    let resumable = Resumable::new(1, dice::secret().unwrap());
    let session =
        LiveSession::new(manager.common.clone(), Transport::Websocket, Kind::Resumable(resumable), ());
    let session = manager.enter(session).unwrap();
    manager.opened(&session);
    let attachment = session.core().session.attach();
    let attached =
        Attached { session, attachment, sent: Seq(0), taken: Seq(0), greeting: "!opened".to_owned() };
    let (mut client, server) = tokio::io::duplex(64);
    let connection = Connection::attached(server, manager, attached, Vec::new());
    let task = tokio::spawn(Task::new(connection));
    for _ in 0..ASKED {
        client.write_all(&frame("!ping")).await.unwrap();
        tokio::task::yield_now().await;
    }
    client.write_all(&frame("!close")).await.unwrap();
    let mut answers = Vec::new();
    while !answers.windows(7).any(|window| window == b"!closed") {
        assert!(client.read_buf(&mut answers).await.unwrap() > 0, "the last word is said");
    }
    drop(client);
    task.await.unwrap();
    let pongs = answers.windows(7).filter(|window| window == b"!pong 0").count();
    // What fits on the wire, one that was being written, and one that waited.
    assert!((1..=9).contains(&pongs), "{pongs} pongs to {ASKED} questions");
}
