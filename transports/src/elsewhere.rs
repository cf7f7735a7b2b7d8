//! Other nodes that may have the sessions of requests that come here: tokens that name their node, and what is carried to it.
//!
//! A server that is one node has none of this: its tokens name nobody, and every request is for it.

use std::{error::Error, fmt, pin::Pin, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::combinators::UnsyncBoxBody;
use subtle::ConstantTimeEq as _;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{connect::Transport, dialect::token::Token, http::body::Body};

/// Bytes of the tag that proves that a node of the cluster has made a token. It only keeps made-up tokens from costing anything; the
/// session's own secret is behind it.
pub const TAG_BYTES: usize = 8;

/// The way to the other nodes. The program implements it; see [`Endpoint::among`](crate::endpoint::Endpoint::among).
pub trait Elsewhere: Send + Sync + 'static {
    /// The number of this start of this node, which its tokens name.
    fn here(&self) -> u64;

    /// The tag of a token, the same on all nodes.
    fn tag(&self, token: &[u8]) -> [u8; TAG_BYTES];

    /// Whether requests come here from other nodes. While they do not, a client that reaches one of those is not heard, and its silence does not
    /// count.
    fn is_reachable(&self) -> bool;

    /// Carries a request to the node that has its session. Dropping the future, or the body of the answer, ends it.
    fn carry(&self, owner: u64, transport: Transport, request: Request<CarriedBody>) -> Carrying;

    /// Carries a WebSocket there, until one of both ends it.
    fn carry_socket(&self, owner: u64, socket: CarriedSocket) -> CarryingSocket;

    /// The time for which a stream of a session may come by way of another node before the session is to follow it there, see
    /// [`Endpoint::staying`](crate::endpoint::Endpoint::staying). One that does not is named again after twice that time, then after four times, up to 64. By
    /// default none is.
    fn follow_after(&self) -> Option<Duration> {
        None
    }

    /// The node that has a session now of which the token says that it is the one with this number of `owner`, if it has gone from there to another
    /// one. By default nobody knows, and `owner` is asked.
    fn heir(&self, owner: u64, serial: u64) -> Option<u64> {
        let _ = (owner, serial);
        None
    }
}

/// The body of a request that is carried.
pub type CarriedBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// The future of its answer.
pub type Carrying = Pin<Box<dyn Future<Output = Result<Response<Body>, NotCarried>> + Send>>;

/// The future of a WebSocket that is carried. One that cannot be gets its connection back, to be told why.
pub type CarryingSocket = Pin<Box<dyn Future<Output = Result<(), (NotCarried, Box<dyn Socket>)>> + Send>>;

/// The reason why a request is not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCarried {
    /// The node is gone, and the session with it.
    Gone,
    /// It cannot be reached for now.
    Later,
}

/// A connection that was upgraded.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Socket for T {}

/// A WebSocket of which the first message was read.
pub struct CarriedSocket {
    /// The head of the request that it began with.
    pub parts: Parts,
    /// The auth token that came with it.
    pub auth_token: Option<String>,
    /// The first message.
    pub line: String,
    /// The bytes that were read behind it.
    pub early: Vec<u8>,
    /// The base-2 logarithm of the window of the client's inflater; 0 without permessage-deflate.
    pub window_bits: u8,
    /// The connection.
    pub io: Box<dyn Socket>,
}

impl fmt::Debug for CarriedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The line has the session's token in it.
        f.debug_struct("CarriedSocket").finish_non_exhaustive()
    }
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Session = 1,
    Polled = 2,
    Ticket = 3,
}

/// Whose session a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// This node's, if there is one.
    Here,
    /// That node's.
    Of(u64),
}

/// Bytes of a token at most.
pub(crate) const TOKEN_BYTES_MAX: usize = HEAD_BYTES + 32 + TAG_BYTES;

/// Bytes before what a token says: its kind and its node.
const HEAD_BYTES: usize = 1 + 8;

/// Makes texts of tokens, and reads them.
///
/// ```text
/// what it says                                       on a server that is one node
/// kind u8 · node u64 · what it says · tag            in a cluster, all of it under the tag
/// ```
#[derive(Clone, Default)]
pub(crate) struct Marks(Option<Arc<dyn Elsewhere>>);

impl Marks {
    pub(crate) fn new(elsewhere: Option<Arc<dyn Elsewhere>>) -> Self {
        Self(elsewhere)
    }

    /// The way to the other nodes, if there are any.
    pub(crate) fn elsewhere(&self) -> Option<&Arc<dyn Elsewhere>> {
        self.0.as_ref()
    }

    /// The number of this node, of which it makes no difference what it is where there are no others.
    pub(crate) fn here(&self) -> u64 {
        self.0.as_ref().map_or(0, |elsewhere| elsewhere.here())
    }

    /// The node that the token of a session names, and what it says.
    pub(crate) fn session(&self, text: &str) -> Option<(u64, Token)> {
        let mut bytes = [0; TOKEN_BYTES_MAX + 2];
        let (whose, says) = self.read(Kind::Session, text, &mut bytes)?;
        let node = match whose {
            Whose::Here => self.here(),
            Whose::Of(node) => node,
        };
        Some((node, Token::of_bytes(says)?))
    }

    pub(crate) fn write(&self, kind: Kind, says: &[u8]) -> String {
        self.write_of(self.here(), kind, says)
    }

    /// The same of another node.
    pub(crate) fn write_of(&self, node: u64, kind: Kind, says: &[u8]) -> String {
        let Some(elsewhere) = &self.0 else { return URL_SAFE_NO_PAD.encode(says) };
        let mut bytes = Vec::with_capacity(TOKEN_BYTES_MAX);
        bytes.push(kind as u8);
        bytes.extend_from_slice(&node.to_be_bytes());
        bytes.extend_from_slice(says);
        let tag = elsewhere.tag(&bytes);
        bytes.extend_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a token says, and whose it is. One without a mark is this node's: it may be from before there was a cluster.
    pub(crate) fn read<'b>(
        &self,
        kind: Kind,
        text: &str,
        buffer: &'b mut [u8; TOKEN_BYTES_MAX + 2],
    ) -> Option<(Whose, &'b [u8])> {
        let len = URL_SAFE_NO_PAD.decode_slice(text, buffer).ok()?;
        let bytes = &buffer[..len];
        let Some(elsewhere) = &self.0 else { return Some((Whose::Here, bytes)) };
        if !kind.is_marked(len) {
            return Some((Whose::Here, bytes));
        }
        let (marked, tag) = bytes.split_at(len - TAG_BYTES);
        let is_ours: bool = elsewhere.tag(marked).ct_eq(tag).into();
        let (head, says) = marked.split_at(HEAD_BYTES);
        if !is_ours || head[0] != kind as u8 {
            return None;
        }
        let node = u64::from_be_bytes(head[1..].try_into().ok()?);
        let whose = if node == elsewhere.here() { Whose::Here } else { Whose::Of(node) };
        Some((whose, says))
    }

    /// The other node that a token names; none for this one's, and for what is no token.
    pub(crate) fn owner(&self, kind: Kind, text: &str) -> Option<u64> {
        self.0.as_ref()?;
        match self.read(kind, text, &mut [0; TOKEN_BYTES_MAX + 2])? {
            (Whose::Of(owner), _) => Some(owner),
            (Whose::Here, _) => None,
        }
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Marks").field(&self.0.as_ref().map(|elsewhere| elsewhere.here())).finish()
    }
}

impl Kind {
    /// Whether a token of so many bytes names its node.
    fn is_marked(self, len: usize) -> bool {
        let says: &[usize] = match self {
            Self::Session => &[28],
            Self::Polled => &[20, 28],
            Self::Ticket => &[32],
        };
        says.iter().any(|says| len == HEAD_BYTES + says + TAG_BYTES)
    }
}

/// Is among the extensions of a request that another node has carried here: it goes no further.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carried {
    /// The number of that node.
    pub(crate) by: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Node(u64, u8);

    impl Elsewhere for Node {
        fn here(&self) -> u64 {
            self.0
        }

        fn tag(&self, token: &[u8]) -> [u8; TAG_BYTES] {
            [token.iter().fold(self.1, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte)); TAG_BYTES]
        }

        fn is_reachable(&self) -> bool {
            true
        }

        fn carry(&self, _: u64, _: Transport, _: Request<CarriedBody>) -> Carrying {
            Box::pin(async { Err(NotCarried::Later) })
        }

        fn carry_socket(&self, _: u64, socket: CarriedSocket) -> CarryingSocket {
            Box::pin(async { Err((NotCarried::Later, socket.io)) })
        }
    }

    fn marks(node: u64, secret: u8) -> Marks {
        Marks::new(Some(Arc::new(Node(node, secret))))
    }

    fn read(marks: &Marks, kind: Kind, text: &str) -> Option<(Whose, Vec<u8>)> {
        let mut buffer = [0; TOKEN_BYTES_MAX + 2];
        marks.read(kind, text, &mut buffer).map(|(whose, says)| (whose, says.to_vec()))
    }

    #[test]
    fn a_token_names_its_node_to_all_nodes_and_nobody_else_can_make_one() {
        let (one, two, stranger) = (marks(1, 7), marks(2, 7), marks(2, 8));
        for (kind, says) in [(Kind::Session, 28), (Kind::Polled, 20), (Kind::Polled, 28), (Kind::Ticket, 32)]
        {
            let says = vec![9; says];
            let text = one.write(kind, &says);
            assert_eq!(read(&one, kind, &text), Some((Whose::Here, says.clone())));
            assert_eq!(read(&two, kind, &text), Some((Whose::Of(1), says)));
            assert_eq!((one.owner(kind, &text), two.owner(kind, &text)), (None, Some(1)));
            assert_eq!(read(&stranger, kind, &text), None);
            for at in 0..text.len() {
                let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
                let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
                // The last character has bits that say nothing, and have to be zero.
                assert_eq!(read(&two, kind, &changed), None, "{at}");
            }
        }
        let polled = one.write(Kind::Polled, &[9; 28]);
        assert_eq!(read(&one, Kind::Session, &polled), None, "it is for something else");
    }

    #[test]
    fn a_token_without_a_mark_is_this_nodes_and_without_a_cluster_there_is_none() {
        let alone = Marks::default();
        let text = alone.write(Kind::Session, &[9; 28]);
        assert_eq!(text.len(), 38);
        for marks in [alone, marks(1, 7)] {
            assert_eq!(read(&marks, Kind::Session, &text), Some((Whose::Here, vec![9; 28])));
            assert_eq!(marks.owner(Kind::Session, &text), None);
        }
        assert_eq!(marks(1, 7).write(Kind::Session, &[9; 28]).len(), 60);
    }
}
