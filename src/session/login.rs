//! Who a client is, and until when that is good.

use std::{
    pin::Pin,
    sync::{Arc, PoisonError},
};

use lapwing_transports::connect::{ConnectRequest, Refusal};
use tokio::time::Instant;

use crate::{
    join::assigns::Assigns,
    session::{
        accept::{Accept, Connect},
        moving::luggage::Luggage,
        rates::{JoinBucket, Share},
    },
    sync::Mutex,
    topic::Topic,
};

/// A token that a client has brought in the place of the token that it connected with: see [`Mount::on_token`](crate::Mount::on_token).
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
    /// Where its joins are counted, if they are apart.
    joins: Option<JoinBucket>,
    /// What it has of the mount, until its session is over: of its address' share, and of its name's.
    shares: Mutex<[Option<Share>; 2]>,
    /// What it has brought, where sessions go from one node to another.
    luggage: Option<Luggage>,
}

impl Login {
    /// What a client was let in with; `None` for one that is anonymous for ever.
    pub(crate) fn new(
        id: Option<String>,
        until: Option<Instant>,
        joins: Option<JoinBucket>,
        shares: [Option<Share>; 2],
        luggage: Option<Luggage>,
    ) -> Option<Box<Self>> {
        let id = id.map(Topic::from);
        let has_no_more = until.is_none() && joins.is_none() && luggage.is_none();
        let is_plain = has_no_more && shares.iter().all(Option::is_none);
        let login = match id {
            None if is_plain => return None,
            Some(id) if is_plain => Self::Named(id),
            id => Self::Full(Box::new(Full { id, until, joins, shares: Mutex::new(shares), luggage })),
        };
        Some(Box::new(login))
    }

    pub(crate) fn joins(&self) -> Option<&JoinBucket> {
        match self {
            Self::Named(_) => None,
            Self::Full(full) => full.joins.as_ref(),
        }
    }

    pub(crate) fn luggage(&self) -> Option<&Luggage> {
        match self {
            Self::Named(_) => None,
            Self::Full(full) => full.luggage.as_ref(),
        }
    }

    pub(crate) fn id(&self) -> Option<&Topic> {
        match self {
            Self::Named(id) => Some(id),
            Self::Full(full) => full.id.as_ref(),
        }
    }

    /// The session is over: what it had of the mount is given back, whoever still holds a handle to it.
    pub(crate) fn give_back_shares(&self) {
        if let Self::Full(full) = self {
            let shares = std::mem::take(&mut *full.shares.lock().unwrap_or_else(PoisonError::into_inner));
            drop(shares);
        }
    }

    pub(crate) fn until(&self) -> Option<Instant> {
        match self {
            Self::Named(_) => None,
            Self::Full(full) => full.until,
        }
    }
}
