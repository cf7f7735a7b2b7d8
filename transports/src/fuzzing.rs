//! Doors for the fuzzer to what is private. There is nothing of it in an ordinary build.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    budget::Budget,
    dialect::{lines, post, token},
    elsewhere::{Kind, Marks, TOKEN_BYTES_MAX},
    frame::Frame,
    live::baggage::{self, Baggage},
    longpoll,
    manager::tickets::Tickets,
    options::SseOptions,
    session::life::Tick,
    sse::stream,
};

/// How many lines follow the first of a POST's body, if all of them may.
pub fn post(body: &[u8], lines_max: usize) -> Option<usize> {
    let (_, rest) = post::parse(body).ok()?;
    post::check(rest, lines_max).ok()
}

/// A session's token as it is written again after it was read.
pub fn token(text: &str) -> Option<String> {
    let mut bytes = [0; TOKEN_BYTES_MAX + 2];
    let (_, says) = Marks::default().read(Kind::Session, text, &mut bytes)?;
    Some(Marks::default().write(Kind::Session, &token::Token::of_bytes(says)?.bytes()))
}

/// The same of the stock dialect's token.
pub fn stock_token(text: &str) -> Option<String> {
    let mut bytes = [0; TOKEN_BYTES_MAX + 2];
    let (_, says) = Marks::default().read(Kind::Polled, text, &mut bytes)?;
    Some(Marks::default().write(Kind::Polled, &longpoll::token::Token::of_bytes(says)?.bytes()))
}

/// Whether one of the tickets that are waiting is this one, which nobody was given.
pub fn ticket(text: &str) -> bool {
    thread_local! {
        static TICKETS: Tickets = {
            let tickets = Tickets::new(&SseOptions::default(), Marks::default());
            tickets.issue(None, "!open 5", &Arc::new(Budget::new(usize::MAX)), Tick(1));
            tickets
        };
    }
    TICKETS.with(|tickets| tickets.redeem(text, Tick(1)).is_some())
}

/// A session on its way to another node as it is packed again after it was unpacked.
pub fn baggage(bytes: &[u8]) -> Option<Bytes> {
    let Baggage { transport, names, session } = Baggage::read(bytes).ok()?;
    Some(baggage::pack(transport, names.into_iter(), session))
}

/// A payload as a compressed message, if that is worth it.
#[cfg(feature = "deflate")]
pub fn compressed(payload: &[u8]) -> Option<Box<[u8]>> {
    crate::deflate::compressed(payload)
}

/// A frame as an event of an event stream.
pub fn event(frame: Frame) -> Bytes {
    stream::frame_event(&lines::guarded(frame))
}

/// A frame as a line of an answer to a poll.
pub fn line(frame: Frame) -> Vec<u8> {
    let mut line = Vec::new();
    lines::append_line(&lines::guarded(frame), &mut line);
    line
}
