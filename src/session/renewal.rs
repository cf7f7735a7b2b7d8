//! New tokens and new connections: what the program says of a client that has a session already.
//!
//! ```text
//! ["", "7", "phoenix", "token", {"token": "…"}]   ──▶ Mount::on_token
//! [null, "7", "phoenix", "phx_reply", {"status": "ok", "response": {"expires_in": 3600000}}]
//! ```

use std::{sync::Arc, time::Duration};

use lapwing_transports::connect::{ConnectRequest, Refusal};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::{
    node::{Node, Task},
    protocol::{ChannelMsg, Payload, event},
    session::{
        accept::Accept,
        client::{Client, Served},
        deadlines::Deadlines,
        login::{Callbacks, ResumeRequest, TokenRequest},
        meter::Meter,
        reply::reply,
    },
};

/// Bytes of a token. What browsers and proxies take in a header is less.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// How long the program may take: as long as for a connect, by default.
const DECISION_TIME: Duration = Duration::from_secs(30);

/// What a mount's program says of its clients, and until when that is good.
pub(crate) struct Logins {
    pub(crate) callbacks: Callbacks,
    deadlines: Arc<Deadlines>,
    meter: Arc<Meter>,
}

#[derive(Deserialize)]
struct NewToken {
    token: String,
}

impl Logins {
    pub(crate) fn new(callbacks: Callbacks, meter: Arc<Meter>) -> Self {
        Self { callbacks, deadlines: Arc::default(), meter }
    }

    /// A session has begun: from now on its login may end.
    pub(crate) fn begin(&self, node: &Node, session: &Arc<impl Served>) {
        if let Some(until) = session.client().until() {
            set(&self.deadlines, node, session, until);
        }
    }

    /// Until when the login of a client is good, if that ends.
    pub(crate) fn until(&self, client: &Client) -> Option<Instant> {
        self.deadlines.of(client.transport_id)
    }

    /// A session is over.
    pub(crate) fn end(&self, client: &Client) {
        if client.until().is_some() || self.callbacks.on_token.is_some() {
            self.deadlines.forget(client.transport_id);
        }
    }

    /// Whether a message brings a new token to a mount that takes any.
    pub(crate) fn is_for(&self, msg: &ChannelMsg) -> bool {
        self.callbacks.on_token.is_some() && msg.topic == event::HEARTBEAT_TOPIC && msg.event == event::TOKEN
    }

    /// Shows the program a new token. Returns the task that waits for its decision and then answers.
    pub(crate) fn renew<S: Served>(
        &self,
        node: &Arc<Node>,
        session: &Arc<S>,
        msg: ChannelMsg,
    ) -> Option<Task> {
        let on_token = self.callbacks.on_token.clone()?;
        let refuse = |reason: &str| {
            self.meter.tokens.add("refused", 1);
            reply(session, (None, &msg), "error", &Payload::reason(reason));
            None
        };
        let token = match msg.payload.parse::<NewToken>() {
            Ok(NewToken { token }) if token.len() <= TOKEN_BYTES_MAX => token,
            Ok(_) => return refuse("the token is too long"),
            Err(_) => return refuse("a token is missing"),
        };
        let client = session.client();
        let id = client.socket_id().map(|id| id.as_str().to_owned());
        let mut state = client.state();
        if std::mem::replace(&mut state.is_renewing, true) {
            drop(state);
            return refuse("another token is being looked at");
        }
        let kept = client.luggage().map(|_| token.clone());
        let request = TokenRequest { token, id, assigns: state.assigns.clone() };
        drop(state);
        let renewing = Renewing(session.clone());
        let (node, deadlines, meter) = (node.clone(), self.deadlines.clone(), self.meter.clone());
        Some(Box::pin(async move {
            let Renewing(session) = &renewing;
            let unavailable = || Err(Refusal::unavailable());
            let decided = timeout(DECISION_TIME, on_token(request)).await.unwrap_or_else(|_| unavailable());
            match decided.and_then(|accept| renewed(&node, &deadlines, session, accept)) {
                Ok(response) => {
                    if let (Some(luggage), Some(token)) = (session.client().luggage(), kept) {
                        luggage.set_token(token);
                    }
                    meter.tokens.add("ok", 1);
                    reply(session, (None, &msg), "ok", &response);
                }
                Err(refusal) => {
                    debug!(status = refusal.status.as_u16(), "new token refused");
                    meter.tokens.add("refused", 1);
                    reply(session, (None, &msg), "error", &told(&refusal));
                }
            }
        }))
    }

    /// Asks the program about a connection that is to carry a session on.
    pub(crate) async fn resuming(&self, client: &Client, request: ConnectRequest) -> Result<(), Refusal> {
        let Some(on_resume) = &self.callbacks.on_resume else { return Ok(()) };
        let id = client.socket_id().map(|id| id.as_str().to_owned());
        let assigns = client.state().assigns.clone();
        on_resume(ResumeRequest { request, id, assigns }).await
    }
}

/// The mark that the program looks at a token of a session: one at a time.
struct Renewing<S: Served>(Arc<S>);

impl<S: Served> Drop for Renewing<S> {
    fn drop(&mut self) {
        self.0.client().state().is_renewing = false;
    }
}

/// The program has taken a token. What it says counts from now on, but another's token is none.
fn renewed<S: Served>(
    node: &Node,
    deadlines: &Arc<Deadlines>,
    session: &Arc<S>,
    accept: Accept,
) -> Result<Payload, Refusal> {
    let client = session.client();
    if accept.id.as_deref() != client.socket_id().map(|id| id.as_str()) {
        return Err(Refusal::default().with_body("the token is another client's"));
    }
    let mut state = client.state();
    state.assigns = state.assigns.merged(&accept.assigns);
    if state.closed {
        return Ok(Payload::empty());
    }
    // Under the lock, so that no deadline is set behind the end.
    let Some(until) = accept.until else {
        deadlines.forget(client.transport_id);
        return Ok(Payload::empty());
    };
    let task = set_later(deadlines, session, until);
    drop(state);
    if let Some(task) = task {
        node.spawn(task);
    }
    let left = until.saturating_duration_since(Instant::now()).as_millis();
    Ok(Payload::json(&json!({ "expires_in": u64::try_from(left).unwrap_or(u64::MAX) }))
        .unwrap_or_else(|_| Payload::empty()))
}

fn set(deadlines: &Arc<Deadlines>, node: &Node, session: &Arc<impl Served>, until: Instant) {
    if let Some(task) = set_later(deadlines, session, until) {
        node.spawn(task);
    }
}

fn set_later<S: Served>(deadlines: &Arc<Deadlines>, session: &Arc<S>, until: Instant) -> Option<Task> {
    let session: Arc<dyn Served> = session.clone();
    let id = session.client().transport_id;
    deadlines.set(Arc::downgrade(&session), id, until)
}

/// A refusal as the response of an error.
fn told(refusal: &Refusal) -> Payload {
    let reason = refusal.line();
    Payload::json(&json!({ "reason": reason, "code": refusal.code() }))
        .unwrap_or_else(|_| Payload::reason(&reason))
}
