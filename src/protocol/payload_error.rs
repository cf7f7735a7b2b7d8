//! What is wrong with a payload, said so that a client can mend it.

use std::{error::Error, fmt};

use lapwing_transports::surrogates;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Characters of a field's name and of an error that are told: both may repeat what the client sent.
const CHARS_MAX: usize = 128;

/// The reason why a payload could not be read as a type.
///
/// ```
/// use lapwing::Payload;
/// use serde::Deserialize;
/// use serde_json::json;
///
/// #[derive(Debug, Deserialize)]
/// struct Say { text: String }
///
/// let error = Payload::from(json!({"text": 5})).parse::<Say>().unwrap_err();
/// assert_eq!(error.field(), Some("text"));
/// assert_eq!(error.to_string(), "payload field `text`: invalid type: integer `5`, expected a string");
/// let error = Payload::from(json!({})).parse::<Say>().unwrap_err();
/// assert_eq!(error.to_string(), "payload field `text`: missing");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum PayloadError {
    /// The payload is bytes.
    Binary,
    /// The payload is JSON that does not fit the type.
    Json {
        /// The field, as `user.name` or `rows[2]`; empty if it is the payload itself, or a type that cannot say which.
        field: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl PayloadError {
    /// Reads once more, for the field. That costs as much as reading did, of those alone who send what does not fit.
    pub(super) fn find<T: DeserializeOwned>(json: &str, error: serde_json::Error) -> Self {
        let repaired = surrogates::replace_lone(json);
        let mut reader = serde_json::Deserializer::from_str(repaired.as_deref().unwrap_or(json));
        match serde_path_to_error::deserialize::<_, T>(&mut reader) {
            Ok(_) => Self::Json { field: String::new(), source: error },
            Err(error) => {
                let path = error.path().to_string();
                let source = error.into_inner();
                let path = if path == "." { "" } else { path.trim_end_matches(".?") };
                let field = match named(&source.to_string(), "missing field") {
                    Some(name) if path.is_empty() => name.to_owned(),
                    Some(name) => format!("{path}.{name}"),
                    None => path.to_owned(),
                };
                Self::Json { field, source }
            }
        }
    }

    /// The field that is wrong, as `user.name` or `rows[2]`; `None` if it is the payload itself.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Json { field, .. } if !field.is_empty() => Some(field),
            _ => None,
        }
    }

    /// What is wrong with it, in a word where there is one.
    fn problem(&self) -> String {
        let Self::Json { source, .. } = self else { return "bytes, not JSON".to_owned() };
        let text = source.to_string();
        if named(&text, "missing field").is_some() {
            return "missing".to_owned();
        }
        // The line and the column are those of a text that the client's program never saw.
        text.rsplit_once(" at line ").map_or(&*text, |(text, _)| text).to_owned()
    }

    /// The client's answer: `{"reason": "invalid payload", "field": "text", "error": "missing"}`.
    pub(crate) fn to_json(&self) -> Value {
        answer(self.field(), &self.problem())
    }
}

/// The client's answer about its payload, or about a field of it.
pub(super) fn answer(field: Option<&str>, problem: &str) -> Value {
    let mut answer = Map::new();
    answer.insert("reason".into(), "invalid payload".into());
    if let Some(field) = field {
        answer.insert("field".into(), cut(field).into());
    }
    answer.insert("error".into(), cut(problem).into());
    Value::Object(answer)
}

/// The name between backticks in an error of serde's.
fn named<'a>(text: &'a str, problem: &str) -> Option<&'a str> {
    text.strip_prefix(problem)?.strip_prefix(" `")?.split('`').next()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.field()) {
            (Self::Binary, _) => f.write_str("payload is bytes, not JSON"),
            (_, Some(field)) => write!(f, "payload field `{}`: {}", cut(field), cut(&self.problem())),
            (_, None) => write!(f, "payload: {}", cut(&self.problem())),
        }
    }
}

impl Error for PayloadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Binary => None,
            Self::Json { source, .. } => Some(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::{super::payload::Payload, *};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read into")]
    struct Post {
        title: String,
        author: Option<Author>,
        #[serde(default)]
        tags: Vec<u8>,
        #[serde(default)]
        kind: Kind,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read into")]
    struct Author {
        name: String,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        #[default]
        Text,
        Image,
    }

    fn answer(payload: Value) -> Value {
        let error = Payload::from(payload).parse::<Post>().unwrap_err();
        error.to_json()
    }

    #[test]
    fn a_client_is_told_which_field_and_what_is_wrong_with_it() {
        for (payload, field, problem) in [
            (json!({}), "title", "missing"),
            (json!({"title": 5}), "title", "invalid type: integer `5`, expected a string"),
            (json!({"title": "a", "author": {}}), "author.name", "missing"),
            (
                json!({"title": "a", "author": {"name": null}}),
                "author.name",
                "invalid type: null, expected a string",
            ),
            (json!({"title": "a", "tags": [1, 256]}), "tags[1]", "invalid value: integer `256`, expected u8"),
            (
                json!({"title": "a", "kind": "film"}),
                "kind",
                "unknown variant `film`, expected `text` or `image`",
            ),
            (
                json!({"title": "a", "size": 1}),
                "size",
                "unknown field `size`, expected one of `title`, `author`, `tags`, `kind`",
            ),
        ] {
            let wanted = json!({"reason": "invalid payload", "field": field, "error": problem});
            assert_eq!(answer(payload.clone()), wanted, "{payload}");
        }
        let wanted =
            json!({"reason": "invalid payload", "error": "invalid type: string \"x\", expected struct Post"});
        assert_eq!(answer(json!("x")), wanted);
    }

    #[test]
    fn a_payload_that_is_bytes_has_no_field() {
        let error = Payload::from(vec![1]).parse::<u8>().unwrap_err();
        assert_eq!((error.to_string(), error.field()), ("payload is bytes, not JSON".to_owned(), None));
        assert!(error.source().is_none());
        assert_eq!(error.to_json(), json!({"reason": "invalid payload", "error": "bytes, not JSON"}));
    }

    #[test]
    fn what_is_told_is_short_whatever_was_sent() {
        let long = "ä".repeat(100_000);
        let told = answer(json!({"title": "a", (long.as_str()): 1}));
        assert!(told.to_string().len() < 1_000, "{told}");
        let error = Payload::from(json!(long)).parse::<u8>().unwrap_err();
        assert!(error.to_string().len() < 1_000 && error.to_string().ends_with('…'), "{error}");
    }

    #[test]
    fn half_a_character_beside_it_is_not_the_mistake() {
        let payload = super::super::raw_json::RawJson::new(r#"{"title":"cut \ud83d","author":{}}"#).unwrap();
        let error = Payload::from(payload).parse::<Post>().unwrap_err();
        assert_eq!(error.to_string(), "payload field `author.name`: missing");
        assert!(error.source().unwrap().to_string().starts_with("missing field `name`"));
    }
}
