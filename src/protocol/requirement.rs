//! The requirements that choose a serializer for a version.

use std::{error::Error, fmt, str::FromStr};

use super::version::{Precision, Version, parse_version};

/// Which versions are wanted, in the words of Elixir.
///
/// `~> 2.0.1` is at least 2.0.1 and below 2.1; `~> 2.1` is at least 2.1.0 and below 3. There are also `==`, `!=`,
/// `>`, `>=`, `<` and `<=`, and they can be joined by `and` and, weaker, by `or`. A bare version means `==`.
///
/// ```
/// use lapwing::protocol::{Requirement, Version};
///
/// let requirement: Requirement = "~> 2.0.0".parse()?;
/// assert!(requirement.matches(&Version::new(2, 0, 5)));
/// assert!(!requirement.matches(&Version::new(2, 1, 0)));
/// assert!(!requirement.matches(&"2.0.0-rc.1".parse()?));
///
/// assert!("~> two".parse::<Requirement>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// One of these has to hold, all parts of it.
    alternatives: Vec<Vec<Comparison>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    /// `~>`, with a version given to this precision.
    About(Precision),
}

impl Requirement {
    /// `~> major.minor.0`
    pub(super) fn about(major: u64, minor: u64) -> Self {
        let operator = Operator::About(Precision::Patch);
        let comparison = Comparison { operator, version: Version::new(major, minor, 0) };
        Self { alternatives: vec![vec![comparison]] }
    }

    /// Whether a version is wanted.
    #[must_use]
    pub fn matches(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|all| all.iter().all(|comparison| comparison.matches(version)))
    }
}

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        let invalid = || RequirementError::Invalid { text: text.into() };
        // Elixir wants the words set apart by white space, and so they are words here.
        let mut words = text.split_whitespace().peekable();
        let mut alternatives = vec![Vec::new()];
        loop {
            let comparison = parse_comparison(&mut words).ok_or_else(invalid)?;
            let Some(all) = alternatives.last_mut() else { return Err(invalid()) };
            all.push(comparison);
            match words.next() {
                None => return Ok(Self { alternatives }),
                Some("and") => {}
                Some("or") => alternatives.push(Vec::new()),
                Some(_) => return Err(invalid()),
            }
        }
    }
}

impl Comparison {
    fn matches(&self, version: &Version) -> bool {
        match self.operator {
            Operator::Equal => *version == self.version,
            Operator::NotEqual => *version != self.version,
            Operator::Greater => *version > self.version,
            Operator::GreaterOrEqual => *version >= self.version,
            Operator::Less => *version < self.version,
            Operator::LessOrEqual => *version <= self.version,
            // The next minor's or major's pre-releases are not about the same, although they come before it.
            Operator::About(precision) => {
                let (core, wanted) = (version.core, self.version.core);
                *version >= self.version
                    && core.major == wanted.major
                    && (precision == Precision::Minor || core.minor == wanted.minor)
            }
        }
    }
}

/// Why a text is no [`Requirement`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequirementError {
    /// It does not have the form of one.
    Invalid {
        /// The text.
        text: String,
    },
}

impl fmt::Display for RequirementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { text } => write!(f, "{text:?} is not a version requirement like \"~> 2.0.0\""),
        }
    }
}

impl Error for RequirementError {}

/// Reads an operator and a version, which may be one word or two.
fn parse_comparison<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Comparison> {
    const OPERATORS: [(&str, Operator); 8] = [
        ("~>", Operator::About(Precision::Patch)),
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        (">=", Operator::GreaterOrEqual),
        ("<=", Operator::LessOrEqual),
        (">", Operator::Greater),
        ("<", Operator::Less),
        ("", Operator::Equal),
    ];
    let word = words.next()?;
    let (operator, rest) =
        OPERATORS.iter().find_map(|(sign, operator)| Some((*operator, word.strip_prefix(sign)?)))?;
    let (version, precision) = parse_version(if rest.is_empty() { words.next()? } else { rest })?;
    match (operator, precision) {
        (Operator::About(_), _) => Some(Comparison { operator: Operator::About(precision), version }),
        (_, Precision::Patch) => Some(Comparison { operator, version }),
        (_, Precision::Minor) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(requirement: &str, version: &str) -> bool {
        requirement.parse::<Requirement>().unwrap().matches(&version.parse().unwrap())
    }

    #[test]
    fn about_keeps_all_but_the_last_number() {
        for (version, expected) in [
            ("2.0.0", true),
            ("2.0.5", true),
            ("2.0.0+x", true),
            ("2.0.1-rc.1", true),
            ("2.0.0-rc.1", false),
            ("2.1.0", false),
            ("2.1.0-rc.1", false),
            ("1.9.9", false),
            ("3.0.0", false),
        ] {
            assert_eq!(matches("~> 2.0.0", version), expected, "{version}");
        }
        assert!(
            matches("~> 2.1", "2.9.0") && !matches("~> 2.1", "2.0.9") && !matches("~> 2.1", "3.0.0-rc.1")
        );
        assert!(matches("~>2.0.3", "2.0.3") && !matches("~> 2.0.3", "2.0.2"));
        assert!(matches("~> 2.0.0-rc.1", "2.0.0-rc.2"));
    }

    #[test]
    fn comparisons_join() {
        assert!(matches("2.0.0", "2.0.0") && !matches("== 2.0.0", "2.0.1"));
        assert!(matches("!= 2.0.0", "2.0.1") && matches("> 1.0.0", "1.0.1") && !matches("<1.0.0", "1.0.0"));
        let either = ">= 1.0.0 and <= 1.5.0 or ~> 3.0";
        assert!(matches(either, "1.5.0") && matches(either, "3.4.0") && !matches(either, "2.0.0"));
    }

    #[test]
    fn what_is_no_requirement_is_told() {
        for text in [
            "",
            "~>",
            "~> 2",
            ">= 2.0",
            "~> 2.0.0 and",
            "or ~> 2.0.0",
            "~> 2.0.0 ~> 1.0.0",
            "~> two",
            "=> 1.0.0",
        ] {
            assert_eq!(text.parse::<Requirement>(), Err(RequirementError::Invalid { text: text.into() }));
        }
    }
}
