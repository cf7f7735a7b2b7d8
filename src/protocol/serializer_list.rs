//! Which serializer a client gets.

use std::{fmt, sync::Arc};

use semver::Version;

use super::{serializer::Serializer, v1::V1, v2::V2};

/// The serializers of a mount, each with the versions that it serves, in order: the first that matches is taken.
///
/// By default [`V1`] serves `~> 1.0.0` and [`V2`] serves `~> 2.0.0`. A client that sends no `vsn` has to be taken to
/// have sent [`SerializerList::VERSION_WHEN_ABSENT`].
///
/// ```
/// use lapwing::protocol::{SerializerList, V2};
///
/// let list = SerializerList::default();
/// assert_eq!(list.select("2.0.0").expect("V2 serves it").name(), "V2");
/// assert!(list.select("2.1.0").is_none());
/// assert!(list.select("2.0").is_none());
///
/// let only_v2 = SerializerList::new().with("~> 2.0", V2);
/// assert!(only_v2.select("1.0.0").is_none());
/// ```
#[derive(Clone)]
pub struct SerializerList(Vec<(Requirement, Arc<dyn Serializer>)>);

/// Which versions a serializer is for.
#[derive(Clone, Debug)]
enum Requirement {
    /// Elixir's `~>`. Not semver's `~` and `^`, which pass by pre-releases that Elixir takes.
    About { first: Version, precision: Precision },
    /// One version, with any build metadata.
    Exactly(Version),
    /// A text that is no requirement, which matches nothing.
    Invalid(String),
}

/// Which numbers of a version have to be as they are.
#[derive(Clone, Copy, Debug)]
enum Precision {
    Major,
    Minor,
}

impl SerializerList {
    /// The version of a client that sends no `vsn`: the oldest, not the newest.
    pub const VERSION_WHEN_ABSENT: &str = "1.0.0";

    /// An empty list, which serves nobody yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a serializer for some versions, said as in Elixir: `~> 2.0.1` is at least 2.0.1 and below 2.1, `~> 2.1` is at
    /// least 2.1.0 and below 3, and `2.0.0` or `== 2.0.0` is that version alone.
    ///
    /// A text that is none of these is reported by [`Builder::build`](crate::Builder::build).
    #[must_use]
    pub fn with(mut self, requirement: &str, serializer: impl Serializer) -> Self {
        self.0.push((Requirement::parse(requirement), Arc::new(serializer)));
        self
    }

    /// The serializer for a client's `vsn`, or `None` if the client must be refused: its version is not offered, or
    /// is no full version.
    #[must_use]
    pub fn select(&self, vsn: &str) -> Option<Arc<dyn Serializer>> {
        let version = Version::parse(vsn).ok()?;
        let (_, serializer) = self.0.iter().find(|(requirement, _)| requirement.matches(&version))?;
        Some(Arc::clone(serializer))
    }

    /// All serializers, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Serializer>> {
        self.0.iter().map(|(_, serializer)| serializer)
    }

    /// The first text given to [`with`](Self::with) that is no requirement.
    pub(crate) fn invalid(&self) -> Option<&str> {
        self.0.iter().find_map(|(requirement, _)| match requirement {
            Requirement::Invalid(text) => Some(&**text),
            _ => None,
        })
    }

    /// The same versions with other serializers.
    pub(crate) fn map(&self, wrap: impl Fn(&Arc<dyn Serializer>) -> Arc<dyn Serializer>) -> Self {
        Self(self.0.iter().map(|(requirement, inner)| (requirement.clone(), wrap(inner))).collect())
    }
}

/// Phoenix's own list.
impl Default for SerializerList {
    fn default() -> Self {
        Self::new().with("~> 1.0.0", V1).with("~> 2.0.0", V2)
    }
}

impl fmt::Debug for SerializerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|serializer| serializer.name())).finish()
    }
}

impl Requirement {
    fn parse(text: &str) -> Self {
        let parsed = match text.trim().strip_prefix("~>") {
            Some(version) => Self::parse_about(version.trim_start()),
            None => {
                let version = text.trim().trim_start_matches("==").trim_start();
                Version::parse(version).ok().map(Self::Exactly)
            }
        };
        parsed.unwrap_or_else(|| Self::Invalid(text.to_owned()))
    }

    fn parse_about(version: &str) -> Option<Self> {
        if let Ok(first) = Version::parse(version) {
            return Some(Self::About { first, precision: Precision::Minor });
        }
        // The patch may be left out, and then the minor is free.
        let first = Version::parse(&format!("{version}.0")).ok()?;
        Some(Self::About { first, precision: Precision::Major })
    }

    fn matches(&self, version: &Version) -> bool {
        match self {
            Self::About { first, precision } => {
                version.cmp_precedence(first).is_ge()
                    && version.major == first.major
                    && (matches!(precision, Precision::Major) || version.minor == first.minor)
            }
            Self::Exactly(wanted) => version.cmp_precedence(wanted).is_eq(),
            Self::Invalid(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(list: &SerializerList, vsn: &str) -> Option<String> {
        list.select(vsn).map(|serializer| serializer.name().to_owned())
    }

    #[test]
    fn the_default_list_answers_as_recorded_from_phoenix() {
        let list = SerializerList::default();
        for (vsn, expected) in [
            (SerializerList::VERSION_WHEN_ABSENT, Some("V1")),
            ("1.0.3", Some("V1")),
            ("1.1.0", None),
            ("2.0.0", Some("V2")),
            ("2.0.5", Some("V2")),
            ("2.0.0-rc.1", None),
            ("2.1.0", None),
            ("3.0.0", None),
            ("123.1.1", None),
            ("2", None),
            ("2.0", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(selected(&list, vsn).as_deref(), expected, "{vsn:?}");
        }
    }

    #[test]
    fn the_first_that_matches_is_taken() {
        let list = SerializerList::new().with("~> 2.0", V1).with("~> 2.0.0", V2);
        assert_eq!(selected(&list, "2.0.0").as_deref(), Some("V1"));
        assert_eq!(format!("{list:?}"), r#"["V1", "V2"]"#);
        assert_eq!(list.iter().count(), 2);
    }

    #[test]
    fn a_list_of_other_serializers_serves_the_same_versions_in_the_same_order() {
        let list = SerializerList::new().with("~> 3.0", V1).with("~> 3.1.0", V2).with("4.0.0", V2);
        let other = list.map(|serializer| match serializer.name() {
            "V1" => Arc::new(V2),
            _ => Arc::new(V1),
        });
        for (vsn, expected) in [
            ("3.0.0", Some("V2")),
            ("3.1.0", Some("V2")),
            ("4.0.0", Some("V1")),
            ("1.0.0", None),
            ("2.0.0", None),
        ] {
            assert_eq!(selected(&other, vsn).as_deref(), expected, "{vsn}");
        }
        assert_eq!((format!("{other:?}"), list.iter().count()), (r#"["V2", "V1", "V1"]"#.to_owned(), 3));
    }

    #[test]
    fn only_full_versions_are_versions() {
        let list = SerializerList::new().with("~> 2.0", V2);
        for vsn in ["2.0.0", "2.0.1-rc.1", "2.9.0+b.001", "2.1.0-0a.-.x-y+b.001", "2.18446744073709551615.0"]
        {
            assert!(list.select(vsn).is_some(), "{vsn}");
        }
        let wrong = [
            "2.0.",
            "2.0.0.0",
            "v2.0.0",
            " 2.0.0",
            "2.0.0 ",
            "02.0.0",
            "2.0.00",
            "+2.0.0",
            "-2.0.0",
            "2.0.0-",
            "2.0.0+",
            "2.1.0-rc..1",
            "2.1.0-01",
            "2.1.0-é",
            "2.18446744073709551616.0",
        ];
        for vsn in wrong {
            assert!(list.select(vsn).is_none(), "{vsn}");
        }
    }

    #[test]
    fn requirements_mean_what_they_mean_in_elixir() {
        let matches =
            |requirement: &str, vsn: &str| SerializerList::new().with(requirement, V2).select(vsn).is_some();
        for (vsn, expected) in [
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
            assert_eq!(matches("~> 2.0.0", vsn), expected, "{vsn}");
        }
        assert!(matches("~> 2.1", "2.9.0") && !matches("~> 2.1", "2.0.9"));
        assert!(!matches("~> 2.1", "3.0.0-rc.1"));
        assert!(matches("~>2.0.3", "2.0.3") && !matches("~> 2.0.3", "2.0.2"));
        assert!(matches("~> 2.0.0-rc.1", "2.0.0-rc.2"));
        assert!(matches("2.0.0", "2.0.0+x") && !matches("== 2.0.0", "2.0.1"));
    }

    #[test]
    fn a_bad_requirement_matches_nothing_and_is_told() {
        for text in
            ["", "~>", "~> 2", ">= 2.0", "2.0", "~> 2.0.0 and", "~> 2.0.0 ~> 1.0.0", "~> two", "=> 1.0.0"]
        {
            let list = SerializerList::default().with(text, V2);
            assert_eq!(list.invalid(), Some(text));
        }
        assert!(SerializerList::default().invalid().is_none());
        assert!(SerializerList::new().select("2.0.0").is_none());
    }
}
