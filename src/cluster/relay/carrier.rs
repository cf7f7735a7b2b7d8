//! Carries requests to the nodes that have their sessions.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::BytesMut;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use lapwing_cluster::{Instance, relay::RelayEnd};
use lapwing_cluster_driver::{Cluster, NotCarried as NotOpened, Relay};
use lapwing_transports::{
    body::Body,
    connect::Transport,
    elsewhere::{
        CarriedBody, CarriedSocket, Carrying, CarryingSocket, Elsewhere, NotCarried, Socket, TAG_BYTES,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf},
    time::timeout,
};
use tracing::debug;

use super::super::heirs::Heirs;
use super::{
    download::Download,
    head::{RequestHead, ResponseHead, SocketHead},
};

/// Bytes of a WebSocket that are read at once.
const READ_BYTES: usize = 2 * 1024;

/// How long a client may take for each piece of a WebSocket that came before its relay ended: one that does not read at all is not waited for.
const LAST_PIECE_TIMEOUT: Duration = Duration::from_secs(10);

/// The way to the other nodes, for one mount.
pub(crate) struct Carrier {
    cluster: Cluster,
    mount: Arc<str>,
    heirs: Arc<Heirs>,
    follow_after: Option<Duration>,
}

impl Carrier {
    pub(crate) fn new(
        cluster: Cluster,
        mount: &str,
        heirs: Arc<Heirs>,
        follow_after: Option<Duration>,
    ) -> Self {
        Self { cluster, mount: mount.into(), heirs, follow_after }
    }

    fn open(&self, owner: u64, head: &RequestHead) -> Result<Relay, NotCarried> {
        self.cluster.carry(Instance(owner), head.write()).map_err(|error| {
            debug!(owner = %Instance(owner), %error, "a request is not carried");
            match error {
                // One with such a head never will be, and its client can begin anew.
                NotOpened::Gone | NotOpened::TooLarge => NotCarried::Gone,
                _ => NotCarried::Later,
            }
        })
    }
}

impl Elsewhere for Carrier {
    fn here(&self) -> u64 {
        self.cluster.instance().0
    }

    fn tag(&self, token: &[u8]) -> [u8; TAG_BYTES] {
        self.cluster.tag(token)
    }

    fn is_reachable(&self) -> bool {
        self.cluster.is_up()
    }

    fn heir(&self, owner: u64, serial: u64) -> Option<u64> {
        self.heirs.of((owner, serial))
    }

    fn follow_after(&self) -> Option<Duration> {
        self.follow_after
    }

    fn carry(&self, owner: u64, transport: Transport, request: Request<CarriedBody>) -> Carrying {
        let (parts, body) = request.into_parts();
        let relay = self.open(owner, &RequestHead::of(&self.mount, transport, &parts, None));
        Box::pin(async move { answered(Arc::new(relay?), body).await })
    }

    fn carry_socket(&self, owner: u64, socket: CarriedSocket) -> CarryingSocket {
        let CarriedSocket { parts, auth_token, line, early, window_bits, io } = socket;
        let head = RequestHead::of(
            &self.mount,
            Transport::Websocket,
            &parts,
            Some(SocketHead { line, auth_token, window_bits }),
        );
        let relay = self.open(owner, &head);
        Box::pin(async move {
            match relay {
                Ok(relay) => carried(&relay, early, io).await,
                Err(why) => Err((why, io)),
            }
        })
    }
}

/// Sends the body up until the answer begins.
async fn answered(relay: Arc<Relay>, body: CarriedBody) -> Result<Response<Body>, NotCarried> {
    let head = {
        let mut upload = pin!(upload(&relay, body));
        tokio::select! {
            head = relay.recv() => head,
            client_left = &mut upload => match client_left {
                Err(ClientLeft) => return Err(NotCarried::Later),
                Ok(()) => relay.recv().await,
            },
        }
    };
    let head = head.map_err(not_carried)?.ok_or(NotCarried::Later)?;
    relay.used(head.len());
    let head = ResponseHead::read(&head).ok_or(NotCarried::Later)?;
    let body = Body::stream(Download::new(relay, head.length));
    head.response(body).ok_or(NotCarried::Later)
}

/// The client has left in the midst of its request.
struct ClientLeft;

async fn upload(relay: &Relay, mut body: CarriedBody) -> Result<(), ClientLeft> {
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(|_| ClientLeft)?.into_data() else { continue };
        if relay.send(bytes).await.is_err() {
            // Its end is told to who hears.
            return Ok(());
        }
    }
    relay.finish();
    Ok(())
}

fn not_carried(end: RelayEnd) -> NotCarried {
    debug!(?end, "a request that was carried has no answer");
    if end == RelayEnd::Gone { NotCarried::Gone } else { NotCarried::Later }
}

/// Carries bytes both ways until one side ends it. A client whose owner said nothing gets its connection back, to be told why.
async fn carried(
    relay: &Relay,
    early: Vec<u8>,
    io: Box<dyn Socket>,
) -> Result<(), (NotCarried, Box<dyn Socket>)> {
    let (mut read, mut write) = tokio::io::split(io);
    let unheard = {
        let (mut up, mut down) = (pin!(up(relay, early, &mut read)), pin!(down(relay, &mut write)));
        tokio::select! {
            end = &mut down => end,
            client_left = &mut up => match client_left {
                Err(ClientLeft) => None,
                Ok(()) => down.await,
            },
        }
    };
    match unheard {
        Some(end) => Err((not_carried(end), read.unsplit(write))),
        None => Ok(()),
    }
}

async fn up(relay: &Relay, early: Vec<u8>, read: &mut ReadHalf<Box<dyn Socket>>) -> Result<(), ClientLeft> {
    let mut bytes = BytesMut::from(&early[..]);
    drop(early);
    loop {
        if relay.send(bytes.split().freeze()).await.is_err() {
            return Ok(());
        }
        bytes.reserve(READ_BYTES);
        match read.read_buf(&mut bytes).await {
            Ok(0) => {
                relay.finish();
                return Ok(());
            }
            Ok(_) => {}
            Err(_) => return Err(ClientLeft),
        }
    }
}

/// Writes a piece to the client. Returns whether it is there to get it.
async fn written(relay: &Relay, write: &mut WriteHalf<Box<dyn Socket>>, bytes: &[u8]) -> bool {
    let mut writing = pin!(async {
        write.write_all(bytes).await?;
        write.flush().await
    });
    tokio::select! {
        biased;
        written = &mut writing => written.is_ok(),
        () = relay.ended() => timeout(LAST_PIECE_TIMEOUT, writing).await.is_ok_and(|written| written.is_ok()),
    }
}

/// Returns how the relay ended, if nothing came by it.
async fn down(relay: &Relay, write: &mut WriteHalf<Box<dyn Socket>>) -> Option<RelayEnd> {
    let mut is_heard = false;
    loop {
        match relay.recv().await {
            Ok(Some(bytes)) => {
                is_heard = true;
                if !written(relay, write, &bytes).await {
                    return None;
                }
                relay.used(bytes.len());
            }
            Ok(None) => {
                // A client that is gone need not be told.
                let _ = write.shutdown().await;
                return None;
            }
            Err(end) => return (!is_heard).then_some(end),
        }
    }
}
