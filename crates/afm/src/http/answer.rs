//! JSON answers.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use slamon_protocol::{JsonText, ObjectWriter};

use crate::http::error::ApiError;

/// The media type of JSON. JSON is UTF-8 without saying so, but clients in Java exist that take what says
/// nothing for ISO-8859-1: google-http-client before 1.39.1.
const JSON: &str = "application/json; charset=utf-8";

/// The media type of an error, which says its charset for the same reason.
pub(super) const PROBLEM: &str = "application/problem+json; charset=utf-8";

/// Returns a 200 with a JSON text as it is.
pub(super) fn json_text(text: Bytes) -> Response {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, const { HeaderValue::from_static(JSON) });
    headers.insert(X_CONTENT_TYPE_OPTIONS, const { HeaderValue::from_static("nosniff") });
    headers.insert(CACHE_CONTROL, const { HeaderValue::from_static("no-store") });
    response
}

/// Returns a 200 with the object that was written.
pub(super) fn json_object(object: ObjectWriter) -> Response {
    json_text(object.finish().into())
}

/// Returns a 200 with a value as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<Response, ApiError> {
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
