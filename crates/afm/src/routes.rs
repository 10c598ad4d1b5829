//! Paths, and what every answer has in common.

mod agent;
mod bpms;
mod dashboard;
mod health;
mod status;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use axum::{Router, http::HeaderValue};
use slamon_protocol::ObjectWriter;

use crate::app::App;
use crate::body;
use crate::error::ApiError;
use crate::request_log;

/// Everything that the AFM answers.
pub fn router(app: App) -> Router {
    let routes = [bpms::routes(), agent::routes(), status::routes(), dashboard::routes(), health::routes()];
    let mut router = Router::new();
    for (path, methods) in routes.into_iter().flatten() {
        // Every path answers with and without a slash at its end; and with two at its beginning, which is what clients
        // send whose base URL ends in one.
        for path in [path.to_owned(), format!("{path}/"), format!("/{path}"), format!("/{path}/")] {
            router = router.route(&path, methods.clone());
        }
    }
    router
        .fallback(async || ApiError::UnknownPath)
        .method_not_allowed_fallback(async || ApiError::WrongMethod)
        .layer(middleware::from_fn_with_state(app.clone(), body::arrive))
        .layer(middleware::from_fn_with_state(app.clone(), limit_time))
        .layer(middleware::from_fn(request_log::log))
        .with_state(app)
}

/// Paths without a slash at their end, and what they answer.
type Routes = Vec<(&'static str, MethodRouter<App>)>;

/// A request that takes too long is dropped: what it has not committed by then never happens.
async fn limit_time(State(app): State<App>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(app.settings.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::TryAgain("the request took too long".to_owned()).into_response(),
    }
}

/// A 200 with a JSON body.
fn json(object: ObjectWriter) -> Response {
    let mut response = object.finish().into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
