//! Questions between programs.

use std::{fmt, sync::Weak};

use bytes::Bytes;
use lapwing_cluster::Instance;

/// Who takes the answers of the program.
pub(crate) trait TakesAnswers: fmt::Debug + Send + Sync {
    fn take_answer(&self, to: Instance, id: u64, body: Bytes, is_remembered: bool);
}

/// A question of another node's program. Each is told once, though the other repeats it until the answer arrives, unless its answer was
/// [forgotten](Self::answer_and_forget); one that is dropped without an answer runs into the asker's deadline.
#[derive(Debug)]
pub struct Call {
    from: Instance,
    id: u64,
    body: Bytes,
    taker: Weak<dyn TakesAnswers>,
}

impl Call {
    pub(crate) fn new(from: Instance, id: u64, body: Bytes, taker: Weak<dyn TakesAnswers>) -> Self {
        Self { from, id, body, taker }
    }

    /// Who asks.
    #[must_use]
    pub fn from(&self) -> Instance {
        self.from
    }

    /// What is asked.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Answers. While the engine is away the answer is kept for the next time that the other node asks.
    pub fn answer(self, body: Bytes) {
        self.say(body, true);
    }

    /// Answers a question that changes nothing, and may be told again. Those that are not take no room from those that are [answered](Self::answer) once.
    pub fn answer_and_forget(self, body: Bytes) {
        self.say(body, false);
    }

    fn say(self, body: Bytes, is_remembered: bool) {
        if let Some(taker) = self.taker.upgrade() {
            taker.take_answer(self.from, self.id, body, is_remembered);
        }
    }
}

/// What became of a call to other nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answers {
    /// Who answered, and what.
    pub answers: Vec<(Instance, Bytes)>,
    /// Who did not answer in time. A node that died or departed meanwhile is in neither list: it has nothing left that could be asked
    /// for.
    pub missing: Vec<Instance>,
}

/// Why a call was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// As many calls wait for their answers as may: [`lapwing_cluster::Config::calls_max`].
    TooMany,
    /// The node has ended.
    Ended,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "too many calls wait for their answers",
            Self::Ended => "the node has ended",
        })
    }
}

impl std::error::Error for CallError {}
