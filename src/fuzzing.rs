//! Doors for the fuzzer to what is private. There is nothing of it in an ordinary build.

use lapwing_presence::{Config, Owner, Presences, ReplicaId};

use crate::{
    api::{Get, Operation, Post},
    presence::json,
    protocol::{Payload, RawJson},
    session::moving::{About, Cuts},
};

/// Who is present on a topic, as a client is told: each key tracked with each meta, and then with the next one in its
/// place. Metas that are no JSON objects are left out, as the tracker does.
pub fn presence_state(keys: &[&str], metas: &[&str]) -> Payload {
    let mut presences = Presences::new(ReplicaId::new(1, 1), Config::default().shards(1));
    let metas: Vec<_> =
        metas.iter().filter_map(|meta| RawJson::new(meta).ok()).filter(RawJson::is_object).collect();
    for key in keys {
        for (owner, meta) in metas.iter().enumerate() {
            let owner = Owner(owner as u64);
            // A key that comes twice is there already.
            let _ = presences.track("topic", key, owner, b"{}");
            let _ = presences.update("topic", key, owner, meta.as_str().as_bytes());
        }
    }
    json::state(presences.list("topic"), &Default::default())
}

/// Reads the body or the query of an operation of the HTTP API, by its number. How many messages it publishes, or the field and the sentence of
/// the refusal.
///
/// # Errors
/// What the client is told.
pub fn api_request(operation: usize, request: &[u8]) -> Result<usize, (Option<String>, String)> {
    let operation = Operation::ALL[operation % Operation::ALL.len()];
    let read = if operation.is_post() {
        Post::read(operation, request, 100).map(|post| post.messages())
    } else {
        let query = std::str::from_utf8(request).unwrap_or_default();
        Get::read(operation, query, 100).map(|_| 0)
    };
    read.map_err(|refused| (refused.field, refused.message))
}

/// Reads what a node says about a session that is to come from there. How much the parameters of its joins take.
pub fn about_move(bytes: &[u8]) -> Option<usize> {
    serde_json::from_slice::<About>(bytes).ok()?.unpack()
}

/// How far each join has heard its topics, as it is written again after it was read.
pub fn cuts(bytes: &[u8]) -> Option<Vec<u8>> {
    serde_json::to_vec(&Cuts::read(bytes)?).ok()
}
