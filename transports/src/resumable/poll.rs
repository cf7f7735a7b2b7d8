//! A poll of a resumable session: waits for frames, and answers with all that the client does not have.

use std::{sync::Arc, task::Poll};

use http::Response;
use tokio::time::timeout;

use super::{
    admission::Attached,
    answer,
    lines::{ServerControl, append_line},
};
use crate::{body::Body, handler::Handler, manager::Manager};

/// A poll that holds its session for as long as it waits, however it ends.
pub(super) struct Held<H: Handler> {
    manager: Arc<Manager<H>>,
    attached: Attached<H>,
}

impl<H: Handler> Held<H> {
    pub(super) fn new(manager: Arc<Manager<H>>, attached: Attached<H>) -> Self {
        Self { manager, attached }
    }

    /// Answers the poll. Cancel safe: what is not proven received stays in the session.
    pub(super) async fn answer(self, waits: bool) -> Response<Body> {
        if waits {
            let window = self.manager.longpoll_options().window;
            // Over or not: the answer says what there is.
            let _ = timeout(window, self.news()).await;
        }
        self.attached.session.touch();
        answer::lines(self.lines())
    }

    /// Waits until there is something to tell.
    async fn news(&self) {
        std::future::poll_fn(|cx| {
            let mut core = self.attached.session.core();
            let session = &core.session;
            let is_news = session.last_pushed() > self.attached.sent
                || session.closed().is_some()
                || !session.is_current(self.attached.attachment)
                || core.due.pong;
            if is_news {
                return Poll::Ready(());
            }
            core.park(cx);
            Poll::Pending
        })
        .await;
    }

    fn lines(&self) -> Vec<u8> {
        let mut lines = Vec::with_capacity(256);
        let mut core = self.attached.session.core();
        if !core.session.is_current(self.attached.attachment) {
            ServerControl::Superseded.append(&mut lines);
            return lines;
        }
        let taken = core.session.last_taken();
        ServerControl::Resumed(taken).append(&mut lines);
        if std::mem::take(&mut core.due).pong {
            ServerControl::Pong(taken).append(&mut lines);
        }
        let (mut frames, start) = (0, lines.len());
        for frame in core.session.waiting_after(self.attached.sent) {
            append_line(frame, &mut lines);
            lines.push(b'\n');
            frames += 1;
        }
        self.manager.common.counters.wrote(frames, lines.len() - start);
        let all = core.session.last_pushed();
        core.session.handle_sent(all);
        if let Some(reason) = core.session.closed() {
            ServerControl::Closed(reason).append(&mut lines);
        }
        lines
    }
}

impl<H: Handler> Drop for Held<H> {
    fn drop(&mut self) {
        self.manager.detach(&self.attached.session, self.attached.attachment);
    }
}
