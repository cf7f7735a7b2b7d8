//! Which serializer a client gets.

use std::{fmt, sync::Arc};

use super::{
    requirement::{Requirement, RequirementError},
    serializer::Serializer,
    v1::V1,
    v2::V2,
    version::Version,
};

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
/// let only_v2 = SerializerList::new().with("~> 2.0", V2)?;
/// assert!(only_v2.select("1.0.0").is_none());
/// assert!(SerializerList::new().with("two", V2).is_err());
/// # Ok::<(), lapwing::protocol::RequirementError>(())
/// ```
#[derive(Clone)]
pub struct SerializerList(Vec<(Requirement, Arc<dyn Serializer>)>);

impl SerializerList {
    /// What a client means that sends no `vsn`: the oldest version, not the newest.
    pub const VERSION_WHEN_ABSENT: &str = "1.0.0";

    /// An empty list, which serves nobody yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a serializer for the versions that a [`Requirement`] names.
    ///
    /// # Errors
    ///
    /// If the text is no requirement.
    pub fn with(self, requirement: &str, serializer: impl Serializer) -> Result<Self, RequirementError> {
        Ok(self.and(requirement.parse()?, Arc::new(serializer)))
    }

    /// The serializer for a client's `vsn`, or `None` if the client must be refused: its version is not offered, or
    /// is no full version.
    #[must_use]
    pub fn select(&self, vsn: &str) -> Option<Arc<dyn Serializer>> {
        let version: Version = vsn.parse().ok()?;
        let (_, serializer) = self.0.iter().find(|(requirement, _)| requirement.matches(&version))?;
        Some(Arc::clone(serializer))
    }

    /// All serializers, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Serializer>> {
        self.0.iter().map(|(_, serializer)| serializer)
    }

    /// The same versions with other serializers.
    pub(crate) fn map(&self, wrap: impl Fn(&Arc<dyn Serializer>) -> Arc<dyn Serializer>) -> Self {
        Self(self.0.iter().map(|(requirement, inner)| (requirement.clone(), wrap(inner))).collect())
    }

    fn and(mut self, requirement: Requirement, serializer: Arc<dyn Serializer>) -> Self {
        self.0.push((requirement, serializer));
        self
    }
}

/// Phoenix's own list.
impl Default for SerializerList {
    fn default() -> Self {
        Self::new().and(Requirement::about(1, 0), Arc::new(V1)).and(Requirement::about(2, 0), Arc::new(V2))
    }
}

impl fmt::Debug for SerializerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|serializer| serializer.name())).finish()
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
        let list = SerializerList::new().with("~> 2.0", V1).unwrap().with("~> 2.0.0", V2).unwrap();
        assert_eq!(selected(&list, "2.0.0").as_deref(), Some("V1"));
        assert_eq!(format!("{list:?}"), r#"["V1", "V2"]"#);
        assert_eq!(list.iter().count(), 2);
    }

    #[test]
    fn a_bad_requirement_is_an_error_at_once() {
        assert!(SerializerList::new().with("~> 2", V2).is_err());
        assert!(SerializerList::new().select("2.0.0").is_none());
    }
}
