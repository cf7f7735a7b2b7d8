//! Broadcasts compressed once for all clients who take that, by whoever publishes and before the topic is locked.
//!
//! ```text
//!   publisher:  wanted? ─ yes ─▶ encode, compress ──▶ │ lock │ walk: push, and look who takes compressed frames │
//!                 ▲                                                                   │
//!                 └──────────────────── what a walk has seen, a bit each ─────────┘
//! ```
//!
//! Refused: to compress in the walk, which holds the topic's lock; and to let the first connection do it that writes the frame, as all
//! others would wait for it, a thousand at once. So the topic remembers with which serializers its clients took compressed frames when
//! a walk last looked, which each sixteenth does, or when one joined. A client that has moved to such a connection since gets sixteen
//! broadcasts as they are, at most.

use lapwing_transports::frame::Frame;

use super::{Lane, broadcast::Broadcast};
#[cfg(feature = "deflate")]
use crate::protocol::{Outgoing, Serializer};
#[cfg(feature = "deflate")]
use lapwing_transports::options::DeflateOptions;
#[cfg(feature = "deflate")]
use std::sync::Arc;

/// Serializers whose frames are compressed. Those beyond, of which there are none in most programs, write theirs as they are.
#[cfg(feature = "deflate")]
const VARIANTS_MAX: usize = 8;

/// Which frames may be compressed: those of the serializers of mounts that do so.
#[derive(Default)]
pub(crate) struct Compression {
    #[cfg(feature = "deflate")]
    variants: Vec<(Arc<dyn Serializer>, DeflateOptions)>,
}

/// Frames of a broadcast by the address of their serializers.
pub(super) type Frames = Vec<(*const (), Frame)>;

/// With which serializers clients take compressed frames, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted(pub(super) u8);

impl Wanted {
    pub(super) fn add(&mut self, more: Self) {
        self.0 |= more.0;
    }
}

#[cfg(feature = "deflate")]
impl Compression {
    /// Compresses the frames of a mount's serializers from now on.
    pub(crate) fn add<'s>(
        &mut self,
        serializers: impl Iterator<Item = &'s Arc<dyn Serializer>>,
        options: DeflateOptions,
    ) {
        let room = VARIANTS_MAX - self.variants.len();
        self.variants.extend(serializers.take(room).map(|serializer| (serializer.clone(), options)));
    }

    /// Whether no mount compresses anything.
    pub(super) fn is_empty(&self) -> bool {
        self.variants.is_empty()
    }

    /// What a client takes.
    pub(super) fn wanted_by(&self, lane: &(impl Lane + ?Sized)) -> Wanted {
        if self.variants.is_empty() || !lane.compresses() {
            return Wanted::default();
        }
        let is_its = |(serializer, _): &(Arc<dyn Serializer>, _)| Arc::ptr_eq(serializer, lane.serializer());
        Wanted(self.variants.iter().position(is_its).map_or(0, |index| 1 << index))
    }

    /// Makes the frames of a broadcast that are wanted compressed. One that cannot be encoded is left to the walk, which says so.
    pub(super) fn prepare(&self, wanted: Wanted, broadcast: &Broadcast) -> Frames {
        let mut frames = Frames::new();
        if wanted == Wanted::default() || broadcast.is_uncompressed {
            return frames;
        }
        let Broadcast { topic, event, payload, .. } = broadcast;
        for (index, (serializer, options)) in self.variants.iter().enumerate() {
            let is_wanted = wanted.0 & 1 << index != 0 && options.takes_broadcast(payload.size());
            if is_wanted
                && let Ok(mut frame) = serializer.encode(Outgoing::Broadcast { topic, event, payload })
            {
                frame.compress();
                frames.push((Arc::as_ptr(serializer).cast(), frame));
            }
        }
        frames
    }
}

/// Nothing is compressed.
#[cfg(not(feature = "deflate"))]
impl Compression {
    pub(super) fn is_empty(&self) -> bool {
        true
    }

    pub(super) fn wanted_by(&self, _: &(impl Lane + ?Sized)) -> Wanted {
        Wanted::default()
    }

    pub(super) fn prepare(&self, _: Wanted, _: &Broadcast) -> Frames {
        Frames::new()
    }
}

#[cfg(feature = "deflate")]
#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    };

    use lapwing_transports::frame::Message;

    use super::*;
    use crate::{
        protocol::{ChannelMsg, DecodeError, EncodeError, Payload, V1, V2},
        topics::{
            LOOKED_EVERY, Member, Topics,
            broadcast::{ChannelId, TransportId},
            meter::Source,
        },
    };

    /// A client, and what it got.
    struct Client {
        serializer: Arc<dyn Serializer>,
        compresses: AtomicBool,
        got: Mutex<Vec<Frame>>,
    }

    impl Lane for Client {
        fn push_frame(&self, frame: Frame) {
            self.got.lock().unwrap().push(frame);
        }

        fn push_broadcast(&self, frame: Frame) {
            self.push_frame(frame);
        }

        fn compresses(&self) -> bool {
            self.compresses.load(Ordering::Relaxed)
        }

        fn serializer(&self) -> &Arc<dyn Serializer> {
            &self.serializer
        }

        fn transport_id(&self) -> TransportId {
            TransportId(1)
        }

        fn socket_id(&self) -> Option<&str> {
            None
        }
    }

    impl Client {
        /// Whether the last broadcast came compressed.
        fn got_compressed(&self) -> bool {
            self.got.lock().unwrap().last().expect("it got something").is_compressed()
        }
    }

    fn join(topics: &Topics, serializer: &Arc<dyn Serializer>, compresses: bool) -> Arc<Client> {
        let client = Arc::new(Client {
            serializer: serializer.clone(),
            compresses: AtomicBool::new(compresses),
            got: Mutex::default(),
        });
        let member = Member::Lane { lane: client.clone(), channel: ChannelId(1) };
        topics.subscribe(&"t".into(), member, || {});
        client
    }

    fn compressing(serializers: &[Arc<dyn Serializer>]) -> Topics {
        let mut compression = Compression::default();
        compression.add(serializers.iter(), DeflateOptions::default());
        Topics::new().with_compression(compression)
    }

    fn said(bytes: usize) -> Broadcast {
        Broadcast::new("t", "e", serde_json::json!({"text": "x".repeat(bytes)}))
    }

    #[test]
    fn a_broadcast_is_compressed_once_for_all_and_not_for_what_is_small_or_secret() {
        let v2: Arc<dyn Serializer> = Arc::new(V2);
        let topics = compressing(std::slice::from_ref(&v2));
        let clients: Vec<_> = [true, false, true].map(|takes| join(&topics, &v2, takes)).into();
        for (broadcast, is_compressed) in [
            (said(1_000), true),
            (said(100), false),
            (said(1_000).uncompressed(), false),
            (said(2_000_000), false),
        ] {
            topics.dispatch(Source::Program, &broadcast).unwrap();
            for client in &clients {
                assert_eq!(client.got_compressed(), is_compressed);
            }
            let frames =
                clients.iter().map(|client| client.got.lock().unwrap().last().unwrap().payload().as_ptr());
            assert_eq!(frames.collect::<std::collections::HashSet<_>>().len(), 1, "one frame for all");
        }
    }

    #[test]
    fn nothing_is_compressed_where_no_client_takes_it() {
        let (v1, v2): (Arc<dyn Serializer>, Arc<dyn Serializer>) = (Arc::new(V1), Arc::new(V2));
        let topics = compressing(&[v1.clone(), v2.clone()]);
        let (plain, other) = (join(&topics, &v2, false), join(&topics, &v1, true));
        topics.dispatch(Source::Program, &said(1_000)).unwrap();
        assert_eq!(
            (plain.got_compressed(), other.got_compressed()),
            (false, true),
            "each for its own serializer"
        );
        // A serializer of a mount without compression.
        let foreign: Arc<dyn Serializer> = Arc::new(V2);
        let foreigner = join(&topics, &foreign, true);
        topics.dispatch(Source::Program, &said(1_000)).unwrap();
        assert!(!foreigner.got_compressed());
    }

    #[test]
    fn a_topic_follows_its_clients_from_one_connection_to_the_next() {
        let v2: Arc<dyn Serializer> = Arc::new(V2);
        let topics = compressing(std::slice::from_ref(&v2));
        let client = join(&topics, &v2, false);
        let mut seen = Vec::new();
        for compresses in [false, true, false] {
            client.compresses.store(compresses, Ordering::Relaxed);
            // The last of these walks looks, and the next broadcast is as it has seen.
            for _ in 0..LOOKED_EVERY {
                topics.dispatch(Source::Program, &said(1_000)).unwrap();
            }
            topics.dispatch(Source::Program, &said(1_000)).unwrap();
            seen.push(client.got_compressed());
        }
        assert_eq!(seen, [false, true, false]);
        let other = join(&topics, &v2, true);
        topics.dispatch(Source::Program, &said(1_000)).unwrap();
        assert!(other.got_compressed(), "at once for who joins so");
    }

    /// V2, which looks whether the topic is locked.
    struct Looking {
        topics: Mutex<Weak<Topics>>,
        looked: AtomicBool,
    }

    impl Serializer for Looking {
        fn decode(&self, message: Message<'_>) -> Result<ChannelMsg, DecodeError> {
            V2.decode(message)
        }

        fn encode(&self, outgoing: Outgoing<'_>) -> Result<Frame, EncodeError> {
            let topics = self.topics.lock().unwrap().upgrade().unwrap();
            let entry = topics.find(&"t".into()).unwrap();
            assert!(entry.members.try_lock().is_ok(), "the topic is locked");
            self.looked.store(true, Ordering::Relaxed);
            V2.encode(outgoing)
        }
    }

    /// What is compressed was encoded before, so both are done before the topic is locked.
    #[test]
    fn compressing_keeps_nobody_from_the_topic() {
        let looking = Arc::new(Looking { topics: Mutex::default(), looked: AtomicBool::new(false) });
        let serializer: Arc<dyn Serializer> = looking.clone();
        let topics = Arc::new(compressing(std::slice::from_ref(&serializer)));
        *looking.topics.lock().unwrap() = Arc::downgrade(&topics);
        let client = join(&topics, &serializer, true);
        topics.dispatch(Source::Program, &Broadcast::new("t", "e", Payload::from(vec![7; 4_000]))).unwrap();
        assert!(looking.looked.load(Ordering::Relaxed) && client.got_compressed());
    }
}
