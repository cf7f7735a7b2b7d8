//! The green thread of a join: joins, handles what is in the mailbox, leaves.
//!
//! A join that has nothing to do has no task: its channel rests in the join, and what an idle join costs is the join
//! alone. When a message comes, a task is made that handles all there is and lets the channel rest again. That costs
//! one allocation per batch of messages, as keeping a task and boxing its callbacks would.
//!
//! A task made for what a client sent begins where that was read ([`Node::run`](crate::node::Node::run)); the runtime gets it
//! when it has to wait for something.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use lapwing_transports::close::CloseReason;
use smol_str::SmolStr;
use tokio::time::timeout;
use tracing::{Instrument as _, debug};

use crate::{
    channel::{
        Channel,
        context::{Context, Joining},
        failure::Failure,
        outcome::{HandleResult, Handled, StopReason},
        sender::Parcel,
    },
    cluster::error::NotConfirmed,
    join::{
        Join, Next, Packing, Resting, Running, Start,
        leave_reason::LeaveReason,
        mailbox::{ChannelMailbox, counted_at_once},
        meter::Callback,
        refs::Refs,
    },
    journal::{self, Happening},
    node::Task,
    occasionally::occasionally,
    protocol::{Name, Outgoing, Payload, Ref, name_limits::quoted},
    session::{
        answering::{answer, answer_ok, respond, turn_away},
        calling::{call, called, handle_traced, is_traced, said},
        recovery,
    },
    topics::{Member, broadcast::Broadcast},
};

/// How long a join that is replaced may take to end before it is ended without its `leave`. As in Phoenix.
const REPLACE_TIMEOUT: Duration = Duration::from_secs(5);

/// A channel at rest is nothing but itself.
impl<C: Channel> Resting for C {
    fn rise(self: Box<Self>, join: Arc<Join>, message: Option<ChannelMailbox>) -> Task {
        Box::pin(run(Running::new(join), self, message))
    }
}

/// The task of a new join.
pub(crate) fn start<C: Channel>(start: Start) -> Task {
    Box::pin(begin::<C>(start))
}

/// The task that begins what is to come after a join, when that has ended.
pub(crate) fn succeed<C: Channel>(old: Arc<Join>) -> Task {
    Box::pin(wait_and_begin::<C>(Heir(old)))
}

/// A join that waited for an older one never begins, as a newer one takes its place.
pub(crate) fn give_up(start: Start) {
    let join = &start.running.join;
    join.meter().decided.add("joined_again", 1);
    answer(join, &start.refs, "error", &Payload::reason("joined again"));
    join.withdraw();
    turn_away(join);
}

/// The join whose end is waited for. If the wait is dropped, what was to come after it is dropped, too.
struct Heir(Arc<Join>);

impl Drop for Heir {
    fn drop(&mut self) {
        drop(self.0.take_successor());
    }
}

async fn wait_and_begin<C: Channel>(heir: Heir) {
    replace(&heir.0).await;
    // Not before: until then a newer join may take its place.
    if let Some(start) = heir.0.take_successor() {
        drop(heir);
        begin::<C>(start).await;
    }
}

/// The first task of a join.
async fn begin<C: Channel>(start: Start) {
    let Start { running, params, refs } = start;
    let join = running.join.clone();
    let channel = join.kind().name();
    let span = tracing::debug_span!("join", topic = %join.quoted_topic(), channel, id = join.id.0);
    let joined = pin!(run_start::<C>(join.clone(), params, refs).instrument(span));
    if let Some(channel) = unless_killed(&join, joined).await {
        run(running, channel, None).await;
    }
}

/// A later task of a join: lives until there is nothing left to do.
pub(super) async fn run<C: Channel>(
    mut running: Running,
    mut channel: Box<C>,
    mut message: Option<ChannelMailbox>,
) {
    loop {
        let batch = pin!(run_batch(running.join.clone(), channel, message.take()));
        let Some(idle) = unless_killed(&running.join, batch).await else { return };
        match running.join.park(idle) {
            Some(busy) => channel = busy,
            None => {
                running.goes_on = true;
                return;
            }
        }
    }
}

/// Runs a batch of callbacks, unless the join is killed, which nothing that a callback waits for can delay.
pub(super) async fn unless_killed<C>(
    join: &Join,
    mut batch: Pin<&mut impl Future<Output = Option<Box<C>>>>,
) -> Option<Box<C>> {
    poll_fn(|cx| {
        if join.is_killed() {
            return Poll::Ready(None);
        }
        match batch.as_mut().poll(cx) {
            Poll::Pending if join.wait(cx) => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
            ready @ Poll::Ready(_) => ready,
        }
    })
    .await
}

/// Row 4 to 7: joins, answers, subscribes.
async fn run_start<C: Channel>(join: Arc<Join>, params: Payload, refs: Refs) -> Option<Box<C>> {
    let predecessor = join.take_predecessor();
    let asked = recovery::asked(&join, &params);
    let mut joining = Joining::new(join.clone());
    let held = counted_at_once(params.size());
    let joined =
        call(&join, Callback::Join, pin!(async { C::join(&join.topic, params, &mut joining).await })).await;
    join.handled(held);
    let reply = joining.into_reply();
    let channel = match joined {
        Ok(Ok(channel)) => Some(channel),
        Ok(Err(failure)) => {
            debug!(topic = %join.quoted_topic(), channel = join.kind().name(), id = join.id.0, "join refused");
            join.note(|| Happening::Refused { topic: journal::topic(&join.topic) });
            let is_failure = failure.cause().is_some();
            join.meter().decided.add(if is_failure { "failed" } else { "refused" }, 1);
            if is_failure {
                log_failure(&join, Callback::Join, &failure);
            }
            answer(&join, &refs, "error", &failure.payload());
            None
        }
        Err(panic) => {
            let (panic, topic, channel) = (said(&panic), join.quoted_topic(), join.kind().name());
            occasionally!(join.log().crashes, error, %panic, %topic, channel, "join crashed");
            join.meter().decided.add("panicked", 1);
            answer(&join, &refs, "error", &Payload::reason("join crashed"));
            None
        }
    };
    let Some(channel) = channel else {
        close_predecessor(predecessor.as_deref());
        join.withdraw();
        turn_away(&join);
        return None;
    };
    if asked.is_some() {
        recovery::warn_if_placeless(&join, &reply);
        until_room(&join).await;
    }
    let mut claim = join.node().claim(&join.topic);
    if let Err(error) = claim.confirmed(asked).await {
        drop(claim);
        close_predecessor(predecessor.as_deref());
        refuse(&join, channel, &refs, error).await;
        return None;
    }
    let mut recovered = None;
    let (subscribed, _) = claim.subscribe(member(&join), || match asked {
        None => answer_ok(&join, &refs, &reply),
        Some(since) => {
            recovered = recovery::answer(&join, since, &reply, |reply| answer_ok(&join, &refs, reply));
        }
    });
    join.set_joined(subscribed);
    close_predecessor(predecessor.as_deref());
    tell_joined(&join);
    let mut cx = Context::new(join);
    cx.set_recovery(recovered);
    run_joined(channel, &cx).await
}

/// The first callback of a channel that is in.
pub(super) async fn run_joined<C: Channel>(mut channel: C, cx: &Context<C>) -> Option<Box<C>> {
    let join = &cx.join;
    let end = match call(join, Callback::Joined, pin!(async { channel.joined(cx).await })).await {
        Ok(result) => apply(join, Callback::Joined, None, result),
        Err(panic) => Some(crashed(join, panic)),
    };
    match end {
        None => Some(Box::new(channel)),
        Some(end) => {
            finish(join, &mut channel, cx, end).await;
            None
        }
    }
}

/// A client that comes back to many topics asks for more than may wait for it: its joins wait until there is room.
async fn until_room(join: &Join) {
    join.set_asked();
    // That it is gone shows later.
    let _ = poll_fn(|cx| join.peer.poll_ready(cx)).await;
}

/// Tells those who look on that somebody has joined.
pub(super) fn tell_joined(join: &Join) {
    join.meter().decided.add("ok", 1);
    debug!(topic = %join.quoted_topic(), channel = join.kind().name(), id = join.id.0, "joined");
    join.note(|| Happening::Joined { topic: journal::topic(&join.topic) });
}

/// Ends a join that would not hear other nodes: its client is refused, and may try again.
async fn refuse<C: Channel>(join: &Arc<Join>, channel: C, refs: &Refs, error: NotConfirmed) {
    let (topic, channel_name) = (join.quoted_topic(), join.kind().name());
    occasionally!(join.log().unconfirmed, warn, %error, %topic, channel = channel_name, "join refused");
    join.meter().decided.add("unavailable", 1);
    answer(join, refs, "error", &Payload::reason("unavailable"));
    join.withdraw();
    turn_away(join);
    take_back(join, channel).await;
}

/// Ends a channel of which no client knows.
pub(super) async fn take_back<C: Channel>(join: &Arc<Join>, mut channel: C) {
    let end = End { goodbye: Goodbye::Nothing, reason: LeaveReason::Unavailable };
    finish(join, &mut channel, &Context::new(join.clone()), end).await;
}

/// Handles a message and what is in the mailbox. Gives the channel back when there is nothing left.
async fn run_batch<C: Channel>(
    join: Arc<Join>,
    mut channel: Box<C>,
    mut message: Option<ChannelMailbox>,
) -> Option<Box<C>> {
    let mut cx = Context::new(join.clone());
    loop {
        // A mailbox that is filled as fast as it is emptied must not keep the worker from other tasks.
        tokio::task::coop::consume_budget().await;
        let (next, has_waited) = match message.take() {
            Some(message) => (Next::Message(message), false),
            None => (join.take(), true),
        };
        let end = match next {
            Next::Nothing => return Some(channel),
            Next::Overflowed => {
                join.meter().full.add("broadcast", 1);
                Some(End::crash("the mailbox is full and a broadcast had no room".to_owned()))
            }
            Next::Message(message) => {
                let held = if has_waited { message.bytes_of_client() } else { message.bytes_at_once() };
                // Pinned here, as it would be copied otherwise.
                let end = pin!(handle(&join, &mut *channel, &mut cx, message)).await;
                join.handled(held);
                end
            }
        };
        if let Some(end) = end {
            finish(&join, &mut *channel, &cx, end).await;
            return None;
        }
    }
}

/// How a join ends: what the client is told, and what the channel is.
struct End {
    goodbye: Goodbye,
    reason: LeaveReason,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Goodbye {
    Close,
    Error,
    /// The connection is gone, or the join that replaces this one says it.
    Nothing,
}

impl End {
    fn crash(cause: String) -> Self {
        Self { goodbye: Goodbye::Error, reason: LeaveReason::Crashed(cause) }
    }
}

/// Runs the callback that a message is for. Returns how the join ends, if it does.
async fn handle<C: Channel>(
    join: &Arc<Join>,
    channel: &mut C,
    cx: &mut Context<C>,
    message: ChannelMailbox,
) -> Option<End> {
    // The ref to answer to, if the message is an event and the callback has not taken it; the ref itself may be null.
    let mut answers = None;
    let (callback, result) = match message {
        ChannelMailbox::Event { event, payload, reference } => {
            debug!(event = %quoted(&event), topic = %join.quoted_topic(), id = join.id.0, "handling event");
            // A client that asks faster than it hears has to wait, and is not closed for its own questions. That it is gone shows below.
            let _ = cx.ready().await;
            cx.begin_event(reference.clone());
            let name = text(&event);
            let result = {
                let handling = pin!(async { channel.handle_in(&name, payload, cx).await });
                match is_traced() {
                    false => call(join, Callback::HandleIn, handling).await,
                    true => handle_traced(join, &event, handling).await,
                }
            };
            let is_taken = cx.end_event();
            answers = Some(reference).filter(|_| !is_taken);
            if answers.is_some() && matches!(&result, Ok(Err(failure)) if failure.is_gap()) {
                // There is no room for the answer either, which says so.
                let _ = cx.ready().await;
            }
            (Callback::HandleIn, result)
        }
        ChannelMailbox::Info(message) => match message.downcast::<Parcel<C>>() {
            Ok(parcel) => {
                called(join, Callback::HandleInfo, pin!(async { parcel.open(channel, cx).await })).await
            }
            Err(_) => unreachable!("a sender is made for its channel's messages only"),
        },
        ChannelMailbox::Broadcast(broadcast)
            if broadcast.topic == join.topic && !join.intercepts(&broadcast.event) =>
        {
            join.give(&broadcast);
            return None;
        }
        ChannelMailbox::Broadcast(broadcast) if broadcast.topic == join.topic => {
            (Callback::HandleOut, intercept(join, channel, cx, &broadcast).await)
        }
        ChannelMailbox::Broadcast(broadcast) => {
            let handling = pin!(async { channel.handle_broadcast(broadcast, cx).await });
            called(join, Callback::HandleBroadcast, handling).await
        }
        ChannelMailbox::Gap(gap) => {
            let handled =
                called(join, Callback::HandleGap, pin!(async { channel.handle_gap(&gap, cx).await })).await;
            join.handle_missed();
            handled
        }
        ChannelMailbox::Away => called(join, Callback::Away, pin!(async { channel.away(cx).await })).await,
        ChannelMailbox::Back => called(join, Callback::Back, pin!(async { channel.back(cx).await })).await,
        ChannelMailbox::Leave(reference) => {
            let refs = Refs { join_ref: join.join_ref.clone(), reference };
            answer(join, &refs, "ok", &Payload::empty());
            return Some(End { goodbye: Goodbye::Close, reason: LeaveReason::NormalLeave });
        }
        ChannelMailbox::Stop(reason) => return Some(stopped_from_outside(reason)),
    };
    match result {
        Err(panic) => Some(crashed(join, panic)),
        Ok(result) => apply(join, callback, answers, result),
    }
}

/// Runs the callback for a broadcast that the channel wants to see before its client does.
async fn intercept<C: Channel>(
    join: &Join,
    channel: &mut C,
    cx: &mut Context<C>,
    broadcast: &Broadcast,
) -> Result<Handled, String> {
    let payload = broadcast.payload.clone();
    cx.socket_mut().set_intercepted(Some(broadcast));
    let result = {
        let handling = pin!(async { channel.handle_out(&broadcast.event, payload, cx).await });
        call(join, Callback::HandleOut, handling).await
    };
    cx.socket_mut().set_intercepted(None);
    result
}

/// A callback panicked.
fn crashed(join: &Join, panic: String) -> End {
    let (what, topic, channel) = (said(&panic), join.quoted_topic(), join.kind().name());
    occasionally!(join.log().crashes, error, panic = %what, %topic, channel, "channel crashed");
    End::crash(panic)
}

/// Does what a callback asked for.
fn apply(join: &Join, callback: Callback, answers: Option<Option<Ref>>, result: Handled) -> Option<End> {
    match result {
        // What nearly all of them ask for.
        Ok(HandleResult::NoReply) => None,
        Ok(HandleResult::Reply(status, payload)) => {
            respond(join, Packing::Compressed, answers, &status, &payload).err().map(End::crash)
        }
        result => apply_rest(join, callback, answers, result),
    }
}

/// The same for all that a callback can ask for.
fn apply_rest(join: &Join, callback: Callback, answers: Option<Option<Ref>>, result: Handled) -> Option<End> {
    let (result, packing) = match result {
        Ok(HandleResult::Uncompressed(result)) => (Ok(*result), Packing::AsItIs),
        result => (result, Packing::Compressed),
    };
    let (stop, reply) = match result {
        // It is packed once.
        Ok(HandleResult::Uncompressed(_)) => (None, None),
        Ok(HandleResult::NoReply) => return None,
        Ok(HandleResult::Reply(status, payload)) => (None, Some((status, payload))),
        Ok(HandleResult::Stop(reason)) => (Some(reason), None),
        Ok(HandleResult::StopWithReply(reason, status, payload)) => (Some(reason), Some((status, payload))),
        Ok(HandleResult::Failed(failure, reason)) => {
            (reason, Some(failed(join, callback, &answers, &failure)))
        }
        Err(failure) => (None, Some(failed(join, callback, &answers, &failure))),
    };
    if let Some((status, payload)) = reply
        && let Err(cause) = respond(join, packing, answers, &status, &payload)
    {
        return Some(End::crash(cause));
    }
    Some(match stop? {
        StopReason::Normal | StopReason::Shutdown => {
            End { goodbye: Goodbye::Close, reason: LeaveReason::NormalLeave }
        }
        StopReason::Kicked(why) => End { goodbye: Goodbye::Close, reason: LeaveReason::Kicked(why) },
        StopReason::Error(why) => End::crash(why),
    })
}

/// The answer to an event whose callback failed. What the client is not told, or nobody is there to be told, is logged.
fn failed(
    join: &Join,
    callback: Callback,
    answers: &Option<Option<Ref>>,
    failure: &Failure,
) -> (SmolStr, Payload) {
    join.meter().failed(callback);
    if failure.is_gap() {
        // Nobody may be told that a message is missing, so that the client has to begin anew. That it is slow is no failure of
        // the program's.
        if answers.is_none() {
            join.peer.give_up();
        }
    } else if failure.cause().is_some() || answers.is_none() {
        log_failure(join, callback, failure);
    }
    (SmolStr::new_static("error"), failure.payload())
}

pub(super) fn log_failure(join: &Join, callback: Callback, failure: &Failure) {
    let callback = callback.name();
    let (chain, topic, channel) = (failure.for_log(), join.quoted_topic(), join.kind().name());
    let cause = said(&chain);
    if failure.is_of_client() {
        debug!(%cause, callback, %topic, channel, "callback failed for what a client brought");
        return;
    }
    occasionally!(join.log().failures, error, %cause, callback, %topic, channel, "callback failed");
}

fn stopped_from_outside(reason: LeaveReason) -> End {
    let goodbye = match reason {
        LeaveReason::Kicked(_) | LeaveReason::NormalLeave => Goodbye::Close,
        LeaveReason::Crashed(_) | LeaveReason::Missed => Goodbye::Error,
        _ => Goodbye::Nothing,
    };
    End { goodbye, reason }
}

/// The last steps: the topic is free, the client is told, the channel may clean up.
async fn finish<C: Channel>(join: &Arc<Join>, channel: &mut C, cx: &Context<C>, end: End) {
    join.withdraw();
    let topic = &*join.topic;
    let goodbye = match end.goodbye {
        Goodbye::Close => join.send(Outgoing::Close { join_ref: join.stored_join_ref(), topic }),
        Goodbye::Error => {
            join.send(Outgoing::Error { join_ref: join.stored_join_ref(), topic, reason: "channel_crash" })
        }
        Goodbye::Nothing => Ok(()),
    };
    if let Err(error) = goodbye {
        let topic = join.quoted_topic();
        occasionally!(join.log().encodings, error, %error, %topic, "the end of a join could not be encoded");
    }
    if end.goodbye != Goodbye::Nothing {
        join.set_told();
        turn_away(join);
    }
    let reason = reason_word(&end.reason);
    debug!(topic = %join.quoted_topic(), id = join.id.0, reason, "left");
    join.note(|| Happening::Left { topic: journal::topic(&join.topic), reason });
    if matches!(end.reason, LeaveReason::Draining | LeaveReason::Moved) {
        join.expect_elsewhere();
    }
    // One that was refused never was a join.
    if end.reason != LeaveReason::Unavailable {
        join.meter().ended.add(reason, 1);
    }
    match call(join, Callback::Leave, pin!(async { channel.leave(end.reason, cx).await })).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) if failure.is_gap() => {}
        Ok(Err(failure)) => {
            join.meter().failed(Callback::Leave);
            log_failure(join, Callback::Leave, &failure);
        }
        Err(panic) => {
            let (panic, topic, channel) = (said(&panic), join.quoted_topic(), join.kind().name());
            occasionally!(join.log().leave_crashes, error, %panic, %topic, channel, "leave crashed");
        }
    }
}

/// Waits for the end of the join that is replaced, which has been asked to end.
async fn replace(old: &Arc<Join>) {
    if timeout(REPLACE_TIMEOUT, old.cleared()).await.is_err() {
        let (topic, channel) = (old.quoted_topic(), old.kind().name());
        occasionally!(
            old.log().endless,
            error,
            %topic,
            channel,
            "the older join of the topic does not end; it is ended without its leave callback"
        );
        old.meter().ended.add("killed", 1);
        old.kill();
        old.cleared().await;
    }
}

/// Row 7: the reply to the new join comes first, then the end of the old one. An older join that told the
/// client of its end itself is not closed twice.
fn close_predecessor(old: Option<&Join>) {
    let Some(old) = old.filter(|old| old.owes_close()) else { return };
    let _ = old.send(Outgoing::Close { join_ref: old.stored_join_ref(), topic: &old.topic });
}

fn member(join: &Arc<Join>) -> Member {
    if join.kind().intercept.is_empty() && !join.has_asked() {
        Member::Lane { lane: join.peer.clone(), channel: join.id }
    } else {
        Member::Inbox(join.clone())
    }
}

/// Why a session's end ends its joins.
pub(crate) fn leave_reason(reason: CloseReason) -> LeaveReason {
    match reason {
        CloseReason::Draining => LeaveReason::Draining,
        _ => LeaveReason::Disconnect,
    }
}

/// An event's name for the user's code; one that is no text stands there as JSON.
fn text(event: &Name) -> SmolStr {
    event.as_str().map_or_else(|| event.to_string().into(), SmolStr::new)
}

/// The reason in a word: what else it says may be a client's.
fn reason_word(reason: &LeaveReason) -> &'static str {
    match reason {
        LeaveReason::NormalLeave => "left",
        LeaveReason::Disconnect => "disconnected",
        LeaveReason::Kicked(_) => "kicked",
        LeaveReason::DuplicateJoin => "joined_again",
        LeaveReason::Draining => "draining",
        LeaveReason::Crashed(_) => "crashed",
        LeaveReason::Unavailable => "unavailable",
        LeaveReason::Missed => "missed",
        LeaveReason::Moved => "moved",
    }
}
