//! The versions that clients ask for.

use std::{cmp::Ordering, error::Error, fmt, str::FromStr};

use smol_str::SmolStr;

/// A full semantic version, as a client names one with `vsn`.
///
/// Ordered as semver orders them; build metadata is read and forgotten.
///
/// ```
/// use lapwing::protocol::Version;
///
/// let version: Version = "2.0.0".parse()?;
/// assert!("2.0.0-rc.1".parse::<Version>()? < version);
/// assert!("2.0".parse::<Version>().is_err());
/// # Ok::<(), lapwing::protocol::VersionError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    pub(super) core: Core,
    /// Empty for a release.
    pre: Vec<Identifier>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Core {
    pub(super) major: u64,
    pub(super) minor: u64,
    patch: u64,
}

/// One part of a pre-release. Numbers come before words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(SmolStr),
}

impl Version {
    /// A release.
    #[must_use]
    pub const fn new(major: u64, minor: u64, patch: u64) -> Self {
        Self { core: Core { major, minor, patch }, pre: Vec::new() }
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        match parse_version(text) {
            Some((version, Precision::Patch)) => Ok(version),
            _ => Err(VersionError::NotFull { text: text.into() }),
        }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        // A release comes after its pre-releases, although it has fewer parts.
        let is_release = |version: &Self| version.pre.is_empty();
        self.core
            .cmp(&other.core)
            .then_with(|| is_release(self).cmp(&is_release(other)))
            .then_with(|| self.pre.cmp(&other.pre))
    }
}

/// Why a text is no [`Version`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VersionError {
    /// It is not `major.minor.patch`, with or without a pre-release and build metadata.
    NotFull {
        /// The text.
        text: String,
    },
}

impl fmt::Display for VersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFull { text } => write!(f, "{text:?} is not a version of the form 1.2.3"),
        }
    }
}

impl Error for VersionError {}

/// How much of a version is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    Minor,
    Patch,
}

/// Reads a version; only `~>` may leave out the patch.
pub(super) fn parse_version(text: &str) -> Option<(Version, Precision)> {
    let (text, build) = split(text, '+');
    let (core, pre) = split(text, '-');
    if let Some(build) = build {
        build.split('.').all(is_identifier).then_some(())?;
    }
    let pre = match pre {
        Some(pre) => pre.split('.').map(parse_identifier).collect::<Option<Vec<_>>>()?,
        None => Vec::new(),
    };
    let mut numbers = core.split('.').map(parse_number);
    let (major, minor) = (numbers.next()??, numbers.next()??);
    let (patch, precision) = match numbers.next() {
        Some(patch) => (patch?, Precision::Patch),
        None => (0, Precision::Minor),
    };
    if numbers.next().is_some() {
        return None;
    }
    Some((Version { core: Core { major, minor, patch }, pre }, precision))
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(head, tail)| (head, Some(tail)))
}

/// Digits without a leading zero. Only digits: `parse` alone would also take a plus sign.
fn parse_number(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_number { text.parse().ok() } else { None }
}

fn parse_identifier(text: &str) -> Option<Identifier> {
    if !is_identifier(text) {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return parse_number(text).map(Identifier::Number);
    }
    Some(Identifier::Word(SmolStr::new(text)))
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_versions_are_versions() {
        for text in [
            "0.0.0",
            "1.2.3",
            "1.2.3-rc.1",
            "1.2.3-0a.-.x-y+b.001",
            "1.2.3+build",
            "18446744073709551615.0.0",
        ] {
            assert!(text.parse::<Version>().is_ok(), "{text}");
        }
        let wrong = [
            "",
            "2",
            "2.0",
            "2.0.",
            "2.0.0.0",
            "abc",
            "v2.0.0",
            " 2.0.0",
            "2.0.0 ",
            "02.0.0",
            "2.0.00",
            "+2.0.0",
            "-1.0.0",
            "2.0.0-",
            "2.0.0+",
            "2.0.0-rc..1",
            "2.0.0-01",
            "2.0.0-é",
            "18446744073709551616.0.0",
        ];
        for text in wrong {
            assert_eq!(text.parse::<Version>(), Err(VersionError::NotFull { text: text.into() }));
        }
    }

    #[test]
    fn versions_are_ordered_as_semver_orders_them() {
        let ordered = [
            "1.0.0-1",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.2.0",
            "10.0.0",
        ];
        let versions: Vec<Version> = ordered.iter().map(|text| text.parse().unwrap()).collect();
        assert!(versions.is_sorted_by(|a, b| a < b));
    }
}
