//! Reads the forms that pages send.

use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use http_body_util::BodyExt;

use crate::http::app::App;
use crate::http::error::ApiError;

/// The fields of a form, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl FromRequest<App> for Form {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &App) -> Result<Self, ApiError> {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        // A button without fields sends an empty body of this type, too.
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(ApiError::Body("must be sent by a form of the dashboard".to_owned()));
        }
        // The body has been read already, and is not too large.
        let body = request.into_body().collect().await;
        let body = body.map_err(|_| ApiError::Body("could not be read to its end".to_owned()))?;
        Ok(Self::of(&body.to_bytes()))
    }
}

impl Form {
    pub(super) fn of(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// Returns a field without the line breaks that browsers write; empty if it is not there.
    pub(super) fn text(&self, name: &str) -> String {
        self.all(name).next().unwrap_or_default().replace("\r\n", "\n")
    }

    /// Returns all values of a field, such as those of checkboxes.
    pub(super) fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }
}
