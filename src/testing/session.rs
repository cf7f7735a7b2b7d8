//! A session that no transport carries: what is pushed waits here for the test.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError},
    task::{Context, Poll, Waker},
};

use lapwing_transports::{
    close::CloseReason,
    endpoint::Endpoint,
    frame::{Frame, FrameKind, Message},
    policy::{Few, Policy},
    session::{backlog::Backlog, outbox::Waiting},
};
use serde::Deserialize;

use crate::{
    join::{Join, Peer, assigns::Assigns, mailbox::ChannelMailbox, push_error::PushError},
    protocol::{ChannelMsg, Payload, RawJson, Ref, Serializer, V2, event},
    pubsub::Order,
    session::{
        client::{Client, Served},
        handler::{Hub, tell_joins},
    },
    sync::{Mutex, MutexGuard},
    topics::{
        Inbox, Lane,
        broadcast::{ChannelId, TransportId},
        delivery::Delivery,
        gap::Gap,
    },
};

/// The session of a test's client. The handler of the mount serves it as it serves any other.
pub(crate) struct TestSession {
    client: Client,
    served_by: Box<dyn HasHub>,
    state: Mutex<State>,
}

/// Something that a mount's handler belongs to.
pub(crate) trait HasHub: Send + Sync {
    fn hub(&self) -> &Hub;
}

#[derive(Default)]
pub(crate) struct State {
    /// What the client was sent and the test has not asked for.
    pub(crate) heard: VecDeque<Heard>,
    wakers: Vec<Waker>,
    /// The connection is lost: what was sent to the client is not heard.
    is_lost: bool,
    /// How much had been sent to it before.
    before_lost: usize,
    /// What the client said since.
    unsent: VecDeque<ChannelMsg>,
    closed: Option<CloseReason>,
}

/// A message to a client.
#[derive(Debug)]
pub(crate) struct Heard {
    /// The message as it was sent.
    pub(crate) frame: Frame,
    pub(super) join_ref: Option<Ref>,
    pub(super) topic: String,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Reply { reference: Option<Ref>, status: String, response: Payload },
    Event { event: String, payload: Payload },
}

impl TestSession {
    pub(super) fn begin(served_by: impl HasHub + 'static, client: Client) -> Arc<Self> {
        let session = Arc::new(Self { client, served_by: Box::new(served_by), state: Mutex::default() });
        session.hub().begin(&session);
        session
    }

    /// A session of a client that says nothing of itself.
    pub(crate) fn anonymous(served_by: impl HasHub + 'static, id: TransportId) -> Arc<Self> {
        let said = served_by.hub().bucket();
        Self::begin(served_by, Client::new(id, Arc::new(V2), None, said, Assigns::default()))
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    fn hub(&self) -> &Hub {
        self.served_by.hub()
    }

    /// Sends a message of the client's, or keeps it until the session is resumed.
    pub(crate) fn send(self: &Arc<Self>, msg: ChannelMsg) {
        let mut state = self.state();
        if state.is_lost {
            state.unsent.push_back(msg);
        } else {
            drop(state);
            self.pass(&msg);
        }
    }

    /// The connection is lost.
    pub(super) fn lose(&self) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.is_lost, true) {
            state.before_lost = state.heard.len();
            drop(state);
            tell_joins(&self.client, || ChannelMailbox::Away);
        }
    }

    /// Another connection carries the session on: what was said meanwhile arrives, in both directions.
    pub(super) fn resume(self: &Arc<Self>) -> Result<(), CloseReason> {
        let state = self.state();
        match state.closed {
            Some(reason) => return Err(reason),
            None if !state.is_lost => return Ok(()),
            None => drop(state),
        }
        tell_joins(&self.client, || ChannelMailbox::Back);
        loop {
            let mut state = self.state();
            let Some(msg) = state.unsent.pop_front() else {
                state.is_lost = false;
                break;
            };
            drop(state);
            self.pass(&msg);
        }
        self.wake();
        Ok(())
    }

    /// Gives the handler a message of the client's.
    fn pass(self: &Arc<Self>, msg: &ChannelMsg) {
        let text = |payload: &RawJson| {
            let refs =
                [&msg.join_ref, &msg.reference].map(|reference| as_json(reference.as_ref()).to_owned());
            let names =
                [&msg.topic, &msg.event].map(|name| serde_json::Value::from(name.to_string()).to_string());
            format!("[{},{},{},{},{payload}]", refs[0], refs[1], names[0], names[1])
        };
        let handler = self.hub();
        let taken = match &msg.payload {
            Payload::Json(json) => handler.receive(self, Message::Text(&text(json))),
            Payload::Binary(data) => handler.receive(self, Message::Binary(&frame_of(msg, data))),
        };
        if let Err(reason) = taken {
            self.end(reason);
        }
    }

    /// Ends the session, and its joins with it.
    pub(super) fn end(&self, reason: CloseReason) {
        let mut state = self.state();
        if state.closed.is_some() {
            return;
        }
        state.closed = Some(reason);
        drop(state);
        self.wake();
        self.hub().end(&self.client, reason);
    }

    /// Why the session ended, once it has.
    pub(super) async fn closed(&self) -> CloseReason {
        self.wait(|state| state.closed).await
    }

    /// The first message that is the one, once it has come.
    pub(super) async fn hear(&self, is_it: impl Fn(&Heard) -> bool) -> Heard {
        self.wait(|state| state.take(&is_it)).await
    }

    /// The same of what has come already.
    pub(super) fn heard(&self, is_it: impl Fn(&Heard) -> bool) -> Option<Heard> {
        self.state().take(is_it)
    }

    /// Whether the channels of this client have nothing left to do.
    pub(super) fn is_at_rest(&self) -> bool {
        let state = self.client.state();
        let (joins, ending): (Vec<_>, _) = (state.joins.iter().cloned().collect(), state.ending());
        drop(state);
        ending == 0 && joins.iter().all(|join| join.is_at_rest())
    }

    /// Looks again whenever something has come, until there is what is looked for.
    pub(crate) async fn wait<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        std::future::poll_fn(|cx| {
            let mut state = self.state();
            match look(&mut state) {
                Some(found) => Poll::Ready(found),
                None => {
                    state.wakers.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Wakes who waits for something.
    fn wake(&self) {
        let wakers = std::mem::take(&mut self.state().wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Something is sent to the client, as its policy for slow clients says while its connection is lost.
    fn hear(&mut self, frame: &Frame) {
        let heard = read(frame);
        match frame.policy().filter(|_| self.is_lost) {
            Some(Policy::Volatile) => {}
            Some(policy @ Policy::Latest(_)) => {
                let mut waiting = self.heard.iter_mut().skip(self.before_lost).rev();
                let older =
                    waiting.find(|older| older.frame.is_fence() || older.frame.policy() == Some(policy));
                match older.filter(|older| !older.frame.is_fence()) {
                    Some(older) => *older = heard,
                    None => self.heard.push_back(heard),
                }
            }
            Some(Policy::Few(few)) => {
                self.drop_one_of_few(few);
                self.heard.push_back(heard);
            }
            _ => self.heard.push_back(heard),
        }
    }

    /// Makes place for one more of a kind, and has the client told of those that are dropped, where the first of them was.
    fn drop_one_of_few(&mut self, few: &Few) {
        let waiting = || self.before_lost..self.heard.len();
        let fence = waiting().rev().find(|place| self.heard[*place].frame.is_fence());
        let from = fence.map_or(self.before_lost, |fence| fence + 1);
        let policy = |place: usize| self.heard[place].frame.policy();
        let is_kin = |place: &usize| matches!(policy(*place), Some(Policy::Few(of)) if of.key() == few.key());
        let kin: Vec<_> = (from..self.heard.len()).filter(is_kin).collect();
        if kin.len() < few.frames_max() {
            return;
        }
        let gap = (from..self.heard.len()).find_map(|place| match policy(place) {
            Some(Policy::Dropped(of, count)) if of == few.key() => Some((place, *count)),
            _ => None,
        });
        let dropped = gap.map_or(0, |(_, count)| count) + 1;
        let Some(told) = few.tell(dropped) else { return };
        let told = Frame::told(told).with_policy(Policy::Dropped(few.key().clone(), dropped));
        self.heard[gap.map_or(kin[0], |(place, _)| place)] = read(&told);
        if gap.is_some() {
            self.heard.remove(kin[0]);
        }
    }

    /// Takes the first message that is the one, if the client has it.
    fn take(&mut self, is_it: impl Fn(&Heard) -> bool) -> Option<Heard> {
        if self.is_lost {
            return None;
        }
        let position = self.heard.iter().position(is_it)?;
        self.heard.remove(position)
    }
}

fn as_json(reference: Option<&Ref>) -> &str {
    reference.map_or("null", Ref::as_json)
}

/// A push of bytes, as V2's clients write it.
fn frame_of(msg: &ChannelMsg, data: &[u8]) -> Vec<u8> {
    let plain =
        |reference: &Option<Ref>| reference.as_ref().map_or(String::new(), |r| r.to_plain().into_owned());
    let fields = [plain(&msg.join_ref), plain(&msg.reference), msg.topic.to_string(), msg.event.to_string()];
    let mut frame = vec![0];
    frame.extend(fields.iter().map(|field| u8::try_from(field.len()).expect("V2 takes names of 255 bytes")));
    frame.extend(fields.iter().flat_map(|field| field.bytes()));
    frame.extend_from_slice(data);
    frame
}

/// Reads what V2 wrote.
fn read(frame: &Frame) -> Heard {
    #[derive(Deserialize)]
    struct Reply {
        status: String,
        response: RawJson,
    }
    if frame.kind() == FrameKind::Binary {
        return read_bytes(frame);
    }
    let text = std::str::from_utf8(frame.payload()).expect("text is UTF-8");
    let msg = V2.decode(Message::Text(text)).expect("V2 reads what it wrote");
    let what = if msg.event == event::REPLY {
        let Reply { status, response } = msg.payload.parse().expect("a reply has a status and a response");
        What::Reply { reference: msg.reference, status, response: response.into() }
    } else {
        What::Event { event: msg.event.to_string(), payload: msg.payload }
    };
    Heard { frame: frame.clone(), join_ref: msg.join_ref, topic: msg.topic.to_string(), what }
}

/// A frame of bytes: its kind, the lengths of its fields, the fields, the data.
fn read_bytes(frame: &Frame) -> Heard {
    let bytes = frame.payload();
    let [reply, broadcast] = [1, 2];
    let kind = bytes[0];
    let count = if kind == reply {
        4
    } else if kind == broadcast {
        2
    } else {
        3
    };
    let mut at = 1 + count;
    let mut fields = bytes[1..=count].iter().map(|&len| {
        let field = &bytes[at..at + usize::from(len)];
        at += usize::from(len);
        String::from_utf8(field.to_vec()).expect("fields are UTF-8")
    });
    let mut next = || fields.next().expect("as many fields as lengths");
    let join_ref = (kind != broadcast).then(&mut next).map(Ref::from);
    let reference = (kind == reply).then(&mut next).map(Ref::from);
    let (topic, name) = (next(), next());
    let data = Payload::from(bytes[at..].to_vec());
    let what = if kind == reply {
        What::Reply { reference, status: name, response: data }
    } else {
        What::Event { event: name, payload: data }
    };
    Heard { frame: frame.clone(), join_ref, topic, what }
}

impl HasHub for Endpoint<Hub> {
    fn hub(&self) -> &Hub {
        self.handler()
    }
}

impl HasHub for Arc<Hub> {
    fn hub(&self) -> &Hub {
        self
    }
}

impl Lane for TestSession {
    fn push_frame(&self, frame: Frame) {
        let mut state = self.state();
        if state.closed.is_some() {
            return;
        }
        state.hear(&frame);
        drop(state);
        self.wake();
    }

    fn push_broadcast(&self, frame: Frame) {
        self.push_frame(frame);
    }

    fn serializer(&self) -> &Arc<dyn Serializer> {
        &self.client.serializer
    }

    fn transport_id(&self) -> TransportId {
        self.client.transport_id
    }

    fn socket_id(&self) -> Option<&str> {
        self.client.socket_id().map(|topic| &**topic)
    }

    fn tell_gap(&self, channel: ChannelId, gap: &Arc<Gap>) {
        self.client.tell_gap(channel, gap);
    }
}

impl Peer for TestSession {
    fn waiting(&self) -> Backlog {
        Backlog::default()
    }

    fn unacknowledged(&self) -> Waiting {
        Waiting::default()
    }

    fn try_push(&self, frame: Frame, then: Option<Frame>) -> Result<(), PushError> {
        std::iter::once(frame).chain(then).for_each(|frame| self.push_frame(frame));
        Ok(())
    }

    fn poll_ready(&self, _: &Context<'_>) -> Poll<bool> {
        Poll::Ready(self.state().closed.is_none())
    }

    fn give_up(&self) {}

    fn room(&self) -> (usize, usize) {
        (usize::MAX, usize::MAX)
    }

    /// No transport, no bounds of one.
    fn hold(&self, _: usize) -> bool {
        true
    }

    fn release(&self, _: usize) {}

    fn pause_reading(&self) {
        self.client.pause_reading();
    }

    fn resume_reading(&self) {
        self.client.resume_reading();
        self.wake();
    }

    fn forget(&self, join: &Join) {
        self.client.forget(join);
    }

    fn cleared(&self, _: &Join) {
        self.client.cleared();
    }
}

impl Inbox for TestSession {
    fn deliver(self: Arc<Self>, delivery: &mut Delivery<'_>) {
        match Order::of(delivery.broadcast) {
            Some(Order::Disconnect { reason, .. }) => self.end(reason),
            Some(Order::Kick { topic, why }) => self.client.kick(&topic, why),
            None => {}
        }
    }
}

impl Served for TestSession {
    fn client(&self) -> &Client {
        &self.client
    }

    fn end_for(&self, reason: CloseReason, _: &str) {
        self.end(reason);
    }
}
