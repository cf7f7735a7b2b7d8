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
    pub(crate) async fn answered(self, here: u64) -> Everywhere {
        let (answers, missing) = self.each().await;
        let count = answers.iter().fold(here, |sum, (_, answer)| sum.saturating_add(answer.count));
        Everywhere { count, missing }
    }

    /// Waits for the answers, each with the name of its node, and the names of those that did not answer.
    pub(crate) async fn each(mut self) -> (Vec<(String, Answer)>, Vec<String>) {
        // A node that has ended hears nobody: everybody is missing.
        let Ok(Answers { answers, missing, .. }) = self.answering.await else {
            return (Vec::new(), self.names.into_values().collect());
        };
        let mut name = |node: Instance| self.names.remove(&node).unwrap_or_else(|| node.to_string());
        let mut missing: Vec<_> = missing.into_iter().map(&mut name).collect();
        let mut told = Vec::new();
        for (node, body) in answers {
            match read(&body) {
                Some(answer) => told.push((name(node), answer)),
                // It does not know the question: it is of an earlier release.
                None => missing.push(name(node)),
            }
        }
        (told, missing)
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
