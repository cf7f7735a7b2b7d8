//! A poll of a resumable session: waits for frames, and answers with what the client does not have, as much as one answer takes.

use std::{sync::Arc, task::Poll};

use http::Response;
use tokio::time::timeout;

use crate::{
    bodies::{
        pieces::Form,
        writing::{Around, Layout, Writing},
    },
    dialect::server::ServerControl,
    handler::Handler,
    http::{answer, body::Body, encoding::Encoding},
    live::waking::Due,
    manager::{Manager, admission::Attached},
};

/// Frames as lines.
const LINES: Layout = Layout { form: Form::of_line, separator: b'\n', is_terminator: true };

/// A poll that holds its session for as long as it waits, however it ends.
pub(crate) struct Held<H: Handler> {
    manager: Arc<Manager<H>>,
    attached: Attached<H>,
}

impl<H: Handler> Held<H> {
    pub(crate) fn new(manager: Arc<Manager<H>>, attached: Attached<H>) -> Self {
        Self { manager, attached }
    }

    /// Answers the poll. Cancel safe: what is not proven received stays in the session.
    pub(crate) async fn answer(self, waits: bool, encoding: Encoding) -> Response<Body> {
        if waits {
            let window = self.manager.longpoll_options().window;
            // Over or not: the answer says what there is.
            let _ = timeout(window, self.news()).await;
        }
        self.attached.session.touch();
        self.lines(encoding)
    }

    /// Waits until there is something to tell.
    async fn news(&self) {
        std::future::poll_fn(|cx| {
            let mut core = self.attached.session.core();
            let session = &core.session;
            let is_news = session.last_pushed() > self.attached.sent
                || session.closed().is_some()
                || !session.is_current(self.attached.attachment)
                || core.due.has(Due::PONG)
                || core.due.has(Due::BUSY);
            if is_news && !core.is_suspended(self.attached.attachment) {
                return Poll::Ready(());
            }
            core.park(cx);
            Poll::Pending
        })
        .await;
    }

    /// What there is to say now: the frames that have a place in one answer, between control lines.
    fn lines(self, encoding: Encoding) -> Response<Body> {
        let Attached { session, attachment, sent, .. } = &self.attached;
        let (session, attachment) = (session.clone(), *attachment);
        let mut core = session.core();
        if core.is_cut(attachment) {
            // It polls again, wherever the session goes on.
            let taken = core.session.last_taken();
            return encoding.said(false, answer::line(ServerControl::Resumed(taken)));
        }
        if !core.session.is_current(attachment) {
            return encoding.said(false, answer::line(ServerControl::Superseded));
        }
        let (mut head, mut tail) = (Vec::with_capacity(256), Vec::new());
        let taken = core.session.last_taken();
        ServerControl::Resumed(taken).append(&mut head);
        for line in self.attached.greeting.lines().skip(1) {
            head.extend_from_slice(line.as_bytes());
            head.push(b'\n');
        }
        let due = std::mem::take(&mut core.due);
        if due.has(Due::PONG) {
            ServerControl::Pong(taken).append(&mut head);
        }
        if due.has(Due::BUSY) {
            ServerControl::Busy(taken).append(&mut head);
        }
        let span = LINES.span(
            &mut core,
            &self.manager.common.outbox,
            *sent,
            self.manager.longpoll_options().answer_bytes_max,
        );
        if let Some(reason) = core.session.closed().filter(|_| span.last == core.session.last_pushed()) {
            tail.extend_from_slice(session.closed_line(reason).as_bytes());
            tail.push(b'\n');
        }
        drop(core);
        let around = Around { head, tail };
        Writing::answer((session, attachment), (LINES, span), around, self, (encoding, answer::of_lines))
    }
}

impl<H: Handler> Drop for Held<H> {
    fn drop(&mut self) {
        self.manager.detach(&self.attached.session, self.attached.attachment);
    }
}
