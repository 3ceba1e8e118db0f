//! Errors as clients see them: a status, a stable code, what is wrong and with which field.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use quorate_protocol::operation::{Attempted, Failure, OperationError};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{context_headers, context_text};

/// The kinds of errors, named as on the gRPC surface and in metrics. The names are stable; messages are for people and may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Code {
    /// 400: a field or parameter breaks a bound.
    Invalid,
    /// 404: there is no such route.
    NoSuchRoute,
    /// 404: there is no such bucket.
    UnknownBucket,
    /// 405: the route does not take this method.
    MethodNotAllowed,
    /// 408: the body did not arrive in time.
    BodyTimeout,
    /// 409: the write has to read the key first, and send the context that it gets.
    ReadFirst,
    /// 413: the key, the value or the body is larger than what is taken.
    TooLarge,
    /// 415: the body's content type is not taken.
    UnsupportedContentType,
    /// 429: too much is under way here; later it may succeed.
    Overloaded,
    /// 500: the coordinator's storage failed.
    Storage,
    /// 503: the node has no layout yet.
    NotBootstrapped,
    /// 503: the node that was asked has left the cluster.
    NotAMember,
    /// 503: the node that was asked was just started, and waits to hear what others know of it.
    Starting,
    /// 503: the node does not answer for itself.
    NotAlive,
    /// 503: not enough replicas can be reached.
    QuorumUnavailable,
    /// 503: the time was over before enough replicas had answered.
    TimedOut,
    /// 503: the node that coordinated went away.
    CoordinatorLost,
    /// 507: the coordinator's disk is full.
    DiskFull,
}

impl Code {
    /// As it is written in answers and metrics.
    pub(super) fn as_str(self) -> &'static str {
        self.describe().0
    }

    fn status(self) -> StatusCode {
        self.describe().1
    }

    fn describe(self) -> (&'static str, StatusCode) {
        match self {
            Self::Invalid => ("invalid", StatusCode::BAD_REQUEST),
            Self::NoSuchRoute => ("no_such_route", StatusCode::NOT_FOUND),
            Self::UnknownBucket => ("unknown_bucket", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED),
            Self::BodyTimeout => ("body_timeout", StatusCode::REQUEST_TIMEOUT),
            Self::ReadFirst => ("read_first", StatusCode::CONFLICT),
            Self::TooLarge => ("too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnsupportedContentType => ("unsupported_content_type", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::Overloaded => ("overloaded", StatusCode::TOO_MANY_REQUESTS),
            Self::Storage => ("storage", StatusCode::INTERNAL_SERVER_ERROR),
            Self::NotBootstrapped => ("not_bootstrapped", StatusCode::SERVICE_UNAVAILABLE),
            Self::NotAMember => ("not_a_member", StatusCode::SERVICE_UNAVAILABLE),
            Self::Starting => ("starting", StatusCode::SERVICE_UNAVAILABLE),
            Self::NotAlive => ("not_alive", StatusCode::SERVICE_UNAVAILABLE),
            Self::QuorumUnavailable => ("quorum_unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Self::TimedOut => ("timed_out", StatusCode::SERVICE_UNAVAILABLE),
            Self::CoordinatorLost => ("coordinator_lost", StatusCode::SERVICE_UNAVAILABLE),
            Self::DiskFull => ("disk_full", StatusCode::INSUFFICIENT_STORAGE),
        }
    }
}

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) code: Code,
    message: String,
    pub(super) field: Option<String>,
    attempted: bool,
    context: Option<Bytes>,
}

impl ApiError {
    /// An error of the request as a whole; nothing was attempted.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None, attempted: false, context: None }
    }

    /// An error in one field or parameter; nothing was attempted.
    pub(super) fn field(code: Code, field: &str, message: impl Into<String>) -> Self {
        Self { field: Some(abridged(field)), ..Self::new(code, message) }
    }

    /// A field or parameter that breaks a bound.
    pub(super) fn invalid(field: &str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::field(Code::Invalid, field, format!("{}: {reason}", abridged(field)))
    }
}

/// Names come from the client: one of any length is not sent back in full.
fn abridged(field: &str) -> String {
    field.chars().take(64).collect()
}

impl From<OperationError> for ApiError {
    fn from(error: OperationError) -> Self {
        let (code, field) = match &error.failure {
            // The core's names for these have no unit; the surface's have.
            Failure::Invalid { field: "timeout", reason } => {
                return Self::invalid("timeout_ms", reason.clone());
            }
            Failure::Invalid { field: "ttl", reason } => {
                return Self::invalid("ttl_ms", reason.clone());
            }
            Failure::Invalid { field, .. } => (Code::Invalid, Some(*field)),
            Failure::TooLarge { field, .. } => (Code::TooLarge, Some(*field)),
            Failure::UnknownBucket(_) => (Code::UnknownBucket, Some("bucket")),
            Failure::NotBootstrapped => (Code::NotBootstrapped, None),
            Failure::NotAMember => (Code::NotAMember, None),
            Failure::Starting => (Code::Starting, None),
            Failure::ReadFirst(_) => (Code::ReadFirst, Some("context")),
            Failure::Overloaded(_) => (Code::Overloaded, None),
            Failure::DiskFull => (Code::DiskFull, None),
            Failure::QuorumUnavailable { .. } => (Code::QuorumUnavailable, None),
            Failure::TimedOut { .. } => (Code::TimedOut, None),
            Failure::CoordinatorLost(_) => (Code::CoordinatorLost, None),
            Failure::Storage(_) => (Code::Storage, None),
        };
        Self {
            code,
            message: error.failure.to_string(),
            field: field.map(str::to_owned),
            attempted: error.attempted == Attempted::Indeterminate,
            context: error.context,
        }
    }
}

/// The body of every answer that is an error.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorAnswer {
    error: ErrorBody,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorBody {
    code: Code,
    /// For people.
    message: String,
    /// The field, parameter or header that is wrong, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// false: nothing was changed and nothing will be. true: some replica may have the write, it can surface later.
    attempted: bool,
    /// Of a delete without context that failed after its read: what it saw. A retry sends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
}

/// How long a client that was refused for overload should wait, in seconds.
const RETRY_AFTER_SECONDS: (HeaderName, HeaderValue) = (header::RETRY_AFTER, HeaderValue::from_static("1"));

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let context = self.context.unwrap_or_default();
        let body = ErrorAnswer {
            error: ErrorBody {
                code: self.code,
                message: self.message,
                field: self.field,
                attempted: self.attempted,
                context: (!context.is_empty()).then(|| context_text(&context)),
            },
        };
        let mut response = (self.code.status(), context_headers(&context), Json(body)).into_response();
        if self.code == Code::Overloaded {
            let (name, value) = RETRY_AFTER_SECONDS;
            response.headers_mut().insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_alike_in_answers_and_metrics() {
        for code in [
            Code::Invalid,
            Code::NoSuchRoute,
            Code::UnknownBucket,
            Code::MethodNotAllowed,
            Code::BodyTimeout,
            Code::ReadFirst,
            Code::TooLarge,
            Code::UnsupportedContentType,
            Code::Overloaded,
            Code::Storage,
            Code::NotBootstrapped,
            Code::NotAMember,
            Code::Starting,
            Code::NotAlive,
            Code::QuorumUnavailable,
            Code::TimedOut,
            Code::CoordinatorLost,
            Code::DiskFull,
        ] {
            let written = serde_json::to_value(code).expect("it serializes");
            assert_eq!(written, code.as_str());
        }
    }

    #[test]
    fn overload_says_when_to_come_back() {
        let failure = Failure::Overloaded("4096 operations are under way".into());
        let error = ApiError::from(OperationError::not_attempted(failure));
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }

    #[test]
    fn a_failure_after_something_was_sent_says_so() {
        let error = OperationError::indeterminate(Failure::TimedOut { needed: 2, answered: 1 });
        let error = ApiError::from(error);
        assert!(error.attempted);
        assert_eq!(error.code.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn the_timeout_has_the_surfaces_name() {
        let failure = Failure::Invalid { field: "timeout", reason: "too long".into() };
        let error = ApiError::from(OperationError::not_attempted(failure));
        assert_eq!(error.field.as_deref(), Some("timeout_ms"));
    }
}
