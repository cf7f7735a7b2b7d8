//! Nodes in one process: endpoints on real sockets that carry requests to each other.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http::Request;
use http_body_util::BodyExt as _;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use lapwing_transports::{
    close::CloseReason,
    connect::{ConnectRequest, PathVariables, Refusal, Transport},
    elsewhere::{CarriedBody, CarriedSocket, Carrying, CarryingSocket, Elsewhere, NotCarried, TAG_BYTES},
    endpoint::Endpoint,
    frame::Message,
    handler::Handler,
    live::LiveSession,
    options::TransportOptions,
};

/// What all nodes have handed on, in order, and what ended.
#[derive(Clone, Default)]
pub(crate) struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    pub(crate) fn notes(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn note(&self, note: String) {
        self.0.lock().unwrap().push(note);
    }
}

/// The handler of one node.
pub(crate) struct Noting(u64, Diary);

impl Handler for Noting {
    type State = ();

    async fn connect(&self, _: ConnectRequest) -> Result<(), Refusal> {
        Ok(())
    }

    fn received(&self, _: &Arc<LiveSession<()>>, message: Message<'_>) -> Result<(), CloseReason> {
        let Message::Text(text) = message else { return Err(CloseReason::BadMessage) };
        self.1.note(format!("{}: {text}", self.0));
        Ok(())
    }

    fn closed(&self, _: &Arc<LiveSession<()>>, reason: CloseReason) {
        self.1.note(format!("{}: closed {}", self.0, reason.word()));
    }
}

type Endpoints = Arc<Mutex<HashMap<u64, Endpoint<Noting>>>>;

/// The way of one node to the others.
struct Way {
    here: u64,
    endpoints: Endpoints,
}

impl Way {
    fn to(&self, node: u64) -> Result<Endpoint<Noting>, NotCarried> {
        self.endpoints.lock().unwrap().get(&node).cloned().ok_or(NotCarried::Gone)
    }
}

impl Elsewhere for Way {
    fn here(&self) -> u64 {
        self.here
    }

    fn tag(&self, _: &[u8]) -> [u8; TAG_BYTES] {
        [1; TAG_BYTES]
    }

    fn is_reachable(&self) -> bool {
        true
    }

    fn carry(&self, owner: u64, transport: Transport, request: Request<CarriedBody>) -> Carrying {
        let (endpoint, by) = (self.to(owner), self.here);
        let request = request.map(|body| body.map_err(|error| std::io::Error::other(error.to_string())));
        Box::pin(async move {
            match endpoint?.serve_carried(transport, request, PathVariables::default(), by).await {
                Ok(response) => Ok(response),
                Err(never) => match never {},
            }
        })
    }

    fn carry_socket(&self, owner: u64, socket: CarriedSocket) -> CarryingSocket {
        let (endpoint, by) = (self.to(owner), self.here);
        Box::pin(async move {
            match endpoint {
                Ok(endpoint) => {
                    endpoint.serve_socket(socket, PathVariables::default(), by);
                    Ok(())
                }
                Err(why) => Err((why, socket.io)),
            }
        })
    }
}

/// Some nodes, with what they note.
pub(crate) struct Cluster {
    pub(crate) diary: Diary,
    endpoints: Endpoints,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self { diary: Diary::default(), endpoints: Endpoints::default() }
    }

    /// Starts a node, and says where it listens.
    pub(crate) async fn start(&self, node: u64) -> (Endpoint<Noting>, SocketAddr) {
        let way = Way { here: node, endpoints: self.endpoints.clone() };
        let handler = Noting(node, self.diary.clone());
        let endpoint = Endpoint::among(handler, TransportOptions::default(), Arc::new(way));
        self.endpoints.lock().unwrap().insert(node, endpoint.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = endpoint.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), serving).await;
                });
            }
        });
        (endpoint, address)
    }

    /// No node can be reached any more by the others.
    pub(crate) fn part(&self) {
        self.endpoints.lock().unwrap().clear();
    }
}
