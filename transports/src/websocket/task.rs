//! The task of a connection, to its end: with its session first, then without.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Connection, Saying};
use crate::handler::Handler;

/// One pointer long, which is what each idle connection pays for in its task.
pub(super) struct Task<H: Handler, Io>(Box<Life<H, Io>>);

/// The first is the larger one by far, and the one that lasts.
enum Life<H: Handler, Io> {
    Carrying(Connection<H, Io>),
    Saying(Saying),
}

impl<H: Handler, Io> Task<H, Io> {
    pub(super) fn new(connection: Connection<H, Io>) -> Self {
        Self(Box::new(Life::Carrying(connection)))
    }
}

impl<H: Handler, Io: AsyncRead + AsyncWrite + Unpin + Send + 'static> Future for Task<H, Io> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut *self.0 {
                Life::Carrying(connection) => match ready!(Pin::new(connection).poll(cx)) {
                    Some(saying) => *self.0 = Life::Saying(saying),
                    None => return Poll::Ready(()),
                },
                Life::Saying(saying) => return saying.as_mut().poll(cx),
            }
        }
    }
}
