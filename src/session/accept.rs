//! The program's answer to a client that wants to connect.

use std::{
    any::Any,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use lapwing_transports::connect::{ConnectRequest, Refusal};
use tokio::time::Instant;

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
    pub(crate) until: Option<Instant>,
}

impl Accept {
    /// Lets the client in, anonymous.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the connection, with an id that all connections of a user have, such as `user:42`:
    /// [`Lapwing::disconnect`](crate::Lapwing::disconnect) ends all connections with it, and [`Lapwing::kick`](crate::Lapwing::kick) their joins of a
    /// topic. It is no topic: a broadcast of `disconnect` on a topic of that name ends nothing.
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

impl Accept {
    /// Says until when the client's login is good, as a token has it in its `exp`. Then the session ends, with code 4401 and the
    /// reason `login_expired`, unless its client has brought a new token ([`Mount::on_token`](crate::Mount::on_token)). Where it is
    /// over already, a client that connects is refused with 401 and that reason, and stays away until it has another token; a
    /// session that renews its login with such a token ends at once. By default it does not end.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use lapwing::Accept;
    ///
    /// let exp = 1_900_000_000; // Seconds since 1970.
    /// let accept = Accept::new().id("user:42").expires_at(SystemTime::UNIX_EPOCH + Duration::from_secs(exp));
    /// # let _ = accept;
    /// ```
    #[must_use]
    pub fn expires_at(self, time: SystemTime) -> Self {
        self.expires_in(time.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// The same by how long it is good from now on.
    #[must_use]
    pub fn expires_in(mut self, time: Duration) -> Self {
        // A time that no clock reaches does not come.
        self.until = Instant::now().checked_add(time);
        self
    }
}

/// The program's connect callback.
pub(crate) type Connect = Arc<
    dyn Fn(ConnectRequest) -> Pin<Box<dyn Future<Output = Result<Accept, Refusal>> + Send>> + Send + Sync,
>;
