//! Error documents (distribution-spec, "Error Codes").

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{HeaderName, StatusCode};

use crate::embedded::store::{StoreError, UploadError};

/// An answer that reports an error.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// A refusal with one of the specification's codes.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), header: None }
    }

    /// 400: the request is malformed.
    pub(super) fn bad(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 404: the thing does not exist.
    pub(super) fn missing(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// 405: this registry does not support the request.
    pub(super) fn unsupported(message: &'static str) -> Self {
        let allow = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message).with(ALLOW, allow)
    }

    /// The same refusal with a header.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        // The client does not need to know the registry's paths. The log has them.
        tracing::error!(error = &error as &dyn std::error::Error, "the embedded registry's storage failed");
        if error.is_full() {
            let message = "the disk of the embedded registry is full";
            return Self::new(StatusCode::INSUFFICIENT_STORAGE, "UNKNOWN", message);
        }
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the embedded registry's storage failed")
    }
}

impl From<UploadError> for Refusal {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Store(error) => error.into(),
            UploadError::Length => Self::bad("SIZE_INVALID", error.to_string()),
            UploadError::Idle => Self::new(StatusCode::REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID", error.to_string()),
            UploadError::Body(_) => Self::bad("BLOB_UPLOAD_INVALID", error.to_string()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let document = serde_json::json!({ "errors": [{ "code": self.code, "message": self.message }] });
        let mut response = Response::new(Body::from(document.to_string()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().extend(self.header);
        response
    }
}
