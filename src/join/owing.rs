//! An answer that a join owes to its client.

use std::{fmt, sync::Arc};

use super::Join;

/// Had by whoever is to give it. When it is dropped, it was given, or nobody gives it.
pub(crate) struct Owing {
    join: Arc<Join>,
    /// Sessions may go to other nodes, and this one is to wait.
    is_known: bool,
}

impl Owing {
    pub(crate) fn new(join: Arc<Join>) -> Self {
        let is_known = join.node().link().is_some_and(|link| link.owe(join.id));
        Self { join, is_known }
    }

    pub(crate) fn join(&self) -> &Join {
        &self.join
    }
}

impl Drop for Owing {
    fn drop(&mut self) {
        if self.is_known
            && let Some(link) = self.join.node().link()
        {
            link.settle(self.join.id);
        }
    }
}

impl fmt::Debug for Owing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.join.fmt(f)
    }
}
