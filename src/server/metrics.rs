//! The numbers of a server, taken when somebody asks.

use lapwing_transports::{connect::Transport, endpoint::Endpoint};

use crate::{
    join::meter::Callback,
    metrics::{Metrics, catalog::*},
    node::Node,
    server::{Lapwing, Mounted},
    session::handler::Hub,
    topics::{kept::Kept, meter::Source},
};

impl Lapwing {
    /// All numbers at this moment: counters since the server was built, and gauges. `docs/metrics.md` says what each means.
    ///
    /// It reads what was counted when it happened, and walks through no sessions: what it costs depends on how many mounts, routes and
    /// callbacks there are. What is counted of live sessions (`lapwing_sessions` and `lapwing_waiting_bytes`, for example) is as old
    /// as the last sweep: a second at most.
    ///
    /// ```
    /// use lapwing::{Lapwing, metrics::Value};
    /// use serde_json::json;
    ///
    /// let lapwing = Lapwing::builder().build()?;
    /// lapwing.broadcast("orders:new", "created", json!({"id": 1}))?;
    /// let metrics = lapwing.metrics();
    /// let Some(Value::Histogram(receivers)) = metrics.value("lapwing_broadcast_receivers", &["program"]) else { panic!() };
    /// assert_eq!((receivers.count(), receivers.sum), (1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::new();
        metrics.gauge(&READY, &[], flag(self.is_ready()));
        for Mounted { name, endpoint, .. } in self.mounts() {
            add_sessions(&mut metrics, name, endpoint);
            add_traffic(&mut metrics, name, endpoint);
            add_channels(&mut metrics, name, endpoint.handler());
        }
        add_node(&mut metrics, self.node());
        #[cfg(feature = "cluster")]
        if let Some(link) = self.node().link() {
            add_cluster(&mut metrics, link);
        }
        metrics
    }

    /// The text of [`metrics`](Self::metrics) as OpenMetrics 1.0, for scrapers. [`Metrics::to_prometheus`] is the same for those that take
    /// version 0.0.4 alone; [`metrics_service`](Self::metrics_service) asks which it is to be.
    ///
    /// ```
    /// let lapwing = lapwing::Lapwing::builder().build()?;
    /// assert!(lapwing.openmetrics().ends_with("# EOF\n"));
    /// # Ok::<(), lapwing::BuildError>(())
    /// ```
    #[must_use]
    pub fn openmetrics(&self) -> String {
        self.metrics().to_openmetrics()
    }
}

fn add_sessions(metrics: &mut Metrics, mount: &str, endpoint: &Endpoint<Hub>) {
    let counters = endpoint.counters();
    let census = counters.last_census();
    let carried = [census.websocket, census.sse, census.longpoll];
    for (transport, count) in Transport::ALL.into_iter().zip(carried) {
        metrics.gauge(&SESSIONS, &[mount, transport.name()], count as f64);
        let (plain, resumable) = counters.opened(transport);
        metrics.count(&SESSIONS_OPENED, &[mount, transport.name(), "plain"], plain);
        metrics.count(&SESSIONS_OPENED, &[mount, transport.name(), "resumable"], resumable);
        metrics.histogram(&SESSION_DURATION, &[mount, transport.name()], counters.durations(transport));
        metrics.histogram(&ROUND_TRIP, &[mount, transport.name()], counters.round_trips(transport));
    }
    metrics.gauge(&SESSIONS, &[mount, "none"], census.detached as f64);
    metrics.gauge(&SESSIONS_RESUMABLE, &[mount], census.resumable as f64);
    metrics.gauge(&SESSIONS_HELD_BACK, &[mount], census.held_back as f64);
    metrics.gauge(&WAITING_FRAMES, &[mount], census.waiting.frames as f64);
    metrics.gauge(&WAITING_BYTES, &[mount], census.waiting.bytes as f64);
    metrics.gauge(&WAITING_SECONDS, &[mount], census.oldest.as_secs_f64());
    metrics.gauge(&UNACKNOWLEDGED_BYTES, &[mount], census.unacknowledged.bytes as f64);
    metrics.gauge(&HELD_BYTES, &[mount], endpoint.bytes_held() as f64);
    metrics.gauge(&HELD_BYTES_MAX, &[mount], endpoint.bytes_held_max() as f64);
    metrics.count(&FRAMES_SPARED, &[mount, "replaced"], counters.replaced());
    metrics.count(&FRAMES_SPARED, &[mount, "dropped"], counters.dropped());
    metrics.count(&FRAMES_SPARED, &[mount, "left_out"], counters.left_out());
    for (word, count) in counters.ended() {
        metrics.count(&SESSIONS_ENDED, &[mount, word], count);
    }
    for (reason, count) in counters.not_admitted() {
        metrics.count(&CONNECTS_REFUSED, &[mount, reason.word()], count);
    }
    for ((from, to), count) in counters.moves() {
        metrics.count(&RESUMES, &[mount, from.name(), to.name()], count);
    }
    for (refused, count) in counters.resumes_refused() {
        metrics.count(&RESUMES_REFUSED, &[mount, refused.word()], count);
    }
}

fn add_traffic(metrics: &mut Metrics, mount: &str, endpoint: &Endpoint<Hub>) {
    for transport in Transport::ALL {
        let traffic = endpoint.counters().traffic(transport);
        for (direction, frames, bytes) in [
            ("transmit", traffic.frames_out, traffic.bytes_out),
            ("receive", traffic.frames_in, traffic.bytes_in),
        ] {
            metrics.count(&FRAMES, &[mount, transport.name(), direction], frames);
            metrics.count(&FRAME_BYTES, &[mount, transport.name(), direction], bytes);
        }
    }
}

fn add_channels(metrics: &mut Metrics, mount: &str, hub: &Hub) {
    for (reason, count) in hub.meter.refused.iter() {
        metrics.count(&MESSAGES_REFUSED, &[mount, reason], count);
    }
    for (result, count) in hub.meter.tokens.iter() {
        metrics.count(&TOKENS, &[mount, result], count);
    }
    for (route, meter) in hub.router().meters() {
        for (result, count) in meter.decided.iter() {
            metrics.count(&JOINS_DECIDED, &[mount, route, result], count);
        }
        for (reason, count) in meter.ended.iter() {
            metrics.count(&JOINS_ENDED, &[mount, route, reason], count);
        }
        for (what, count) in meter.full.iter() {
            metrics.count(&MAILBOX_FULL, &[mount, route, what], count);
        }
        // Those that a channel does not have are never called.
        for callback in Callback::ALL {
            let Some(durations) = meter.durations(callback) else { continue };
            metrics.histogram(&CALLBACK_DURATION, &[mount, route, callback.name()], durations);
            for (how, count) in meter.failures(callback) {
                metrics.count(&CALLBACKS_FAILED, &[mount, route, callback.name(), how], count);
            }
        }
    }
}

fn add_node(metrics: &mut Metrics, node: &Node) {
    let meter = &node.topics.meter;
    for source in Source::ALL {
        let (receivers, durations) = meter.dispatches(source);
        metrics.histogram(&BROADCAST_RECEIVERS, &[source.word()], receivers);
        metrics.histogram(&BROADCAST_DURATION, &[source.word()], durations);
    }
    for (reason, count) in meter.failed.iter() {
        metrics.count(&BROADCASTS_FAILED, &[reason], count);
    }
    for (result, count) in meter.recoveries.iter() {
        metrics.count(&RECOVERIES, &[result], count);
    }
    metrics.count(&SUBSCRIPTION_DROPPED, &[], meter.dropped.value());
    metrics.gauge(&JOINS, &[], node.joins() as f64);
    metrics.gauge(&TOPICS, &[], node.topics.len() as f64);
    metrics.gauge(&PRESENCES, &[], node.tracker.len() as f64);
    for (operation, count) in node.tracker.meter.taken.iter() {
        metrics.count(&PRESENCE_REQUESTS, &[operation], count);
    }
    for (reason, count) in node.tracker.meter.refused.iter() {
        metrics.count(&PRESENCE_REFUSED, &[reason], count);
    }
    let (bytes, messages, topics) = node.topics.kept().map_or((0, 0, 0), Kept::held);
    metrics.gauge(&KEPT_TOPICS, &[], topics as f64);
    metrics.gauge(&KEPT_MESSAGES, &[], messages as f64);
    metrics.gauge(&KEPT_BYTES, &[], bytes as f64);
}

#[cfg(feature = "cluster")]
fn add_cluster(metrics: &mut Metrics, link: &crate::cluster::link::Link) {
    let stats = link.counts();
    metrics.gauge(&CLUSTER_NODES, &[], (stats.peers + 1) as f64);
    metrics.gauge(&ENGINE_UP, &[], flag(stats.up_for.is_some()));
    if let Some(round_trip) = stats.round_trip {
        metrics.gauge(&ENGINE_ROUND_TRIP, &[], round_trip.as_secs_f64());
    }
    metrics.count(&ENGINE_CONNECTS, &["made"], stats.connects);
    metrics.count(&ENGINE_CONNECTS, &["failed"], stats.connect_failures);
    let at_once = stats.published.saturating_sub(stats.kept_for_later + stats.here_alone);
    metrics.count(&CLUSTER_PUBLISHED, &["sent"], at_once);
    metrics.count(&CLUSTER_PUBLISHED, &["later"], stats.kept_for_later);
    metrics.count(&CLUSTER_PUBLISHED, &["lost"], stats.here_alone + stats.forgotten);
    metrics.count(&CLUSTER_DELIVERED, &["direct"], stats.delivered.saturating_sub(stats.repaired));
    metrics.count(&CLUSTER_DELIVERED, &["repaired"], stats.repaired);
    for (cause, count) in &stats.gaps {
        metrics.count(&CLUSTER_GAPS, &[cause], *count);
    }
    if let Some(store) = link.store_stats() {
        metrics.count(&STORE_APPENDS, &[], store.appended);
        metrics.count(&STORE_READS, &[], store.reads);
        metrics.count(&STORE_FAILURES, &["append"], store.append_failures);
        metrics.count(&STORE_FAILURES, &["read"], store.read_failures);
        metrics.count(&STORE_HEALED, &[], store.healed);
        metrics.count(&STORE_GAPS, &["trimmed"], store.gaps.trimmed);
        metrics.count(&STORE_GAPS, &["store_lost"], store.gaps.store_lost);
        metrics.gauge(&STORE_WAITING, &[], store.waiting as f64);
        metrics.gauge(&STORE_WAITING_BYTES, &[], store.waiting_bytes as f64);
    }
    metrics.count(&CLUSTER_UNREADABLE, &["unreadable"], stats.unreadable);
    metrics.count(&CLUSTER_UNREADABLE, &["forged"], stats.forged);
    let relays = stats.relays;
    metrics.gauge(&CLUSTER_RELAYS, &["carrier"], relays.carrying as f64);
    metrics.gauge(&CLUSTER_RELAYS, &["owner"], relays.carried as f64);
    for (result, count) in [
        ("begun", relays.begun),
        ("taken", relays.taken),
        ("broken", relays.broken),
        ("refused", relays.refused),
    ] {
        metrics.count(&CLUSTER_RELAYED, &[result], count);
    }
    metrics.count(&CLUSTER_RELAY_MESSAGES, &[], relays.messages);
    let moves = stats.moves;
    metrics.gauge(&CLUSTER_MOVES, &["source"], moves.leaving as f64);
    metrics.gauge(&CLUSTER_MOVES, &["target"], moves.coming as f64);
    for (result, count) in [
        ("offered", moves.offered),
        ("gone", moves.done),
        ("stayed", moves.back),
        ("lost", moves.lost),
        ("come", moves.taken),
        ("missed", moves.dropped),
    ] {
        metrics.count(&CLUSTER_MOVED, &[result], count);
    }
    metrics.count(&CLUSTER_MOVE_MESSAGES, &[], moves.messages);
    metrics.gauge(&CLUSTER_RING_BYTES, &[], stats.ring_bytes as f64);
    metrics.gauge(&CLUSTER_HELD_BYTES, &[], stats.held_bytes as f64);
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}
