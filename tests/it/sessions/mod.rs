//! Sessions that outlive their connections, over real sockets: `docs/sessions.md` from the client's side.

mod acks;
mod away;
mod busy;
mod bystanders;
mod ends;
mod frames;
mod greeting;
mod http;
mod life;
mod limits;
mod longpoll;
mod moves;
mod origins;
mod presence;
mod refusals;
mod secrets;
mod stats;
mod tickets;
mod upstream;

use std::{net::SocketAddr, sync::Mutex, time::Duration};

use lapwing::{
    Accept, Channel, ConnectRequest, HandleResult, Joining, Lapwing, LeaveReason, Mount, OutboxLimits,
    Payload, Refusal, Socket, Topic, noreply, reply, transports::options::TransportOptions,
};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{
    channels::ok,
    lab,
    sessions::{Session, Wire},
};

/// What happened to the joins of a lab, in order.
#[derive(Default)]
struct Diary(Mutex<Vec<String>>);

impl Diary {
    fn note(&self, entry: impl Into<String>) {
        self.0.lock().unwrap().push(entry.into());
    }
}

/// Lets callbacks go on.
struct Gate(Semaphore);

/// Keeps a count, so that a join that is not the same any more is found out.
struct Room {
    count: u64,
}

impl Channel for Room {
    type Info = ();

    async fn join(_: &Topic, _: Payload, socket: &mut Joining) -> Result<Self, Payload> {
        socket.app::<Diary>().note("join");
        Ok(Self { count: 0 })
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, socket: &mut Socket) -> HandleResult {
        match event {
            "count" => {
                self.count += 1;
                reply("ok", json!({"count": self.count}))
            }
            "wait" => {
                socket.app::<Gate>().0.acquire().await.unwrap().forget();
                reply("ok", payload)
            }
            _ => noreply(),
        }
    }

    async fn handle_away(&mut self, is_away: bool, socket: &mut Socket) -> HandleResult {
        socket.app::<Diary>().note(if is_away { "away" } else { "back" });
        noreply()
    }

    async fn leave(&mut self, reason: LeaveReason, socket: &mut Socket) {
        socket.app::<Diary>().note(format!("leave {reason:?}"));
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
async fn serve(mount: Mount) -> (Lapwing, SocketAddr) {
    let lapwing = Lapwing::builder()
        .app(Diary::default())
        .app(Gate(Semaphore::new(0)))
        .mount("/socket", mount.channel::<Room>("room:*").connect(connect))
        .mount("/other", Mount::new().channel::<Room>("room:*"))
        .build()
        .unwrap();
    let address = lab::serve(&lapwing).await;
    (lapwing, address)
}

/// What the joins went through so far.
fn diary(lapwing: &Lapwing) -> Vec<String> {
    lapwing.app::<Diary>().unwrap().0.lock().unwrap().clone()
}

/// Waits until the joins went through this.
async fn expect_diary(lapwing: &Lapwing, wanted: &[&str]) {
    until(|| diary(lapwing) == wanted, || format!("{:?}, not {wanted:?}", diary(lapwing))).await;
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
async fn joined(address: SocketAddr, wire: Wire) -> Session {
    join(Session::open(address, "/socket", wire).await).await
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
    OutboxLimits { frames_max, ..OutboxLimits::default() }
}

/// Options of an echo server, for pages of anywhere.
fn options(set: impl FnOnce(&mut TransportOptions)) -> TransportOptions {
    let mut options = TransportOptions::default();
    set(&mut options);
    options
}

/// What comes at once must not look like anybody's timer: a poll waits for ten seconds by default, and a window is a minute.
const AT_ONCE: Duration = Duration::from_secs(6);
