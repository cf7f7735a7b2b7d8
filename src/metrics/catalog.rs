//! The metrics that there are. `docs/metrics.md` has the same table, for people.
//!
//! Labels are the path of a mount, the pattern of a route, a transport, and words that this crate knows: their number does not depend on
//! what clients say. Units and the names of directions are those of OpenTelemetry's conventions; those have no names for what is counted
//! here.

use super::{Description, Kind, Unit};

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Description {
    Description { name, kind: Kind::Counter, unit: Unit::None, help, labels }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Description {
    Description { name, kind: Kind::Gauge, unit: Unit::None, help, labels }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Description {
    Description { name, kind: Kind::Histogram, unit: Unit::None, help, labels }
}

impl Description {
    const fn in_bytes(mut self) -> Self {
        self.unit = Unit::Bytes;
        self
    }

    const fn in_seconds(mut self) -> Self {
        self.unit = Unit::Seconds;
        self
    }
}

macro_rules! catalog {
    ($($name:ident = $description:expr;)*) => {
        $(
            #[doc = "See `docs/metrics.md`."]
            pub static $name: Description = $description;
        )*

        /// All metrics.
        pub static ALL: &[&Description] = &[$(&$name),*];
    };
}

catalog! {
    READY = gauge("lapwing_ready", &[], "Whether clients may be sent here: 1 or 0.");
    SESSIONS = gauge("lapwing_sessions", &["mount", "transport"], "Live sessions by what carries them; none: those that their clients may still resume.");
    SESSIONS_RESUMABLE = gauge("lapwing_sessions_resumable", &["mount"], "Live sessions that outlive their connections.");
    SESSIONS_HELD_BACK = gauge("lapwing_sessions_held_back", &["mount"], "Live sessions whose client is not read from, since the program has not come to what it said before.");
    SESSIONS_OPENED = counter("lapwing_sessions_opened_total", &["mount", "transport", "kind"], "Sessions that began: plain ones, which end with their connection, and resumable ones.");
    SESSIONS_ENDED = counter("lapwing_sessions_ended_total", &["mount", "reason"], "Sessions that ended, by the words of docs/close-codes.md.");
    SESSION_DURATION = histogram("lapwing_session_duration_seconds", &["mount", "transport"], "How long sessions lasted, by what carried them last.").in_seconds();
    ROUND_TRIP = histogram("lapwing_round_trip_seconds", &["mount", "transport"], "Round trips as clients measured them that told of their path: those to whom a connection has failed, or was slower than another.").in_seconds();
    CONNECTS_REFUSED = counter("lapwing_connects_refused_total", &["mount", "reason"], "Clients that were not let in: by their origin, query, version or rate, for the server (draining, budget, sessions, timeout), or by the program.");
    RESUMES = counter("lapwing_resumes_total", &["mount", "from", "to"], "Times a session went on by another connection, by the transports of both.");
    RESUMES_REFUSED = counter("lapwing_resumes_refused_total", &["mount", "reason"], "Resumable sessions that were not begun or carried on, by the words of docs/sessions.md.");
    FRAMES = counter("lapwing_frames_total", &["mount", "transport", "direction"], "Frames written to clients (transmit) and taken from them (receive).");
    FRAME_BYTES = counter("lapwing_frame_bytes_total", &["mount", "transport", "direction"], "Bytes of these frames.").in_bytes();
    FRAMES_SPARED = counter("lapwing_frames_spared_total", &["mount", "why"], "Frames that clients who were behind were spared: replaced by a newer state, dropped for newer ones of their topic, or left out as volatile (left_out).");
    WAITING_FRAMES = gauge("lapwing_waiting_frames", &["mount"], "Frames that wait to be sent to clients.");
    WAITING_BYTES = gauge("lapwing_waiting_bytes", &["mount"], "Bytes of these frames; a frame that waits for many is counted for each.").in_bytes();
    WAITING_SECONDS = gauge("lapwing_waiting_seconds", &["mount"], "For how long the oldest of these frames has waited, at least.").in_seconds();
    UNACKNOWLEDGED_BYTES = gauge("lapwing_unacknowledged_bytes", &["mount"], "Bytes that were sent over resumable sessions and are kept until they are acknowledged.").in_bytes();
    HELD_BYTES = gauge("lapwing_held_bytes", &["mount"], "Bytes held for clients, as the mount's budget bounds them.").in_bytes();
    HELD_BYTES_MAX = gauge("lapwing_held_bytes_max", &["mount"], "The mount's budget; from seven eighths of it on new sessions are refused.").in_bytes();
    MESSAGES_REFUSED = counter("lapwing_messages_refused_total", &["mount", "reason"], "Messages of clients that came to no channel.");
    TOKENS = counter("lapwing_tokens_total", &["mount", "result"], "New tokens that clients brought for the sessions that they had.");
    JOINS = gauge("lapwing_joins", &[], "Live joins, those that are being decided and those that are ending included.");
    JOINS_DECIDED = counter("lapwing_joins_decided_total", &["mount", "route", "result"], "Joins by what became of them.");
    JOINS_ENDED = counter("lapwing_joins_ended_total", &["mount", "route", "reason"], "Joins that had begun and ended.");
    CALLBACK_DURATION = histogram("lapwing_callback_duration_seconds", &["mount", "route", "callback"], "How long callbacks of channels took, with what they waited for.").in_seconds();
    CALLBACKS_FAILED = counter("lapwing_callbacks_failed_total", &["mount", "route", "callback", "how"], "Callbacks that returned an error (failed) or panicked; join callbacks that fail are among lapwing_joins_decided_total.");
    MAILBOX_FULL = counter("lapwing_mailbox_full_total", &["mount", "route", "what"], "Times a mailbox had no room: its client was not read from (client), a join ended for a broadcast (broadcast), a sender got an error (sender).");
    BROADCAST_RECEIVERS = histogram("lapwing_broadcast_receivers", &["source"], "How many subscribers broadcasts had on this node, by where they came from: the program and its channels, another node, presence.");
    BROADCAST_DURATION = histogram("lapwing_broadcast_duration_seconds", &["source"], "How long it took to queue broadcasts for all of their subscribers.").in_seconds();
    BROADCASTS_FAILED = counter("lapwing_broadcasts_failed_total", &["reason"], "Broadcasts that did not reach everybody.");
    SUBSCRIPTION_DROPPED = counter("lapwing_subscription_dropped_total", &[], "Broadcasts that were dropped as a task of the program did not take them.");
    TOPICS = gauge("lapwing_topics", &[], "Topics that anybody is subscribed to.");
    PRESENCES = gauge("lapwing_presences", &[], "Presences tracked on this node.");
    PRESENCE_REQUESTS = counter("lapwing_presence_requests_total", &["operation"], "Requests to presence that were taken.");
    PRESENCE_REFUSED = counter("lapwing_presence_requests_refused_total", &["reason"], "Requests to presence that were not taken.");
    KEPT_TOPICS = gauge("lapwing_kept_topics", &[], "Kept topics that remember anything.");
    KEPT_MESSAGES = gauge("lapwing_kept_messages", &[], "Messages that they remember.");
    KEPT_BYTES = gauge("lapwing_kept_bytes", &[], "Bytes that these take.").in_bytes();
    RECOVERIES = counter("lapwing_recoveries_total", &["result"], "Joins of kept topics that asked for what they missed: recovered, or why not.");
    CLUSTER_NODES = gauge("lapwing_cluster_nodes", &[], "Nodes of the cluster that live, this one included.");
    ENGINE_UP = gauge("lapwing_engine_up", &[], "Whether there is a connection to the cluster's engine: 1 or 0.");
    ENGINE_ROUND_TRIP = gauge("lapwing_engine_round_trip_seconds", &[], "How long this node's last beat took to come back from the engine.").in_seconds();
    ENGINE_CONNECTS = counter("lapwing_engine_connects_total", &["result"], "Attempts to connect to the engine: made, failed.");
    CLUSTER_PUBLISHED = counter("lapwing_cluster_published_total", &["result"], "Broadcasts for other nodes: sent at once, kept until the engine was there (later), or not sent (lost), some of which were kept until there was no room.");
    CLUSTER_DELIVERED = counter("lapwing_cluster_delivered_total", &["how"], "Broadcasts of other nodes: come at once (direct), or missing first and got from their publisher (repaired).");
    CLUSTER_GAPS = counter("lapwing_cluster_gaps_total", &["cause"], "Gaps that subscribers were told of, by the words of docs/cluster.md.");
    STORE_APPENDS = counter("lapwing_store_appended_total", &[], "Broadcasts of this node that the store of kept topics has.");
    STORE_READS = counter("lapwing_store_reads_total", &[], "Reads of kept topics from the store.");
    STORE_FAILURES = counter("lapwing_store_failures_total", &["operation"], "Appends and reads that the store did not do, and that were tried again.");
    STORE_HEALED = counter("lapwing_store_healed_total", &[], "Broadcasts of kept topics that did not come by themselves, and were read for their subscribers.");
    STORE_GAPS = counter("lapwing_store_gaps_total", &["cause"], "Gaps of kept topics that subscribers were told of.");
    STORE_WAITING = gauge("lapwing_store_waiting", &[], "Broadcasts of this node that the store of kept topics does not have yet.");
    STORE_WAITING_BYTES = gauge("lapwing_store_waiting_bytes", &[], "Bytes of these.").in_bytes();
    CLUSTER_UNREADABLE = counter("lapwing_cluster_unreadable_total", &["why"], "Messages of other nodes that could not be read, or were not sealed with the secret (forged).");
    CLUSTER_RELAYS = gauge("lapwing_cluster_relays", &["role"], "Requests that nodes carry for each other at the moment: this one (carrier), and others for its sessions (owner).");
    CLUSTER_RELAYED = counter("lapwing_cluster_relayed_total", &["result"], "Requests for sessions of other nodes: carried (begun), come from others (taken), ended early (broken), also because a client left, or not carried (refused).");
    CLUSTER_RELAY_MESSAGES = counter("lapwing_cluster_relay_messages_total", &[], "Messages about carried requests that were given to the engine.");
    CLUSTER_MOVES = gauge("lapwing_cluster_moves", &["role"], "Sessions that go from one node to another at the moment: from this one (source), and to it (target).");
    CLUSTER_MOVED = counter("lapwing_cluster_moved_total", &["result"], "Sessions between nodes: offered to others (offered), gone to them (gone), not gone (stayed), or lost with the other node (lost); come from others (come), or let in and not come (missed).");
    CLUSTER_MOVE_MESSAGES = counter("lapwing_cluster_move_messages_total", &[], "Messages about sessions between nodes that were given to the engine.");
    CLUSTER_RING_BYTES = gauge("lapwing_cluster_ring_bytes", &[], "Bytes kept for nodes that missed something, or for an engine that is away.").in_bytes();
    CLUSTER_HELD_BYTES = gauge("lapwing_cluster_held_bytes", &[], "Bytes held back behind something that is missing.").in_bytes();
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_and_labels_are_what_scrapers_expect() {
        let names: HashSet<_> = ALL.iter().map(|description| description.name).collect();
        assert_eq!(names.len(), ALL.len(), "a name is there twice");
        for Description { name, kind, unit, help, labels } in ALL {
            let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(
                name.starts_with("lapwing_") && is_name(name) && labels.iter().all(|label| is_name(label)),
                "{name}"
            );
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert_eq!(name.contains("_bytes"), *unit == Unit::Bytes, "{name}");
            assert_eq!(name.ends_with("_seconds"), *unit == Unit::Seconds, "{name}");
            assert!(help.ends_with('.') && !help.contains(['\n', '\\', '|']), "{name}");
            let of_clients = ["topic", "user", "id", "event"];
            assert!(labels.iter().all(|label| !of_clients.contains(label)), "{name} has a label of clients'");
        }
    }

    /// The table for people has all of them, in order, and says the same.
    #[test]
    fn the_documents_table_is_the_catalog() {
        let page = include_str!("../../docs/metrics.md");
        let table = page
            .split("<!-- metrics:begin -->\n")
            .nth(1)
            .and_then(|rest| rest.split("<!-- metrics:end -->").next());
        assert_eq!(table.unwrap().trim_end(), table_of_all().trim_end());
    }

    fn table_of_all() -> String {
        let mut table = "| metric | kind | labels | says |\n| --- | --- | --- | --- |\n".to_owned();
        for Description { name, kind, help, labels, .. } in ALL {
            let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
            let kind = format!("{kind:?}").to_lowercase();
            table.push_str(&format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", ")));
        }
        table
    }
}
