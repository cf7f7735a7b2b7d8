//! How long the names may be that a client gives to things.

use lapwing_transports::quoted::Quoted;

use crate::protocol::{ChannelMsg, Field, Name, NameRef, Ref};

/// Bounds of the bytes of names in a client's message. A message with a longer one is answered with an error.
///
/// A join keeps its topic and its ref for as long as it lives, and an event waits in a mailbox with its name and its ref:
/// without a bound of their own they could be as long as a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct NameLimits {
    pub(crate) topic_bytes_max: usize,
    pub(crate) event_bytes_max: usize,
    pub(crate) ref_bytes_max: usize,
}

impl NameLimits {
    /// The defaults.
    pub const fn new() -> Self {
        Self { topic_bytes_max: 1_024, event_bytes_max: 255, ref_bytes_max: 255 }
    }

    /// Bytes of a topic. Default 1,024, four times what a binary frame of Phoenix's can carry.
    pub const fn topic_bytes_max(mut self, bytes: usize) -> Self {
        self.topic_bytes_max = bytes;
        self
    }

    /// Bytes of an event's name. Default 255: programs choose these names, and binary frames carry no longer ones.
    pub const fn event_bytes_max(mut self, bytes: usize) -> Self {
        self.event_bytes_max = bytes;
        self
    }

    /// Bytes of a ref and of a join_ref, as JSON. Default 255; Phoenix's clients count from 1.
    pub const fn ref_bytes_max(mut self, bytes: usize) -> Self {
        self.ref_bytes_max = bytes;
        self
    }

    /// The first field of a message that is too long.
    pub(crate) fn too_long(&self, msg: &ChannelMsg) -> Option<Field> {
        let of_ref =
            |reference: &Option<Ref>| reference.as_ref().map_or(0, |reference| reference.as_json().len());
        [
            (Field::JoinRef, of_ref(&msg.join_ref), self.ref_bytes_max),
            (Field::Ref, of_ref(&msg.reference), self.ref_bytes_max),
            (Field::Topic, bytes_of(&msg.topic), self.topic_bytes_max),
            (Field::Event, bytes_of(&msg.event), self.event_bytes_max),
        ]
        .into_iter()
        .find_map(|(field, bytes, bytes_max)| (bytes > bytes_max).then_some(field))
    }
}

impl Default for NameLimits {
    fn default() -> Self {
        Self::new()
    }
}

/// A name as a log shows it.
pub(crate) fn quoted(name: &Name) -> Quoted<'_> {
    Quoted::new(match name.as_ref() {
        NameRef::Text(text) => text,
        NameRef::Json(json) => json.as_str(),
    })
}

/// Bytes of a name; of one that is no string those of its JSON.
pub(crate) fn bytes_of(name: &Name) -> usize {
    match name.as_ref() {
        NameRef::Text(text) => text.len(),
        NameRef::Json(json) => json.as_str().len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Payload, RawJson, make_msg};

    #[test]
    fn each_name_may_be_as_long_as_its_bound_and_no_longer() {
        let limits = NameLimits::new().topic_bytes_max(4).event_bytes_max(3).ref_bytes_max(5);
        let too_long = |join_ref: &str, reference: &str, topic: &str, event: &str| {
            let refs = [join_ref, reference].map(|plain| Some(Ref::from(plain)));
            let [join_ref, reference] = refs;
            limits.too_long(&make_msg(join_ref, reference, topic, event, Payload::from(vec![0; 100])))
        };
        // A ref is counted with its quotes.
        assert_eq!(too_long("123", "456", "room", "say"), None);
        assert_eq!(too_long("1234", "456", "room", "say"), Some(Field::JoinRef));
        assert_eq!(too_long("123", "4567", "room", "say"), Some(Field::Ref));
        assert_eq!(too_long("123", "456", "räum", "say"), Some(Field::Topic), "bytes, not characters");
        assert_eq!(too_long("123", "456", "room", "said"), Some(Field::Event));
        let json = Name::from(RawJson::new("[1,2]").unwrap());
        let msg = make_msg(None, None, json, "say", Payload::empty());
        assert_eq!(limits.too_long(&msg), Some(Field::Topic));
    }
}
