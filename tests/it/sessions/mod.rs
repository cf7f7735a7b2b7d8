//! Sessions that outlive their connections, over real sockets: `docs/sessions.md` from the client's side.

mod acks;
mod away;
mod busy;
mod bystanders;
mod ends;
mod frames;
mod greeting;
mod http;
mod journal;
mod life;
mod limits;
mod longpoll;
mod moves;
mod origins;
mod path;
mod presence;
mod pressure;
mod refusals;
mod secrets;
mod stats;
mod tickets;
mod upstream;

use std::{
    net::SocketAddr,
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

use lapwing::{
    Accept, Channel, ConnectRequest, Context, Failure, Handled, Joining, Lapwing, LeaveReason, Mount,
    OutboxLimits, Payload, Refusal, Topic, noreply, reply,
};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{
    channels::ok,
    lab,
    sessions::{Session, Transport},
};

/// What the joins of a lab share.
struct Shared {
    /// What happened to them, in order.
    diary: Mutex<Vec<String>>,
    /// Lets callbacks go on.
    gate: Semaphore,
}

impl Shared {
    fn note(&self, entry: impl Into<String>) {
        self.diary.lock().unwrap().push(entry.into());
    }
}

/// A server, with what its joins share.
#[derive(Clone)]
struct Lab {
    lapwing: Lapwing,
    shared: Arc<Shared>,
}

impl Deref for Lab {
    type Target = Lapwing;

    fn deref(&self) -> &Lapwing {
        &self.lapwing
    }
}

/// Keeps a count, so that a join that is not the same any more is found out.
struct Room {
    count: u64,
}

impl Channel for Room {
    type State = Shared;

    async fn join(_: &Topic, _: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        joining.state().note("join");
        Ok(Self { count: 0 })
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        match event {
            "count" => {
                self.count += 1;
                Ok(reply("ok", json!({"count": self.count})))
            }
            "wait" => {
                cx.state().gate.acquire().await.unwrap().forget();
                Ok(reply("ok", payload))
            }
            _ => Ok(noreply()),
        }
    }

    async fn away(&mut self, cx: &Context<Self>) -> Handled {
        cx.state().note("away");
        Ok(noreply())
    }

    async fn back(&mut self, cx: &Context<Self>) -> Handled {
        cx.state().note("back");
        Ok(noreply())
    }

    async fn leave(&mut self, reason: LeaveReason, cx: &Context<Self>) -> Result<(), Failure> {
        cx.state().note(format!("leave {reason:?}"));
        Ok(())
    }
}

async fn connect(request: ConnectRequest) -> Result<Accept, Refusal> {
    match request.param("user") {
        Some("nobody") => Err(Refusal::default()),
        Some(user) => Ok(Accept::new().id(format!("user:{user}"))),
        None => Ok(Accept::new()),
    }
}

/// A server whose `/socket` is this mount with rooms, and another at `/other`.
async fn serve(mount: Mount) -> (Lab, SocketAddr) {
    let shared = Arc::new(Shared { diary: Mutex::default(), gate: Semaphore::new(0) });
    let lapwing = Lapwing::builder()
        .journal(64)
        .mount("/socket", mount.channel::<Room>("room:*", shared.clone()).connect(connect))
        .mount("/other", Mount::new().channel::<Room>("room:*", shared.clone()))
        .build()
        .unwrap();
    let address = lab::serve(&lapwing).await;
    (Lab { lapwing, shared }, address)
}

/// What the joins went through so far.
fn diary(lab: &Lab) -> Vec<String> {
    lab.shared.diary.lock().unwrap().clone()
}

/// Waits until the joins went through this.
async fn expect_diary(lab: &Lab, wanted: &[&str]) {
    until(|| diary(lab) == wanted, || format!("{:?}, not {wanted:?}", diary(lab))).await;
}

/// Waits until something is so.
async fn until(is_so: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        pause(10).await;
    }
    panic!("{}", otherwise());
}

/// A session that joined `room:1`.
async fn joined(address: SocketAddr, transport: Transport) -> Session {
    join(Session::open(address, "/socket", transport).await).await
}

async fn join(mut session: Session) -> Session {
    session.send_json(json!(["1", "1", "room:1", "phx_join", {}])).await;
    session.expect_json(ok("1", "1", "room:1", json!({}))).await;
    session
}

/// Counts in the room: the count must be this.
async fn count(session: &mut Session, wanted: u64) {
    session.send_json(json!(["1", "c", "room:1", "count", {}])).await;
    session.expect_json(ok("1", "c", "room:1", json!({"count": wanted}))).await;
}

fn broadcast(lapwing: &Lapwing, n: u64) {
    lapwing.broadcast("room:1", "n", json!({"n": n})).unwrap();
}

fn broadcasted(n: u64) -> serde_json::Value {
    json!([null, null, "room:1", "n", {"n": n}])
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

fn outbox(frames_max: usize) -> OutboxLimits {
    OutboxLimits::new().frames_max(frames_max)
}

/// What comes at once must not look like anybody's timer: a poll waits for ten seconds by default, and a window is a minute.
const AT_ONCE: Duration = Duration::from_secs(6);
