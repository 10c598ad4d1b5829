//! Several results in one request, as the answer to each.

use std::pin::pin;

use axum::response::Response;
use futures_util::{StreamExt, stream};
use slamon_domain::Reported;
use slamon_protocol::{ArrayWriter, InvalidElement, ObjectWriter, ResultPost};
use uuid::Uuid;

use super::answer::json;
use crate::http::app::App;
use crate::http::error::ApiError;
use crate::http::{request_deadline, request_log};

/// So many results of one request wait for the committer at the same time. Other requests must find room in
/// its queue.
const AT_ONCE: usize = 256;

/// Posts results, and answers in their order what a request with each alone would be answered.
pub(super) async fn report_all(
    app: &App,
    results: Vec<Result<ResultPost, InvalidElement>>,
) -> Result<Response, ApiError> {
    request_log::note("several results");
    let reports = stream::iter(results).map(|result| async {
        match result {
            Ok(result) => (Some(result.task_id), report(app, result).await.err()),
            Err(InvalidElement { task_id, invalid }) => (task_id, Some(invalid.into())),
        }
    });
    let answers = pin!(reports.buffered(AT_ONCE).collect::<Vec<_>>());
    let answers = request_deadline::within(app.settings.request_timeout, answers).await?;
    let mut array = ArrayWriter::new();
    for (task_id, error) in &answers {
        array.object(describe(*task_id, error.as_ref()));
    }
    let mut object = ObjectWriter::new();
    object.array("results", array);
    Ok(json(object))
}

async fn report(app: &App, result: ResultPost) -> Result<Reported, ApiError> {
    Ok(app.committer.report(result).await??)
}

fn describe(task_id: Option<Uuid>, error: Option<&ApiError>) -> ObjectWriter {
    let mut object = ObjectWriter::new();
    if let Some(task_id) = task_id {
        object.id("task_id", task_id);
    }
    match error {
        None => _ = object.integer("status", 200),
        Some(error) => {
            object.integer("status", error.status().as_u16()).string("detail", &error.to_string());
            if let Some(field) = error.field() {
                object.string("field", field);
            }
        }
    }
    object
}
