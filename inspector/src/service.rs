//! What makes a value a service.

/// Makes a type that has `respond` a service of hyper and of tower, over any body.
macro_rules! service {
    ($of:ty) => {
        impl<B: lapwing::transports::body::RequestBody> hyper::service::Service<http::Request<B>> for $of {
            type Response = http::Response<lapwing::Body>;
            type Error = std::convert::Infallible;
            type Future = lapwing::transports::body::ResponseFuture;

            fn call(&self, request: http::Request<B>) -> Self::Future {
                self.respond(request)
            }
        }

        impl<B: lapwing::transports::body::RequestBody> tower_service::Service<http::Request<B>> for $of {
            type Response = http::Response<lapwing::Body>;
            type Error = std::convert::Infallible;
            type Future = lapwing::transports::body::ResponseFuture;

            fn poll_ready(
                &mut self,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Result<(), std::convert::Infallible>> {
                std::task::Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<B>) -> Self::Future {
                self.respond(request)
            }
        }
    };
}

pub(crate) use service;
