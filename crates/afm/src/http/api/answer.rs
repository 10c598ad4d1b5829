//! Answers of the management API.

use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use slamon_protocol::JsonText;
use utoipa::ToSchema;

use crate::http::error::ApiError;
use crate::http::routes::json_text;

/// Why a request fails, as problem details (RFC 9457).
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `ApiError` writes")]
pub(crate) struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    r#type: String,
    /// The name of the status.
    title: String,
    /// The status.
    status: u16,
    /// What is wrong, in a sentence.
    detail: String,
    /// The field or the parameter that is wrong.
    field: Option<String>,
}

/// Returns a 200 with a value as JSON.
pub(in crate::http) fn json(value: &impl Serialize) -> Result<Response, ApiError> {
    let text = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "could not write an answer as JSON");
        ApiError::Failed
    })?;
    Ok(json_text(text.into()))
}

/// Returns what a client has sent as the JSON text that it was sent as. A database of the original may hold
/// what only Python takes for JSON, such as `NaN`: that is given as a string.
pub(super) fn stored(text: &JsonText) -> Box<RawValue> {
    let raw = |text: &str| RawValue::from_string(text.to_owned());
    raw(text.as_str())
        .or_else(|_| raw(JsonText::string(text.as_str()).as_str()))
        .unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_a_string() {
        for (text, given) in [(r#"{"a": 1.50}"#, r#"{"a": 1.50}"#), ("{\"a\": NaN}", r#""{\"a\": NaN}""#)] {
            assert_eq!(stored(&JsonText::from_stored(text.to_owned())).get(), given);
        }
    }
}
