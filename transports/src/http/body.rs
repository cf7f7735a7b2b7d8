//! The bodies of requests and responses, and the future of a response.

use std::{
    convert::Infallible,
    error, fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http::Response;
use http_body::{Frame, SizeHint};
use http_body_util::Full;

/// The body of a response. But for event streams its length is known, so that no proxy has to understand chunks.
#[derive(Debug)]
pub struct Body(Kind);

/// A body was not finished, since nobody wants it any more: its connection, or its stream of HTTP/2, is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody wants the rest of the answer")
    }
}

impl error::Error for Cut {}

enum Kind {
    Whole(Full<Bytes>),
    Stream(Pin<Box<dyn http_body::Body<Data = Bytes, Error = Cut> + Send>>),
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(whole) => whole.fmt(f),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self(Kind::Whole(Full::default()))
    }
}

impl Body {
    /// A body without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// A body of these bytes. If it is dropped before anybody asked for them, as nobody is there to get them, `undelivered` is
    /// called.
    pub(crate) fn delivered_or(bytes: impl Into<Bytes>, undelivered: impl FnOnce() + Send + 'static) -> Self {
        Self::stream(Delivered { bytes: bytes.into(), undelivered: Some(Box::new(undelivered)) })
    }

    /// A body that comes in pieces, whose end is not known when it begins. Dropped when nobody wants the rest of it.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http_body::Body as _;
    /// use http_body_util::{BodyExt as _, Full};
    /// use lapwing_transports::body::Body;
    ///
    /// let pieces = Full::new(Bytes::from("a piece")).map_err(|never| match never {});
    /// assert!(!Body::stream(pieces).is_end_stream());
    /// ```
    pub fn stream(body: impl http_body::Body<Data = Bytes, Error = Cut> + Send + 'static) -> Self {
        Self(Kind::Stream(Box::pin(body)))
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self(Kind::Whole(Full::new(bytes.into())))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut self.0 {
            Kind::Whole(whole) => Pin::new(whole).poll_frame(cx).map_err(|never| match never {}),
            Kind::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(whole) => whole.is_end_stream(),
            Kind::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(whole) => whole.size_hint(),
            Kind::Stream(stream) => stream.size_hint(),
        }
    }
}

/// Bytes for somebody who may have gone.
struct Delivered {
    bytes: Bytes,
    undelivered: Option<Box<dyn FnOnce() + Send>>,
}

impl http_body::Body for Delivered {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.undelivered = None;
        let bytes = std::mem::take(&mut self.bytes);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

impl Drop for Delivered {
    fn drop(&mut self) {
        if let Some(undelivered) = self.undelivered.take() {
            undelivered();
        }
    }
}

/// The body of a request: any that a server or a test may have.
pub trait RequestBody:
    http_body::Body<Data: Buf + Send, Error: std::error::Error + Send + Sync + 'static> + Send + 'static
{
}

impl<B> RequestBody for B where
    B: http_body::Body<Data: Buf + Send, Error: std::error::Error + Send + Sync + 'static> + Send + 'static
{
}

/// The future of a response. Boxed, so that a connection that waits in a poll holds no more than it needs.
pub type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// A response that is known already.
pub(crate) fn ready(response: Response<Body>) -> ResponseFuture {
    Box::pin(std::future::ready(Ok(response)))
}
