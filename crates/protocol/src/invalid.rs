//! What is wrong with a request body.

use std::borrow::Cow;

use crate::limits::half_excerpt;

/// What is wrong with a request body, in words for whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.detail())]
pub struct Invalid {
    /// The field, as a path from the body (`agent_location.country`); `None` means the body as a whole.
    pub field: Option<String>,
    /// What is wrong, and what is expected.
    pub problem: String,
}

impl Invalid {
    pub(crate) fn field(name: impl AsRef<str>, problem: impl Into<Cow<'static, str>>) -> Self {
        // A client may have chosen the name, and its length: that of a capability, or of an unknown field.
        Self { field: Some(half_excerpt(name.as_ref()).into_owned()), problem: problem.into().into_owned() }
    }

    pub(crate) fn body(problem: impl Into<Cow<'static, str>>) -> Self {
        Self { field: None, problem: problem.into().into_owned() }
    }

    fn detail(&self) -> String {
        match &self.field {
            Some(field) => format!("{field}: {}", self.problem),
            None => format!("request body: {}", self.problem),
        }
    }
}
