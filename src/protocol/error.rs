//! Errors of frames that came in, and of messages that are to go out.

use std::{error::Error, fmt, str::Utf8Error};

/// A field of a message, named as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// `join_ref`
    JoinRef,
    /// `ref`
    Ref,
    /// `topic`
    Topic,
    /// `event`
    Event,
    /// `payload`
    Payload,
    /// `status`, of a reply
    Status,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JoinRef => "join_ref",
            Self::Ref => "ref",
            Self::Topic => "topic",
            Self::Event => "event",
            Self::Payload => "payload",
            Self::Status => "status",
        })
    }
}

/// The reason why a frame is no message. The protocol has no error frame: the connection is closed with 1011.
#[derive(Debug)]
#[non_exhaustive]
pub enum DecodeError {
    /// The text is not JSON.
    Json(serde_json::Error),
    /// The text is JSON, but not the array that V2 wants.
    NotArray,
    /// The array has fewer than five elements.
    TooFewElements {
        /// How many it has.
        found: usize,
    },
    /// The text is JSON, but not the object that is wanted.
    NotObject,
    /// The object lacks a key that must be there, if only with `null`.
    MissingKey(Field),
    /// A binary frame that should hold text holds something else.
    NotText(Utf8Error),
    /// A binary frame ends before its header says so.
    Truncated {
        /// How many bytes the header announces, or the header itself takes.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A binary frame of a kind that clients do not send.
    UnknownKind(u8),
    /// A field of a binary frame is not UTF-8.
    FieldNotText {
        /// Which one.
        field: Field,
        /// Describes what is wrong with it.
        source: Utf8Error,
    },
    /// An error of a serializer of the program's own.
    Custom(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(_) => f.write_str("frame is not valid JSON"),
            Self::NotArray => f.write_str("frame is not a JSON array"),
            Self::TooFewElements { found } => write!(f, "frame has {found} elements instead of five"),
            Self::NotObject => f.write_str("frame is not a JSON object"),
            Self::MissingKey(field) => write!(f, "frame has no key \"{field}\""),
            Self::NotText(_) => f.write_str("frame is not UTF-8 text"),
            Self::Truncated { expected, found } => {
                write!(f, "frame has {found} bytes where at least {expected} are announced")
            }
            Self::UnknownKind(kind) => write!(f, "frame is of kind {kind}, which clients do not send"),
            Self::FieldNotText { field, .. } => write!(f, "{field} of the frame is not UTF-8 text"),
            Self::Custom(_) => f.write_str("frame was refused by its serializer"),
        }
    }
}

impl Error for DecodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::NotText(error) | Self::FieldNotText { source: error, .. } => Some(error),
            Self::Custom(error) => Some(&**error),
            _ => None,
        }
    }
}

/// The reason why a message cannot become a frame. Nothing is sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum EncodeError {
    /// A value could not be written as JSON.
    Json(serde_json::Error),
    /// V2 pushes and broadcasts only JSON objects and bytes. Replies may carry any JSON.
    NotObject,
    /// The serializer cannot carry bytes: it writes text only.
    BinaryPayload,
    /// The event has a name that is the protocol's own, or presence's, see [`event`](super::event).
    ReservedEvent,
    /// A field of a binary frame has at most 255 bytes.
    FieldTooLong {
        /// Which one.
        field: Field,
        /// How many bytes it has.
        len: usize,
    },
    /// An error of a serializer of the program's own.
    Custom(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(_) => f.write_str("value cannot be written as JSON"),
            Self::NotObject => {
                f.write_str("payload of a push or broadcast is neither a JSON object nor bytes")
            }
            Self::BinaryPayload => f.write_str("payload is bytes, which this serializer cannot carry"),
            Self::ReservedEvent => f.write_str("the event's name is reserved"),
            Self::FieldTooLong { field, len } => {
                write!(f, "{field} is {len} bytes long, and a binary frame takes at most 255")
            }
            Self::Custom(_) => f.write_str("message was refused by its serializer"),
        }
    }
}

impl Error for EncodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::Custom(error) => Some(&**error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_lower_case_and_name_the_field() {
        let error = EncodeError::FieldTooLong { field: Field::JoinRef, len: 256 };
        assert_eq!(error.to_string(), "join_ref is 256 bytes long, and a binary frame takes at most 255");
        assert_eq!(DecodeError::MissingKey(Field::Ref).to_string(), "frame has no key \"ref\"");
    }

    #[test]
    fn a_field_is_called_as_on_the_wire() {
        let fields = [Field::JoinRef, Field::Ref, Field::Topic, Field::Event, Field::Payload, Field::Status];
        let names = ["join_ref", "ref", "topic", "event", "payload", "status"];
        assert_eq!(fields.map(|field| field.to_string()), names);
    }

    #[test]
    fn causes_are_sources() {
        let cause = || serde_json::from_str::<u8>("x").unwrap_err();
        let no_text = || String::from_utf8(vec![0xff]).unwrap_err().utf8_error();
        assert!(DecodeError::NotText(no_text()).source().is_some());
        assert!(DecodeError::FieldNotText { field: Field::Ref, source: no_text() }.source().is_some());
        assert!(DecodeError::Json(cause()).source().is_some());
        assert!(EncodeError::Json(cause()).source().is_some());
        assert!(DecodeError::Custom("mine".into()).source().is_some());
        assert!(EncodeError::Custom("mine".into()).source().is_some());
        assert!(DecodeError::NotArray.source().is_none());
        assert!(EncodeError::NotObject.source().is_none());
    }
}
