//! The parts of a context that are typed by its channel.

use crate::channel::{
    Channel,
    context::{Context, Joining},
    sender::Sender,
    socket::JoinInfo,
};

impl<C: Channel> Context<C> {
    /// Returns the state that all joins of the route share, as it was given to [`Mount::channel`](crate::Mount::channel).
    #[must_use]
    pub fn state(&self) -> &C::State {
        state::<C>(self)
    }

    /// A handle by which the rest of the program sends messages to this join, see [`Receive`](crate::Receive).
    #[must_use]
    pub fn sender(&self) -> Sender<C> {
        Sender::new(self.join.clone())
    }
}

impl<C: Channel> Joining<C> {
    /// Returns the state that all joins of the route share, as it was given to [`Mount::channel`](crate::Mount::channel).
    #[must_use]
    pub fn state(&self) -> &C::State {
        state::<C>(self)
    }

    /// A handle by which the rest of the program sends messages to this join, see [`Receive`](crate::Receive).
    #[must_use]
    pub fn sender(&self) -> Sender<C> {
        Sender::new(self.join.clone())
    }
}

fn state<C: Channel>(info: &JoinInfo) -> &C::State {
    info.join.route_state().downcast_ref().expect("a route is made with the state of its channel's type")
}
