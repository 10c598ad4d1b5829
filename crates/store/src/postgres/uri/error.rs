//! The error of a database URI that cannot be used.

/// What is wrong with a database URI. It never shows a part of the URI that may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the database URI: {0}")]
pub struct UriError(String);

impl UriError {
    /// An error whose message follows "the database URI: ".
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}
