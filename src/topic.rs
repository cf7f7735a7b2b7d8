//! Topics, and the patterns that channels are routed by.

use std::{borrow::Borrow, error::Error, fmt, ops::Deref, str::FromStr};

use smol_str::SmolStr;

/// The name of a topic, cheap to clone.
///
/// Any string is a topic: empty, with spaces, with control characters, of any script. Up to 23 bytes are held
/// inline; a longer one is shared between its clones.
///
/// ```
/// use lapwing::Topic;
///
/// let topic = Topic::from("room:lobby");
/// assert_eq!(topic, "room:lobby");
/// assert!(topic.starts_with("room:"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(SmolStr);

impl Topic {
    /// A topic of that name.
    #[must_use]
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(SmolStr::new(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Topic {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Lets a map with topics for keys be asked with a `&str`.
impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Topic {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Topic {
    fn from(name: &str) -> Self {
        Self(SmolStr::new(name))
    }
}

impl From<String> for Topic {
    fn from(name: String) -> Self {
        Self(SmolStr::from(name))
    }
}

impl From<&Topic> for Topic {
    fn from(topic: &Topic) -> Self {
        topic.clone()
    }
}

impl From<SmolStr> for Topic {
    fn from(name: SmolStr) -> Self {
        Self(name)
    }
}

impl From<Topic> for SmolStr {
    fn from(topic: Topic) -> Self {
        topic.0
    }
}

impl PartialEq<str> for Topic {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Topic {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The pattern by which a route matches topics: an exact name, or a prefix followed by `*`.
///
/// ```
/// use lapwing::TopicPattern;
///
/// let rooms = TopicPattern::new("room:*")?;
/// assert!(rooms.matches("room:lobby"));
/// assert!(!rooms.matches("room"));
///
/// let notices = TopicPattern::new("notify:")?;
/// assert!(notices.matches("notify:"));
/// assert!(!notices.matches("notify:me"));
///
/// assert!(TopicPattern::new("room:*:typing").is_err());
/// # Ok::<(), lapwing::PatternError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TopicPattern {
    /// The pattern as it was given, star included.
    text: SmolStr,
    /// Whether the last character is the star.
    is_prefix: bool,
}

impl TopicPattern {
    /// Reads a pattern. `"*"` alone matches every topic.
    ///
    /// # Errors
    ///
    /// If a `*` stands anywhere but at the end. A topic may hold a star, but no pattern can ask for one.
    pub fn new(pattern: impl AsRef<str>) -> Result<Self, PatternError> {
        let pattern = pattern.as_ref();
        let Some(star) = pattern.find('*') else {
            return Ok(Self { text: SmolStr::new(pattern), is_prefix: false });
        };
        if star + 1 != pattern.len() {
            return Err(PatternError::InnerStar { pattern: pattern.into(), position: star });
        }
        Ok(Self { text: SmolStr::new(pattern), is_prefix: true })
    }

    /// Returns whether the pattern matches a topic. Case counts.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        match self.prefix() {
            Some(prefix) => topic.starts_with(prefix),
            None => topic == self.text,
        }
    }

    /// Returns what stands before the star, or `None` if the pattern is an exact name.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        if self.is_prefix { self.text.strip_suffix('*') } else { None }
    }

    /// Whether all topics of another pattern are topics of this one.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match self.prefix() {
            Some(prefix) => other.prefix().unwrap_or(&other.text).starts_with(prefix),
            None => self == other,
        }
    }

    /// Whether both have a topic in common.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The pattern as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for TopicPattern {
    type Err = PatternError;

    fn from_str(pattern: &str) -> Result<Self, PatternError> {
        Self::new(pattern)
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The reason why a text is no [`TopicPattern`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternError {
    /// A `*` stands before the end.
    InnerStar {
        /// The text.
        pattern: String,
        /// Where the star is, in bytes.
        position: usize,
    },
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InnerStar { pattern, position } => {
                write!(
                    f,
                    "pattern {pattern:?} has a `*` at byte {position}: only the last character may be one, as in \"room:*\""
                )
            }
        }
    }
}

impl Error for PatternError {}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn any_string_is_a_topic() {
        for name in ["", " ", "room:é\u{0}\"", "räume:北", "*", &"t".repeat(1 << 20)] {
            assert_eq!(Topic::from(name).as_str(), name);
        }
        assert_eq!(size_of::<Topic>(), 24);
    }

    #[test]
    fn a_topic_is_its_text_wherever_it_comes_from_and_wherever_it_goes() {
        let topic = Topic::from("room:1");
        assert!(topic == "room:1" && topic == *"room:1" && topic != "room:2" && topic != *"room:2");
        let text = SmolStr::from("room:1");
        let others =
            [Topic::new("room:1"), String::from("room:1").into(), Topic::from(&topic), text.clone().into()];
        assert!(others.iter().all(|other| *other == topic));
        assert_eq!((AsRef::<str>::as_ref(&topic), SmolStr::from(topic.clone())), ("room:1", text));
        assert_eq!(topic.strip_prefix("room:"), Some("1"));
        assert_eq!(
            (topic.to_string(), format!("{topic:?}")),
            ("room:1".to_owned(), r#""room:1""#.to_owned())
        );
    }

    #[test]
    fn a_pattern_is_shown_as_it_was_given() {
        let pattern: TopicPattern = "room:*".parse().unwrap();
        assert_eq!((pattern.as_str(), pattern.to_string()), ("room:*", "room:*".to_owned()));
        assert_eq!(format!("{pattern:?}"), r#""room:*""#);
    }

    #[test]
    fn a_map_of_topics_is_asked_with_a_string() {
        let map = HashMap::from([(Topic::from("a"), 1), (Topic::from("room:".repeat(9)), 2)]);
        assert_eq!(map.get("a"), Some(&1));
        assert_eq!(map.get("room:".repeat(9).as_str()), Some(&2));
    }

    #[test]
    fn patterns_match_as_recorded_from_phoenix() {
        let rooms = TopicPattern::new("room:*").unwrap();
        for (topic, expected) in [
            ("room", false),
            ("room:", true),
            ("room:a:b", true),
            ("Room:a", false),
            ("xroom:a", false),
            ("room:*", true),
            ("", false),
            ("room: ", true),
            ("phoenix", false),
        ] {
            assert_eq!(rooms.matches(topic), expected, "{topic:?}");
        }
    }

    #[test]
    fn the_star_alone_matches_all_and_the_empty_pattern_only_the_empty_topic() {
        let all = TopicPattern::new("*").unwrap();
        assert!(all.matches("") && all.matches("a"));
        assert_eq!(all.prefix(), Some(""));
        let none = TopicPattern::new("").unwrap();
        assert!(none.matches("") && !none.matches("a"));
    }

    #[test]
    fn one_pattern_covers_another_or_meets_it_or_neither() {
        let pattern = |text| TopicPattern::new(text).unwrap();
        for (one, two, covers, meets) in [
            ("room:*", "room:*", true, true),
            ("room:*", "room:a*", true, true),
            ("room:*", "room:a", true, true),
            ("room:a*", "room:*", false, true),
            ("room:a", "room:*", false, true),
            ("room:a", "room:a", true, true),
            ("*", "", true, true),
            ("room:*", "rooms:*", false, false),
            ("room:*", "room", false, false),
            ("room:a", "room:b", false, false),
            ("room:a*", "room:b*", false, false),
            ("room", "room*", false, true),
        ] {
            let (one, two) = (pattern(one), pattern(two));
            assert_eq!(
                (one.covers(&two), one.meets(&two), two.meets(&one)),
                (covers, meets, meets),
                "{one} {two}"
            );
        }
    }

    #[test]
    fn a_star_before_the_end_is_refused() {
        for (pattern, position) in [("*a", 0), ("room:*:x", 5), ("a**", 1), ("**", 0)] {
            let error = TopicPattern::new(pattern).unwrap_err();
            assert_eq!(error, PatternError::InnerStar { pattern: pattern.into(), position });
            assert!(error.to_string().starts_with("pattern "));
        }
    }
}
