//! That there is no mount at a path.

use std::fmt;

/// There is no mount at a path. Its text lists those that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownMount {
    /// The path that was asked for.
    pub path: String,
    /// The paths that there are, as they were given to [`Builder::mount`](crate::Builder::mount).
    pub mounts: Vec<String>,
}

impl fmt::Display for UnknownMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, mounts } = self;
        match &mounts[..] {
            [] => write!(f, "there is no mount at {path:?}: there is none at all, see Builder::mount"),
            mounts => {
                let mounts: Vec<_> = mounts.iter().map(|mount| format!("{mount:?}")).collect();
                write!(f, "there is no mount at {path:?}: the mounts are {}", mounts.join(", "))
            }
        }
    }
}

impl std::error::Error for UnknownMount {}
