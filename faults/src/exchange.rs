//! The requests and responses of one connection, one after the other, and what is done to them.

use std::{io, time::Duration};

use bytes::BytesMut;
use tokio::time::{Instant, sleep_until, timeout};

use crate::{
    body::{Form, Framing},
    inlet::Inlet,
    life::Life,
    message::{Found, Request, own_response},
    outlet::Outlet,
    plan::Plan,
    response::{Answered, Relay},
    shared::Shared,
};

/// Both ends of a connection.
#[derive(Debug)]
pub(crate) struct Ends<'a> {
    pub(crate) client_in: Inlet,
    pub(crate) client_out: Outlet<'a>,
    pub(crate) server_in: Inlet,
    pub(crate) server_out: Outlet<'a>,
}

/// How a connection goes on after a request.
enum Next {
    /// With another request.
    Request,
    /// With bytes that are no HTTP.
    Tunnel,
    /// As a WebSocket.
    Websocket,
    /// Open, and in silence for as long as the client waits.
    Unanswered,
    /// It does not.
    Close,
}

impl Ends<'_> {
    /// Serves the connection until it has ended.
    ///
    /// # Errors
    /// If an end was reset: then the other should be, too.
    pub(crate) async fn serve(&mut self, shared: &Shared, life: &Life) -> io::Result<()> {
        while let Some(request) = self.next_request().await? {
            shared.tally.count_request(&request.method);
            let place = shared.requests.join();
            tokio::select! {
                () = place.turn() => {}
                () = shared.plan_with(|plan| !plan.one_request) => {}
            }
            let plan = shared.plan();
            match self.exchange(request, &plan).await? {
                Next::Request => {}
                Next::Tunnel => break,
                Next::Websocket => {
                    drop(place);
                    shared.tally.now().websockets += 1;
                    life.upgrade();
                    return if plan.mute_websockets { self.silence().await } else { self.tunnel().await };
                }
                // The request keeps its place, as it was not answered; nor does the client hear if the server
                // closes.
                Next::Unanswered => return self.client_in.discard().await,
                Next::Close => {
                    self.close().await;
                    return Ok(());
                }
            }
        }
        self.tunnel().await
    }

    /// Waits for a request; there is none where an end has closed, or speaks something else.
    async fn next_request(&mut self) -> io::Result<Option<Request>> {
        loop {
            match Request::take(&mut self.client_in.buffer) {
                Found::Head(request) => return Ok(Some(request)),
                Found::Foreign => return Ok(None),
                Found::Part => {}
            }
            let is_going_on = tokio::select! {
                has_more = self.client_in.fill() => has_more?,
                // Servers do not speak first, unless to say why they close.
                more = self.server_in.fill() => more.map(|_| false)?,
            };
            if !is_going_on {
                return Ok(None);
            }
        }
    }

    async fn exchange(&mut self, mut request: Request, plan: &Plan) -> io::Result<Next> {
        let began = Instant::now();
        match fate(&request, plan) {
            Fate::Swallowed => return Ok(Next::Unanswered),
            Fate::Answered(status) => {
                self.client_out.write(&own_response(status)).await?;
                return Ok(Next::Close);
            }
            Fate::Forwarded => {}
        }
        edit(&mut request, plan);
        self.server_out.write(request.head.as_bytes()).await?;

        let Self { client_in, client_out, server_in, server_out } = self;
        let sent_before = client_out.sent;
        let mut relay =
            Relay { method: &request.method, plan, server: &mut *server_in, client: &mut *client_out };
        let answered = tokio::select! {
            biased;
            answered = relay.run() => Some(answered?),
            error = upload(&mut request.framing, client_in, server_out) => return Err(error),
            () = over(plan.cap_response, began) => None,
        };
        let Some(answered) = answered else {
            if client_out.sent == sent_before {
                client_out.write(&own_response(504)).await?;
            }
            return Ok(Next::Close);
        };
        Ok(match answered {
            // The rest of the body would be taken for the next request.
            Answered::Whole if !request.framing.is_over() => Next::Close,
            Answered::Whole => Next::Request,
            Answered::Upgraded => Next::Websocket,
            Answered::Foreign => Next::Tunnel,
            Answered::Never => Next::Unanswered,
            Answered::Last => Next::Close,
        })
    }

    /// Passes on whatever comes, both ways, each until its end.
    async fn tunnel(&mut self) -> io::Result<()> {
        let Self { client_in, client_out, server_in, server_out } = self;
        tokio::try_join!(pass(client_in, server_out), pass(server_in, client_out))?;
        Ok(())
    }

    /// Swallows whatever comes until either end has closed.
    async fn silence(&mut self) -> io::Result<()> {
        tokio::select! {
            result = self.client_in.discard() => result,
            result = self.server_in.discard() => result,
        }
    }

    /// Says good-bye, and takes for a moment what the client may still be sending: a socket that is closed
    /// with unread bytes is reset, and with it goes what the client has not read.
    async fn close(&mut self) {
        self.server_out.shutdown().await;
        self.client_out.shutdown().await;
        // However it ends: nothing is done with this connection any more.
        let _ = timeout(LINGER, self.client_in.discard()).await;
    }
}

/// The decision about a request, made before anything else is done with it.
enum Fate {
    Forwarded,
    Answered(u16),
    Swallowed,
}

fn fate(request: &Request, plan: &Plan) -> Fate {
    if request.wants_upgrade {
        if plan.swallow_upgrade {
            return Fate::Swallowed;
        }
        if let Some(status) = plan.refuse_upgrade {
            return Fate::Answered(status);
        }
    }
    if plan.http10 && matches!(request.framing, Framing::Chunked(_)) {
        return Fate::Answered(411);
    }
    if plan.swallow_posts && request.method == "POST" { Fate::Swallowed } else { Fate::Forwarded }
}

fn edit(request: &mut Request, plan: &Plan) {
    if plan.strip_upgrade && request.wants_upgrade {
        request.head.remove(&["upgrade", "connection"]);
    }
    if plan.http10 {
        request.head.remove(&["connection", "upgrade", "keep-alive", "te", "expect"]);
        request.head.make_http10();
    }
}

/// Passes the body on to the server, then watches for the client's end. Ends only with the client's error.
async fn upload(framing: &mut Framing, client: &mut Inlet, server: &mut Outlet<'_>) -> io::Error {
    let mut bytes = BytesMut::new();
    loop {
        if let Err(error) = framing.advance(&mut client.buffer, &mut bytes, Form::Raw) {
            return error;
        }
        if server.write(&bytes).await.is_err() {
            // The server takes no more, but may have said why: what it says decides.
            return std::future::pending().await;
        }
        bytes.clear();
        if framing.is_over() && client.buffer.len() > NEXT_BYTES_MAX {
            return std::future::pending().await;
        }
        match client.fill().await {
            Ok(true) => {}
            Ok(false) => {
                server.shutdown().await;
                return std::future::pending().await;
            }
            Err(error) => return error,
        }
    }
}

async fn pass(from: &mut Inlet, to: &mut Outlet<'_>) -> io::Result<()> {
    loop {
        to.write(&from.buffer.split()).await?;
        if !from.fill().await? {
            to.shutdown().await;
            return Ok(());
        }
    }
}

async fn over(cap: Option<Duration>, began: Instant) {
    match cap {
        Some(cap) => sleep_until(began + cap).await,
        None => std::future::pending().await,
    }
}

/// How much a client may send ahead of its next turn.
const NEXT_BYTES_MAX: usize = 64 << 10;
const LINGER: Duration = Duration::from_millis(500);
