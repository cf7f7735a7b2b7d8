//! The seam between messages and frames.

use std::any::type_name;

use lapwing_transports::frame::{Frame, Message};

use super::{
    error::{DecodeError, EncodeError},
    message::ChannelMsg,
    name::NameRef,
    payload::Payload,
    reference::Ref,
};

/// Turns frames into messages and messages into frames, in one version of the wire.
///
/// [`V1`](super::V1), [`V2`](super::V2) and [`FiveKey`](super::FiveKey) are built in; others can be put into a
/// [`SerializerList`](super::SerializerList). A serializer has no state: one value serves all connections, and one
/// broadcast is encoded once for all the clients of a serializer.
///
/// ```
/// use lapwing::protocol::{ChannelMsg, DecodeError, EncodeError, Outgoing, Serializer, V2};
/// use lapwing_transports::frame::{Frame, Message};
///
/// /// V2 for clients that must not send bytes.
/// struct TextOnly;
///
/// impl Serializer for TextOnly {
///     fn decode(&self, message: Message<'_>) -> Result<ChannelMsg, DecodeError> {
///         match message {
///             Message::Text(_) => V2.decode(message),
///             Message::Binary(_) => Err(DecodeError::Custom("bytes are not welcome".into())),
///         }
///     }
///
///     fn encode(&self, outgoing: Outgoing<'_>) -> Result<Frame, EncodeError> {
///         V2.encode(outgoing)
///     }
/// }
///
/// assert!(TextOnly.decode(Message::Binary(&[0])).is_err());
/// ```
pub trait Serializer: Send + Sync + 'static {
    /// Reads what a client sent.
    ///
    /// # Errors
    ///
    /// If it is no message. The connection is closed, with all its joins.
    fn decode(&self, message: Message<'_>) -> Result<ChannelMsg, DecodeError>;

    /// Writes what a client is to get.
    ///
    /// # Errors
    ///
    /// If this wire cannot carry it. Nothing is sent; the one who wanted it sent is told.
    fn encode(&self, outgoing: Outgoing<'_>) -> Result<Frame, EncodeError>;

    /// The serializer's name in logs; its type, if nothing else is said.
    fn name(&self) -> &str {
        type_name::<Self>()
    }
}

/// A message to a client, in borrowed parts: nothing is cloned to send it.
///
/// ```
/// use lapwing::protocol::{Outgoing, Payload, Ref, Serializer, V2};
///
/// let join_ref = Ref::from("3");
/// let frame = V2.encode(Outgoing::Close { join_ref: Some(&join_ref), topic: "chess:42" })?;
/// assert_eq!(&frame.payload()[..], br#"["3","3","chess:42","phx_close",{}]"#);
/// # Ok::<(), lapwing::protocol::EncodeError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Outgoing<'a> {
    /// From one join to its client. It has no ref.
    Push {
        /// Which join.
        join_ref: Option<&'a Ref>,
        /// The topic.
        topic: &'a str,
        /// The event.
        event: &'a str,
        /// The payload: an object or bytes.
        payload: &'a Payload,
    },
    /// The answer to a message.
    Reply {
        /// The join that answers; `None` if none does, as for heartbeats and unmatched topics.
        join_ref: Option<&'a Ref>,
        /// The ref of the message.
        reference: Option<&'a Ref>,
        /// The topic of the message, which is perhaps no string.
        topic: NameRef<'a>,
        /// By convention `"ok"` or `"error"`.
        status: &'a str,
        /// The payload: any JSON, or bytes.
        response: &'a Payload,
    },
    /// From a topic to all its subscribers. It has no refs, so that all get the same frame.
    Broadcast {
        /// The topic.
        topic: &'a str,
        /// The event.
        event: &'a str,
        /// The payload: an object or bytes.
        payload: &'a Payload,
    },
    /// A broadcast on a kept topic, to all its subscribers that asked for positions: the place of a ref has where it is.
    Recorded {
        /// Where it is in the topic's history.
        at: &'a Ref,
        /// The topic.
        topic: &'a str,
        /// The event.
        event: &'a str,
        /// What it carries: an object or bytes. Where bytes leave no place for a ref, an event `_at` follows that has it.
        payload: &'a Payload,
    },
    /// The join ended in good order. The ref on the wire repeats the join_ref.
    Close {
        /// Which join.
        join_ref: Option<&'a Ref>,
        /// The topic.
        topic: &'a str,
    },
    /// The join ended because something went wrong. The ref on the wire repeats the join_ref.
    Error {
        /// Which join.
        join_ref: Option<&'a Ref>,
        /// The topic.
        topic: &'a str,
        /// A word for what went wrong; Phoenix says `channel_crash`.
        reason: &'a str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Mute;

    impl Serializer for Mute {
        fn decode(&self, _: Message<'_>) -> Result<ChannelMsg, DecodeError> {
            Err(DecodeError::Custom("it is mute".into()))
        }

        fn encode(&self, _: Outgoing<'_>) -> Result<Frame, EncodeError> {
            Err(EncodeError::Custom("it is mute".into()))
        }
    }

    #[test]
    fn a_serializer_that_says_no_name_is_called_by_its_type() {
        assert!(Mute.name().ends_with("::Mute"), "{}", Mute.name());
    }
}
