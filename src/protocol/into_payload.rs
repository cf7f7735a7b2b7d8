//! Values on their way out.

use serde::Serialize;

use super::{error::EncodeError, payload::Payload, raw_json::RawJson};

/// A value that a reply, a push, a broadcast or a presence can carry.
///
/// A [`serde_json::Value`], a [`RawJson`] and a [`Payload`] are, as bytes (`Vec<u8>`, [`Bytes`](bytes::Bytes)) are; every other
/// serializable value is behind [`Json`].
///
/// ```
/// use lapwing::{IntoPayload, Json};
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct Said { text: &'static str }
///
/// let payload = Json(Said { text: "hi" }).into_payload()?;
/// assert_eq!(payload.as_json().unwrap().as_str(), r#"{"text":"hi"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no payload",
    label = "neither JSON nor bytes",
    note = "a text, a number or a type of your own goes out as JSON: `json!({{\"text\": text}})`, or `Json(value)` for what `Serialize` is derived for",
    note = "pushes, broadcasts and presences carry JSON objects or bytes; replies any JSON"
)]
pub trait IntoPayload {
    /// The payload.
    ///
    /// # Errors
    /// [`EncodeError::Json`] if the value cannot be written as JSON.
    fn into_payload(self) -> Result<Payload, EncodeError>;
}

#[diagnostic::do_not_recommend]
impl<P: Into<Payload>> IntoPayload for P {
    fn into_payload(self) -> Result<Payload, EncodeError> {
        Ok(self.into())
    }
}

/// A serializable value, written once, straight to text.
///
/// ```
/// use lapwing::{HandleResult, Json, reply};
///
/// let HandleResult::Reply(_, payload) = reply("ok", Json([1, 2])) else { panic!("a list can be written") };
/// assert_eq!(payload.as_json().unwrap().as_str(), "[1,2]");
///
/// // A map whose keys are no strings cannot, and is an internal failure.
/// let map = std::collections::BTreeMap::from([((1, 2), 3)]);
/// assert!(matches!(reply("ok", Json(map)), HandleResult::Failed(..)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(
    /// The value, or a reference to it.
    pub T,
);

impl<T: Serialize> IntoPayload for Json<T> {
    fn into_payload(self) -> Result<Payload, EncodeError> {
        RawJson::from_serialize(&self.0).map(Payload::Json).map_err(EncodeError::Json)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_goes_out_as_what_it_is_or_as_its_json() {
        assert_eq!(vec![1, 2].into_payload().unwrap(), Payload::from(vec![1, 2]));
        assert_eq!(Json([1, 2]).into_payload().unwrap(), Payload::from(json!([1, 2])));
    }
}
