//! The program's answer to a client that wants to connect.

use std::{any::Any, pin::Pin, sync::Arc};

use lapwing_transports::connect::{ConnectRequest, Refusal};

use crate::join::assigns::Assigns;

/// A client is let in, under these conditions.
///
/// ```
/// use lapwing::{Accept, Mount, Refusal};
///
/// let mount = Mount::new().connect(|request| async move {
///     let user = request.param("user").ok_or_else(Refusal::default)?;
///     Ok(Accept::new().id(format!("user:{user}")).assign("user", user.to_owned()))
/// });
/// # let _ = mount;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Accept {
    pub(crate) id: Option<String>,
    pub(crate) assigns: Assigns,
}

impl Accept {
    /// Lets the client in, anonymous.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the connection: a topic that stands for all connections of a user, such as `user:42`. Publishing
    /// `disconnect` on it, as [`Lapwing::disconnect`](crate::Lapwing::disconnect) does, ends them.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Assigns a value that every join of this connection finds.
    #[must_use]
    pub fn assign(mut self, key: impl AsRef<str>, value: impl Any + Send + Sync) -> Self {
        self.assigns.insert(key, value);
        self
    }
}

/// The program's connect callback.
pub(crate) type Connect = Arc<
    dyn Fn(ConnectRequest) -> Pin<Box<dyn Future<Output = Result<Accept, Refusal>> + Send>> + Send + Sync,
>;
