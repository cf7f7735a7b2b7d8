//! How many requests of one session are carried to the node that has it: a token is had for nothing, and a request that does not end, or whose answer is
//! not read, has its place among all that this node carries for as long as its client likes.

use std::{
    collections::{HashMap, hash_map::Entry},
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    http::body::{Body, Cut},
    sync::Mutex,
};

/// Requests of one session that are carried at a time. A client has two under way, and a page that was loaded again two more; as many wait for a session
/// that is between two nodes.
pub(crate) const OF_A_SESSION_MAX: usize = 16;

/// Requests of one session that are carried or wait for that: phoenix.js 1.6 makes one of each push, all at once.
const WAITING_MAX: usize = 256;

/// How long one waits, which is as long as such a client waits for the answer to a push.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A session of another node, as its tokens name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Named {
    /// By its node, and its number there.
    Resumable(u64, u64),
    /// By its node, and its place there.
    Polled(u64, u32),
}

/// The requests that are carried, as far as they are any session's.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<HashMap<Named, OfSession>>);

#[derive(Debug)]
struct OfSession {
    /// Those that are carried, and those that wait.
    requests: usize,
    places: Arc<Semaphore>,
}

/// A request among those of its session, until this is dropped.
#[derive(Debug)]
struct Counted {
    under_way: Arc<UnderWay>,
    session: Named,
}

/// One that is carried, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

impl UnderWay {
    /// A request of a session more, which may wait for others to end; none if there are as many as may be.
    pub(crate) async fn place(self: &Arc<Self>, session: Named, patience: Duration) -> Option<Place> {
        let (counted, places) = self.count(session)?;
        let permit = match places.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => timeout(patience, places.acquire_owned()).await.ok()?.ok()?,
        };
        Some(Place { _permit: permit, _counted: counted })
    }

    fn count(self: &Arc<Self>, session: Named) -> Option<(Counted, Arc<Semaphore>)> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_session = sessions
            .entry(session)
            .or_insert_with(|| OfSession { requests: 0, places: Arc::new(Semaphore::new(OF_A_SESSION_MAX)) });
        if of_session.requests >= WAITING_MAX {
            return None;
        }
        of_session.requests += 1;
        Some((Counted { under_way: self.clone(), session }, of_session.places.clone()))
    }
}

impl Place {
    /// A body with which it ends.
    pub(crate) fn until_dropped(self, body: Body) -> Body {
        Body::stream(Placed { body, _place: self })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut sessions = self.under_way.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut of_session) = sessions.entry(self.session) {
            of_session.get_mut().requests -= 1;
            if of_session.get().requests == 0 {
                of_session.remove();
            }
        }
    }
}

struct Placed {
    body: Body,
    _place: Place,
}

impl http_body::Body for Placed {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_session_has_so_many_places_and_what_ends_gives_its_own_back() {
        let under_way = Arc::new(UnderWay::default());
        let one = Named::Resumable(1, 7);
        let mut places = Vec::new();
        for _ in 0..OF_A_SESSION_MAX {
            places.push(under_way.place(one, Duration::ZERO).await.unwrap());
        }
        assert!(under_way.place(one, Duration::ZERO).await.is_none());
        for other in [Named::Resumable(1, 8), Named::Resumable(2, 7), Named::Polled(1, 7)] {
            assert!(under_way.place(other, Duration::ZERO).await.is_some(), "{other:?}");
        }
        let body = places.pop().unwrap().until_dropped(Body::from("answer"));
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(6));
        assert!(under_way.place(one, Duration::ZERO).await.is_none(), "its answer is not read");
        drop(body);
        places.push(under_way.place(one, Duration::ZERO).await.unwrap());
        assert!(under_way.place(one, PATIENCE).await.is_none(), "nothing ends meanwhile");
        drop(places);
        assert!(under_way.0.lock().unwrap().is_empty(), "nothing is kept of who has none");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_comes_in_turn_and_no_more_wait_than_may() {
        let (under_way, one) = (Arc::new(UnderWay::default()), Named::Polled(1, 7));
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..WAITING_MAX {
            let under_way = under_way.clone();
            requests.spawn(async move {
                let place = under_way.place(one, PATIENCE).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
                place.is_some()
            });
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(under_way.place(one, PATIENCE).await.is_none(), "as many wait as may");
        assert!(requests.join_all().await.into_iter().all(|is_carried| is_carried));
        assert!(under_way.0.lock().unwrap().is_empty());
    }
}
