//! Channels that say much to one client: what waits for room sends everything and holds little, and what does not wait is told.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use lapwing::{
    Channel, Context, Failure, Handled, Joining, Lapwing, LeaveReason, LongpollOptions, MailboxLimits, Mount,
    OutboxLimits, Payload, PushError, Receive, ResumeOptions, Sender, Topic, WebsocketOptions, noreply,
    reply,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::support::{
    PATIENCE,
    channels::{Client, Vsn, ok},
    lab,
    longpoll::LongPoll,
    sessions::{Line, Session, TRANSPORTS, Transport},
};

/// What a test hears of the joins.
enum News {
    Joined(Sender<Rows>),
    /// How the callback that was waiting for room ended.
    Waited(Result<(), PushError>),
    Left(LeaveReason),
}

/// Says rows, of which there may be many.
struct Rows;

#[derive(Deserialize)]
struct Asked {
    rows: usize,
    bytes: usize,
}

impl Channel for Rows {
    type State = UnboundedSender<News>;

    async fn join(_: &Topic, _: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        joining.state().send(News::Joined(joining.sender())).ok();
        Ok(Self)
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        let Asked { rows, bytes } = payload.parse()?;
        let text = "x".repeat(bytes);
        match event {
            "wait" => {
                let (mut frames, mut waiting) = (0, 0);
                for row in 0..rows {
                    let pushed = cx.push_when_ready("row", json!({"row": row, "text": text})).await;
                    if pushed.is_err() {
                        cx.state().send(News::Waited(pushed)).ok();
                        return Err(Failure::reason("gone"));
                    }
                    frames = frames.max(cx.waiting().frames);
                    waiting = waiting.max(cx.waiting().bytes);
                }
                // The last one may be more than a reply has room beside.
                cx.ready().await?;
                Ok(reply("ok", json!({"frames": frames, "bytes": waiting})))
            }
            "try" => {
                let full = (0..rows).find(|row| cx.push("row", json!({"row": row, "text": text})).is_err());
                let last = cx.push("row", json!({"row": rows, "text": text}));
                let is_full = matches!(last, Err(PushError::Full));
                cx.ready().await?;
                Ok(reply("ok", json!({"full": full, "is_full": is_full})))
            }
            "all" => {
                for row in 0..rows {
                    cx.push("row", json!({"row": row, "text": text}))?;
                }
                Ok(reply("ok", json!({})))
            }
            _ => Ok(noreply()),
        }
    }

    async fn leave(&mut self, reason: LeaveReason, cx: &Context<Self>) -> Result<(), Failure> {
        cx.state().send(News::Left(reason)).ok();
        Ok(())
    }
}

/// As many rows at once.
impl Receive<usize> for Rows {
    async fn handle_info(&mut self, rows: usize, cx: &Context<Self>) -> Handled {
        for row in 0..rows {
            cx.push("row", json!({"row": row}))?;
        }
        Ok(noreply())
    }
}

async fn serve(mount: Mount) -> (Lapwing, SocketAddr, UnboundedReceiver<News>) {
    let (sender, news) = unbounded_channel();
    let mount = mount.channel::<Rows>("rows:*", sender);
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    (lapwing, address, news)
}

/// The next thing that is heard of the joins, but for their beginning.
async fn next(news: &mut UnboundedReceiver<News>) -> News {
    loop {
        match tokio::time::timeout(PATIENCE, news.recv()).await.expect("something is heard in time") {
            Some(News::Joined(_)) => {}
            other => return other.expect("the server lives"),
        }
    }
}

async fn resumable(address: SocketAddr, transport: Transport) -> Session {
    let mut session = Session::open(address, "/socket", transport).await;
    session.send_json(json!(["1", "1", "rows:1", "phx_join", {}])).await;
    session.expect_json(ok("1", "1", "rows:1", json!({}))).await;
    session
}

/// The next message of a client that answers questions, acknowledges what it has to, and comes back when its connection ends.
pub(crate) async fn next_message(session: &mut Session, resumed: &mut usize) -> Value {
    loop {
        match session.next_but_busy().await {
            Line::Text(text) => return serde_json::from_str(&text).expect("a message is JSON"),
            Line::Control(line) if line.starts_with("!ack ") => {}
            Line::Control(line) if line.starts_with("!ping ") => {
                let received = session.received;
                session.say(&format!("!ack {received}")).await;
            }
            Line::End => {
                *resumed += 1;
                session.resume(Transport::Websocket).await;
            }
            line => panic!("wanted a message, got {line:?}"),
        }
    }
}

/// The reply to "wait" says that no more was held than half of what may be, and the event that was on its way.
fn assert_held(reply: &Value, limits: (usize, usize), event: usize) {
    let response = &reply["response"];
    let (frames, bytes) = (response["frames"].as_u64().unwrap(), response["bytes"].as_u64().unwrap());
    assert_eq!(reply["status"], "ok", "{reply}");
    assert!(frames as usize <= limits.0 / 2 + 1, "{frames} frames were held");
    assert!(bytes as usize <= limits.1 / 2 + event, "{bytes} bytes were held");
}

/// More than may wait, in frames or in bytes.
const OF_SMALL: (usize, usize) = (5_000, 10);
const OF_LARGE: (usize, usize) = (30, 600_000);
const BY_DEFAULT: (usize, usize) = (4_096, 16 * 1024 * 1024);

#[tokio::test]
async fn a_stock_client_that_reads_gets_all_that_a_callback_says_at_once() {
    let (_lapwing, address, _news) = serve(Mount::new()).await;
    for (rows, bytes) in [(10_000, 10), OF_LARGE] {
        let mut client = Client::joined(address, Vsn::V2, "rows:1").await;
        client.send(json!(["1", "2", "rows:1", "wait", {"rows": rows, "bytes": bytes}])).await;
        for row in 0..rows {
            assert_eq!(client.next_message().await[4]["row"], row);
        }
        assert_held(&client.next_message().await[4], BY_DEFAULT, bytes + 100);
        client.expect_heartbeat().await;
    }
}

#[tokio::test]
async fn a_stock_client_that_polls_gets_all_that_a_callback_says_at_once() {
    let (_lapwing, address, _news) = serve(Mount::new()).await;
    for (rows, bytes) in [OF_SMALL, OF_LARGE] {
        let mut client = LongPoll::open(address, "/socket").await;
        client.send(json!(["1", "1", "rows:1", "phx_join", {}])).await;
        client.send(json!(["1", "2", "rows:1", "wait", {"rows": rows, "bytes": bytes}])).await;
        let mut messages = VecDeque::new();
        while messages.len() < rows + 2 {
            messages.extend(client.poll().await.messages);
        }
        assert_eq!(messages.pop_front(), Some(ok("1", "1", "rows:1", json!({}))));
        for row in 0..rows {
            assert_eq!(messages.pop_front().unwrap()[4]["row"], row);
        }
        assert_held(&messages.pop_front().unwrap()[4], BY_DEFAULT, bytes + 100);
    }
}

#[tokio::test]
async fn a_resumable_session_gets_all_that_a_callback_says_at_once() {
    let (_lapwing, address, _news) = serve(Mount::new()).await;
    for transport in TRANSPORTS {
        for (rows, bytes) in [OF_SMALL, OF_LARGE] {
            let mut session = resumable(address, transport).await;
            session.send_json(json!(["1", "2", "rows:1", "wait", {"rows": rows, "bytes": bytes}])).await;
            for row in 0..rows {
                assert_eq!(next_message(&mut session, &mut 0).await[4]["row"], row, "{transport:?}");
            }
            assert_held(&next_message(&mut session, &mut 0).await[4], BY_DEFAULT, bytes + 100);
            session.say("!close").await;
        }
    }
}

/// The callback waits for room, its mailbox is full of what the client says, and what the client has is behind all that.
#[tokio::test]
async fn a_client_that_cannot_be_heard_saying_what_it_has_says_so_on_another_connection() {
    let mount = Mount::new()
        .mailbox(MailboxLimits::new().messages_max(1))
        .outbox(OutboxLimits::new().frames_max(20).unacknowledged_frames_max(20));
    let (_lapwing, address, _news) = serve(mount).await;
    let mut session = resumable(address, Transport::Websocket).await;
    session.send_json(json!(["1", "2", "rows:1", "wait", {"rows": 60, "bytes": 10}])).await;
    for n in 3..40 {
        session.send_json(json!(["1", n.to_string(), "rows:1", "nothing", {"rows": 0, "bytes": 0}])).await;
    }
    let mut resumed = 0;
    for row in 0..60 {
        assert_eq!(next_message(&mut session, &mut resumed).await[4]["row"], row);
    }
    assert_held(&next_message(&mut session, &mut resumed).await[4], (20, usize::MAX), 0);
    assert!(resumed > 0, "it was not heard");
}

/// What it has is behind its other questions, and those make more answers than may wait until it is heard.
#[tokio::test]
async fn a_client_that_asks_much_at_once_is_answered_and_not_closed() {
    let limits = OutboxLimits::new().frames_max(40).unacknowledged_frames_max(40);
    let (_lapwing, address, _news) = serve(Mount::new().outbox(limits)).await;
    let mut session = resumable(address, Transport::Websocket).await;
    for n in 2..300 {
        session.send_json(json!(["1", n.to_string(), "rows:1", "wait", {"rows": 0, "bytes": 0}])).await;
    }
    let mut resumed = 0;
    for n in 2..300 {
        let answer = ok("1", &n.to_string(), "rows:1", json!({"frames": 0, "bytes": 0}));
        assert_eq!(next_message(&mut session, &mut resumed).await, answer);
    }
    assert_eq!(resumed, 0, "it was heard in time");
}

/// All of its questions have come before it reads the first answer, and the answers are more than may wait for it.
#[tokio::test]
async fn a_client_that_asks_faster_than_it_hears_waits_for_its_answers() {
    let (_lapwing, address, _news) = serve(Mount::new().outbox(OutboxLimits::new().frames_max(40))).await;
    for transport in [Transport::Sse, Transport::Longpoll] {
        let mut session = resumable(address, transport).await;
        for n in 2..300 {
            session.send_json(json!(["1", n.to_string(), "rows:1", "wait", {"rows": 0, "bytes": 0}])).await;
        }
        for n in 2..300 {
            let answer = ok("1", &n.to_string(), "rows:1", json!({"frames": 0, "bytes": 0}));
            assert_eq!(next_message(&mut session, &mut 0).await, answer, "{transport:?}");
        }
    }
    let mut client = LongPoll::open(address, "/socket").await;
    client.send(json!(["1", "1", "rows:1", "phx_join", {}])).await;
    for n in 2..300 {
        client.send(json!(["1", n.to_string(), "rows:1", "wait", {"rows": 0, "bytes": 0}])).await;
    }
    let mut messages = VecDeque::new();
    while messages.len() < 299 {
        messages.extend(client.poll().await.messages);
    }
    assert!(messages.iter().zip(1..).all(|(message, n)| message[1] == format!("{n}")), "{messages:?}");
}

#[tokio::test]
async fn who_does_not_wait_is_told_that_there_is_no_room_and_ends_nothing() {
    let (_lapwing, address, _news) = serve(Mount::new().outbox(OutboxLimits::new().frames_max(8))).await;
    let mut client = Client::joined(address, Vsn::V2, "rows:1").await;
    client.send(json!(["1", "2", "rows:1", "try", {"rows": 100, "bytes": 10}])).await;
    for row in 0..8 {
        assert_eq!(client.next_message().await[4]["row"], row);
    }
    client.expect(ok("1", "2", "rows:1", json!({"full": 8, "is_full": true}))).await;
    client.expect_heartbeat().await;
}

/// Nobody could tell the client of a gap, so that it has to begin anew.
#[tokio::test]
async fn a_callback_that_fails_for_want_of_room_ends_the_session_of_the_client() {
    let (_lapwing, address, mut news) = serve(Mount::new().outbox(OutboxLimits::new().frames_max(8))).await;
    let mut client = Client::joined(address, Vsn::V2, "rows:1").await;
    let Some(News::Joined(sender)) = news.recv().await else { panic!("it has joined") };
    sender.send(9_usize).unwrap();
    assert_eq!(client.close_code_within(PATIENCE).await, Some(1013));
    assert!(matches!(next(&mut news).await, News::Left(LeaveReason::Disconnect)));
}

#[tokio::test]
async fn who_waits_for_a_client_that_goes_is_told() {
    let (lapwing, address, mut news) = serve(Mount::new()).await;
    for transport in [None, Some(Transport::Websocket), Some(Transport::Sse)] {
        let say = json!(["1", "2", "rows:1", "wait", {"rows": 1_000, "bytes": 600_000}]);
        // It does not read, and then it is gone.
        let waits = async || {
            let is_much = || lapwing.sessions().any(|session| session.waiting.bytes > 8_000_000);
            while !is_much() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if let Some(transport) = transport {
            let mut session = resumable(address, transport).await;
            session.send_json(say).await;
            tokio::time::timeout(PATIENCE, waits()).await.expect("much waits");
            session.post("!close").await;
        } else {
            let mut client = Client::joined(address, Vsn::V2, "rows:1").await;
            client.send(say).await;
            tokio::time::timeout(PATIENCE, waits()).await.expect("much waits");
            drop(client);
        }
        assert!(matches!(next(&mut news).await, News::Waited(Err(PushError::Closed))), "{transport:?}");
        assert!(matches!(next(&mut news).await, News::Left(LeaveReason::Disconnect)), "{transport:?}");
    }
}

/// Though nothing is read from it, as what it has said waits for the callback that waits for it.
#[tokio::test]
async fn who_waits_for_a_client_that_reads_nothing_waits_no_longer_than_it_may_be_silent() {
    let mount = Mount::new()
        .mailbox(MailboxLimits::new().messages_max(1))
        .websocket(WebsocketOptions::default().idle_timeout(Duration::from_millis(500)));
    let (_lapwing, address, mut news) = serve(mount).await;
    let mut client = Client::joined(address, Vsn::V2, "rows:1").await;
    client.send(json!(["1", "2", "rows:1", "wait", {"rows": 1_000, "bytes": 600_000}])).await;
    for n in 3..10 {
        client.send(json!(["1", n.to_string(), "rows:1", "nothing", {"rows": 0, "bytes": 0}])).await;
    }
    assert!(matches!(next(&mut news).await, News::Waited(Err(PushError::Closed))));
    drop(client);
}

/// Each row is more than may wait, so that beside one there is room for no other, and the task that waits for it is the one that writes.
#[tokio::test]
async fn rows_that_are_each_more_than_may_wait_come_one_after_the_other() {
    for limits in [OutboxLimits::new().bytes_max(64 * 1024), OutboxLimits::new().frames_max(1)] {
        let websocket = WebsocketOptions::default().message_bytes_max(64 * 1024);
        let resume = ResumeOptions::default().body_bytes_max(64 * 1024);
        let longpoll = LongpollOptions::default().body_bytes_max(64 * 1024);
        let mount = Mount::new().outbox(limits).websocket(websocket).resume(resume).longpoll(longpoll);
        let (_lapwing, address, _news) = serve(mount).await;
        let mut client = Client::joined(address, Vsn::V2, "rows:1").await;
        client.send(json!(["1", "2", "rows:1", "wait", {"rows": 5, "bytes": 100_000}])).await;
        for row in 0..5 {
            assert_eq!(client.next_message().await[4]["row"], row);
        }
        assert_eq!(client.next_message().await[4]["response"]["frames"], 1);
    }
}

#[tokio::test]
async fn who_pushes_more_than_there_is_room_for_says_so_to_the_client_and_goes_on() {
    let (_lapwing, address, _news) = serve(Mount::new()).await;
    let mut client = Client::joined(address, Vsn::V2, "rows:1").await;
    for reference in ["2", "3"] {
        client.send(json!(["1", reference, "rows:1", "all", {"rows": 50_000, "bytes": 10}])).await;
        let mut rows = 0;
        let answer = loop {
            let message = client.next_message().await;
            if message[3] == "phx_reply" {
                break message;
            }
            assert_eq!(message[4]["row"], rows);
            rows += 1;
        };
        assert_eq!((rows, &answer[1]), (4_096, &json!(reference)));
        let told = json!({"status": "error", "response": {"reason": "too much waits for the client"}});
        assert_eq!(answer[4], told);
    }
}
