//! Everything that the store keeps of a topic, read page by page.

use lapwing_cluster::{Channel, wire::Place};
use lapwing_cluster_driver::store::{self, Page, Read, Store, StoreError};

use crate::{topic::Topic, topics::keep::Keep};

/// How often a topic is read from the beginning, as the store does not have what was to come next: what it forgets goes at the front, and what somebody took from the
/// middle is not there the next time, either.
const RESTARTS_MAX: usize = 3;

/// Reads all pages. Where the store forgets meanwhile what is to be read next, it begins anew.
pub(super) async fn read_all(
    store: &dyn Store,
    (topic, channel): (&Topic, Channel),
    keep: Keep,
    after: Option<Place>,
    entries_max: usize,
) -> Result<Page, StoreError> {
    let mut read = Read { topic: topic.as_str().into(), channel, after, entries_max, bounds: bounds(keep) };
    let (mut whole, mut restarts) = (store.read(&read).await?, 0);
    while whole.has_more && entries_max > 0 {
        read.after = Some(whole.end());
        let page = store.read(&read).await?;
        if page.refused.is_some() {
            restarts += 1;
            if restarts > RESTARTS_MAX {
                return Err(StoreError::Away("it lacks a part of what it keeps of a topic".into()));
            }
            read.after = after;
            whole = store.read(&read).await?;
            continue;
        }
        whole.has_more = page.has_more;
        whole.entries.extend(page.entries);
    }
    Ok(whole)
}

/// How much is kept, as stores have it.
pub(super) fn bounds(keep: Keep) -> store::Bounds {
    let Keep { bounds, .. } = keep;
    store::Bounds { entries: bounds.messages, bytes: bounds.bytes, age: bounds.age }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lapwing_cluster::{
        Key,
        wire::{Kept, Place},
    };
    use lapwing_cluster_driver::store::{Append, Doing, PAGE_ENTRIES_MAX, Refused};

    use super::*;

    /// Somebody has taken an entry from the middle of a topic: what is to come behind the first page is not there, each time.
    #[derive(Debug)]
    struct Holed;

    impl Store for Holed {
        fn append<'a>(&'a self, _: &'a [Append]) -> Doing<'a, ()> {
            Box::pin(async { Ok(()) })
        }

        fn read<'a>(&'a self, read: &'a Read) -> Doing<'a, Page> {
            let kept =
                Kept { place: Place { number: 1, ..Place::default() }, before: 0, entry: Bytes::new() };
            let refused = read.after.map(|_| Refused::Trimmed);
            let page = Page { refused, after: Place::default(), entries: vec![kept], has_more: true };
            Box::pin(async { Ok(page) })
        }
    }

    #[tokio::test]
    async fn a_topic_with_a_hole_is_not_read_for_ever() {
        let topic = Topic::from("t");
        let read =
            read_all(&Holed, (&topic, Channel::Topics(Key(0))), Keep::last(10), None, PAGE_ENTRIES_MAX);
        assert!(matches!(read.await, Err(StoreError::Away(_))));
    }
}
