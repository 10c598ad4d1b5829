//! `/api/v1/types`: task types, and their pauses.

use std::pin::pin;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::post;
use serde::Serialize;
use slamon_domain::{Operation, PauseTarget};
use slamon_protocol::{Capability, iso_time};
use utoipa::ToSchema;

use crate::http::answer;
use crate::http::app::{App, Routes};
use crate::http::error::{ApiError, invalid};
use crate::http::request_deadline;
use crate::http::schemas::Problem;

pub(super) fn routes() -> Routes {
    vec![
        ("/api/v1/types/{task_type}/pause", post(pause_type)),
        ("/api/v1/types/{task_type}/resume", post(resume_type)),
        ("/api/v1/types/{task_type}/{task_version}/pause", post(pause_version)),
        ("/api/v1/types/{task_type}/{task_version}/resume", post(resume_version)),
        // No segment of a path matches the empty type.
        ("/api/v1/types//pause", post(pause_empty_type)),
        ("/api/v1/types//resume", post(resume_empty_type)),
        ("/api/v1/types//{task_version}/pause", post(pause_empty_version)),
        ("/api/v1/types//{task_version}/resume", post(resume_empty_version)),
    ]
}

/// Whether a type is paused.
#[derive(Serialize, ToSchema)]
struct TypePause<'t> {
    task_type: &'t str,
    /// The version; `null` stands for all versions.
    task_version: Option<i64>,
    /// Since when its tasks are handed to nobody; `null` if it is not paused.
    paused_since: Option<String>,
}

pub(super) type TypePath = Result<Path<String>, PathRejection>;
pub(super) type VersionPath = Result<Path<(String, String)>, PathRejection>;

/// Hands tasks of a type to nobody, in any version, until it is resumed. They wait; attempts go on.
#[utoipa::path(
    post,
    path = "/api/v1/types/{task_type}/pause",
    tag = "types",
    params(("task_type" = String, Path, description = "The type, percent-encoded")),
    responses(
        (status = 200, description = "It is paused, now or before", body = TypePause<'_>),
        (status = 400, description = "The type is wrong", content_type = "application/problem+json", body = Problem),
        (status = 409, description = "There are too many pauses", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn pause_type(State(app): State<App>, path: TypePath) -> Result<Response, ApiError> {
    let task_type = type_of(&app, path)?;
    operate(&app, Operation::Pause, task_type, None).await
}

/// Ends all pauses of a type: of the type, and of single versions.
#[utoipa::path(
    post,
    path = "/api/v1/types/{task_type}/resume",
    tag = "types",
    params(("task_type" = String, Path, description = "The type, percent-encoded")),
    responses(
        (status = 200, description = "It is not paused any more", body = TypePause<'_>),
        (status = 400, description = "The type is wrong", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn resume_type(State(app): State<App>, path: TypePath) -> Result<Response, ApiError> {
    let task_type = type_of(&app, path)?;
    operate(&app, Operation::Resume, task_type, None).await
}

/// Hands tasks of a type in one version to nobody, until it is resumed. They wait; attempts go on.
#[utoipa::path(
    post,
    path = "/api/v1/types/{task_type}/{task_version}/pause",
    tag = "types",
    params(
        ("task_type" = String, Path, description = "The type, percent-encoded"),
        ("task_version" = i64, Path, description = "The version"),
    ),
    responses(
        (status = 200, description = "It is paused, now or before", body = TypePause<'_>),
        (status = 400, description = "The type or the version is wrong", content_type = "application/problem+json", body = Problem),
        (status = 409, description = "There are too many pauses", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn pause_version(State(app): State<App>, path: VersionPath) -> Result<Response, ApiError> {
    let (task_type, version) = version_of(&app, path)?;
    operate(&app, Operation::Pause, task_type, Some(version)).await
}

/// Ends the pause of a type in one version.
#[utoipa::path(
    post,
    path = "/api/v1/types/{task_type}/{task_version}/resume",
    tag = "types",
    params(
        ("task_type" = String, Path, description = "The type, percent-encoded"),
        ("task_version" = i64, Path, description = "The version"),
    ),
    responses(
        (status = 200, description = "It is not paused any more", body = TypePause<'_>),
        (status = 400, description = "The type or the version is wrong", content_type = "application/problem+json", body = Problem),
        (status = 409, description = "All versions are paused", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn resume_version(State(app): State<App>, path: VersionPath) -> Result<Response, ApiError> {
    let (task_type, version) = version_of(&app, path)?;
    operate(&app, Operation::Resume, task_type, Some(version)).await
}

async fn pause_empty_type(State(app): State<App>) -> Result<Response, ApiError> {
    operate(&app, Operation::Pause, String::new(), None).await
}

async fn resume_empty_type(State(app): State<App>) -> Result<Response, ApiError> {
    operate(&app, Operation::Resume, String::new(), None).await
}

async fn pause_empty_version(State(app): State<App>, path: TypePath) -> Result<Response, ApiError> {
    let version = empty_version_of(path)?;
    operate(&app, Operation::Pause, String::new(), Some(version)).await
}

async fn resume_empty_version(State(app): State<App>, path: TypePath) -> Result<Response, ApiError> {
    let version = empty_version_of(path)?;
    operate(&app, Operation::Resume, String::new(), Some(version)).await
}

async fn operate(
    app: &App,
    operation: fn(PauseTarget) -> Operation,
    task_type: String,
    version: Option<i64>,
) -> Result<Response, ApiError> {
    let target = match version {
        None => PauseTarget::Type(task_type.clone()),
        Some(version) => PauseTarget::Version(Capability { task_type: task_type.clone(), version }),
    };
    let operated = pin!(app.committer.operate(operation(target)));
    let since = request_deadline::within(app.settings.request_timeout, operated).await???;
    answer::json(&TypePause {
        task_type: &task_type,
        task_version: version,
        paused_since: since.map(iso_time),
    })
}

/// Returns the type that a path names.
fn type_of(app: &App, path: TypePath) -> Result<String, ApiError> {
    let Path(task_type) = path.map_err(|_| invalid("task_type", "is not valid UTF-8"))?;
    checked(app, task_type)
}

/// Returns the type and the version that a path names.
pub(super) fn version_of(app: &App, path: VersionPath) -> Result<(String, i64), ApiError> {
    let Path((task_type, version)) = path.map_err(|_| invalid("task_type", "is not valid UTF-8"))?;
    Ok((checked(app, task_type)?, parse_version(&version)?))
}

pub(super) fn empty_version_of(path: TypePath) -> Result<i64, ApiError> {
    let Path(version) = path.map_err(|_| invalid("task_version", "must be an integer of at most 64 bits"))?;
    parse_version(&version)
}

/// Returns a type, if a task could have it.
fn checked(app: &App, task_type: String) -> Result<String, ApiError> {
    let most = app.settings.limits.name_bytes;
    if task_type.len() > most {
        return Err(invalid("task_type", format!("must have at most {most} bytes, has {}", task_type.len())));
    }
    if task_type.contains('\0') {
        return Err(invalid("task_type", "must not contain U+0000"));
    }
    Ok(task_type)
}

fn parse_version(text: &str) -> Result<i64, ApiError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit());
    let version = text.parse().ok().filter(|_| is_integer);
    version.ok_or_else(|| invalid("task_version", "must be an integer of at most 64 bits"))
}
