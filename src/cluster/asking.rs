//! A question to all other nodes, on its way.

use std::{collections::HashMap, fmt, pin::Pin};

use bytes::Bytes;
use lapwing_cluster::Instance;
use lapwing_cluster_driver::{Answers, CallError};

use super::question::{Answer, Everywhere};

type Answering = Pin<Box<dyn Future<Output = Result<Answers, CallError>> + Send>>;

pub(crate) struct Asking {
    answering: Answering,
    /// Who was asked.
    names: HashMap<Instance, String>,
}

impl Asking {
    pub(super) fn new(answering: Answering, names: HashMap<Instance, String>) -> Self {
        Self { answering, names }
    }

    /// Waits for the answers. `here` is this node's own.
    pub(crate) async fn answered(mut self, here: u64) -> Everywhere {
        let mut everywhere = Everywhere::here(here);
        // A node that has ended hears nobody: everybody is missing.
        let Ok(Answers { answers, missing, .. }) = self.answering.await else {
            everywhere.missing = self.names.into_values().collect();
            return everywhere;
        };
        let mut silent = missing;
        for (node, body) in answers {
            match read(&body) {
                Some(Answer { count }) => everywhere.count = everywhere.count.saturating_add(count),
                // It does not know the question: it is of an earlier release.
                None => silent.push(node),
            }
        }
        everywhere.missing = silent
            .into_iter()
            .map(|node| self.names.remove(&node).unwrap_or_else(|| node.to_string()))
            .collect();
        everywhere
    }
}

fn read(body: &Bytes) -> Option<Answer> {
    serde_json::from_slice(body).ok()
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("names", &self.names).finish_non_exhaustive()
    }
}
