//! How many requests of one session are carried to the node that has it: a token is had for nothing, and a request that does not end, or whose answer is
//! not read, has its place among all that this node carries for as long as its client likes.

use std::{
    collections::{HashMap, hash_map::Entry},
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::{
    http::body::{Body, Cut},
    sync::Mutex,
};

/// Requests of one session that are carried at a time. A client has two under way, and a page that was loaded again two more; as many wait for a session
/// that is between two nodes.
pub(crate) const OF_A_SESSION_MAX: usize = 16;

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
pub(crate) struct UnderWay(Mutex<HashMap<Named, usize>>);

/// A request among those of its session, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    under_way: Arc<UnderWay>,
    session: Named,
}

impl UnderWay {
    /// A request of a session more; none if there are as many as may be.
    pub(crate) fn place(self: &Arc<Self>, session: Named) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(session).or_default();
        if *count >= OF_A_SESSION_MAX {
            return None;
        }
        *count += 1;
        Some(Place { under_way: self.clone(), session })
    }
}

impl Place {
    /// A body with which it ends.
    pub(crate) fn until_dropped(self, body: Body) -> Body {
        Body::stream(Placed { body, _place: self })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.under_way.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(self.session) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
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

    #[test]
    fn each_session_has_so_many_places_and_what_ends_gives_its_own_back() {
        let under_way = Arc::new(UnderWay::default());
        let one = Named::Resumable(1, 7);
        let mut places: Vec<Place> = (0..OF_A_SESSION_MAX).map(|_| under_way.place(one).unwrap()).collect();
        assert!(under_way.place(one).is_none());
        for other in [Named::Resumable(1, 8), Named::Resumable(2, 7), Named::Polled(1, 7)] {
            assert!(under_way.place(other).is_some(), "{other:?}");
        }
        let body = places.pop().unwrap().until_dropped(Body::from("answer"));
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(6));
        assert!(under_way.place(one).is_none(), "its answer is not read");
        drop(body);
        places.push(under_way.place(one).unwrap());
        assert!(under_way.place(one).is_none());
        drop(places);
        assert!(under_way.0.lock().unwrap().is_empty(), "nothing is kept of who has none");
    }
}
