//! Calls the handler for sessions whose frames come by more than one task. [`crate::live::calls`] has the order.

use std::{sync::Arc, task::Poll};

use super::Manager;
use crate::{
    close::CloseReason,
    frame::Message,
    handler::Handler,
    live::{
        LiveSession,
        calls::{Call, Kept},
        waking::Core,
    },
    sync::MutexGuard,
};

type Session<H> = Arc<LiveSession<<H as Handler>::State>>;

/// Whoever is in a call. If the handler panics, the next one may call it.
struct Turn<'a, S> {
    session: &'a LiveSession<S>,
    is_done: bool,
}

impl<S> Turn<'_, S> {
    fn next(&mut self) -> Option<Call> {
        let mut core = self.session.core();
        let call = core.calls().next();
        self.is_done = call.is_none();
        if matches!(call, Some(Call::Received(_))) && !core.calls().is_waiting() {
            core.wake_readers();
        } else if self.is_done && !core.is_taking() {
            // Somebody may wait until it is settled.
            core.wake_readers();
        }
        call
    }
}

impl<S> Drop for Turn<'_, S> {
    fn drop(&mut self) {
        if !self.is_done {
            self.session.core().calls().abandon();
        }
    }
}

impl<H: Handler> Manager<H> {
    /// The session is up. What comes for it meanwhile waits until the handler knows it.
    pub(crate) fn opened(&self, session: &Session<H>) {
        self.common.counters.open(session.transport(), session.is_resumable());
        let turn = Turn { session, is_done: false };
        self.handler.opened(session);
        self.go_on(session, turn);
    }

    /// The session is over: the handler hears so, once.
    pub(crate) fn closed(&self, session: &Session<H>, reason: CloseReason) {
        self.common.counters.end(session.transport(), reason, session.age());
        self.handler.closed(session, reason);
    }

    /// Hands on a message, or leaves it to whoever is in a call. A message that makes no sense closes the session.
    pub(crate) fn hand_on(
        &self,
        session: &Session<H>,
        mut core: MutexGuard<'_, Core>,
        message: Message<'_>,
    ) -> Result<(), CloseReason> {
        self.common.counters.took(core.transport(), message.as_bytes().len());
        if !core.calls().begin() {
            core.calls().push(Call::Received(message.into()));
            drop(core);
            self.tell(session);
            return Ok(());
        }
        drop(core);
        let turn = Turn { session, is_done: false };
        let result = self.receive(session, message);
        self.go_on(session, turn);
        result
    }

    /// Whether a message of this session may be read now.
    pub(crate) fn is_ready(&self, session: &LiveSession<H::State>) -> bool {
        if !self.handler.is_ready(session) {
            return false;
        }
        let mut core = session.core();
        core.is_taking() && !core.calls().is_waiting()
    }

    /// Waits until the handler takes another message.
    pub(crate) async fn until_ready(&self, session: &LiveSession<H::State>) {
        std::future::poll_fn(|cx| {
            // The waker is left first, so that a change between the two lines is not missed.
            session.core().wait_to_read(cx);
            if session.closed().is_none() && !self.is_ready(session) {
                return Poll::Pending;
            }
            // Left there, it would say that somebody waits.
            session.core().stop_waiting_to_read();
            Poll::Ready(())
        })
        .await;
    }

    /// Makes the calls that wait, unless somebody is at it.
    pub(crate) fn tell(&self, session: &Session<H>) {
        if session.core().calls().begin_waiting() {
            self.go_on(session, Turn { session, is_done: false });
        }
    }

    fn go_on(&self, session: &Session<H>, mut turn: Turn<'_, H::State>) {
        while let Some(call) = turn.next() {
            match call {
                Call::Received(message) => self.receive_kept(session, &message),
                Call::Away => self.handler.away(session),
                Call::Back => self.handler.back(session),
                Call::Closed(reason) => self.closed(session, reason),
            }
        }
    }

    fn receive_kept(&self, session: &Session<H>, message: &Kept) {
        // Whoever brought it has been told that it was taken; the session may have been closed since.
        if session.closed().is_none() {
            let _ = self.receive(session, message.message());
        }
    }

    fn receive(&self, session: &Session<H>, message: Message<'_>) -> Result<(), CloseReason> {
        self.handler.received(session, message).inspect_err(|reason| session.close(*reason))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Mutex, mpsc},
        time::Duration,
    };

    use super::*;
    use crate::{
        connect::{ConnectRequest, Refusal, Transport},
        live::{Kind, resumable::Resumable},
        manager::{dice, taking::Rejected},
        options::TransportOptions,
        session::Seq,
    };

    /// Longer than any of this takes.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Notes its calls. During "wait" it says so, and waits until it may go on.
    struct Diary {
        notes: Mutex<Vec<String>>,
        entered: Mutex<mpsc::Sender<()>>,
        go_on: Mutex<mpsc::Receiver<()>>,
    }

    impl Diary {
        fn note(&self, note: impl Into<String>) {
            self.notes.lock().unwrap().push(note.into());
        }

        fn notes(&self) -> Vec<String> {
            self.notes.lock().unwrap().clone()
        }
    }

    impl Handler for Diary {
        type State = ();

        async fn connect(&self, _: ConnectRequest) -> Result<(), Refusal> {
            Ok(())
        }

        fn opened(&self, _: &Arc<LiveSession<()>>) {
            self.note("opened");
        }

        fn received(&self, _: &Arc<LiveSession<()>>, message: Message<'_>) -> Result<(), CloseReason> {
            let Message::Text(text) = message else { return Err(CloseReason::BadMessage) };
            assert_ne!(text, "panic", "asked to");
            if text == "wait" {
                self.entered.lock().unwrap().send(()).unwrap();
                self.go_on.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            }
            self.note(text);
            Ok(())
        }

        fn away(&self, _: &Arc<LiveSession<()>>) {
            self.note("away");
        }

        fn back(&self, _: &Arc<LiveSession<()>>) {
            self.note("back");
        }

        fn closed(&self, _: &Arc<LiveSession<()>>, reason: CloseReason) {
            self.note(format!("closed: {}", reason.word()));
        }
    }

    struct Lab {
        manager: Arc<Manager<Diary>>,
        session: Arc<LiveSession<()>>,
        entered: mpsc::Receiver<()>,
        go_on: mpsc::Sender<()>,
    }

    fn lab() -> Lab {
        let (entered_tx, entered) = mpsc::channel();
        let (go_on, go_on_rx) = mpsc::channel();
        let diary =
            Diary { notes: Mutex::default(), entered: Mutex::new(entered_tx), go_on: Mutex::new(go_on_rx) };
        let manager = Arc::new(Manager::new(diary, TransportOptions::default()));
        let resumable = Resumable::new(1, dice::secret().unwrap());
        let session =
            LiveSession::new(manager.common.clone(), Transport::Websocket, Kind::Resumable(resumable), ());
        let session = manager.enter(session).unwrap();
        manager.opened(&session);
        Lab { manager, session, entered, go_on }
    }

    fn take(
        manager: &Manager<Diary>,
        session: &Session<Diary>,
        number: u64,
        text: &str,
    ) -> Result<(), Rejected> {
        manager.take(session, Seq(number), Message::Text(text))
    }

    /// Runs `meanwhile` in a thread of its own while the handler is in a call: it must come back all the same.
    fn during_a_call(meanwhile: impl FnOnce(&Manager<Diary>, &Session<Diary>) + Send + 'static) -> Lab {
        let lab = lab();
        let (manager, session) = (lab.manager.clone(), lab.session.clone());
        let caller = std::thread::spawn(move || take(&manager, &session, 1, "wait"));
        lab.entered.recv_timeout(PATIENCE).unwrap();
        let (manager, session) = (lab.manager.clone(), lab.session.clone());
        let (came_back, is_back) = mpsc::channel();
        std::thread::spawn(move || {
            meanwhile(&manager, &session);
            came_back.send(()).unwrap();
        });
        is_back.recv_timeout(PATIENCE).expect("nobody waits for a call of the handler's");
        assert_eq!(lab.manager.handler.notes(), ["opened"]);
        lab.go_on.send(()).unwrap();
        caller.join().unwrap().unwrap();
        lab
    }

    #[test]
    fn a_message_that_comes_during_a_call_waits_for_it_and_who_brought_it_does_not() {
        let lab = during_a_call(|manager, session| {
            assert!(manager.is_ready(session));
            take(manager, session, 1, "again").unwrap();
            take(manager, session, 2, "next").unwrap();
            assert!(!manager.is_ready(session), "nothing more is read until that one is handed on");
        });
        assert!(lab.manager.is_ready(&lab.session));
        assert_eq!(lab.manager.handler.notes(), ["opened", "wait", "next"]);
    }

    #[test]
    fn the_end_comes_behind_the_call_under_way_and_nothing_comes_behind_the_end() {
        let lab = during_a_call(|manager, session| {
            session.close(CloseReason::Disconnected);
            manager.end_session(session, CloseReason::Disconnected);
            manager.end_session(session, CloseReason::Disconnected);
            assert_eq!(take(manager, session, 2, "late"), Err(Rejected::Closed));
        });
        assert_eq!(lab.manager.handler.notes(), ["opened", "wait", "closed: disconnected"]);
    }

    #[test]
    fn a_client_that_is_away_and_back_during_a_call_was_not_away() {
        let lab = during_a_call(|manager, session| {
            session.core().calls().push(Call::Away);
            manager.tell(session);
            session.core().calls().push(Call::Back);
            manager.tell(session);
            session.core().calls().push(Call::Away);
            manager.tell(session);
        });
        assert_eq!(lab.manager.handler.notes(), ["opened", "wait", "away"]);
    }

    #[test]
    fn a_call_that_panics_holds_up_nobody() {
        let Lab { manager, session, .. } = lab();
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| take(&manager, &session, 1, "panic")));
        assert!(panicked.is_err());
        take(&manager, &session, 2, "next").unwrap();
        assert_eq!(manager.handler.notes(), ["opened", "next"]);
    }
}
