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
//!
//! A serializer's frame is compressed in each form in which one of its clients takes it (`Forms`): WebSockets and event streams share one.

#[cfg(feature = "deflate")]
use lapwing_transports::forms::Forms;
use lapwing_transports::frame::Frame;

use super::{Lane, broadcast::Broadcast};
#[cfg(feature = "deflate")]
use crate::protocol::{Outgoing, Serializer};
#[cfg(feature = "deflate")]
use lapwing_transports::options::DeflateOptions;
#[cfg(feature = "deflate")]
use std::sync::Arc;

/// Serializers whose frames are compressed, as many as have a place in [`Wanted`]: two of most mounts, and as many again where stock clients
/// poll for gzip. Those beyond, of which there are none in most programs, write theirs as they are.
#[cfg(feature = "deflate")]
const VARIANTS_MAX: usize = (u32::BITS / Forms::BITS) as usize;

/// Which frames may be compressed: those of the serializers of mounts that do so.
#[derive(Default)]
pub(crate) struct Compression {
    #[cfg(feature = "deflate")]
    variants: Vec<(Arc<dyn Serializer>, DeflateOptions)>,
}

/// Frames of a broadcast by the address of their serializers.
pub(super) type Frames = Vec<(*const (), Frame)>;

/// With which serializers clients take compressed frames, and in which forms: some bits each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted(pub(super) u32);

impl Wanted {
    pub(super) fn add(&mut self, more: Self) {
        self.0 |= more.0;
    }

    #[cfg(feature = "deflate")]
    fn of(index: usize, forms: Forms) -> Self {
        Self(forms.bits() << (index as u32 * Forms::BITS))
    }

    #[cfg(feature = "deflate")]
    fn forms(self, index: usize) -> Forms {
        Forms::of_bits(self.0 >> (index as u32 * Forms::BITS))
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
        if self.variants.is_empty() {
            return Wanted::default();
        }
        let forms = lane.compressed_forms();
        if forms.is_none() {
            return Wanted::default();
        }
        let is_its = |(serializer, _): &(Arc<dyn Serializer>, _)| Arc::ptr_eq(serializer, lane.serializer());
        self.variants.iter().position(is_its).map_or(Wanted::default(), |index| Wanted::of(index, forms))
    }

    /// Makes the frames of a broadcast that are wanted compressed. One that cannot be encoded is left to the walk, which says so.
    pub(super) fn prepare(&self, wanted: Wanted, broadcast: &Broadcast) -> Frames {
        let mut frames = Frames::new();
        if wanted == Wanted::default() || broadcast.is_uncompressed {
            return frames;
        }
        let Broadcast { topic, event, payload, .. } = broadcast;
        for (index, (serializer, options)) in self.variants.iter().enumerate() {
            let forms = wanted.forms(index);
            if !forms.is_none()
                && options.takes_broadcast(payload.size())
                && let Ok(mut frame) = serializer.encode(Outgoing::Broadcast { topic, event, payload })
            {
                frame.compress(forms);
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
        forms: Mutex<Forms>,
        got: Mutex<Vec<Frame>>,
    }

    impl Lane for Client {
        fn push_frame(&self, frame: Frame) {
            self.got.lock().unwrap().push(frame);
        }

        fn push_broadcast(&self, frame: Frame) {
            self.push_frame(frame);
        }

        fn compressed_forms(&self) -> Forms {
            *self.forms.lock().unwrap()
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

    fn join(topics: &Topics, serializer: &Arc<dyn Serializer>, forms: Forms) -> Arc<Client> {
        let client = Arc::new(Client {
            serializer: serializer.clone(),
            forms: Mutex::new(forms),
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
        let clients: Vec<_> =
            [Forms::MESSAGES, Forms::NONE, Forms::MESSAGES].map(|forms| join(&topics, &v2, forms)).into();
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
        let (plain, other) = (join(&topics, &v2, Forms::NONE), join(&topics, &v1, Forms::MESSAGES));
        topics.dispatch(Source::Program, &said(1_000)).unwrap();
        assert_eq!(
            (plain.got_compressed(), other.got_compressed()),
            (false, true),
            "each for its own serializer"
        );
        // A serializer of a mount without compression.
        let foreign: Arc<dyn Serializer> = Arc::new(V2);
        let foreigner = join(&topics, &foreign, Forms::MESSAGES);
        topics.dispatch(Source::Program, &said(1_000)).unwrap();
        assert!(!foreigner.got_compressed());
    }

    #[test]
    fn a_topic_follows_its_clients_from_one_connection_to_the_next() {
        let v2: Arc<dyn Serializer> = Arc::new(V2);
        let topics = compressing(std::slice::from_ref(&v2));
        let client = join(&topics, &v2, Forms::NONE);
        let mut seen = Vec::new();
        for forms in [Forms::NONE, Forms::LINES, Forms::NONE] {
            *client.forms.lock().unwrap() = forms;
            // The last of these walks looks, and the next broadcast is as it has seen.
            for _ in 0..LOOKED_EVERY {
                topics.dispatch(Source::Program, &said(1_000)).unwrap();
            }
            topics.dispatch(Source::Program, &said(1_000)).unwrap();
            seen.push(client.got_compressed());
        }
        assert_eq!(seen, [false, true, false]);
        let other = join(&topics, &v2, Forms::STRINGS);
        topics.dispatch(Source::Program, &said(1_000)).unwrap();
        assert!(other.got_compressed(), "at once for who joins so");
    }

    /// As many serializers as have a place, each with all that its clients may want.
    #[test]
    fn what_is_wanted_of_one_serializer_is_not_wanted_of_another() {
        for index in 0..VARIANTS_MAX {
            for forms in (1..1 << Forms::BITS).map(Forms::of_bits) {
                let wanted = Wanted::of(index, forms);
                for other in 0..VARIANTS_MAX {
                    let expected = if other == index { forms } else { Forms::NONE };
                    assert_eq!(wanted.forms(other), expected, "{forms:?} of {index}");
                }
            }
        }
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
        let client = join(&topics, &serializer, Forms::MESSAGES);
        topics.dispatch(Source::Program, &Broadcast::new("t", "e", Payload::from(vec![7; 4_000]))).unwrap();
        assert!(looking.looked.load(Ordering::Relaxed) && client.got_compressed());
    }
}
