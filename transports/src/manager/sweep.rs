//! The sweep: one task for all sessions of a mount, which moves their clock, judges silence and ends what was closed.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::{Manager, staying::Found};
use crate::{
    close::CloseReason,
    handler::Handler,
    live::clock::{Pace, Step},
    options::WebsocketOptions,
    session::life::{Patience, Tick},
};

/// How often the sweep looks for debtors while relief is needed: what is freed takes a moment to be given back.
const RELIEF_PERIOD: Duration = Duration::from_millis(100);

/// Never. Saturated, so that it is so with a period more, too.
const FAR: Duration = Duration::from_secs(u32::MAX as u64 / 1_000);

impl<H: Handler> Manager<H> {
    /// Starts the sweep at the first request: only then there is surely a runtime to run it.
    pub(crate) fn start_sweep(self: &Arc<Self>) {
        self.sweep_started.call_once(|| {
            let patience = self.patience();
            let common = self.common.clone();
            let flushing = common.clone();
            let flusher = self.housekeeping.spawn(async move { flushing.flusher.run().await });
            let manager = Arc::downgrade(self);
            let sweep = async move {
                // Nobody needs it when the last session is gone.
                let _flusher = AbortOnDropHandle::new(flusher);
                // The runtime's time, which a test may stop: with another one the sweep would always be due.
                let mut swept_at = Instant::now();
                let mut pace = Pace::new(patience.period, swept_at.into_std());
                loop {
                    let pause = if common.budget.is_strained() { RELIEF_PERIOD } else { patience.period };
                    let due = swept_at + pause.min(patience.period);
                    // The sweep comes each period, and at once when relief is needed, however many sessions end meanwhile.
                    let next_sweep = timeout_at(due, common.budget.strained());
                    let closed = tokio::select! {
                        _ = next_sweep => None,
                        closed = common.endings.next() => Some(closed),
                    };
                    let Some(manager) = manager.upgrade() else { return };
                    if let Some(closed) = closed {
                        manager.end_closed(&closed).await;
                        continue;
                    }
                    swept_at = Instant::now();
                    let Step { tick, judges } = pace.step(swept_at.into_std());
                    manager.common.clock.set(tick);
                    manager.tickets.sweep(tick);
                    manager.ended.sweep();
                    manager.gone.sweep();
                    manager.relieve();
                    if judges {
                        manager.sweep(tick, patience);
                    }
                }
            };
            self.housekeeping.spawn(self.stopped.clone().run_until_cancelled_owned(sweep));
        });
    }

    pub(super) fn sweep(&self, now: Tick, patience: Patience) {
        let sought = self.staying.as_ref().map(Found::sought);
        let swept = self.registry.sweep(now, self.patience_now(now, patience), sought);
        self.common.counters.set_census(swept.census);
        if let Some((staying, sought)) = self.staying.as_ref().zip(sought) {
            staying.tell(swept.staying, sought);
        }
        for session in swept.away {
            self.tell(&session);
        }
        for session in swept.ended {
            let reason = session.closed().unwrap_or(CloseReason::Abandoned);
            self.end_session(&session, reason);
        }
    }

    /// While requests do not come here from other nodes, a client that reaches one of those can show no life: that counts as no silence of its. What
    /// it was silent before counts, or an engine that is away now and then would keep everybody for ever.
    fn patience_now(&self, now: Tick, patience: Patience) -> Patience {
        let is_cut_off = self.marks.elsewhere().is_some_and(|elsewhere| !elsewhere.is_reachable());
        let mut since = self.cut_off_since.lock().unwrap_or_else(PoisonError::into_inner);
        if is_cut_off {
            since.get_or_insert(now);
            return Patience { window: FAR, abandoned: FAR, unproven: FAR, ..patience };
        }
        let ended = since.take();
        drop(since);
        if let Some(since) = ended {
            self.registry.excuse(now.since(since));
        }
        patience
    }

    /// Closes the sessions for which most is held while that is too much.
    fn relieve(&self) {
        let excess = self.common.budget.excess();
        if excess == 0 {
            return;
        }
        let debtors = self.registry.debtors(excess);
        debug!(
            held = self.common.budget.held(),
            closing = debtors.len(),
            "too many bytes are held for clients"
        );
        let closed = debtors.into_iter().filter(|session| session.shed()).count();
        self.common.counters.over_budget.fetch_add(closed as u64, Ordering::Relaxed);
    }

    /// The limits of silence, and a period that is fine enough for the shortest of them.
    pub(super) fn patience(&self) -> Patience {
        let (websocket, longpoll) = (self.options.websocket.as_ref(), self.options.longpoll.as_ref());
        let idle = websocket.map_or(Duration::MAX, |websocket| websocket.idle_timeout);
        let linger = websocket.map_or(WebsocketOptions::default().linger, |websocket| websocket.linger);
        let abandoned = longpoll.map_or(Duration::MAX, |longpoll| longpoll.window * 3 / 2);
        let resume = self.options.resume.as_ref();
        let window = resume.map_or(Duration::MAX, |resume| resume.window);
        let unproven = resume.map_or(Duration::MAX, |resume| resume.unproven);
        let away = resume.and_then(|resume| resume.away_after).unwrap_or(Duration::MAX);
        let message = websocket.map_or(Duration::MAX, |websocket| websocket.message_timeout);
        let ticket = self.options.sse.as_ref().map_or(Duration::MAX, |sse| sse.ticket_lifetime);
        let shortest =
            ticket.min(idle).min(linger).min(message).min(abandoned).min(window).min(unproven).min(away);
        let period = (shortest / 8).clamp(Duration::from_millis(20), Duration::from_secs(1));
        Patience {
            idle: idle.min(FAR),
            linger: linger.min(FAR),
            abandoned: abandoned.min(FAR),
            window: window.min(FAR),
            unproven: unproven.min(FAR),
            away: away.min(FAR),
            period,
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::atomic::AtomicBool;

    use http::Request;

    use super::*;
    use crate::{
        connect::{ConnectRequest, Refusal, Transport},
        dialect::token::Secret,
        elsewhere::{
            CarriedBody, CarriedSocket, Carrying, CarryingSocket, Elsewhere, Marks, NotCarried, TAG_BYTES,
        },
        frame::Message,
        live::{Kind, LiveSession, resumable::Resumable},
        options::{ResumeOptions, TransportOptions},
    };

    struct Deaf;

    impl Handler for Deaf {
        type State = ();

        async fn connect(&self, _: ConnectRequest) -> Result<(), Refusal> {
            Ok(())
        }

        fn received(&self, _: &Arc<LiveSession<()>>, _: Message<'_>) -> Result<(), CloseReason> {
            Ok(())
        }
    }

    /// Another node, which can be reached or not.
    #[derive(Default)]
    struct Other(AtomicBool);

    impl Elsewhere for Other {
        fn here(&self) -> u64 {
            1
        }

        fn tag(&self, _: &[u8]) -> [u8; TAG_BYTES] {
            [0; TAG_BYTES]
        }

        fn is_reachable(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }

        fn carry(&self, _: u64, _: Transport, _: Request<CarriedBody>) -> Carrying {
            Box::pin(async { Err(NotCarried::Later) })
        }

        fn carry_socket(&self, _: u64, socket: CarriedSocket) -> CarryingSocket {
            Box::pin(async { Err((NotCarried::Later, socket.io)) })
        }
    }

    /// A session whose client shows no life, as the sweep finds it at a second, while other nodes can be reached or not.
    fn silent_client() -> impl FnMut(u32, bool) -> Option<CloseReason> {
        let other = Arc::new(Other::default());
        let resume = ResumeOptions::default().window(Duration::from_secs(60));
        let options = TransportOptions::default().resume(resume);
        let manager = Arc::new(Manager::among(Deaf, options, Marks::new(Some(other.clone()))));
        let resumable = Resumable::new(1, Secret::new([1; 16]));
        let session =
            LiveSession::new(manager.common.clone(), Transport::Longpoll, Kind::Resumable(resumable), ());
        let session = manager.enter(session).expect("there is room");
        session.core().session.handle_proof();
        move |second, is_reachable| {
            other.0.store(is_reachable, Ordering::Relaxed);
            let now = Tick(second * 1_000);
            manager.common.clock.set(now);
            manager.sweep(now, manager.patience());
            session.closed()
        }
    }

    #[test]
    fn while_other_nodes_cannot_be_reached_the_silence_of_clients_does_not_count() {
        let mut sweep = silent_client();
        assert_eq!((sweep(40, true), sweep(41, false), sweep(1_000, false)), (None, None, None));
        assert_eq!((sweep(1_001, true), sweep(1_019, true)), (None, None), "its time goes on");
        assert_eq!(sweep(1_022, true), Some(CloseReason::Expired));
    }

    /// An engine that is away now and then keeps nobody for ever.
    #[test]
    fn outages_that_come_again_and_again_give_back_no_more_than_they_took() {
        let mut sweep = silent_client();
        let closed = (1..1_000).find(|&second| sweep(second, second % 5 != 0) == Some(CloseReason::Expired));
        let closed = closed.expect("it is closed");
        assert!((60 * 5 / 4..60 * 5 / 4 + 5).contains(&closed), "after {closed} s");
    }

    /// The cache of ended sessions counts and gives back when it is told to, or when somebody uses it again.
    #[tokio::test]
    async fn ended_sessions_that_nobody_asks_for_are_given_back() {
        let resume = ResumeOptions::default()
            .ended_lifetime(Duration::from_millis(500))
            .window(Duration::from_millis(200));
        let manager = Arc::new(Manager::new(Deaf, TransportOptions::default().resume(resume)));
        // A machine that stands still may let them expire before they are counted.
        for _ in 0..100 {
            for serial in 0..1_000 {
                manager.ended.remember((1, serial), Secret::new([1; 16]), CloseReason::Client, None);
            }
            manager.ended.sweep();
            if manager.ended.count() == 1_000 {
                break;
            }
        }
        assert_eq!(manager.ended.count(), 1_000);
        manager.start_sweep();
        for _ in 0..3_000 {
            if manager.ended.count() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} are still there", manager.ended.count());
    }
}
