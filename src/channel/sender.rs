//! Messages to one join from the rest of the program.

use std::{
    any::{Any, TypeId},
    fmt,
    marker::PhantomData,
    sync::Arc,
};

use crate::{
    channel::{Channel, socket::JoinInfo},
    join::{Join, NotTaken},
    topics::broadcast::ChannelId,
};

impl JoinInfo {
    /// A handle by which the rest of the program sends messages to this join's
    /// [`handle_info`](Channel::handle_info).
    ///
    /// # Panics
    /// If this is the join of a channel with another type of message.
    #[must_use]
    pub fn sender<C: Channel>(&self) -> Sender<C> {
        assert!(
            (self.join.kind().info)() == TypeId::of::<C::Info>(),
            "this is a join of {}, which takes other messages than {}",
            self.join.kind().name(),
            std::any::type_name::<C>(),
        );
        Sender { join: self.join.clone(), channel: PhantomData }
    }
}

/// Sends messages to one join from anywhere in the program.
pub struct Sender<C> {
    join: Arc<Join>,
    channel: PhantomData<fn() -> C>,
}

/// Why a message did not reach a join; gives the message back.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<T> {
    /// The join's mailbox is at its bound.
    Full(T),
    /// The join is over.
    Ended(T),
}

impl<C: Channel> Sender<C> {
    /// Puts a message into the join's mailbox. Never waits.
    ///
    /// # Errors
    /// [`SendError`], with the message.
    pub fn send(&self, message: C::Info) -> Result<(), SendError<C::Info>> {
        let unbox = |message: Box<dyn Any + Send>| match message.downcast() {
            Ok(message) => *message,
            Err(_) => unreachable!("the message that was put in is given back"),
        };
        self.join.info(Box::new(message)).map_err(|error| match error {
            NotTaken::Full(message) => SendError::Full(unbox(message)),
            NotTaken::Ended(message) => SendError::Ended(unbox(message)),
        })
    }

    /// The join's number.
    #[must_use]
    pub fn channel_id(&self) -> ChannelId {
        self.join.id
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

impl<T: fmt::Debug> std::error::Error for SendError<T> {}
