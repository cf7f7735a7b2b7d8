//! A timer for hyper that knows when the program itself was late: a time that was slept through proves nothing of a client.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};

/// Lateness that is no turn of other tasks, but a program that stood still: the machine slept, the process was stopped.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Time after a pause for what the client sent meanwhile to be read.
const GRACE: Duration = Duration::from_secs(1);

/// Sleeps as tokio does, and a second longer where the program stood still as a time ran out. Heads and pings of HTTP/2 go by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patient;

impl Timer for Patient {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping { sleep: Box::pin(tokio::time::sleep(duration)), is_grace: false })
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping { sleep: Box::pin(tokio::time::sleep_until(deadline.into())), is_grace: false })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleeping>() {
            Some(mut sleeping) => {
                sleeping.is_grace = false;
                sleeping.sleep.as_mut().reset(deadline.into());
            }
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

struct Sleeping {
    sleep: Pin<Box<tokio::time::Sleep>>,
    is_grace: bool,
}

impl Sleep for Sleeping {}

impl Future for Sleeping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.sleep.as_mut().poll(cx));
        let now = tokio::time::Instant::now();
        let late = now.saturating_duration_since(self.sleep.deadline());
        if self.is_grace || late < PAUSE_MIN {
            return Poll::Ready(());
        }
        self.is_grace = true;
        self.sleep.as_mut().reset(now + GRACE);
        self.sleep.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, advance};

    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_time_is_as_long_as_it_says() {
        let begun = Instant::now();
        Patient.sleep(TIME).await;
        assert!((TIME..TIME + GRACE).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        Patient.sleep_until((Instant::now() + TIME).into()).await;
        assert!((2 * TIME..2 * TIME + GRACE).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_slept_through_is_followed_by_a_grace_and_then_it_is_over() {
        let mut sleep = Patient.sleep(TIME);
        for _ in 0..2 {
            advance(TIME + Duration::from_secs(3_600)).await;
            assert!(is_pending(&mut sleep).await, "the program stood still");
            let went_on = Instant::now();
            sleep.as_mut().await;
            assert!((GRACE..2 * GRACE).contains(&went_on.elapsed()), "{:?}", went_on.elapsed());
            Patient.reset(&mut sleep, (Instant::now() + TIME).into());
        }
    }

    async fn is_pending(sleep: &mut Pin<Box<dyn Sleep>>) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx).is_pending())).await
    }
}
