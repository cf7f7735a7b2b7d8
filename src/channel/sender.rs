//! Messages to one join from the rest of the program.

use std::{fmt, marker::PhantomData, pin::Pin, sync::Arc};

use crate::{
    channel::{Channel, Receive, context::Context, outcome::Handled},
    join::{Join, NotTaken},
    topics::broadcast::ChannelId,
};

/// Sends messages to one join from anywhere in the program: what its channel [receives](Receive). Cheap to clone.
pub struct Sender<C> {
    join: Arc<Join>,
    channel: PhantomData<fn() -> C>,
}

/// The reason why a message did not reach a join; gives the message back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<T> {
    /// The join's mailbox is at its bound.
    Full(T),
    /// The join is over.
    Ended(T),
}

impl<C: Channel> Sender<C> {
    /// A join of this very channel: only who was handed it by that channel's task may make one.
    pub(crate) fn new(join: Arc<Join>) -> Self {
        Self { join, channel: PhantomData }
    }

    /// Puts a message into the join's mailbox. Never waits.
    ///
    /// # Errors
    /// [`SendError`], with the message.
    pub fn send<M>(&self, message: M) -> Result<(), SendError<M>>
    where
        C: Receive<M>,
        M: Send + 'static,
    {
        let pack = |message| Box::new(Parcel::<C>(Box::new(message))) as _;
        self.join.info(message, pack).map_err(|error| match error {
            NotTaken::Full(message) => SendError::Full(message),
            NotTaken::Ended(message) => SendError::Ended(message),
        })
    }

    /// The join's number.
    #[must_use]
    pub fn channel_id(&self) -> ChannelId {
        self.join.id
    }
}

/// A message on its way to a channel, of whatever type.
pub(crate) struct Parcel<C>(Box<dyn Deliver<C>>);

impl<C: Channel> Parcel<C> {
    /// Runs the callback for the message.
    pub(crate) async fn open(self, channel: &mut C, cx: &Context<C>) -> Handled {
        self.0.deliver(channel, cx).await
    }
}

/// A message that knows which callback it is for.
trait Deliver<C>: Send {
    fn deliver<'a>(
        self: Box<Self>,
        channel: &'a mut C,
        cx: &'a Context<C>,
    ) -> Pin<Box<dyn Future<Output = Handled> + Send + 'a>>;
}

impl<C: Receive<M>, M: Send + 'static> Deliver<C> for M {
    fn deliver<'a>(
        self: Box<Self>,
        channel: &'a mut C,
        cx: &'a Context<C>,
    ) -> Pin<Box<dyn Future<Output = Handled> + Send + 'a>> {
        Box::pin(channel.handle_info(*self, cx))
    }
}

impl<C> Clone for Sender<C> {
    fn clone(&self) -> Self {
        Self { join: self.join.clone(), channel: PhantomData }
    }
}

impl<C> fmt::Debug for Sender<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.join).finish()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the join's mailbox is full",
            Self::Ended(_) => "the join is over",
        })
    }
}

/// Without the message, so that `?` works whatever it is.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Ended(_) => "Ended(..)",
        })
    }
}

impl<T> std::error::Error for SendError<T> {}
