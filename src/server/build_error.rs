//! Why a server cannot be built.

use std::fmt;

use lapwing_transports::options::error::OptionError;

use crate::topic::PatternError;

/// The reason why a server cannot be built: mistakes of the program's, found before the first client comes. Its text says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A topic pattern has a `*` that is not its last character.
    Pattern(PatternError),
    /// Two routes of a mount have the same pattern: the second would never be taken.
    DuplicateRoute(String),
    /// Two mounts have the same path.
    DuplicateMount(String),
    /// The path of a mount matches nothing.
    Path {
        /// The path.
        path: String,
        /// What is wrong with it, and what to do.
        problem: &'static str,
    },
    /// A serializer is for versions that cannot be read.
    Requirement(String),
    /// There is a cluster and a [`PubSub`](crate::pubsub::PubSub) adapter: each broadcast would reach other nodes twice.
    TwoWays,
    /// Topics of this pattern are kept, and the server is a node of a cluster whose engine keeps nothing, so that its nodes have no common order of
    /// what they remember.
    KeptInCluster(String),
    /// An option has a value that nothing can work with, or contradicts another.
    Option(OptionError),
    /// A pattern is never looked at, since one before it matches all of its topics.
    HiddenPattern {
        /// The option, as `Struct::setter`.
        option: &'static str,
        /// The pattern.
        pattern: String,
        /// The one before it.
        by: String,
    },
}

impl From<OptionError> for BuildError {
    fn from(error: OptionError) -> Self {
        Self::Option(error)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(error) => error.fmt(f),
            Self::DuplicateRoute(pattern) => {
                write!(
                    f,
                    "there are two routes for {pattern:?}: leave one out, as the first would always be taken"
                )
            }
            Self::DuplicateMount(path) => {
                write!(f, "there are two mounts at {path:?}: make them one, or give each a path of its own")
            }
            Self::Path { path, problem } => write!(f, "a mount cannot be at {path:?}: {problem}"),
            Self::Requirement(text) => {
                write!(f, "{text:?} is not a version requirement: say \"~> 2.0.0\", \"~> 2.0\" or \"2.0.0\"")
            }
            Self::TwoWays => f.write_str(
                "there are two ways to other nodes: leave out the adapter, or the cluster, as each broadcast would take both",
            ),
            Self::KeptInCluster(pattern) => write!(
                f,
                "topics of {pattern:?} cannot be kept over this engine, as it keeps nothing and nodes have no common order of what they \
                 remember: leave out `keep`, or use Redis, or a NATS with JetStream and `Nats::keeping`"
            ),
            Self::Option(error) => error.fmt(f),
            Self::HiddenPattern { option, pattern, by } => write!(
                f,
                "{option}: {pattern:?} is never looked at, as {by:?} before it matches all of its topics, over all mounts: put it \
                 before that one, or leave it out"
            ),
        }
    }
}

/// Its text has all of the cause, since a program that cannot start shows one line.
impl std::error::Error for BuildError {}
