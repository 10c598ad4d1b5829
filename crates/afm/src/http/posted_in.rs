//! The span in which a request was sent, for traces.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use uuid::Uuid;

use crate::http::app::App;
use crate::traces::PosterSpan;

/// The span in which a request was sent, if spans are made and its header `traceparent` is right.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::http) struct PostedIn(Option<PosterSpan>);

impl FromRequestParts<App> for PostedIn {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        Ok(Self(if app.tracer.is_on() { PosterSpan::of(&parts.headers) } else { None }))
    }
}

impl PostedIn {
    /// Notes that this task is about to be posted in that span.
    pub(in crate::http) fn note(self, app: &App, task_id: Uuid) {
        app.tracer.note_poster(task_id, self.0);
    }
}
