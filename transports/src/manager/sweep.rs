//! The sweep: one task for all sessions of a mount, which moves their clock, judges silence and ends what was closed.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::Manager;
use crate::{
    close::CloseReason,
    handler::Handler,
    live::clock::{Pace, Step},
    options::WebsocketOptions,
    session::life::{Patience, Tick},
};

/// How often the sweep looks for debtors while relief is needed: what is freed takes a moment to be given back.
const RELIEF_PERIOD: Duration = Duration::from_millis(100);

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
                    manager.relieve();
                    if judges {
                        manager.sweep(tick, patience);
                    }
                }
            };
            self.housekeeping.spawn(self.stopped.clone().run_until_cancelled_owned(sweep));
        });
    }

    fn sweep(&self, now: Tick, patience: Patience) {
        let swept = self.registry.sweep(now, patience);
        self.common.counters.set_census(swept.census);
        for session in swept.away {
            self.tell(&session);
        }
        for session in swept.ended {
            let reason = session.closed().unwrap_or(CloseReason::Abandoned);
            self.end_session(&session, reason);
        }
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
    fn patience(&self) -> Patience {
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
        // Saturated, so that "never" plus a period is still never.
        let far = Duration::from_secs(u64::from(u32::MAX) / 1_000);
        Patience {
            idle: idle.min(far),
            linger: linger.min(far),
            abandoned: abandoned.min(far),
            window: window.min(far),
            unproven: unproven.min(far),
            away: away.min(far),
            period,
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::{
        connect::{ConnectRequest, Refusal},
        dialect::token::Secret,
        frame::Message,
        live::LiveSession,
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
                manager.ended.remember(serial, Secret::new([1; 16]), CloseReason::Client, None);
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
