#![doc = include_str!("../README.md")]

mod assigns;
mod broadcast;
pub mod channel;
mod client;
mod connect;
mod hub;
mod join;
mod joins;
pub mod mailbox;
mod mount;
mod node;
mod path;
pub mod protocol;
pub mod pubsub;
mod router;
mod server;
mod service;
mod socket;
mod subscription;
mod task;
mod text_only;
mod topic;
mod topics;
mod tracker;

pub use assigns::Assigns;
pub use broadcast::{Broadcast, ChannelId, TransportId};
pub use channel::{Channel, HandleResult, LeaveReason, StopReason, noreply, reply, stop};
pub use connect::Accept;
pub use lapwing_transports::{
    self as transports,
    body::Body,
    connect::{ConnectRequest, PeerAddr, Refusal},
    options::{LongpollOptions, WebsocketOptions},
    origin::CheckOrigin,
    outbox::OutboxLimits,
};
pub use mount::{Drain, Mount};
pub use node::BroadcastError;
pub use protocol::{ChannelMsg, Payload};
pub use router::ChannelRoute;
pub use server::{BuildError, Builder, Lapwing, Stats};
pub use service::Service;
pub use socket::{JoinInfo, Joining, Pushed, ReplyRef, SendError, Sender, Socket, new_socket};
pub use subscription::{Lagged, Subscription};
pub use topic::{PatternError, Topic, TopicPattern};
pub use tracker::{Count, PresenceError, PresenceOptions};
