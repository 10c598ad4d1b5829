//! What can go wrong between a client and an AFM.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;

use crate::connection::ConnectError;
use crate::reason::{Reason, ReasonKind, reason};

/// Why an AFM did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The AFM cannot be reached as it was asked for.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No AFM answered within the time for all tries.
    #[error("the AFM could not be reached: {0}")]
    Unreachable(String),
    /// One side does not trust the certificate of the other. The sentence says which, and why.
    #[error("could not begin TLS with {0}")]
    Untrusted(String),
    /// The AFM is there and cannot do it now: its database is away, or it has too much to do. All tries are over.
    #[error("the AFM cannot do it now: {detail}")]
    Unavailable {
        /// What the AFM says.
        detail: String,
        /// What it asks to wait.
        retry_after: Option<Duration>,
    },
    /// There is no such task, agent or type.
    #[error("not found: {0}")]
    NotFound(String),
    /// The AFM refuses the request.
    #[error("{detail}")]
    Refused {
        /// The status of the answer.
        status: u16,
        /// What the AFM says.
        detail: String,
        /// The field, filter or parameter that is wrong.
        field: Option<String>,
    },
    /// A path of a URL cannot have this name.
    #[error("a name of {0:?} cannot be a part of a URL")]
    Unaddressable(String),
    /// The answer is not what an AFM answers.
    #[error("could not read the answer: {0}")]
    Unreadable(String),
    /// The answer, or an event, has more bytes than are taken.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// Something that is sent cannot be written as JSON.
    #[error("could not write the request: {0}")]
    Unwritable(#[from] serde_json::Error),
    /// The task had not ended when the time to wait was over. It goes on.
    #[error("the task has not ended within {0:?}")]
    NotEnded(Duration),
}

/// What an AFM says in an error (RFC 9457).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    detail: String,
    field: Option<String>,
}

impl ClientError {
    /// What an answer that is no success says.
    pub(crate) fn of_answer(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let Problem { mut detail, field } = serde_json::from_slice(body).unwrap_or_default();
        if detail.is_empty() {
            detail = status.to_string();
            match status {
                StatusCode::NOT_FOUND => {
                    detail.push_str("; the URL may be wrong, or the AFM older than version 2");
                }
                StatusCode::UNAUTHORIZED => {
                    detail.push_str(
                        "; the token, or the user and the password in the URL, are wrong or missing",
                    );
                }
                _ => {}
            }
        }
        match status {
            StatusCode::NOT_FOUND => Self::NotFound(detail),
            status if is_passing(status.as_u16()) => Self::Unavailable { detail, retry_after },
            status => Self::Refused { status: status.as_u16(), detail, field },
        }
    }

    /// Whether the same request may be answered later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Unavailable { .. })
    }

    /// What the AFM asks to wait before the next try.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Whether what is answered with this status may be done later.
pub(crate) fn is_passing(status: u16) -> bool {
    status >= 500 || status == 429
}

impl ClientError {
    /// Why an AFM could not be asked, or its answer not be read.
    pub(crate) fn no_answer(afm: &str, error: reqwest::Error) -> Self {
        let Reason { sentence, kind } = reason(error);
        let sentence = format!("{afm}: {sentence}");
        match kind {
            ReasonKind::Trust => Self::Untrusted(sentence),
            ReasonKind::ProxyUser => Self::Refused { status: 407, detail: sentence, field: None },
            ReasonKind::Passing => Self::Unreachable(sentence),
        }
    }
}
