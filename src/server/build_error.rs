//! Why a server cannot be built.

use std::fmt;

use crate::topic::PatternError;

/// Why a server cannot be built: mistakes of the program's, found before the first client comes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A topic pattern has a `*` that is not its last character.
    Pattern(PatternError),
    /// Two mounts have the same path.
    DuplicateMount(String),
    /// A serializer is for versions that cannot be read.
    Requirement(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(_) => f.write_str("a channel's topic pattern is not valid"),
            Self::DuplicateMount(path) => write!(f, "there are two mounts at {path}"),
            Self::Requirement(text) => {
                write!(f, "{text:?} is not a version requirement: say \"~> 2.0.0\", \"~> 2.0\" or \"2.0.0\"")
            }
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Pattern(error) => Some(error),
            Self::DuplicateMount(_) | Self::Requirement(_) => None,
        }
    }
}
