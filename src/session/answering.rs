//! The answers to what a client sent to a join, from its channel or in its place.

use crate::{
    join::{Join, Packing, mailbox::ChannelMailbox, refs::Refs},
    occasionally::occasionally,
    protocol::{EncodeError, Outgoing, Payload, Ref},
};

/// Sends a reply that the library itself makes, or one of a join callback: those may bring tokens, and the one that lets a client in
/// is sent with the topic's members locked. So none is compressed.
pub(super) fn answer(join: &Join, refs: &Refs, status: &str, response: &Payload) {
    let refs = (refs.join_ref.as_ref(), refs.reference.as_ref());
    let result = send_reply(join, Packing::AsItIs, refs, status, response);
    log_encoding(join, result);
}

/// Sends the ok to a join: a state that is told later does not come before it, in the place of one that an older join was told.
pub(super) fn answer_ok(join: &Join, refs: &Refs, response: &Payload) {
    let Refs { join_ref, reference } = refs;
    let (join_ref, reference) = (join_ref.as_ref(), reference.as_ref());
    let topic = (&join.topic).into();
    let result = join.send_first(Outgoing::Reply { join_ref, reference, topic, status: "ok", response });
    log_encoding(join, result);
}

fn log_encoding(join: &Join, result: Result<(), EncodeError>) {
    if let Err(error) = result {
        let topic = join.quoted_topic();
        occasionally!(join.log().encodings, error, %error, %topic, "reply could not be encoded");
    }
}

fn send_reply(
    join: &Join,
    packing: Packing,
    (join_ref, reference): (Option<&Ref>, Option<&Ref>),
    status: &str,
    response: &Payload,
) -> Result<(), EncodeError> {
    let topic = (&join.topic).into();
    join.send_in(packing, Outgoing::Reply { join_ref, reference, topic, status, response })
}

/// Answers an event that a callback has handled, if it wants an answer and has none.
///
/// # Errors
/// The cause for which the join has to end, if the reply cannot be encoded.
pub(super) fn respond(
    join: &Join,
    packing: Packing,
    answers: Option<Option<Ref>>,
    status: &str,
    payload: &Payload,
) -> Result<(), String> {
    let Some(reference) = answers else { return Ok(()) };
    let refs = (join.join_ref.as_ref(), reference.as_ref());
    send_reply(join, packing, refs, status, payload).map_err(|error| {
        let (topic, channel) = (join.quoted_topic(), join.kind().name());
        occasionally!(join.log().encodings, error, %error, %topic, channel, "reply could not be encoded");
        error.to_string()
    })
}

/// Answers what the client sent behind the end of its join, as it would be answered a moment later.
pub(super) fn turn_away(join: &Join) {
    while let Some(message) = join.take_left() {
        match message {
            ChannelMailbox::Event { reference, .. } => {
                let refs = Refs { join_ref: None, reference };
                answer(join, &refs, "error", &Payload::reason("unmatched topic"));
            }
            ChannelMailbox::Leave(reference) => {
                let refs = Refs { join_ref: join.join_ref.clone(), reference };
                answer(join, &refs, "ok", &Payload::empty());
            }
            _ => {}
        }
    }
}
