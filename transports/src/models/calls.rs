//! What the handler is told of a session that several tasks carry, feed and end, in interleavings that a checker chooses. See
//! [`crate::models`].

use std::sync::Arc;

use shuttle::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::check;
use crate::{
    close::CloseReason,
    connect::{ConnectRequest, Refusal, Transport},
    frame::Message,
    handler::Handler,
    live::{Kind, LiveSession, calls::Call, resumable::Resumable},
    manager::{Manager, dice},
    options::TransportOptions,
    session::Seq,
};

type Session = Arc<LiveSession<()>>;

/// Notes what it is told, and that nobody else tells it anything meanwhile.
#[derive(Default)]
struct Diary {
    is_in_a_call: AtomicBool,
    notes: Mutex<Vec<String>>,
}

impl Diary {
    fn note(&self, note: &str) {
        assert!(!self.is_in_a_call.swap(true, Ordering::AcqRel), "{note} during another call");
        thread::yield_now();
        self.notes.lock().unwrap().push(note.to_owned());
        self.is_in_a_call.store(false, Ordering::Release);
    }
}

impl Handler for Diary {
    type State = ();

    async fn connect(&self, _: ConnectRequest) -> Result<(), Refusal> {
        Ok(())
    }

    fn received(&self, _: &Session, message: Message<'_>) -> Result<(), CloseReason> {
        let Message::Text(text) = message else { return Err(CloseReason::BadMessage) };
        self.note(text);
        Ok(())
    }

    fn away(&self, _: &Session) {
        self.note("away");
    }

    fn back(&self, _: &Session) {
        self.note("back");
    }

    fn closed(&self, _: &Session, _: CloseReason) {
        self.note("closed");
    }
}

#[test]
fn the_handler_is_told_one_thing_after_the_other_and_nothing_after_the_end() {
    check(|| {
        let manager = Arc::new(Manager::new(Diary::default(), TransportOptions::default()));
        let resumable = Resumable::new(1, dice::secret().unwrap());
        let session =
            LiveSession::new(manager.common.clone(), Transport::Websocket, Kind::Resumable(resumable), ());
        let session = manager.enter(session).unwrap();
        manager.opened(&session);
        let mut threads: Vec<_> = ["a socket", "a post"]
            .into_iter()
            .map(|_| {
                let (manager, session) = (manager.clone(), session.clone());
                thread::spawn(move || {
                    for number in 1..=3_u64 {
                        if manager.take(&session, Seq(number), Message::Text(&number.to_string())).is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        for calls in [&[Call::Away, Call::Back][..], &[]] {
            let (manager, session) = (manager.clone(), session.clone());
            threads.push(thread::spawn(move || {
                for call in calls {
                    let call = if *call == Call::Away { Call::Away } else { Call::Back };
                    session.core().calls().push(call);
                    manager.tell(&session);
                }
                if calls.is_empty() {
                    session.close(CloseReason::Client);
                    manager.end_resumable(&session);
                }
            }));
        }
        for thread in threads {
            thread.join().unwrap();
        }
        let notes = manager.handler.notes.lock().unwrap();
        let (last, before) = notes.split_last().unwrap();
        assert_eq!(last, "closed", "{notes:?}");
        let (moves, frames): (Vec<_>, Vec<_>) = before.iter().partition(|note| note.starts_with(['a', 'b']));
        assert!(["1", "2", "3"].iter().zip(&frames).all(|(wanted, frame)| frame == &wanted), "{notes:?}");
        assert!(["away", "back"].iter().zip(&moves).all(|(wanted, told)| told == &wanted), "{notes:?}");
        assert!(frames.len() <= 3 && moves.len() <= 2, "{notes:?}");
        assert!(!session.core().calls().is_waiting());
    });
}
