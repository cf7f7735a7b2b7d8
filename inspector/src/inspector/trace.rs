//! What happens on one topic, or to one user, while it happens: lines of text, for a page and for `curl -N`.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http_body::Frame;
use lapwing::{
    Broadcast, Happening, JournalEntry, Lagged, Lapwing, Subscription, Topic, transports::body::Cut,
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::JoinSet,
    time::{Instant, interval, timeout_at},
};

use crate::inspector::{samples::millis, shown::quoted};

/// Traces at once. Each subscribes to topics like a task of the program.
pub(crate) const TRACES_MAX: usize = 16;
/// A trace that somebody forgot ends by itself.
const TIME_MAX: Duration = Duration::from_secs(600);
/// Lines that wait for a client: beyond it the trace waits, and tells what it missed.
const LINES_MAX: usize = 64;
/// Topics of a user that are followed.
const TOPICS_MAX: usize = 100;
/// How often it is looked what has happened to a user.
const PERIOD: Duration = Duration::from_millis(500);

/// What is traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Traced {
    Topic(String),
    User(String),
}

/// The lines of a trace.
pub(crate) struct Lines {
    lines: mpsc::Receiver<String>,
    place: Place,
}

/// The place of a trace among those that may be. It is free when its lines are dropped, and when its time is over: a client that reads nothing more
/// may keep the lines for as long as it likes.
#[derive(Clone)]
struct Place(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Place {
    fn leave(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.place.leave();
    }
}

/// Begins a trace. It ends when its lines are dropped, or after ten minutes.
pub(crate) fn begin(lapwing: Lapwing, traced: Traced, permit: OwnedSemaphorePermit) -> Lines {
    let (out, lines) = mpsc::channel(LINES_MAX);
    let place = Place(Arc::new(Mutex::new(Some(permit))));
    let own = place.clone();
    tokio::spawn(async move {
        let end = Instant::now() + TIME_MAX;
        let closed = out.clone();
        let tracing = async {
            match traced {
                Traced::Topic(topic) => follow(lapwing.subscribe(topic), out).await,
                Traced::User(user) => follow_user(&lapwing, &user, out).await,
            }
        };
        tokio::select! {
            _ = timeout_at(end, tracing) => {}
            () = closed.closed() => {}
        }
        own.leave();
    });
    Lines { lines, place }
}

/// Tells what is broadcast on a topic.
async fn follow(mut subscription: Subscription, out: mpsc::Sender<String>) {
    let topic = quoted(subscription.topic().as_str());
    let begun = format!("{} {topic} is traced\n", clock(SystemTime::now()));
    if out.send(begun).await.is_err() {
        return;
    }
    loop {
        let line = line_of(&topic, subscription.recv().await);
        if out.send(line).await.is_err() {
            return;
        }
    }
}

fn line_of(topic: &str, received: Result<Arc<Broadcast>, Lagged>) -> String {
    let at = clock(SystemTime::now());
    match received {
        Ok(broadcast) => {
            let (event, bytes) = (quoted(&broadcast.event), broadcast.payload.size());
            let position =
                broadcast.position.map_or_else(String::new, |position| format!(", position {position}"));
            format!("{at} {topic} {event}, {bytes} bytes{position}\n")
        }
        Err(Lagged(0)) => format!("{at} {topic} some were lost between nodes\n"),
        Err(Lagged(missed)) => format!("{at} {topic} {missed} came too fast and are not here\n"),
    }
}

/// Tells what happens to the sessions of a user, and what is broadcast on the topics that they have joined.
async fn follow_user(lapwing: &Lapwing, user: &str, out: mpsc::Sender<String>) {
    let name = quoted(user);
    let mut followed: HashMap<Topic, ()> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut last = lapwing.journal(0).last().map_or(0, |entry| entry.number);
    let mut ticks = interval(PERIOD);
    let mut is_changed = true;
    let mut begun = format!("{} {name} is traced\n", clock(SystemTime::now()));
    if last == 0 {
        begun.push_str(
            "nothing is noted of sessions so far: Builder::journal turns the journal on, which this needs\n",
        );
    }
    if out.send(begun).await.is_err() {
        return;
    }
    loop {
        ticks.tick().await;
        for entry in lapwing.journal(last) {
            let missed = entry.number - last - 1;
            if missed > 0 {
                is_changed = true;
                let line = format!("{} {missed} entries of the journal were overwritten\n", clock(entry.at));
                if out.send(line).await.is_err() {
                    return;
                }
            }
            last = entry.number;
            if entry.socket_id.as_deref() == Some(&*name) {
                is_changed = true;
                if out.send(entry_line(&entry)).await.is_err() {
                    return;
                }
            }
        }
        if std::mem::take(&mut is_changed) {
            for topic in topics_of(lapwing.clone(), user.to_owned()).await {
                if followed.len() < TOPICS_MAX && followed.insert(topic.clone(), ()).is_none() {
                    tasks.spawn(follow(lapwing.subscribe(topic), out.clone()));
                }
            }
        }
    }
}

/// The topics that a user's sessions have joined. A walk through all sessions is no work for a task that others wait behind.
async fn topics_of(lapwing: Lapwing, user: String) -> Vec<Topic> {
    let walk = move || {
        let own = lapwing.sessions().filter(|session| session.socket_id.as_deref() == Some(&*user));
        own.flat_map(|session| session.topics).collect()
    };
    tokio::task::spawn_blocking(walk).await.unwrap_or_default()
}

fn entry_line(entry: &JournalEntry) -> String {
    let (at, id) = (clock(entry.at), entry.transport_id.0);
    let what = match &entry.what {
        Happening::Opened { transport } => format!("opened by {}", transport.name()),
        Happening::Carried { transport } => format!("carried by {}", transport.name()),
        Happening::Away => "away".to_owned(),
        Happening::Back => "back".to_owned(),
        Happening::Joined { topic } => format!("joined {topic}"),
        Happening::Refused { topic } => format!("not let into {topic}"),
        Happening::Left { topic, reason } => format!("left {topic}: {reason}"),
        Happening::Closed { reason } => format!("closed: {}", reason.word()),
        _ => "something else".to_owned(),
    };
    format!("{at} session {id} {what}\n")
}

/// The time of day, UTC.
fn clock(at: SystemTime) -> String {
    let ms = millis(at);
    let (s, ms) = (ms / 1_000 % 86_400, ms % 1_000);
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3_600, s / 60 % 60, s % 60)
}

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.lines.poll_recv(cx).map(|line| line.map(|line| Ok(Frame::data(line.into()))))
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http_body_util::{BodyExt as _, Full};
    use hyper::service::Service as _;
    use lapwing::{Accept, Mount};
    use serde_json::json;
    use tokio::sync::Semaphore;

    use super::*;

    async fn line(lines: &mut Lines) -> String {
        let frame = lines.frame().await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_trace_shows_what_is_broadcast_but_no_payload_and_nothing_that_a_terminal_obeys() {
        let lapwing = Lapwing::builder().mount("/socket", Mount::new()).build().unwrap();
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let mut lines = begin(lapwing.clone(), Traced::Topic("room:1".into()), permit);
        assert!(line(&mut lines).await.ends_with(" \"room:1\" is traced\n"));
        lapwing.broadcast("room:1", "said\u{1b}[2J\n", json!({"text": "a secret"})).unwrap();
        let shown = line(&mut lines).await;
        assert!(shown.ends_with(" \"room:1\" \"said\\u{1b}[2J\\n\", 19 bytes\n"), "{shown}");
        assert_eq!(lapwing.topics().count(), 1);
        drop(lines);
        while lapwing.topics().count() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trace_that_nobody_reads_gives_up_its_place_when_its_time_is_over() {
        let lapwing = Lapwing::builder().build().unwrap();
        let places = Arc::new(Semaphore::new(1));
        let lines =
            begin(lapwing.clone(), Traced::Topic("t".into()), places.clone().try_acquire_owned().unwrap());
        tokio::task::yield_now().await;
        for _ in 0..2 * LINES_MAX {
            lapwing.broadcast("t", "said", json!({})).unwrap();
        }
        tokio::time::sleep(TIME_MAX - Duration::from_secs(1)).await;
        assert_eq!(places.available_permits(), 0);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(places.available_permits(), 1);
        drop(lines);
        assert_eq!(places.available_permits(), 1, "it is given up once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_trace_of_a_user_says_what_it_cannot_know() {
        for (entries, wanted) in [(0, "turns the journal on"), (2, "entries of the journal were overwritten")]
        {
            let mount = Mount::new().connect(|_| async { Ok(Accept::new().id("ada")) });
            let lapwing = Lapwing::builder().mount("/socket", mount).journal(entries).build().unwrap();
            let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
            let mut lines = begin(lapwing.clone(), Traced::User("ada".into()), permit);
            let first = line(&mut lines).await;
            assert!(first.contains(" \"ada\" is traced\n"), "{first}");
            for _ in 0..3 {
                let open = Request::post("/longpoll?lapwing=1&vsn=2.0.0")
                    .body(Full::<Bytes>::from("!open 30000"))
                    .unwrap();
                let opened = lapwing.at("/socket").unwrap().call(open).await.unwrap();
                assert_eq!(opened.status(), 200);
            }
            let second = if entries > 0 { line(&mut lines).await } else { String::new() };
            assert!((first + &second).contains(wanted), "{second}");
        }
    }

    #[test]
    fn the_time_of_day_is_that_of_greenwich() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(86_400_000 * 3 + 3_723_004);
        assert_eq!(clock(at), "01:02:03.004");
    }
}
