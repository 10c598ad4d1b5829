//! The OpenAPI document, made from the handlers, and the page on which people read it.

mod common;
mod page;

use std::sync::LazyLock;

use askama::Template;
use axum::http::HeaderName;
use axum::http::Uri;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use utoipa::OpenApi;

use self::common::CommonErrors;
use self::page::Page;
use crate::http::answer::json_text;
use crate::http::api::{agents, events, locations, one_test, overview, tasks, type_list, types};
use crate::http::app::Routes;
use crate::http::error::ApiError;
use crate::http::routes::{agent, bpms, dashboard, health, metrics, status};
use crate::http::schemas;

/// The content security policy: the page loads its style, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Routes {
    vec![
        ("/api/v1/openapi.json", get(async || document())),
        ("/api/docs", get(page)),
        ("/api/docs.css", get(style)),
    ]
}

#[derive(OpenApi)]
#[openapi(
    modifiers(&CommonErrors),
    info(
        title = "SLAMon Agent Fleet Manager",
        description = "Takes tasks, hands each to one polling agent that is capable of it, and gives the results back. \
                       Protocol 1 is for process engines and agents, the management API for operators.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "protocol 1: clients", description = "What process engines send: they post tasks and read what became of them."),
        (name = "protocol 1: agents", description = "What agents send: they poll for tasks and post results."),
        (name = "agents", description = "Who works, and who may."),
        (name = "types", description = "Task types, and their pauses."),
        (name = "tasks", description = "What is stored, and what is done to one task or to many."),
        (name = "events", description = "What changes, as it happens."),
        (name = "overview", description = "What waits and runs, and what happened in the last hour."),
        (name = "server", description = "How the server is."),
    ),
    paths(
        bpms::post_task,
        bpms::get_task,
        bpms::cancel_task,
        agent::poll,
        agent::report,
        agents::list,
        agents::read,
        agents::pause,
        agents::resume,
        agents::forget,
        locations::list,
        one_test::read,
        type_list::list,
        type_list::read,
        types::pause_type,
        types::resume_type,
        types::pause_version,
        types::resume_version,
        tasks::list::list_tasks,
        tasks::post::post_tasks,
        tasks::show::show_task,
        tasks::cancel::cancel_task,
        tasks::retry::retry_task,
        tasks::change::cancel_tasks,
        tasks::change::retry_tasks,
        events::events,
        overview::overview,
        status::status,
        dashboard::status,
        health::alive,
        health::ready,
        metrics::metrics,
    ),
    components(schemas(
        schemas::Problem,
        schemas::NewTask,
        schemas::AgentFilter,
        schemas::TaskView,
        schemas::EndedAttempt,
        schemas::WaitingReason,
        schemas::Poll,
        schemas::PollAnswer,
        schemas::HandedOut,
        schemas::Offer,
        schemas::SeveralResults,
        schemas::Completed,
        schemas::Failed,
        schemas::TaskResult,
        schemas::StatusCounts,
    ))
)]
struct Document;

/// The document as JSON, which never changes.
fn document() -> Response {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| text().into());
    json_text(TEXT.clone())
}

/// Shows the document to people.
async fn page(address: Uri) -> Result<Response, ApiError> {
    let page = Page::of(&Document::openapi(), address.path().ends_with('/'));
    let page = page.map_err(|error| error.to_string());
    let html = page.and_then(|page| page.render().map_err(|error| error.to_string()));
    let html = html.map_err(|error| {
        tracing::error!(error, "could not show the OpenAPI document");
        ApiError::Failed
    })?;
    Ok(page_of("text/html", html))
}

async fn style() -> Response {
    page_of("text/css", include_str!("../../assets/api/docs.css").to_owned())
}

fn page_of(media_type: &str, text: String) -> Response {
    let headers: [(HeaderName, String); 6] = [
        (CONTENT_TYPE, format!("{media_type}; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (X_FRAME_OPTIONS, "DENY".to_owned()),
        (REFERRER_POLICY, "no-referrer".to_owned()),
        (CACHE_CONTROL, "no-cache".to_owned()),
    ];
    (headers, text).into_response()
}

fn text() -> String {
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With WRITE_OPENAPI in the environment the file is written anew.
    #[test]
    fn the_committed_document_is_what_the_code_makes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        if std::env::var_os("WRITE_OPENAPI").is_some() {
            std::fs::write(path, text()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == text(),
            "docs/openapi.json is old: WRITE_OPENAPI=1 cargo test openapi writes it"
        );
    }

    /// Programs that are made from the document name their functions by these ids.
    #[test]
    fn each_operation_has_an_id_of_its_own_and_says_how_it_fails() {
        let document: serde_json::Value = serde_json::from_str(&text()).unwrap();
        let mut ids = std::collections::HashSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{id} is the id of two, one is {method} {path}");
                let responses = operation["responses"].as_object().unwrap();
                assert!(responses.contains_key("400") || !path.starts_with("/api/"), "{method} {path}");
                // The probes and the document itself are open to everybody.
                let is_open = ["/healthz", "/readyz"].contains(&path.as_str());
                for status in ["401", "403"] {
                    assert_eq!(responses.contains_key(status), !is_open, "{method} {path} {status}");
                }
                assert_eq!(operation.get("security").is_some(), !is_open, "{method} {path}");
                let has_body = operation.get("requestBody").is_some();
                assert_eq!(responses.contains_key("413"), has_body, "{method} {path}");
                for (status, response) in responses {
                    let media_types: Vec<&String> =
                        response["content"].as_object().into_iter().flat_map(|types| types.keys()).collect();
                    let is_error = !status.starts_with('2');
                    assert!(
                        !is_error || media_types == ["application/problem+json"],
                        "{method} {path} {status}"
                    );
                }
            }
        }
    }
}
