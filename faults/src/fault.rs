//! The misbehaviour of middleboxes.

use std::{
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// One thing that a middlebox does wrong.
///
/// In JSON a fault is an object with its name in snake case and the unit last, or only the name where there
/// is nothing to set:
///
/// ```
/// use std::time::Duration;
/// use lapwing_faults::{Fault, Of};
///
/// let faults: Vec<Fault> = serde_json::from_str(
///     r#"["strip_upgrade", {"kill_idle_ms": 20000}, {"drop_every": {"nth": 3, "of": "posts"}}]"#,
/// )?;
/// assert_eq!(faults[1], Fault::KillIdle(Duration::from_secs(20)));
/// assert!(matches!(faults[2], Fault::DropEvery { of: Of::Posts, .. }));
///
/// assert!(serde_json::from_str::<Fault>(r#"{"kill_idle": 20}"#).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When it takes hold
///
/// Faults of connections follow what is set at the moment. Faults of WebSockets, requests and responses are
/// decided when the head of the request arrives, and hold that request and its answer to the end, whatever is
/// set later; [`KillWebsocket`](Self::KillWebsocket) alone follows what is set. Of two that exclude each
/// other, the one that is earlier in this list wins. Of two of the same kind the later one that is given
/// counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Fault {
    /// *Connections.* Every connection is reset, those that are open and each new one: a server that
    /// restarts, a load balancer without servers.
    ///
    /// A new one is accepted first, since a port that is let go may be taken by somebody else.
    Down,

    /// *Connections.* Packets vanish: no byte passes either way, no close is passed on, and new connections
    /// are accepted and hang. A NAT that forgot its table, a pulled cable, a phone in a lift.
    ///
    /// A connection that this has touched stays dead after the fault is lifted, until [`Proxy::cut`] or
    /// [`Down`](Self::Down) resets it: it is for the ends to find out.
    ///
    /// [`Proxy::cut`]: crate::Proxy::cut
    HalfOpen,

    /// *Connections.* A connection is reset so long after it was opened: "secure web gateways" of the
    /// Zscaler kind, which let a connection be until they have made up their mind (phoenix#6766).
    #[serde(rename = "kill_after_ms", with = "millis")]
    KillAfter(Duration),

    /// *Connections.* A connection is reset when no byte has come either way for so long: nginx and AWS's ALB
    /// after 60 s, Cloudflare after 100 s, AWS's NLB after 350 s.
    #[serde(rename = "kill_idle_ms", with = "millis")]
    KillIdle(Duration),

    /// *Connections.* One at a time: others are accepted and wait, in order, until those before them are
    /// closed. Virus scanners on the user's own machine, such as BullGuard (firebase-js-sdk#1674).
    OneConnection,

    /// *Connections.* Every byte arrives so much later, each way, and up to `jitter` more; order is kept. A
    /// long way, a mobile network. Opening the connection is not delayed.
    Delay {
        /// How much later.
        #[serde(rename = "by_ms", with = "millis")]
        by: Duration,
        /// How much more, at most: the seed decides.
        #[serde(rename = "jitter_ms", with = "millis", default)]
        jitter: Duration,
    },

    /// *Connections.* So many bytes pass in a second, each way: a full cell, a plan whose volume is used up.
    #[serde(rename = "trickle_bytes_per_s")]
    Trickle(NonZeroU64),

    /// *WebSockets.* The request is never answered and never reaches the server: firewalls that wait for a
    /// response of a form that they know.
    SwallowUpgrade,

    /// *WebSockets.* The proxy answers the upgrade itself, with this status, and closes: 403 from content
    /// filters, 400 and 502 from gateways that know no WebSocket, 200 with a page of their own from portals
    /// and some antivirus programs (zotonic#2067).
    RefuseUpgrade(u16),

    /// *WebSockets.* `Upgrade` and `Connection` are left out of the request, which the server answers as a
    /// plain GET: what nginx's `proxy_pass` does by default, and any proxy that keeps to "hop by hop" without
    /// knowing WebSockets.
    StripUpgrade,

    /// *WebSockets.* After the 101 nothing passes any more: both ends may write, nobody reads it. Proxies
    /// that let the upgrade through and then wait for HTTP.
    ///
    /// The connection ends when either end closes it.
    MuteWebsockets,

    /// *WebSockets.* A WebSocket is reset so long after its 101 has passed; with 0, right behind it. Gateways
    /// that look at what follows the upgrade (phoenix#6766: after 100 to 500 ms).
    #[serde(rename = "kill_websocket_ms", with = "millis")]
    KillWebsocket(Duration),

    /// *Requests.* HTTP/1.0 both ways: the server sees a request of 1.0, the client a response of 1.0 without
    /// chunks, and the connection ends with it. Squid before 3.2 and embedded proxies.
    ///
    /// `Connection`, `Upgrade`, `Keep-Alive`, `TE` and `Expect` are left out of the request, so that no
    /// WebSocket opens. A chunked request is answered with 411, as nginx did before 1.3.9.
    Http10,

    /// *Requests.* One at a time: a request waits until those before it were answered. Scanners that look at
    /// one transfer after the other; pools of one connection.
    ///
    /// An event stream is a response that does not end. A WebSocket is answered with its 101.
    OneRequest,

    /// *Requests.* A POST is accepted, body and all, and goes nowhere: data loss prevention that cannot make
    /// up its mind (phoenix#6767).
    SwallowPosts,

    /// *Requests.* A POST reaches the server, the answer never reaches the client; the connection stays open.
    /// The worse half of phoenix#6767: whoever tries again does it twice.
    SwallowPostReplies,

    /// *Responses.* The head of a `text/event-stream` passes, so that it looks open; of its body, nothing
    /// ever does. nginx with `proxy_buffering`, CDNs that compress (cloudflared#1496).
    MuteEventStreams,

    /// *Responses.* Every `nth` response is read to its end and thrown away, and the connection to the client
    /// is closed. A mobile network that is gone between request and answer.
    ///
    /// Event streams and WebSockets are not counted: they have no end to wait for. The count begins when the
    /// fault is set.
    DropEvery {
        /// 1 for every one, 3 for the third, the sixth, and so on.
        nth: NonZeroU32,
        /// Which responses are counted.
        of: Of,
    },

    /// *Responses.* As [`DropEvery`](Self::DropEvery), by chance. The same seed drops the same responses,
    /// counted from when the fault is set.
    DropRandom {
        /// From 0 to 1.
        chance: f64,
        /// Which responses may be dropped.
        of: Of,
    },

    /// *Responses.* A response is held back, with its head, until it has ended: Broadcom's and Sophos's
    /// gateways, which scan the whole of it first (KB 406021).
    ///
    /// A response of more than [`BUFFER_BYTES_MAX`] passes from there on, as scanners do with large files.
    BufferResponses,

    /// *Responses.* A response is held back, with its head, until so many bytes of its body are there or it
    /// has ended; what follows passes at once. Proxies that guess the content's type; old browsers (SockJS
    /// sends 2 KB for them).
    ///
    /// At most [`BUFFER_BYTES_MAX`].
    #[serde(rename = "buffer_first_bytes")]
    BufferFirst(u64),

    /// *Responses.* A response that takes longer than this, from its request on, is cut off; if nothing of it
    /// has reached the client, the client gets a 504. Heroku after 30 s, proxies in front of Firestore
    /// (firebase-js-sdk#6987).
    ///
    /// WebSockets are spared once they are open.
    #[serde(rename = "cap_response_ms", with = "millis")]
    CapResponse(Duration),
}

/// Which responses a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// Those to POSTs.
    Posts,
    /// All of them.
    All,
}

/// How much of one response a buffering fault holds back.
pub const BUFFER_BYTES_MAX: u64 = 8 << 20;

/// Durations in JSON: whole milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_json() {
        let one = NonZeroU32::MIN;
        let ms = Duration::from_millis;
        let cases = [
            (Fault::Down, r#""down""#),
            (Fault::HalfOpen, r#""half_open""#),
            (Fault::KillAfter(ms(5)), r#"{"kill_after_ms":5}"#),
            (Fault::KillIdle(ms(5)), r#"{"kill_idle_ms":5}"#),
            (Fault::OneConnection, r#""one_connection""#),
            (Fault::Delay { by: ms(5), jitter: ms(0) }, r#"{"delay":{"by_ms":5,"jitter_ms":0}}"#),
            (Fault::Trickle(NonZeroU64::MIN), r#"{"trickle_bytes_per_s":1}"#),
            (Fault::SwallowUpgrade, r#""swallow_upgrade""#),
            (Fault::RefuseUpgrade(403), r#"{"refuse_upgrade":403}"#),
            (Fault::StripUpgrade, r#""strip_upgrade""#),
            (Fault::MuteWebsockets, r#""mute_websockets""#),
            (Fault::KillWebsocket(ms(5)), r#"{"kill_websocket_ms":5}"#),
            (Fault::Http10, r#""http10""#),
            (Fault::OneRequest, r#""one_request""#),
            (Fault::SwallowPosts, r#""swallow_posts""#),
            (Fault::SwallowPostReplies, r#""swallow_post_replies""#),
            (Fault::MuteEventStreams, r#""mute_event_streams""#),
            (Fault::DropEvery { nth: one, of: Of::All }, r#"{"drop_every":{"nth":1,"of":"all"}}"#),
            (
                Fault::DropRandom { chance: 0.5, of: Of::Posts },
                r#"{"drop_random":{"chance":0.5,"of":"posts"}}"#,
            ),
            (Fault::BufferResponses, r#""buffer_responses""#),
            (Fault::BufferFirst(5), r#"{"buffer_first_bytes":5}"#),
            (Fault::CapResponse(ms(5)), r#"{"cap_response_ms":5}"#),
        ];
        for (fault, json) in cases {
            assert_eq!(serde_json::to_string(&fault).unwrap(), json);
            assert_eq!(serde_json::from_str::<Fault>(json).unwrap(), fault, "{json}");
        }
    }

    #[test]
    fn what_is_misspelled_is_refused() {
        for json in [
            r#""downn""#,
            r#"{"kill_idle_ms":-1}"#,
            r#"{"trickle_bytes_per_s":0}"#,
            r#"{"drop_every":{"nth":0,"of":"all"}}"#,
            r#"{"drop_every":{"nth":1,"of":"gets"}}"#,
            r#"{"delay":{"by_ms":5,"jiter_ms":5}}"#,
        ] {
            assert!(serde_json::from_str::<Fault>(json).is_err(), "{json}");
        }
    }
}
