//! What is answered: JSON, and one form for everything that is refused.

use std::fmt;

use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS},
};
use lapwing_transports::body::Body;
use serde::Serialize;
use serde_json::json;

/// Why a request is refused, in a word for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Invalid,
    Unauthorized,
    NotFound,
    NotKept,
    NotRecovered,
    Method,
    Timeout,
    Conflict,
    TooLarge,
    Unavailable,
}

impl Code {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 10] = [
        Self::Invalid,
        Self::Unauthorized,
        Self::NotFound,
        Self::NotKept,
        Self::NotRecovered,
        Self::Method,
        Self::Timeout,
        Self::Conflict,
        Self::TooLarge,
        Self::Unavailable,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::NotKept => "not_kept",
            Self::NotRecovered => "not_recovered",
            Self::Method => "method_not_allowed",
            Self::Timeout => "timeout",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::Unavailable => "unavailable",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound | Self::NotKept => StatusCode::NOT_FOUND,
            Self::NotRecovered => StatusCode::GONE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// A refusal: the word, what to look at, and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    /// The place in the request, as in `messages[2].topic`.
    pub(crate) field: Option<String>,
    pub(crate) message: String,
    /// The method by which the operation comes, for [`Code::Method`].
    pub(crate) allow: Option<Method>,
}

impl Refused {
    pub(crate) fn new(code: Code, message: impl fmt::Display) -> Self {
        Self { code, field: None, message: message.to_string(), allow: None }
    }

    /// Something is wrong with a field.
    pub(crate) fn field(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { field: Some(field.into()), ..Self::new(Code::Invalid, message) }
    }

    /// The same for a part of a request.
    pub(crate) fn within(mut self, part: &str) -> Self {
        self.field = self.field.map(|field| format!("{part}.{field}"));
        self
    }

    /// As it stands in an answer.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let mut error = json!({"code": self.code.word(), "message": self.message});
        if let Some(field) = &self.field {
            error["field"] = json!(field);
        }
        error
    }

    pub(crate) fn response(&self) -> Response<Body> {
        let mut response = json_response(self.code.status(), json!({"error": self.to_json()}).to_string());
        let headers = response.headers_mut();
        if self.code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = self.allow.as_ref().and_then(|method| method.as_str().parse().ok()) {
            headers.insert(ALLOW, allow);
        }
        response
    }
}

/// What was done, as JSON.
pub(crate) type Done = Result<Bytes, Refused>;

pub(crate) fn done(answer: &impl Serialize) -> Done {
    // What answers consist of can be written.
    serde_json::to_vec(answer).map(Bytes::from).map_err(|error| Refused::new(Code::Unavailable, error))
}

pub(crate) fn response(done: Done) -> Response<Body> {
    match done {
        Ok(body) => json_response(StatusCode::OK, body),
        Err(refused) => refused.response(),
    }
}

fn json_response(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_the_codes_that_there_are() {
        let document: serde_json::Value = serde_json::from_str(crate::api::OPENAPI).unwrap();
        let codes =
            &document["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"];
        assert_eq!(*codes, json!(Code::ALL.map(Code::word)));
        let page = include_str!("../../docs/guide/http-api.md");
        for code in Code::ALL {
            let row = format!("| {} | `{}` |", code.status().as_u16(), code.word());
            assert!(page.contains(&row), "the guide lacks {row}");
            for operation in document["paths"].as_object().unwrap().values() {
                let (_, operation) = operation.as_object().unwrap().iter().next().unwrap();
                let statuses = operation["responses"].as_object().unwrap();
                let is_of_all = matches!(code, Code::Invalid | Code::Unauthorized | Code::Method);
                assert!(!is_of_all || statuses.contains_key(code.status().as_str()), "{code:?}");
            }
        }
    }
}
