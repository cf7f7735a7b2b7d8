//! A client that only wants its replies while others misbehave.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    channels::{Client, Vsn, ok},
    lateness::Lateness,
    testbed::Testbed,
};

/// Asks for a reply again and again, from its start until [`Bystander::finish`].
pub(crate) struct Bystander {
    stop: oneshot::Sender<()>,
    lateness: Lateness,
    task: JoinHandle<Duration>,
}

const PAUSE: Duration = Duration::from_millis(20);

/// How late a reply may be before others can be said to have noticed, on a machine that is on time.
pub(crate) const REPLY_MAX: Duration = Duration::from_secs(3);

/// Client and server wait for their turns, a few each.
const TURNS: u32 = 8;

impl Bystander {
    pub(crate) async fn start(testbed: &Testbed) -> Bystander {
        let client = Client::joined(testbed.address(), Vsn::V2, "room:bystander").await;
        let (stop, stopped) = oneshot::channel();
        Bystander { stop, lateness: Lateness::begin(), task: tokio::spawn(ask(client, stopped)) }
    }

    /// Ends it: every reply must have come, none much later than [`REPLY_MAX`], compared with how late
    /// this machine was meanwhile. Asks once more after the call, so that a
    /// server that has just died is found out.
    pub(crate) async fn finish(self) {
        let _ = self.stop.send(());
        let slowest = self.task.await.expect("the bystander gets all of its replies");
        let max = REPLY_MAX + self.lateness.worst() * TURNS;
        assert!(slowest < max, "a bystander waited {slowest:?} for a reply, more than {max:?}");
    }
}

/// Asks until stopped; the longest wait for a reply.
async fn ask(mut client: Client, mut stopped: oneshot::Receiver<()>) -> Duration {
    let mut slowest = Duration::ZERO;
    let mut last = false;
    for reference in 2_u64.. {
        let reference = reference.to_string();
        let asked = Instant::now();
        client.send(json!(["1", reference, "room:bystander", "ping", {"n": reference}])).await;
        client.expect(ok("1", &reference, "room:bystander", json!({"n": reference}))).await;
        slowest = slowest.max(asked.elapsed());
        if last {
            break;
        }
        last = stopped.try_recv().is_ok();
        tokio::time::sleep(PAUSE).await;
    }
    slowest
}
