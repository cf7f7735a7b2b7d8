#![doc = include_str!("../docs/crate.md")]

// The rooms, each using only those to its right; those in braces do not use each other, those with * are pure:
//
// api ─ server ─ session ─ channel ─ join ─ node ─ {presence pubsub cluster journal} ─ topics ─ {protocol* metrics* occasionally sync} ─ topic*

pub mod api;
pub mod channel;
#[cfg(feature = "cluster")]
pub mod cluster;
#[cfg(not(feature = "cluster"))]
mod cluster;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(any(doc, doctest))]
pub mod guide;
mod join;
mod journal;
pub mod metrics;
#[cfg(doctest)]
mod mistakes;
#[cfg(all(test, shuttle))]
mod models;
mod node;
mod occasionally;
mod presence;
pub mod protocol;
pub mod pubsub;
mod server;
mod session;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
mod topic;
mod topics;

/// The crate whose types requests and refusals consist of, for programs that do not name it among their own.
pub use http;

pub use channel::{
    Channel, Receive,
    context::{Context, Joining, ReplyRef},
    failure::{Cause, Failure},
    into_state::IntoState,
    outcome::{HandleResult, Handled, StopReason, noreply, reply, stop},
    sender::{SendError, Sender},
    socket::{JoinInfo, Socket},
};
#[cfg(feature = "cluster")]
pub use cluster::{Cluster, ClusterOptions};
pub use cluster::{
    confirming::Confirming,
    error::{NotConfirmed, NotKept, TooLarge},
    question::{Everywhere, MemberOf, MembersEverywhere},
};
pub use join::{
    assigns::Assigns,
    leave_reason::LeaveReason,
    mailbox::{ChannelMailbox, MailboxLimits},
    push_error::PushError,
};
pub use journal::{Happening, JournalEntry};
#[cfg(feature = "deflate")]
pub use lapwing_transports::options::DeflateOptions;
pub use lapwing_transports::{
    body::Body,
    connect::{ConnectRequest, PeerAddr, Refusal},
    live::path::{PathFailure, PathReport},
    options::{LongpollOptions, ResumeOptions, SseOptions, WebsocketOptions, error::OptionError},
    origin::CheckOrigin,
    session::{
        backlog::Backlog,
        outbox::{OutboxLimits, Waiting},
    },
};
pub use node::BroadcastError;
pub use presence::{
    Count, PresenceError,
    options::PresenceOptions,
    typed::{Presence, PresenceDiff, PresenceState},
};
pub use protocol::{ChannelMsg, IntoPayload, Json, NameLimits, Payload};
pub use pubsub::Disconnect;
pub use server::{
    Builder, KeptStats, Lapwing, ResumesRefused, SlowStats, Stats,
    build_error::BuildError,
    drain::Drain,
    inspect::{SessionInfo, TopicInfo},
    mount::Mount,
    service::LapwingService,
    shutdown::ShutdownReport,
    status::StatusService,
    subscription::{Lagged, Subscription},
    tracked::Tracked,
    unknown_mount::UnknownMount,
};
pub use session::{
    accept::Accept,
    bucket::Rate,
    login::{ResumeRequest, TokenRequest},
    rates::Rates,
    router::ChannelRoute,
};
pub use topic::{PatternError, Topic, TopicPattern};
pub use topics::{
    MemberInfo,
    broadcast::{Broadcast, ChannelId, TransportId},
    gap::{Gap, GapCause},
    history::{HistoryError, NotRecovered, Read, Recovery},
    keep::Keep,
    position::{Position, PositionError},
    published::{Published, Sent},
    slow::SlowPolicy,
};

/// Modules of the crate [`lapwing_transports`] whose names a program needs: to serve connections itself, for services and serializers of its own,
/// and for values that it is given.
///
/// Who builds on sessions of frames without channels depends on that crate.
pub mod transports {
    #[cfg(feature = "deflate")]
    #[doc(hidden)]
    pub use lapwing_transports::deflate;
    // For the tests of this repository alone.
    pub use lapwing_transports::{
        body, close, connect, frame, http1, http2, options, origin, query, quoted, refusal, tcp,
    };
    #[doc(hidden)]
    pub use lapwing_transports::{
        budget, dialect, elsewhere, endpoint, handler, live, longpoll, policy, session, shrink, surrogates,
        tally, websocket,
    };
}
