//! The Phoenix wire: messages, their fields, and the serializers between messages and frames.
//!
//! Everything here is pure. A [`Serializer`] turns a [`Message`] that came in into a [`ChannelMsg`], and an
//! [`Outgoing`] into a [`Frame`]; [`SerializerList`] picks the one that a client asked for with `vsn`. Payloads
//! pass through as the text or bytes they arrived as: they are validated once and never written anew.
//!
//! ```
//! use lapwing::protocol::{Outgoing, Payload, SerializerList};
//! use lapwing_transports::frame::Message;
//!
//! let serializer = SerializerList::default().select("2.0.0").expect("2.0.0 is built in");
//! let msg = serializer.decode(Message::Text(r#"["3","4","chess:42","move",{"to":"e4"}]"#))?;
//! assert_eq!(msg.topic, "chess:42");
//!
//! let reply = serializer.encode(Outgoing::Reply {
//!     join_ref: msg.join_ref.as_ref(),
//!     reference: msg.reference.as_ref(),
//!     topic: msg.topic.as_ref(),
//!     status: "ok",
//!     response: &Payload::empty(),
//! })?;
//! assert_eq!(&reply.payload()[..], br#"["3","4","chess:42","phx_reply",{"response":{},"status":"ok"}]"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Frame`]: lapwing_transports::frame::Frame
//! [`Message`]: lapwing_transports::frame::Message

mod error;
mod escape;
pub mod event;
mod five_key;
mod into_payload;
mod message;
mod name;
pub(crate) mod name_limits;
mod object;
mod payload;
mod payload_error;
mod raw_json;
mod reference;
mod serializer;
mod serializer_list;
mod text;
mod v1;
mod v2;
mod v2_binary;
mod v2_text;

pub use error::{DecodeError, EncodeError, Field};
pub use five_key::{FiveKey, parse, serialize};
pub use into_payload::{IntoPayload, Json};
pub use message::{ChannelMsg, close_msg, error_msg, make_msg, reply_msg};
pub use name::{Name, NameRef};
pub use name_limits::NameLimits;
pub use payload::Payload;
pub use payload_error::PayloadError;
pub use raw_json::RawJson;
pub use reference::Ref;
pub use serializer::{Outgoing, Serializer};
pub use serializer_list::SerializerList;
pub use v1::V1;
pub use v2::V2;
