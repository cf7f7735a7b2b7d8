//! The numbers of a server, copied for a recorder of the crate `metrics` every now and then.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::server::Lapwing;

/// A shorter period would do nothing else.
const PERIOD_MIN: Duration = Duration::from_millis(1);

impl Lapwing {
    /// Hands all numbers to the recorder of the crate `metrics`, at once and then once a `period` (of a millisecond at least), as
    /// [`Metrics::record`](crate::metrics::Metrics::record) does. Ten seconds are what most recorders are asked at.
    ///
    /// It keeps no server alive, and ends when the last clone of this one is gone. Nothing is recorded while nobody polls it; dropping it
    /// ends it.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), lapwing::BuildError> {
    /// use std::time::Duration;
    ///
    /// let lapwing = lapwing::Lapwing::builder().build()?;
    /// tokio::spawn(lapwing.record_metrics(Duration::from_secs(10)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// When it is polled outside of a Tokio runtime that keeps time.
    pub fn record_metrics(&self, period: Duration) -> impl Future<Output = ()> + Send + use<> {
        let server = self.downgrade();
        async move {
            let mut ticks = interval(period.max(PERIOD_MIN));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(lapwing) = server.upgrade() else { return };
                lapwing.metrics().record();
            }
        }
    }
}
