//! Error answers, as problem details (RFC 9457).
//!
//! The body tells the client what to correct. What went wrong in the server is in the log.

use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use slamon_domain::Refusal;
use slamon_protocol::{Invalid, ObjectWriter};
use slamon_store::StoreError;

use crate::database::health::Health;
use crate::dispatch::committer::CommitError;
use crate::http::answer::PROBLEM;
use crate::http::overload::{self, TurnedAway};

/// How a token may be shown. Browsers ask their user for a name and a password, which is the token.
pub(super) const CHALLENGES: [&str; 2] =
    ["Bearer realm=\"slamon-afm\"", "Basic realm=\"slamon-afm\", charset=\"UTF-8\""];

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("request body: {0}")]
    Body(String),
    #[error("request body: is larger than {0} bytes")]
    TooLarge(usize),
    #[error("request body: did not arrive in time")]
    TooSlow,
    #[error("request head: {0}")]
    Head(&'static str),
    #[error(
        "the request was sent by a page of another site: its Origin is not this Host, which a proxy in front has to \
         pass on"
    )]
    Foreign,
    #[error("{0}")]
    Unauthenticated(&'static str),
    #[error("{0}")]
    Forbidden(String),
    #[error("{field}: {problem}")]
    ForbiddenField { field: &'static str, problem: String },
    #[error("too much is being sent at the same time; try again")]
    NoRoom,
    #[error("{}", Self::NoRoom)]
    GivesWay,
    #[error("there are too many connections; try again")]
    Crowded,
    #[error("there is no such path")]
    UnknownPath,
    #[error("task_id: no task has this id")]
    UnknownTask,
    #[error("test_id: no task is of this test")]
    UnknownTest,
    #[error("task_id: {0}")]
    Conflict(&'static str),
    #[error("the method does not go with this path; see the Allow header")]
    WrongMethod,
    #[error("{0}; try again")]
    TryAgain(String),
    #[error("{}; try again", CommitError::Busy)]
    Busy,
    #[error("the database cannot be queried")]
    StatusUnknown,
    #[error("the server failed; its log says how")]
    Failed,
}

impl ApiError {
    /// Returns which field is wrong, for programs.
    pub(crate) fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid(invalid) => invalid.field.as_deref(),
            Self::Refused(Refusal::AnotherAgent | Refusal::UnknownAgent | Refusal::AgentExecutes) => {
                Some("agent_id")
            }
            Self::Refused(Refusal::AllVersionsPaused) => Some("task_type"),
            Self::Refused(Refusal::TooManyPauses) => None,
            Self::Refused(_) | Self::UnknownTask | Self::Conflict(_) => Some("task_id"),
            Self::UnknownTest => Some("test_id"),
            Self::ForbiddenField { field, .. } => Some(field),
            _ => None,
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Refused(
                Refusal::CannotCancel
                | Refusal::AgentExecutes
                | Refusal::TooManyPauses
                | Refusal::AllVersionsPaused,
            )
            | Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Refused(Refusal::UnknownAgent) => StatusCode::NOT_FOUND,
            Self::Invalid(_) | Self::Refused(_) | Self::Body(_) | Self::Head(_) => StatusCode::BAD_REQUEST,
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::Foreign | Self::Forbidden(_) | Self::ForbiddenField { .. } => StatusCode::FORBIDDEN,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownPath | Self::UnknownTask | Self::UnknownTest => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            // 408 would be the status for a slow body, but clients give up at any 4xx.
            Self::TryAgain(_)
            | Self::Busy
            | Self::TooSlow
            | Self::NoRoom
            | Self::GivesWay
            | Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
            Self::StatusUnknown | Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Returns the error that names a field or a parameter.
pub(super) fn invalid(name: &str, problem: impl Into<String>) -> ApiError {
    ApiError::Invalid(Invalid { field: Some(name.to_owned()), problem: problem.into() })
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Busy => Self::Busy,
            CommitError::Unavailable | CommitError::Locked => Self::TryAgain(error.to_string()),
            CommitError::Failed => Self::Failed,
        }
    }
}

impl ApiError {
    /// Returns the answer to a failed read, and notes the failure. The committer does that for commands.
    pub(crate) fn of_read(error: &StoreError, health: &Health) -> Self {
        health.read_failed(error);
        match error {
            StoreError::Failed(_) => Self::Failed,
            _ => CommitError::Unavailable.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let detail = self.to_string();
        let mut body = ObjectWriter::new();
        body.string("type", "about:blank")
            .string("title", status.canonical_reason().unwrap_or_default())
            .integer("status", status.as_u16())
            .string("detail", &detail);
        if let Some(field) = self.field() {
            body.string("field", field);
        }
        tracing::debug!(%status, detail, "refused");
        let mut response = (status, body.finish()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(self, Self::Unauthenticated(_)) {
            for challenge in CHALLENGES {
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(overload::SECONDS));
        }
        // The connection closes where the rest of the body is not worth reading, or has no known end.
        if matches!(self, Self::TooLarge(_) | Self::TooSlow | Self::GivesWay | Self::Crowded | Self::Head(_))
        {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if matches!(self, Self::Busy) {
            response.extensions_mut().insert(TurnedAway);
        }
        response
    }
}
