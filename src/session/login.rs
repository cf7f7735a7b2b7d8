//! Who a client is, and until when that is good.

use std::{pin::Pin, sync::Arc};

use lapwing_transports::connect::{ConnectRequest, Refusal};
use tokio::time::Instant;

use crate::{
    join::assigns::Assigns,
    session::accept::{Accept, Connect},
    topic::Topic,
};

/// What a client has brought in the place of the token that it connected with: see [`Mount::on_token`](crate::Mount::on_token).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenRequest {
    /// The new token, of 16 KiB at most.
    pub token: String,
    /// The id that the connection was given on connect.
    pub id: Option<String>,
    /// The values that it was given then, or by the last token.
    pub assigns: Assigns,
}

/// A connection that is to carry a session on: see [`Mount::on_resume`](crate::Mount::on_resume).
#[derive(Debug)]
#[non_exhaustive]
pub struct ResumeRequest {
    /// The new connection's request: its headers, its address. Its parameters are what the page has said at first.
    pub request: ConnectRequest,
    /// The id that the session was given on connect.
    pub id: Option<String>,
    /// The values that it was given then, or by the last token.
    pub assigns: Assigns,
}

/// What a callback of the program decides in its time.
pub(crate) type Decision<T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send>>;

/// What the program says about clients.
#[derive(Clone, Default)]
pub(crate) struct Callbacks {
    pub(crate) connect: Option<Connect>,
    pub(crate) on_token: Option<Arc<dyn Fn(TokenRequest) -> Decision<Accept> + Send + Sync>>,
    pub(crate) on_resume: Option<Arc<dyn Fn(ResumeRequest) -> Decision<()> + Send + Sync>>,
}

/// What is known of a client that is not anonymous, or not for ever. As large as a name, which is what most have.
#[derive(Debug)]
pub(crate) enum Login {
    /// The name of all connections of a user.
    Named(Topic),
    /// More than that.
    Full(Box<Full>),
}

#[derive(Debug)]
pub(crate) struct Full {
    id: Option<Topic>,
    /// Until when the login is good that the client connected with.
    until: Option<Instant>,
}

impl Login {
    /// What a client was let in with; `None` for one that is anonymous for ever.
    pub(crate) fn new(id: Option<String>, until: Option<Instant>) -> Option<Box<Self>> {
        let id = id.map(Topic::from);
        let login = match (id, until) {
            (None, None) => return None,
            (Some(id), None) => Self::Named(id),
            (id, until) => Self::Full(Box::new(Full { id, until })),
        };
        Some(Box::new(login))
    }

    pub(crate) fn id(&self) -> Option<&Topic> {
        match self {
            Self::Named(id) => Some(id),
            Self::Full(full) => full.id.as_ref(),
        }
    }

    pub(crate) fn until(&self) -> Option<Instant> {
        match self {
            Self::Named(_) => None,
            Self::Full(full) => full.until,
        }
    }
}
