//! Who pushes, who carries and who wakes a session. See [`crate::models`].

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use shuttle::{future, thread};

use super::{check, common};
use crate::{
    close::CloseReason,
    connect::Transport,
    frame::Frame,
    live::{Kind, LiveSession, flusher::Flusher},
    session::Pushed,
    sync::Mutex,
};

fn session() -> Arc<LiveSession<()>> {
    Arc::new(LiveSession::new(common(), Transport::Websocket, Kind::Plain, ()))
}

/// Starts the flusher's task.
fn flush(session: &LiveSession<()>) -> future::JoinHandle<()> {
    let common = session.common.clone();
    future::spawn(async move { common.flusher.run().await })
}

/// Carries a session as the transports do: takes what waits, looks again and parks under one lock, until `count` frames have come or the session is
/// closed.
async fn carry(session: &LiveSession<()>, count: usize) -> (Vec<String>, Option<CloseReason>) {
    let mut carried = Vec::new();
    std::future::poll_fn(|cx| {
        loop {
            let mut core = session.core();
            core.look();
            core.session.handle_written(|frame| {
                carried.push(String::from_utf8(frame.payload().to_vec()).unwrap());
                true
            });
            let closed = core.session.closed();
            if carried.len() >= count || closed.is_some() {
                return Poll::Ready((std::mem::take(&mut carried), closed));
            }
            drop(core);
            // What is pushed while it is awake wakes nobody.
            let mut core = session.core();
            if core.session.is_drained() && core.session.closed().is_none() {
                core.park(cx);
                return Poll::Pending;
            }
        }
    })
    .await
}

/// Pushes frames, of which every other one may wait for its turn.
fn push(session: &LiveSession<()>, name: &str, in_turn: bool, count: usize) -> usize {
    let pushed = (0..count).filter(|number| {
        let frame = Frame::text(format!("{name}{number}"));
        let in_turn = in_turn ^ (number % 2 == 1);
        let pushed = if in_turn { session.push_in_turn(frame) } else { session.push(frame) };
        pushed == Pushed::Queued
    });
    pushed.count()
}

fn assert_in_order(carried: &[String], name: &str, count: usize) {
    let mut numbers = carried.iter().filter_map(|frame| frame.strip_prefix(name)?.parse::<usize>().ok());
    assert!((0..count).all(|number| numbers.next() == Some(number)), "{name}: {carried:?}");
    assert_eq!(numbers.next(), None, "{name}: {carried:?}");
}

#[test]
fn every_frame_is_carried_in_the_order_in_which_it_was_pushed() {
    check(|| {
        let session = session();
        let flusher = flush(&session);
        let attachment = future::spawn({
            let session = session.clone();
            async move { carry(&session, 6).await.0 }
        });
        let pushers = [("a", true), ("b", false)].map(|(name, in_turn)| {
            let session = session.clone();
            thread::spawn(move || push(&session, name, in_turn, 3))
        });
        // Nothing but the wake-ups of the pushes wakes it: one that is lost stays lost.
        let carried = future::block_on(attachment).unwrap();
        for pusher in pushers {
            pusher.join().unwrap();
        }
        assert_in_order(&carried, "a", 3);
        assert_in_order(&carried, "b", 3);
        flusher.abort();
    });
}

#[test]
fn frames_in_their_turn_are_carried_when_the_flusher_ends() {
    check(|| {
        let session = session();
        let flusher = flush(&session);
        let attachment = future::spawn({
            let session = session.clone();
            async move { carry(&session, 3).await.0 }
        });
        let pusher = thread::spawn({
            let session = session.clone();
            move || {
                for number in 0..3 {
                    assert_eq!(session.push_in_turn(Frame::text(format!("a{number}"))), Pushed::Queued);
                }
            }
        });
        flusher.abort();
        assert_in_order(&future::block_on(attachment).unwrap(), "a", 3);
        pusher.join().unwrap();
    });
}

#[test]
fn a_close_is_seen_with_all_that_was_pushed_before_it() {
    check(|| {
        let session = session();
        let flusher = flush(&session);
        let attachment = future::spawn({
            let session = session.clone();
            async move { carry(&session, usize::MAX).await }
        });
        let pusher = thread::spawn({
            let session = session.clone();
            move || push(&session, "a", true, 3)
        });
        let closer = thread::spawn({
            let session = session.clone();
            move || session.close(CloseReason::Disconnected)
        });
        let (carried, closed) = future::block_on(attachment).unwrap();
        closer.join().unwrap();
        assert_eq!(closed, Some(CloseReason::Disconnected));
        assert_in_order(&carried, "a", pusher.join().unwrap());
        flusher.abort();
    });
}

#[test]
fn a_reply_does_not_wait_for_the_flusher() {
    check(|| {
        let session = session();
        let common = session.common.clone();
        // It has begun, and has no turn after that.
        let mut flusher = pin!(common.flusher.run());
        assert!(flusher.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let attachment = future::spawn({
            let session = session.clone();
            async move {
                let (mut carried, _) = carry(&session, 1).await;
                while !carried.iter().any(|frame| frame == "reply") {
                    carried.extend(carry(&session, 1).await.0);
                }
                carried
            }
        });
        let pusher = thread::spawn({
            let session = session.clone();
            move || session.push_in_turn(Frame::text("broadcast"))
        });
        session.push(Frame::text("reply"));
        let mut carried = future::block_on(attachment).unwrap();
        pusher.join().unwrap();
        carried.retain(|frame| frame != "broadcast");
        assert_eq!(carried, ["reply"]);
    });
}

#[test]
fn an_attachment_that_something_else_woke_is_woken_by_what_comes_then() {
    check(|| {
        let session = session();
        let flusher = flush(&session);
        let waker = Arc::new(std::sync::Mutex::new(None::<Waker>));
        let attachment = future::spawn({
            let (session, waker) = (session.clone(), waker.clone());
            async move {
                let mut carrying = pin!(carry(&session, 4));
                std::future::poll_fn(|cx| {
                    *waker.lock().unwrap() = Some(cx.waker().clone());
                    carrying.as_mut().poll(cx)
                })
                .await
                .0
            }
        });
        let socket = thread::spawn(move || {
            for _ in 0..2 {
                if let Some(waker) = waker.lock().unwrap().take() {
                    waker.wake();
                }
                thread::yield_now();
            }
        });
        push(&session, "a", true, 4);
        assert_in_order(&future::block_on(attachment).unwrap(), "a", 4);
        socket.join().unwrap();
        flusher.abort();
    });
}

/// Writes down that it was woken, and wakes whoever waits for that.
struct Note {
    name: String,
    woken: Arc<Mutex<Vec<String>>>,
    waker: Waker,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.woken.lock().unwrap().push(self.name.clone());
        self.waker.wake_by_ref();
    }
}

#[test]
fn the_flusher_wakes_all_in_the_order_in_which_they_came() {
    /// A handful of each, and a little more.
    const COUNT: usize = 70;
    check(|| {
        let flusher = Arc::new(Flusher::default());
        let task = future::spawn({
            let flusher = flusher.clone();
            async move { flusher.run().await }
        });
        let woken = Arc::new(Mutex::new(Vec::new()));
        let waiter = future::spawn({
            let (flusher, woken) = (flusher.clone(), woken.clone());
            async move {
                let mut pushers = None;
                std::future::poll_fn(|cx| {
                    pushers.get_or_insert_with(|| {
                        ["a", "b"].map(|name| {
                            let (flusher, woken, waker) =
                                (flusher.clone(), woken.clone(), cx.waker().clone());
                            thread::spawn(move || {
                                for number in 0..COUNT {
                                    let note = Note {
                                        name: format!("{name}{number}"),
                                        woken: woken.clone(),
                                        waker: waker.clone(),
                                    };
                                    flusher.later(Arc::new(note).into());
                                }
                            })
                        })
                    });
                    if woken.lock().unwrap().len() == 2 * COUNT { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
        });
        future::block_on(waiter).unwrap();
        let woken = woken.lock().unwrap();
        assert_in_order(&woken, "a", COUNT);
        assert_in_order(&woken, "b", COUNT);
        task.abort();
    });
}
