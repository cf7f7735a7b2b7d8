//! JSON text that is known to be valid and is passed on as it is.

use std::fmt;

use serde::{
    de::{Deserialize, DeserializeOwned, Deserializer},
    ser::{self, Serialize, Serializer},
};
use serde_json::value::RawValue;
use smol_str::SmolStr;

use super::escape;

/// Valid JSON text without outer white space, cheap to clone and never re-encoded.
///
/// Up to 23 bytes are held inline; more are shared between the clones. Two texts are equal if they are equal
/// byte for byte, so `1.0` and `1.00` differ.
///
/// Validity is that of the JSON grammar. An escaped lone surrogate (`"\ud800"`), half of a character, is passed on as it
/// is, as browsers do; [`parse`](Self::parse) reads it as U+FFFD.
///
/// ```
/// use lapwing::protocol::RawJson;
///
/// let json = RawJson::new(r#" {"price": 1.10} "#)?;
/// assert_eq!(json.as_str(), r#"{"price": 1.10}"#);
/// assert!(json.is_object());
///
/// assert!(RawJson::new("{oops}").is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RawJson(SmolStr);

impl RawJson {
    /// Takes JSON text after checking it, in time proportional to its length and however deep it nests.
    ///
    /// # Errors
    ///
    /// If the text is not exactly one JSON value.
    pub fn new(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<&RawValue>(text).map(Self::from_raw)
    }

    /// Writes any serializable value as JSON.
    ///
    /// # Errors
    ///
    /// If its `Serialize` fails, or a map in it has keys that are no strings.
    pub fn from_serialize(value: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(|text| Self(SmolStr::from(text)))
    }

    /// The empty object, `{}`.
    #[must_use]
    pub const fn empty_object() -> Self {
        Self(SmolStr::new_static("{}"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the value is an object, which is all that may be pushed or broadcast as JSON under V2.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.0.starts_with('{')
    }

    /// Reads the text into a type. Half of a character in a string, which is all that a browser leaves of an emoji that
    /// it cuts in two, is read as U+FFFD.
    ///
    /// # Errors
    ///
    /// If the value does not fit the type, or nests deeper than 128 levels.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        escape::read(&self.0)
    }

    /// Takes what serde_json has checked already.
    pub(super) fn from_raw(raw: &RawValue) -> Self {
        Self(SmolStr::new(raw.get()))
    }

    /// Takes text that this crate has just put together from valid parts.
    pub(crate) fn from_valid(text: String) -> Self {
        debug_assert!(Self::new(&text).is_ok_and(|json| json.as_str() == text), "not bare JSON: {text}");
        Self(SmolStr::from(text))
    }
}

impl From<serde_json::Value> for RawJson {
    fn from(value: serde_json::Value) -> Self {
        Self::from_valid(value.to_string())
    }
}

impl fmt::Display for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Embeds the text verbatim in JSON. It is checked once more on the way, because serde_json takes nothing on trust.
impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(&self.0).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

/// Keeps the text of whatever value stands there. Works with serde_json only.
impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self::from_raw(&raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_three_words() {
        assert_eq!(size_of::<RawJson>(), 24);
        assert_eq!(size_of::<Option<RawJson>>(), 24);
    }

    #[test]
    fn it_is_shown_as_its_text() {
        let json = RawJson::new("[1, 2]").unwrap();
        assert_eq!((json.to_string(), format!("{json:?}")), ("[1, 2]".to_owned(), "[1, 2]".to_owned()));
        assert!(!json.is_object() && RawJson::empty_object().is_object());
    }

    #[test]
    fn text_is_kept_byte_for_byte() {
        let text = r#"{"zz":1,"f":1.0,"e":1e3,"neg0":-0.0,"big":12345678901234567890,"s":"\/\u00e9","a":{ "b" : 1 }}"#;
        assert_eq!(RawJson::new(text).unwrap().as_str(), text);
        assert_eq!(RawJson::new("\n [1] \t").unwrap().as_str(), "[1]");
    }

    #[test]
    fn only_one_whole_value_is_taken() {
        for text in ["", " ", "{", "{}{}", "nul", "01", "\"\u{1}\"", "'a'", "[1,]"] {
            assert!(RawJson::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn deep_nesting_is_taken_and_refused_only_when_read() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let json = RawJson::new(&deep).unwrap();
        assert_eq!(json.as_str().len(), 200_000);
        assert!(json.parse::<serde_json::Value>().is_err());
    }

    #[test]
    fn half_a_character_is_passed_on_and_read_as_the_replacement_character() {
        let json = RawJson::new(r#"{"\udc00":"cut \ud83d","n":1}"#).unwrap();
        assert_eq!(json.as_str(), r#"{"\udc00":"cut \ud83d","n":1}"#);
        let value: serde_json::Value = json.parse().unwrap();
        assert_eq!(value, serde_json::json!({"\u{fffd}": "cut \u{fffd}", "n": 1}));
        let error = json.parse::<Vec<u8>>().unwrap_err();
        assert!(error.to_string().starts_with("invalid type: map"), "{error}");
    }

    #[test]
    fn can_be_a_field_of_a_users_type() {
        let fields: Vec<(u8, RawJson)> = serde_json::from_str(r#"[[1, {"x": 1.00} ]]"#).unwrap();
        assert_eq!(fields[0].1.as_str(), r#"{"x": 1.00}"#);
        assert_eq!(serde_json::to_string(&fields).unwrap(), r#"[[1,{"x": 1.00}]]"#);
    }
}
