//! A frame that was read just as its session was held still.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{connection::Connection, task::Task};
use crate::{
    close::CloseReason,
    connect::{ConnectRequest, Refusal, Transport},
    frame::Message,
    handler::Handler,
    live::{Kind, LiveSession, resumable::Resumable},
    manager::{Manager, admission::Attached, dice},
    options::TransportOptions,
    session::Seq,
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
    let manager = Arc::new(Manager::new(Late::default(), TransportOptions::default()));
    let resumable = Resumable::new(1, dice::secret().unwrap());
    let session =
        LiveSession::new(manager.common.clone(), Transport::Websocket, Kind::Resumable(resumable), ());
    let session = manager.enter(session).unwrap();
    manager.opened(&session);
    let attachment = session.core().session.attach();
    let greeting = "!opened".to_owned();
    let attached = Attached { session: session.clone(), attachment, sent: Seq(0), taken: Seq(0), greeting };
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
