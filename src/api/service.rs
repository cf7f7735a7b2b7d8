//! The API as an HTTP service.

use std::{
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response, header::AUTHORIZATION, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use lapwing_transports::body::{Body, RequestBody, ResponseFuture};
use subtle::ConstantTimeEq as _;
use tokio::time::timeout;
use tracing::debug;

use super::{
    ApiOptions,
    answer::{Code, Done, Refused, response},
    done::Remembered,
    operations,
    request::{Get, Operation, Post},
};
use crate::server::Lapwing;

/// Answers the requests of the [HTTP API](crate::api): a `tower::Service` and a `hyper::service::Service`, over any body.
///
/// The last segment of a path says which operation is meant, so that it can be mounted anywhere, whether the router takes the
/// prefix off or not.
#[derive(Clone)]
pub struct ApiService(Arc<Inner>);

struct Inner {
    lapwing: Lapwing,
    options: ApiOptions,
    remembered: Remembered,
}

impl Lapwing {
    /// The HTTP API, for whoever has the key. See [`api`](crate::api).
    #[must_use]
    pub fn api(&self, options: ApiOptions) -> ApiService {
        let remembered = Remembered::new(&options);
        ApiService(Arc::new(Inner { lapwing: self.clone(), options, remembered }))
    }
}

impl ApiService {
    fn respond<B: RequestBody>(&self, request: Request<B>) -> ResponseFuture {
        let inner = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let done = inner.answer(&parts, body).await;
            let status = match &done {
                Ok(_) => "ok",
                Err(refused) => refused.code.word(),
            };
            let operation = Operation::find(parts.uri.path()).map_or("none", Operation::path);
            debug!(operation, status, "api");
            Ok(response(done))
        })
    }
}

impl Inner {
    /// The key comes first: who has none learns nothing, and is not read from.
    async fn answer<B: RequestBody>(self: &Arc<Self>, parts: &Parts, body: B) -> Done {
        if !self.has_key(parts) {
            let message = "no key, or not the right one: send the key as `Authorization: Bearer KEY`";
            return Err(Refused::new(Code::Unauthorized, message));
        }
        let operation = Operation::find(parts.uri.path());
        let operation =
            operation.ok_or_else(|| Refused::new(Code::NotFound, "there is no such operation"))?;
        let method = if operation.is_post() { Method::POST } else { Method::GET };
        if parts.method != method {
            let message = format!("this operation comes by {method}");
            return Err(Refused { allow: Some(method), ..Refused::new(Code::Method, message) });
        }
        if operation.is_post() {
            return self.post(operation, parts, body).await;
        }
        let query = parts.uri.query().unwrap_or_default();
        let get = Get::read(operation, query, self.options.history_max)?;
        operations::get(&self.lapwing, get).await
    }

    async fn post<B: RequestBody>(self: &Arc<Self>, operation: Operation, parts: &Parts, body: B) -> Done {
        let body = self.read(body).await?;
        let post = Post::read(operation, &body, self.options.batch_max)?;
        let Some(key) = parts.headers.get("idempotency-key") else {
            return operations::post(&self.lapwing, post).await;
        };
        let key = key.to_str().map_err(|_| Refused::field("Idempotency-Key", "is not visible ASCII"))?;
        let (inner, key) = (self.clone(), key.to_owned());
        // A client that gives up meanwhile, and tries again, is to find what it began.
        let doing = tokio::spawn(async move {
            let request = (operation.path(), &body[..], post.messages());
            inner.remembered.once(&key, request, operations::post(&inner.lapwing, post)).await
        });
        doing.await.unwrap_or_else(|error| Err(Refused::new(Code::Unavailable, error)))
    }

    async fn read<B: RequestBody>(&self, body: B) -> Result<Bytes, Refused> {
        let bytes_max = self.options.body_bytes_max;
        let read = timeout(self.options.body_timeout, Limited::new(body, bytes_max).collect()).await;
        let read = read.map_err(|_| Refused::new(Code::Timeout, "the body took too long"))?;
        read.map(http_body_util::Collected::to_bytes).map_err(|error| match error.is::<LengthLimitError>() {
            true => Refused::new(Code::TooLarge, format!("a body has at most {bytes_max} bytes")),
            false => Refused::new(Code::Invalid, "the body could not be read"),
        })
    }

    /// All keys are compared in full.
    fn has_key(&self, parts: &Parts) -> bool {
        let given = parts.headers.get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
        let (scheme, key) = given.split_at(given.len().min("Bearer ".len()));
        let key = key.trim_ascii();
        let is_one =
            self.options.keys.iter().fold(0, |is_one, known| is_one | known[..].ct_eq(key).unwrap_u8());
        scheme.eq_ignore_ascii_case(b"Bearer ") && is_one == 1
    }
}

impl fmt::Debug for ApiService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiService").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl<B: RequestBody> hyper::service::Service<Request<B>> for ApiService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn call(&self, request: Request<B>) -> ResponseFuture {
        self.respond(request)
    }
}

impl<B: RequestBody> tower_service::Service<Request<B>> for ApiService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        self.respond(request)
    }
}
