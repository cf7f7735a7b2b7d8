//! Sessions that have ended, for a while: a client that comes late is told what happened instead of a guess.

use moka::sync::Cache;

use crate::{
    close::CloseReason,
    dialect::{
        rejection::Rejection,
        server::Refused,
        token::{Secret, Token},
    },
    options::ResumeOptions,
};

/// A bounded memory of ended sessions. Losing an entry early is harmless: the client then hears "unknown".
#[derive(Debug)]
pub(crate) struct Ended(Cache<(u64, u64), (Secret, Rejection)>);

impl Ended {
    pub(crate) fn new(options: &ResumeOptions) -> Self {
        let cache = Cache::builder()
            .max_capacity(options.ended_max)
            .time_to_live(options.ended_lifetime)
            .eviction_policy(moka::policy::EvictionPolicy::lru());
        Self(cache.build())
    }

    /// `name` is the node in the token of the session, and its number there.
    pub(crate) fn remember(
        &self,
        name: (u64, u64),
        secret: Secret,
        reason: CloseReason,
        words: Option<&str>,
    ) {
        self.0.insert(name, (secret, Rejection::of_ended(reason, words)));
    }

    /// Gives back what was forgotten: the cache by itself does so when it is next used.
    pub(crate) fn sweep(&self) {
        self.0.run_pending_tasks();
    }

    /// How many are remembered, as far as the cache has counted them.
    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        self.0.entry_count()
    }

    /// What to tell the client with this node's token.
    pub(crate) fn explain(&self, node: u64, token: &Token) -> Rejection {
        match self.0.get(&(node, token.serial)) {
            Some((secret, rejection)) if secret.matches(&token.secret) => rejection,
            _ => Refused::Unknown.into(),
        }
    }
}
