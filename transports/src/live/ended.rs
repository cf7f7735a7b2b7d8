//! Sessions that have ended, for a while: a client that comes late is told what happened instead of a guess.

use moka::sync::Cache;

use crate::{
    close::CloseReason,
    dialect::{
        server::Refused,
        token::{Secret, Token},
    },
    options::ResumeOptions,
};

/// A bounded memory of ended sessions. Losing an entry early is harmless: the client then hears "unknown".
#[derive(Debug)]
pub(crate) struct Ended(Cache<u64, (Secret, Refused)>);

impl Ended {
    pub(crate) fn new(options: &ResumeOptions) -> Self {
        let cache = Cache::builder()
            .max_capacity(options.ended_max)
            .time_to_live(options.ended_lifetime)
            .eviction_policy(moka::policy::EvictionPolicy::lru());
        Self(cache.build())
    }

    pub(crate) fn remember(&self, serial: u64, secret: Secret, reason: CloseReason) {
        let refused = match reason {
            CloseReason::Expired => Refused::Expired,
            CloseReason::TooSlow | CloseReason::OverBudget => Refused::Gap,
            _ => Refused::Closed,
        };
        self.0.insert(serial, (secret, refused));
    }

    /// Gives back what was forgotten: the cache by itself does so when it is next used.
    pub(crate) fn sweep(&self) {
        self.0.run_pending_tasks();
    }

    /// What to tell the owner of the token.
    pub(crate) fn explain(&self, token: &Token) -> Refused {
        match self.0.get(&token.serial) {
            Some((secret, refused)) if secret.matches(&token.secret) => refused,
            _ => Refused::Unknown,
        }
    }
}
