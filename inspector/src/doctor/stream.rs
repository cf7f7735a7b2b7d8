//! Responses whose pieces come at times that the page has chosen.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use lapwing::transports::body::Cut;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::doctor::notes::Open;

/// Bounds of a plan. An examination takes 20 s at most, and no piece of it more than what the largest known buffer holds.
const PIECES_MAX: usize = 64;
const PIECE_BYTES_MAX: usize = 80_000;
const TIME_MAX: Duration = Duration::from_secs(15);

/// Which pieces come when: `0.40,250.2048` is 40 bytes at once, and 2,048 after 250 ms.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan(VecDeque<(Duration, usize)>);

impl Plan {
    /// Reads a plan; `None` for one beyond the bounds.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let piece = |piece: &str| {
            let (ms, bytes) = piece.split_once('.')?;
            let (at, bytes) = (Duration::from_millis(ms.parse().ok()?), bytes.parse().ok()?);
            (at <= TIME_MAX && bytes <= PIECE_BYTES_MAX).then_some((at, bytes))
        };
        let pieces: VecDeque<_> = text.split(',').take(PIECES_MAX + 1).map(piece).collect::<Option<_>>()?;
        (pieces.len() <= PIECES_MAX).then_some(Self(pieces))
    }
}

/// The body that follows a plan.
pub(crate) struct Planned {
    plan: Plan,
    began: Instant,
    next: Pin<Box<Sleep>>,
    _open: Open,
}

impl Planned {
    pub(crate) fn new(plan: Plan, open: Open) -> Self {
        let began = Instant::now();
        let first = plan.0.front().map_or(Duration::ZERO, |(at, _)| *at);
        Self { plan, began, next: Box::pin(sleep_until(began + first)), _open: open }
    }
}

impl http_body::Body for Planned {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.plan.0.is_empty() {
            return Poll::Ready(None);
        }
        ready!(self.next.as_mut().poll(cx));
        let bytes = self.plan.0.pop_front().map_or(0, |(_, bytes)| bytes);
        if let Some((at, _)) = self.plan.0.front() {
            let at = self.began + *at;
            self.next.as_mut().reset(at);
        }
        Poll::Ready(Some(Ok(Frame::data(event(bytes)))))
    }
}

/// An event of so many bytes, or of the few that an event has at least.
fn event(bytes: usize) -> Bytes {
    let padding = bytes.saturating_sub("data: \n\n".len());
    format!("data: {}\n\n", "-".repeat(padding)).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt as _;

    use super::*;
    use crate::doctor::notes::Notes;

    #[tokio::test(start_paused = true)]
    async fn pieces_come_when_they_are_due() {
        let notes = Arc::new(Notes::default());
        let plan = Plan::read("0.40,250.2048,1000.8").unwrap();
        let mut body = Planned::new(plan, notes.begin(Some(1)).unwrap());
        let began = Instant::now();
        let mut seen = Vec::new();
        while let Some(frame) = body.frame().await {
            seen.push((began.elapsed().as_millis(), frame.unwrap().into_data().unwrap().len()));
        }
        assert_eq!(seen, [(0, 40), (250, 2_048), (1_000, 8)]);
        assert_eq!(notes.note(Some(1), |_| {}).streams_open, 1);
        drop(body);
        assert_eq!(notes.note(Some(1), |_| {}).streams_open, 0);
    }

    #[test]
    fn a_plan_beyond_the_bounds_is_none() {
        let many = |pieces: usize| vec!["0.1"; pieces].join(",");
        assert!(Plan::read(&many(PIECES_MAX)).is_some());
        assert!(Plan::read("15000.80000").is_some());
        for text in [&many(PIECES_MAX + 1), "15001.1", "0.80001", "", "1", "a.b", "1.-1", "0.1,"] {
            assert!(Plan::read(text).is_none(), "{text}");
        }
    }
}
