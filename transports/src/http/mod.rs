//! Requests and answers, whatever session they are about: bodies, heads, queries, origins, refusals.

pub(crate) mod answer;
pub mod body;
pub(crate) mod encoding;
pub(crate) mod head;
pub(crate) mod heard_out;
pub mod origin;
pub mod query;
pub mod refusal;
