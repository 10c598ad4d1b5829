//! Several results in one request.

use axum::response::Response;
use slamon_protocol::ResultPost;
use tokio::time::Instant;

use crate::http::access::Caller;
use crate::http::answer::json;
use crate::http::app::App;
use crate::http::error::ApiError;
use crate::http::many::answers::{MOST_IN_REQUEST, Parsed, answer_each, parse_element};
use crate::http::members::Members;
use crate::http::request_log;

/// Posts the results of a body that has a list of them, and answers in their order what a request with each alone
/// would be answered. Returns `None` if the body has no such list.
pub(super) async fn report_all(app: &App, caller: &Caller, body: &str) -> Option<Result<Response, ApiError>> {
    let mut members = Members::of(body).ok().filter(|members| members.has("results"))?;
    let deadline = Instant::now() + app.settings.request_timeout;
    let parse = || {
        let results = members.array("results", MOST_IN_REQUEST)?.unwrap_or_default();
        members.end()?;
        let parsed = results.into_iter().map(|result| parse_element(result, "results", ResultPost::parse));
        Ok::<_, ApiError>(parsed.collect::<Vec<_>>())
    };
    let parsed = match parse() {
        Ok(parsed) => parsed.into_iter().map(|one| checked(caller, one)).collect(),
        Err(error) => return Some(Err(error)),
    };
    request_log::note("several results");
    let report = |result| app.committer.report(result);
    let answers = answer_each(app, parsed, deadline, |result: &ResultPost| result.task_id, report).await;
    Some(json(&answers))
}

/// Refuses a result that the caller may not post.
fn checked(caller: &Caller, (id, result): Parsed<ResultPost>) -> Parsed<ResultPost> {
    let checked = result.and_then(|mut result| caller.reports(&mut result).map(|()| result));
    (id, checked)
}
