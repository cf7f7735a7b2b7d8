//! A topic or event as it stood on the wire: a string, nearly always.

use std::fmt;

use serde_json::value::RawValue;
use smol_str::SmolStr;

use super::{escape, raw_json::RawJson};
use crate::topic::Topic;

/// A topic or an event of a message.
///
/// Phoenix does not check that these are strings: a client that joins topic `5` is told `unmatched topic` on topic
/// `5`. So that we can answer the same, a name may be any other JSON value; whoever routes it has to ask for the
/// string.
///
/// ```
/// use lapwing::protocol::{Name, RawJson};
///
/// let name = Name::from("room:1");
/// assert_eq!(name, "room:1");
/// assert_eq!(name.as_str(), Some("room:1"));
///
/// let number = Name::from(RawJson::new("5")?);
/// assert_eq!(number.as_str(), None);
/// assert_ne!(number, "5");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(Repr);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Repr {
    Text(SmolStr),
    /// Boxed, so that the rare case does not make the usual one larger.
    Json(Box<RawJson>),
}

impl Name {
    /// The string, or `None` if the name is another JSON value.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Repr::Text(text) => Some(text),
            Repr::Json(_) => None,
        }
    }

    /// The name as a topic, sharing its text, or `None` if it is no string.
    #[must_use]
    pub fn to_topic(&self) -> Option<Topic> {
        match &self.0 {
            Repr::Text(text) => Some(Topic::from(text.clone())),
            Repr::Json(_) => None,
        }
    }

    /// Takes what serde_json has checked already.
    pub(super) fn from_raw(raw: &RawValue) -> Result<Self, serde_json::Error> {
        if raw.get().starts_with('"') {
            return escape::unescaped(raw.get()).map(|text| Self::from(&*text));
        }
        Ok(Self(Repr::Json(Box::new(RawJson::from_raw(raw)))))
    }

    /// The name, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> NameRef<'_> {
        match &self.0 {
            Repr::Text(text) => NameRef::Text(text),
            Repr::Json(json) => NameRef::Json(json),
        }
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(Repr::Text(SmolStr::new(text)))
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self(Repr::Text(SmolStr::from(text)))
    }
}

impl From<SmolStr> for Name {
    fn from(text: SmolStr) -> Self {
        Self(Repr::Text(text))
    }
}

impl From<Topic> for Name {
    fn from(topic: Topic) -> Self {
        Self(Repr::Text(topic.into()))
    }
}

impl From<&Topic> for Name {
    fn from(topic: &Topic) -> Self {
        Self::from(topic.clone())
    }
}

/// A JSON string becomes the string it stands for, if it stands for one; any other value stays JSON.
impl From<RawJson> for Name {
    fn from(json: RawJson) -> Self {
        if json.as_str().starts_with('"')
            && let Ok(text) = json.parse::<String>()
        {
            return Self::from(text);
        }
        Self(Repr::Json(Box::new(json)))
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == Some(*other)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

/// A [`Name`], borrowed.
///
/// ```
/// use lapwing::protocol::NameRef;
///
/// assert_eq!(NameRef::from("room:1").to_string(), "room:1");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRef<'a> {
    /// A string.
    Text(&'a str),
    /// Any other JSON value.
    Json(&'a RawJson),
}

impl<'a> From<&'a str> for NameRef<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a Topic> for NameRef<'a> {
    fn from(topic: &'a Topic) -> Self {
        Self::Text(topic.as_str())
    }
}

impl<'a> From<&'a Name> for NameRef<'a> {
    fn from(name: &'a Name) -> Self {
        name.as_ref()
    }
}

impl fmt::Display for NameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Json(json) => json.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_three_words() {
        assert_eq!(size_of::<Name>(), 24);
    }

    #[test]
    fn a_name_is_its_text_wherever_it_comes_from() {
        let (name, topic) = (Name::from("room:1"), Topic::from("room:1"));
        assert!(name == "room:1" && name == *"room:1" && name != "room:2" && name != *"room:2");
        let text = SmolStr::from("room:1");
        let others = [String::from("room:1").into(), Name::from(&topic), topic.clone().into(), text.into()];
        assert!(others.iter().all(|other| *other == name));
        assert_eq!((NameRef::from(&name), NameRef::from(&topic)), (NameRef::from("room:1"), name.as_ref()));
    }

    #[test]
    fn a_name_is_shown_as_its_text_or_its_json() {
        let json = Name::from(RawJson::new("[5]").unwrap());
        assert_eq!((Name::from("a b").to_string(), json.to_string()), ("a b".to_owned(), "[5]".to_owned()));
        assert_eq!(json.as_str(), None);
    }

    #[test]
    fn a_json_string_is_a_string() {
        assert_eq!(Name::from(RawJson::new(r#""a\u0062""#).unwrap()), "ab");
        assert_eq!(Name::from(RawJson::new("null").unwrap()).to_topic(), None);
        assert_eq!(Name::from("").to_topic(), Some(Topic::from("")));
    }
}
