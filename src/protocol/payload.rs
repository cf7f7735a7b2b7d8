//! Payloads: the values that messages carry.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    error::EncodeError,
    payload_error::{self, PayloadError},
    raw_json::RawJson,
};

/// The value that a message carries: JSON or bytes, cheap to clone and passed on unchanged.
///
/// Made of a [`serde_json::Value`], a [`RawJson`], or bytes; of anything else serializable by [`Json`](super::Json) or
/// [`Payload::json`].
///
/// ```
/// use std::collections::HashMap;
///
/// use lapwing::protocol::Payload;
/// use serde_json::json;
///
/// let payload = Payload::from(json!({"rows": [1, 2]}));
/// let rows: HashMap<String, Vec<u32>> = payload.parse()?;
/// assert_eq!(rows["rows"], [1, 2]);
/// assert_eq!(Payload::json(&rows)?, payload);
/// assert!(payload.parse::<Vec<u32>>().is_err());
///
/// let image = Payload::from(vec![0xde, 0xad]);
/// assert_eq!(image.parse::<String>().unwrap_err().to_string(), "payload is bytes, not JSON");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// JSON text.
    Json(RawJson),
    /// Raw bytes.
    Binary(Bytes),
}

impl Payload {
    /// The empty object, `{}`. Nothing is allocated.
    #[must_use]
    pub const fn empty() -> Self {
        Self::Json(RawJson::empty_object())
    }

    /// Writes any serializable value as JSON.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Json`] if its `Serialize` fails, or a map in it has keys that are no strings.
    pub fn json(value: &(impl Serialize + ?Sized)) -> Result<Self, EncodeError> {
        RawJson::from_serialize(value).map(Self::Json).map_err(EncodeError::Json)
    }

    /// The payload of the library's own refusals: `{"reason": text}`.
    pub(crate) fn reason(text: &str) -> Self {
        serde_json::json!({ "reason": text }).into()
    }

    /// What a client is told about a field of its payload.
    pub(crate) fn invalid(field: &str, problem: &str) -> Self {
        payload_error::answer(Some(field), problem).into()
    }

    /// Reads JSON into a type.
    ///
    /// # Errors
    ///
    /// If the payload is bytes, or does not fit the type; the error names the field. In a channel's callback `?` makes it the
    /// client's answer, see [`Failure`](crate::Failure).
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        match self {
            Self::Json(json) => json.parse().map_err(|error| PayloadError::find::<T>(json.as_str(), error)),
            Self::Binary(_) => Err(PayloadError::Binary),
        }
    }

    /// The JSON, or `None` if the payload is bytes.
    #[must_use]
    pub fn as_json(&self) -> Option<&RawJson> {
        match self {
            Self::Json(json) => Some(json),
            Self::Binary(_) => None,
        }
    }

    /// The bytes, or `None` if the payload is JSON.
    #[must_use]
    pub fn as_binary(&self) -> Option<&Bytes> {
        match self {
            Self::Json(_) => None,
            Self::Binary(bytes) => Some(bytes),
        }
    }

    /// The number of bytes that the payload takes on the wire.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Json(json) => json.as_str().len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

/// [`Payload::empty`].
impl Default for Payload {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<serde_json::Value> for Payload {
    fn from(value: serde_json::Value) -> Self {
        Self::Json(value.into())
    }
}

impl From<RawJson> for Payload {
    fn from(json: RawJson) -> Self {
        Self::Json(json)
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<&Payload> for Payload {
    fn from(payload: &Payload) -> Self {
        payload.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_answers_for_itself_only() {
        let json = Payload::from(json!([1]));
        assert_eq!(json.as_json().map(RawJson::as_str), Some("[1]"));
        assert_eq!(json.as_binary(), None);
        assert_eq!(json.size(), 3);
        let bytes = Payload::from(Bytes::from_static(b"[1]"));
        assert_eq!(bytes.as_json(), None);
        assert_eq!(bytes.as_binary().map(|bytes| &bytes[..]), Some(&b"[1]"[..]));
        assert_eq!(bytes.size(), 3);
        assert_ne!(json, bytes);
        assert_eq!(Payload::default(), Payload::from(json!({})));
    }

    #[test]
    fn a_refusal_says_why_and_of_which_field() {
        assert_eq!(Payload::reason("full"), json!({"reason": "full"}).into());
        let answer = json!({"reason": "invalid payload", "field": "text", "error": "too long"});
        assert_eq!(Payload::invalid("text", "too long"), answer.into());
    }

    #[test]
    fn what_cannot_be_json_is_an_error() {
        let map = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(matches!(Payload::json(&map), Err(EncodeError::Json(_))));
    }
}
