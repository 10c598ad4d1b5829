//! All paths, and what every request passes through.

mod head;

use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::http::header::ALLOW;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::http::access::{self, RulesByRoute};
use crate::http::app::{App, Routes};
use crate::http::error::ApiError;
use crate::http::overload::Pacing;
use crate::http::request_log::Answered;
use crate::http::routes::dashboard::lead_there;
use crate::http::{api, body, dashboard, memory, openapi, peer, request_log, routes, same_site};

/// Returns all paths, without a slash at their end, each with its handlers.
fn paths() -> Routes {
    // Protocol 1 needs no such check: it takes JSON alone, which no form of a browser sends.
    let guarded = [dashboard::routes(), api::routes(), openapi::routes()].into_iter().flatten();
    let guarded = guarded.map(|(path, methods)| (path, methods.layer(middleware::from_fn(same_site::check))));
    let root = ("/", get(lead_there));
    routes::routes().into_iter().chain(guarded).chain([root]).collect()
}

/// Returns the router of all paths.
pub fn router(app: App) -> Router {
    let mut rules = RulesByRoute::default();
    let mut router = Router::new();
    for (path, methods) in paths() {
        for route in spellings(path) {
            rules.add(&route, path);
            router = router.route(&route, methods.clone());
        }
    }
    router
        .fallback(async |app: State<App>, request: Request| {
            dashboard::refused(&app, &request, ApiError::UnknownPath)
        })
        .method_not_allowed_fallback(async |app: State<App>, request: Request| {
            dashboard::refused(&app, &request, ApiError::WrongMethod)
        })
        .layer(middleware::from_fn_with_state((app.clone(), Arc::new(rules)), around))
        .with_state(app)
}

/// Returns how clients may write a path: also with a slash at its end, and with two at its beginning, since clients send
/// those whose base URL ends in one.
fn spellings(path: &str) -> Vec<String> {
    match path {
        "/" => vec!["/".to_owned(), "//".to_owned()],
        path => vec![path.to_owned(), format!("{path}/"), format!("/{path}"), format!("/{path}/")],
    }
}

/// The middleware around every handler. It is one layer, since each costs a few allocations a request.
async fn around(
    State((app, rules)): State<(App, Arc<RulesByRoute>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let connection = request.extensions().get::<Pacing>().cloned();
    if let Some(connection) = &connection {
        connection.wait().await;
    }
    let head = request_log::RequestHead::of(&request);
    // The future is pinned and passed by reference: each function that took it by value would copy it, at
    // twice its size.
    let answered = pin!(async {
        let arrived = match head::check(&request) {
            Ok(()) => body::arrive(&mut request, &app.settings).await,
            Err(error) => Err(error),
        };
        // `body` bounds the time of the body, `request_deadline` that of the handler.
        match arrived {
            Ok(()) => match access::check(&app, &rules, &mut request).await {
                Ok(()) => fit(next.run(request).await),
                Err(error) => denied(&app, &rules, &request, error),
            },
            Err(error) => error.into_response(),
        }
    });
    let Answered { response, failed } = request_log::log(head, &app.process_counts, answered).await;
    if let Some(came) = failed
        // The future is in a box, since it is rare and large.
        && Box::pin(app.delayed.delay(came.into(), &app.stop)).await
    {
        return response;
    }
    if let Some(connection) = &connection {
        connection.answered(&response);
    }
    response
}

/// Returns what a request gets that may not do what it asks for.
fn denied(app: &App, rules: &RulesByRoute, request: &Request, error: ApiError) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let allowed =
        route.filter(|_| matches!(error, ApiError::WrongMethod)).map(|route| rules.allowed(route.as_str()));
    let mut response = dashboard::refused(app, request, error);
    if let Some(allowed) = allowed.and_then(|allowed| HeaderValue::try_from(allowed).ok()) {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

/// Returns the answer, if there is memory for it until its client has read it; 503 if not.
fn fit(response: Response) -> Response {
    let bytes = response.body().size_hint().lower();
    let Some(bytes) = usize::try_from(bytes).ok().filter(|bytes| *bytes > memory::SMALL) else {
        return response;
    };
    let fits = peer::current(|peer| {
        let fits = peer.lease_for_answer(bytes);
        if !fits {
            peer.keep_nothing();
        }
        fits
    });
    if fits == Some(false) { ApiError::NoRoom.into_response() } else { response }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::access::RULES;

    #[test]
    fn every_path_has_its_rule_and_every_rule_its_path() {
        let paths: BTreeSet<&str> = paths().iter().map(|(path, _)| *path).collect();
        let rules: BTreeSet<&str> = RULES.iter().map(|(path, _)| *path).collect();
        assert_eq!(rules.len(), RULES.len(), "a path has its rules in one place");
        assert_eq!(paths, rules);
    }
}
