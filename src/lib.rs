#![doc = include_str!("../README.md")]

mod assigns;
mod broadcast;
mod build_error;
pub mod channel;
mod client;
mod connect;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod hub;
#[cfg(shuttle)]
#[cfg(test)]
mod interleavings;
mod join;
mod joins;
pub mod mailbox;
mod mount;
mod names;
mod nobody;
mod node;
mod occasionally;
mod outcome;
mod path;
mod presence;
pub mod protocol;
pub mod pubsub;
mod router;
mod sender;
mod server;
mod service;
mod socket;
mod subscription;
mod sync;
mod task;
mod text_only;
mod topic;
mod topics;
mod tracker;

pub use assigns::Assigns;
pub use broadcast::{Broadcast, ChannelId, TransportId};
pub use build_error::BuildError;
pub use channel::Channel;
pub use connect::Accept;
pub use lapwing_transports::{
    self as transports,
    body::Body,
    connect::{ConnectRequest, PeerAddr, Refusal},
    options::{LongpollOptions, ResumeOptions, SseOptions, WebsocketOptions},
    origin::CheckOrigin,
    outbox::OutboxLimits,
};
pub use mount::{Drain, Mount};
pub use names::NameLimits;
pub use node::BroadcastError;
pub use outcome::{HandleResult, LeaveReason, StopReason, noreply, reply, stop};
pub use presence::{Presence, PresenceDiff, PresenceState, Tracked};
pub use protocol::{ChannelMsg, Payload};
pub use router::ChannelRoute;
pub use sender::{SendError, Sender};
pub use server::{Builder, Lapwing, ResumesRefused, Stats};
pub use service::Service;
pub use socket::{JoinInfo, Joining, Pushed, ReplyRef, Socket, new_socket};
pub use subscription::{Lagged, Subscription};
pub use topic::{PatternError, Topic, TopicPattern};
pub use tracker::{Count, PresenceError, PresenceOptions};
