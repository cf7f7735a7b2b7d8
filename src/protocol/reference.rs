//! Refs: what a client numbers its messages and joins with.

use std::{borrow::Cow, fmt};

use serde_json::value::RawValue;
use smol_str::{SmolStr, SmolStrBuilder};

use super::escape;

/// A `ref` or `join_ref`, whatever JSON value a client chose for it, echoed unchanged.
///
/// `null` is no `Ref`: an absent one is `Option::<Ref>::None`. Comparison is strict: `1`, `1.0` and `"1"` are three
/// refs. Only the spelling of strings does not count: `"\u0031"` equals `"1"`. Strings of up to 21 bytes are held
/// inline.
///
/// ```
/// use lapwing::protocol::Ref;
///
/// let text = Ref::from("3");
/// assert_eq!(text.as_json(), r#""3""#);
/// assert_eq!(Ref::from_json(r#""\u0033""#)?, Some(text.clone()));
/// assert_ne!(Ref::from_json("3")?, Some(text));
/// assert_eq!(Ref::from_json("null")?, None);
/// assert!(Ref::from_json("three").is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Ref(
    /// JSON text; that of a string is as serde_json would write it, so that equal strings have equal texts.
    SmolStr,
);

impl Ref {
    /// Reads a ref from JSON text; `null` is `None`.
    ///
    /// # Errors
    ///
    /// If the text is not exactly one JSON value.
    pub fn from_json(text: &str) -> Result<Option<Self>, serde_json::Error> {
        Self::from_raw(serde_json::from_str(text)?)
    }

    /// The ref as JSON text, ready to be written.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The ref as a binary frame carries it: what a string says, or the text of any other value.
    #[must_use]
    pub fn to_plain(&self) -> Cow<'_, str> {
        match escape::unquoted(&self.0) {
            Some(plain) => Cow::Borrowed(plain),
            None => escape::read(&self.0).map_or(Cow::Borrowed(&self.0), Cow::Owned),
        }
    }

    /// Takes a string that needs no escapes.
    pub(super) fn from_plain(plain: &str) -> Self {
        debug_assert!(!escape::needs_escape(plain), "{plain:?}");
        let mut json = SmolStrBuilder::with_capacity(plain.len() + 2);
        json.push('"');
        json.push_str(plain);
        json.push('"');
        Self(json.finish())
    }

    pub(super) fn from_raw(raw: &RawValue) -> Result<Option<Self>, serde_json::Error> {
        let json = raw.get();
        if json == "null" {
            return Ok(None);
        }
        if json.starts_with('"') && escape::unquoted(json).is_none() {
            return Ok(Some(Self::from(&*escape::unescaped(json)?)));
        }
        Ok(Some(Self(SmolStr::new(json))))
    }
}

/// The JSON string of that text.
impl From<&str> for Ref {
    fn from(plain: &str) -> Self {
        if escape::needs_escape(plain) {
            return Self(SmolStr::from(escape::escaped(plain)));
        }
        Self::from_plain(plain)
    }
}

/// The JSON string of that text.
impl From<String> for Ref {
    fn from(plain: String) -> Self {
        Self::from(plain.as_str())
    }
}

/// The JSON number.
impl From<u64> for Ref {
    fn from(number: u64) -> Self {
        Self(SmolStr::from(number.to_string()))
    }
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Ref {
        Ref::from_json(text).unwrap().unwrap()
    }

    #[test]
    fn is_three_words_with_and_without_option() {
        assert_eq!(size_of::<Ref>(), 24);
        assert_eq!(size_of::<Option<Ref>>(), 24);
    }

    #[test]
    fn comparison_is_strict() {
        let refs = ["1", "1.0", "\"1\"", "true", "[1]", "{\"a\":1}", "\"\"", "\"null\""];
        for (i, a) in refs.iter().enumerate() {
            for (j, b) in refs.iter().enumerate() {
                assert_eq!(json(a) == json(b), i == j, "{a} {b}");
            }
        }
    }

    #[test]
    fn a_ref_is_shown_as_its_json() {
        let (text, number) = (Ref::from(String::from("a")), Ref::from(7));
        assert_eq!((text.to_string(), format!("{text:?}")), ("\"a\"".to_owned(), "\"a\"".to_owned()));
        assert_eq!((number.to_string(), format!("{number:?}")), ("7".to_owned(), "7".to_owned()));
    }

    #[test]
    fn spelling_of_strings_does_not_count() {
        assert_eq!(json(r#""\u0031""#), Ref::from("1"));
        assert_eq!(json(r#""a\/b""#), Ref::from("a/b"));
        assert_eq!(json(r#""\u00E9\ud83d\ude00""#), Ref::from("é😀"));
        assert_eq!(json(r#""\u000a\u0001\"""#), Ref::from("\n\u{1}\""));
    }

    #[test]
    fn plain_text_is_what_the_string_says() {
        assert_eq!(Ref::from("3").to_plain(), "3");
        assert_eq!(Ref::from("").to_plain(), "");
        assert_eq!(Ref::from("a\"\n\\").to_plain(), "a\"\n\\");
        assert_eq!(json("1.50").to_plain(), "1.50");
        assert_eq!(Ref::from(7).to_plain(), "7");
    }

    #[test]
    fn half_a_character_is_read_as_the_replacement_character() {
        assert_eq!(json(r#""\ud800""#), Ref::from("\u{fffd}"));
        assert_eq!(json(r#""\ud800\"""#).to_plain(), "\u{fffd}\"");
    }
}
