//! Replies that no channel makes.

use std::sync::Arc;

use tracing::debug;

use crate::{
    protocol::{ChannelMsg, NameRef, Outgoing, Payload, Ref, name_limits::quoted},
    session::client::Served,
};

/// Replies without a channel.
pub(crate) fn reply(
    session: &Arc<impl Served>,
    (join_ref, msg): (Option<&Ref>, &ChannelMsg),
    status: &str,
    response: &Payload,
) {
    let topic = NameRef::from(&msg.topic);
    let reply = Outgoing::Reply { join_ref, reference: msg.reference.as_ref(), topic, status, response };
    match session.client().serializer.encode(reply) {
        Ok(frame) => session.push_frame(frame),
        // One of the library's own, with names that the client chose.
        Err(error) => debug!(%error, topic = %quoted(&msg.topic), "reply could not be encoded"),
    }
}
