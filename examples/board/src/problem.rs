//! Why something is not done, in the same words by a channel and by a route.

use std::error::Error;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use lapwing::{Failure, StopReason};
use serde_json::Value;

/// Why something is not done. It is no [`Error`] itself, so that `?` can make it of all of them.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    failure: Failure,
}

impl Problem {
    /// The client's, and told to it: a status for routes, and a reason for all.
    pub(crate) fn new(status: StatusCode, reason: &str) -> Self {
        Self { status, failure: Failure::reason(reason) }
    }

    /// Something is wrong with a field.
    pub(crate) fn field(field: &str, problem: &str) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, failure: Failure::field(field, problem) }
    }

    /// How a join ends that cannot go on: for good, or so that the page tries again.
    pub(crate) fn into_stop(self) -> StopReason {
        self.failure.cause().map_or(StopReason::Normal, |cause| StopReason::Error(cause.to_string()))
    }
}

/// The program's own errors: logged, and told as "internal".
impl<E: Error + Send + Sync + 'static> From<E> for Problem {
    fn from(error: E) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, failure: error.into() }
    }
}

/// For channels, of which lapwing logs the internal ones.
impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        problem.failure
    }
}

/// For routes.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if let Some(cause) = self.failure.cause() {
            tracing::error!(error = cause, "a request failed");
        }
        let told: Value = self.failure.payload().parse().unwrap_or_default();
        (self.status, Json(told)).into_response()
    }
}
