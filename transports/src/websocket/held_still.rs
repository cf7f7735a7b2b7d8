//! A frame that was read or written just as its session was held still.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};

use super::{connection::Connection, task::Task};
use crate::{
    close::CloseReason,
    connect::{ConnectRequest, Refusal, Transport},
    frame::{Frame, Message},
    handler::Handler,
    live::{Kind, LiveSession, resumable::Resumable},
    manager::{Manager, admission::Attached, dice},
    options::TransportOptions,
    session::{Pushed, Seq},
};

/// Notes messages. Once it is armed, it holds the session still when it is asked whether it takes another one, and says yes: what is read next
/// comes too late.
#[derive(Default)]
struct Late {
    is_armed: AtomicBool,
    notes: Mutex<Vec<String>>,
}

impl Handler for Late {
    type State = ();

    async fn connect(&self, _: ConnectRequest) -> Result<(), Refusal> {
        Ok(())
    }

    fn received(&self, _: &Arc<LiveSession<()>>, message: Message<'_>) -> Result<(), CloseReason> {
        if let Message::Text(text) = message {
            self.notes.lock().unwrap().push(text.to_owned());
        }
        Ok(())
    }

    fn is_ready(&self, session: &LiveSession<()>) -> bool {
        if self.is_armed.swap(false, Ordering::Relaxed) {
            assert!(session.hold_still());
        }
        true
    }
}

/// A client's text frame, masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// A resumable session, and what its first connection needs.
fn attached() -> (Arc<Manager<Late>>, Arc<LiveSession<()>>, Attached<Late>) {
    let manager = Arc::new(Manager::new(Late::default(), TransportOptions::default()));
    let resumable = Resumable::new(1, dice::secret().unwrap());
    let session =
        LiveSession::new(manager.common.clone(), Transport::Websocket, Kind::Resumable(resumable), ());
    let session = manager.enter(session).unwrap();
    manager.opened(&session);
    let attachment = session.core().session.attach();
    let greeting = "!opened".to_owned();
    let attached = Attached { session: session.clone(), attachment, sent: Seq(0), taken: Seq(0), greeting };
    (manager, session, attached)
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let so = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), so).await.unwrap();
}

#[tokio::test]
async fn a_frame_that_was_read_too_late_is_taken_when_the_session_goes_on_and_before_those_behind_it() {
    let (manager, session, attached) = attached();
    let (mut client, server) = tokio::io::duplex(1_024);
    manager.handler.is_armed.store(true, Ordering::Relaxed);
    client.write_all(&[frame("first"), frame("second")].concat()).await.unwrap();
    let connection = Connection::attached(server, manager.clone(), attached, Vec::new());
    let task = tokio::spawn(Task::new(connection));
    client.read_exact(&mut [0; 9]).await.unwrap();
    until(|| session.owes() > 0).await;
    assert_eq!(session.core().session.last_taken(), Seq(0));
    assert!(manager.handler.notes.lock().unwrap().is_empty());
    session.go_on();
    until(|| manager.handler.notes.lock().unwrap().len() == 2).await;
    assert_eq!(*manager.handler.notes.lock().unwrap(), ["first", "second"]);
    assert_eq!(session.owes(), 0, "nothing of it is held any more");
    drop(client);
    task.await.unwrap();
}

/// A socket that takes all, and lets the session go to another node as it takes the frame that was pushed.
struct Leaving {
    io: DuplexStream,
    session: Arc<LiveSession<()>>,
    /// How many bytes it takes at most of what has that frame.
    takes: usize,
}

impl AsyncWrite for Leaving {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let takes = if bytes.ends_with(b"[said]") {
            assert!(self.session.hold_still());
            self.session.freeze().unwrap();
            self.takes
        } else {
            usize::MAX
        };
        Pin::new(&mut self.io).poll_write(cx, &bytes[..bytes.len().min(takes)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl AsyncRead for Leaving {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

/// All that a client gets by a connection whose session goes while `takes` bytes of a frame are written.
async fn heard_while_it_goes(takes: usize) -> Vec<u8> {
    let (manager, session, attached) = attached();
    let (mut client, io) = tokio::io::duplex(1_024);
    let server = Leaving { io, session: session.clone(), takes };
    let task = tokio::spawn(Task::new(Connection::attached(server, manager, attached, Vec::new())));
    client.read_exact(&mut [0; 9]).await.unwrap();
    assert_eq!(session.push(Frame::text("[said]")), Pushed::Queued);
    until(|| session.core().is_frozen()).await;
    let mut heard = vec![0; takes.min(8)];
    client.read_exact(&mut heard).await.unwrap();
    session.release_frozen();
    client.read_to_end(&mut heard).await.unwrap();
    drop(client);
    task.await.unwrap();
    heard
}

#[tokio::test]
async fn a_session_that_goes_as_a_frame_is_written_has_its_client_told_so_behind_that_frame() {
    let restarting = [0x88, 2, 0x03, 0xf4];
    assert_eq!(heard_while_it_goes(usize::MAX).await, [&b"\x81\x06[said]"[..], &restarting].concat());
    // Nobody has the rest of one that was begun.
    assert_eq!(heard_while_it_goes(5).await, *b"\x81\x06[sa");
}
