//! What was done already: a client that does not know whether its request came through sends it again with the same
//! `Idempotency-Key`, and is told what came of the first.

use std::{hash::BuildHasher as _, sync::Arc};

use foldhash::quality::RandomState;
use moka::{policy::EvictionPolicy, sync::Cache};
use tokio::sync::OnceCell;

use super::{
    ApiOptions,
    answer::{Code, Done, Refused},
};
use bytes::Bytes;

/// Bytes of such a key: a UUID has 36.
const KEY_BYTES_MAX: usize = 255;

/// What an entry takes beside its key, and what an answer has for each message.
const ENTRY_BYTES: usize = 160;
const MESSAGE_BYTES: usize = 64;

/// A bounded memory of answers. An entry that is lost early lets a request be done twice, as it would be without a key.
pub(super) struct Remembered {
    entries: Cache<String, Arc<Entry>>,
    hasher: RandomState,
}

struct Entry {
    /// Of the operation and its body.
    fingerprint: u64,
    size: u32,
    answer: OnceCell<Bytes>,
}

impl Remembered {
    pub(super) fn new(options: &ApiOptions) -> Self {
        let cache = Cache::builder()
            .max_capacity(options.remembered_bytes_max)
            .weigher(|_: &String, entry: &Arc<Entry>| entry.size)
            // The default keeps what was asked for more often, and forgets what came last: that is what is about to be tried again.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(options.remembered_for);
        Self { entries: cache.build(), hasher: RandomState::default() }
    }

    /// Does something once for a key: who comes with it meanwhile waits for the first, and who comes later is told what that was
    /// answered. What fails is not remembered.
    pub(super) async fn once(
        &self,
        key: &str,
        (path, body, messages): (&str, &[u8], usize),
        doing: impl Future<Output = Done>,
    ) -> Done {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            let problem = format!("has from 1 to {KEY_BYTES_MAX} bytes");
            return Err(Refused::field("Idempotency-Key", problem));
        }
        let fingerprint = self.hasher.hash_one((path, body));
        let size = key.len() + ENTRY_BYTES + messages * MESSAGE_BYTES;
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let entry = self
            .entries
            .get_with_by_ref(key, || Arc::new(Entry { fingerprint, size, answer: OnceCell::new() }));
        if entry.fingerprint != fingerprint {
            let message = "this Idempotency-Key came with another request before";
            return Err(Refused {
                field: Some("Idempotency-Key".into()),
                ..Refused::new(Code::Conflict, message)
            });
        }
        entry.answer.get_or_try_init(|| doing).await.cloned()
    }

    /// How many bytes are remembered, as far as the cache has counted them.
    #[cfg(test)]
    fn bytes(&self) -> u64 {
        self.entries.run_pending_tasks();
        self.entries.weighted_size()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use super::*;

    fn remembered(bytes_max: u64) -> Remembered {
        Remembered::new(
            &ApiOptions::new("a-key-for-tests").unwrap().remembered(bytes_max, Duration::from_secs(600)),
        )
    }

    #[tokio::test]
    async fn a_key_is_good_for_one_request_and_what_failed_may_be_tried_again() {
        let (remembered, times) = (remembered(100_000), Cell::new(0));
        let doing = async |fails: bool| {
            times.set(times.get() + 1);
            if fails {
                Err(Refused::new(Code::Unavailable, "busy"))
            } else {
                Ok(Bytes::from(times.get().to_string()))
            }
        };
        let request = ("publish", &b"body"[..], 1);
        assert!(remembered.once("k", request, doing(true)).await.is_err());
        assert_eq!(remembered.once("k", request, doing(false)).await, Ok("2".into()));
        assert_eq!(remembered.once("k", request, doing(false)).await, Ok("2".into()));
        assert_eq!(times.get(), 2);
        let other = remembered.once("k", ("publish", b"other", 1), doing(false)).await.unwrap_err();
        assert_eq!((other.code, other.field.as_deref()), (Code::Conflict, Some("Idempotency-Key")));
        let other = remembered.once("k", ("kick", b"body", 1), doing(false)).await.unwrap_err();
        assert_eq!(other.code, Code::Conflict);
        for key in ["", &"x".repeat(256)] {
            let refused = remembered.once(key, request, doing(false)).await.unwrap_err();
            assert_eq!((refused.code, refused.field.as_deref()), (Code::Invalid, Some("Idempotency-Key")));
        }
        assert_eq!(times.get(), 2);
    }

    #[tokio::test]
    async fn who_comes_while_it_is_done_waits_for_the_first() {
        let remembered = remembered(100_000);
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let request = ("publish", &b"body"[..], 1);
        let first = remembered.once("k", request, async {
            wait.await.ok();
            Ok("first".into())
        });
        let second = remembered.once("k", request, async { Ok("second".into()) });
        let go = async {
            tokio::task::yield_now().await;
            go.send(()).unwrap();
        };
        let (first, second, ()) = tokio::join!(first, second, go);
        assert_eq!((first, second), (Ok("first".into()), Ok("first".into())));
    }

    #[tokio::test]
    async fn what_is_remembered_has_a_bound() {
        let remembered = remembered(10_000);
        for n in 0..1_000 {
            let request = ("publish", &b"body"[..], 1);
            remembered.once(&n.to_string(), request, async { Ok(Bytes::new()) }).await.unwrap();
        }
        let bytes = remembered.bytes();
        assert!((5_000..=10_000).contains(&bytes), "{bytes}");
        // Those that came last are there, and the first ones are not.
        for (n, is_remembered) in [(999, true), (980, true), (0, false), (20, false)] {
            let (key, request) = (n.to_string(), ("publish", &b"body"[..], 1));
            let again = remembered.once(&key, request, async { Ok("again".into()) }).await;
            assert_eq!(again.unwrap().is_empty(), is_remembered, "{n}");
        }
    }
}
