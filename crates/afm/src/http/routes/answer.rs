//! What the files of all resources share: their paths with handlers, and JSON answers.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::Response;
use axum::routing::MethodRouter;
use bytes::Bytes;
use slamon_protocol::ObjectWriter;

use crate::http::app::App;

/// Paths without a slash at their end, each with its handlers.
pub(in crate::http) type Routes = Vec<(&'static str, MethodRouter<App>)>;

/// Returns a 200 with a JSON body.
pub(super) fn json(object: ObjectWriter) -> Response {
    json_text(object.finish().into())
}

pub(in crate::http) fn json_text(text: Bytes) -> Response {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
