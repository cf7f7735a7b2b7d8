//! What the joins of a route share, as it is given with the route.

use std::sync::Arc;

/// A value that the joins of a channel can share: of the channel's [`State`](super::Channel::State), or an [`Arc`] of one that the rest of the
/// program has, too.
///
/// ```
/// use std::sync::Arc;
/// use lapwing::IntoState;
///
/// fn share(state: impl IntoState<String>) -> Arc<String> {
///     state.into_state()
/// }
///
/// let own = share("a state".to_owned());
/// assert!(Arc::ptr_eq(&share(own.clone()), &own));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the state of this channel",
    label = "the channel says `type State = {S};`",
    note = "give a `{S}` or an `Arc<{S}>`, or say another type in the channel; one that shares nothing says `type State = ();` and is given `()`"
)]
pub trait IntoState<S> {
    /// The state, shared.
    fn into_state(self) -> Arc<S>;
}

#[diagnostic::do_not_recommend]
impl<S, T: Into<Arc<S>>> IntoState<S> for T {
    fn into_state(self) -> Arc<S> {
        self.into()
    }
}
