//! Requests that bring several tasks, or several results: each is judged by itself, as if it had come alone.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use slamon_domain::Refusal;
use slamon_protocol::{Invalid, parse_id};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::dispatch::committer::CommitError;
use crate::http::app::App;
use crate::http::error::{ApiError, invalid};

/// A request brings at most this many.
pub(in crate::http) const MOST_IN_REQUEST: usize = 1_000;

/// So many of them wait for the store at the same time.
const AT_ONCE: usize = 256;

/// What came of each, in their order.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct TaskAnswers {
    results: Vec<TaskAnswer>,
}

/// What came of one.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct TaskAnswer {
    /// The id of the task; null where it has none.
    task_id: Option<Uuid>,
    /// The status of the answer to a request with it alone: 200 where it is stored.
    status: u16,
    /// What is wrong, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The field that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

/// One of several: the id of its task, if it has one, and what it brings.
pub(in crate::http) type Parsed<T> = (Option<Uuid>, Result<T, ApiError>);

/// Parses one element of the list `name`. One that is wrong does not refuse the others.
pub(in crate::http) fn parse_element<T>(
    element: &RawValue,
    name: &str,
    parse: impl Fn(&str) -> Result<T, Invalid>,
) -> Parsed<T> {
    match parse(element.get()) {
        Ok(parsed) => (id_of(element), Ok(parsed)),
        // Of an element that is no object, "request body" would say too much.
        Err(Invalid { field: None, problem }) => (None, Err(invalid(name, problem))),
        Err(invalid) => (id_of(element), Err(invalid.into())),
    }
}

/// Finds the id of the task that an element is about.
fn id_of(element: &RawValue) -> Option<Uuid> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(element.get()).ok()?;
    let text: String = serde_json::from_str(members.get("task_id")?.get()).ok()?;
    parse_id(&text)
}

/// Sends a command for each that could be parsed, and answers all of them.
pub(in crate::http) async fn answer_each<T, R, W>(
    app: &App,
    parsed: Vec<Parsed<T>>,
    deadline: Instant,
    task_id: impl Fn(&T) -> Uuid,
    begin: impl Fn(T) -> W,
) -> TaskAnswers
where
    W: Future<Output = Result<Result<R, Refusal>, CommitError>>,
{
    let mut results = Vec::with_capacity(parsed.len());
    let (mut places, mut ids, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for (n, (id, parsed)) in parsed.into_iter().enumerate() {
        results.push(match parsed {
            Ok(parsed) => {
                let id = task_id(&parsed);
                places.push(n);
                ids.push(id);
                left.push(Some(parsed));
                // Until something else comes of it.
                TaskAnswer::failed(Some(id), &ApiError::TryAgain("the request took too long".to_owned()))
            }
            Err(error) => TaskAnswer::failed(id, &error),
        });
    }
    let done = super::each(app, &ids, AT_ONCE, deadline, |n| {
        let begun = left[n].take().map(&begin);
        async move { Ok::<_, ApiError>(begun.ok_or(ApiError::Failed)?.await??) }
    });
    for ((place, id), done) in places.into_iter().zip(&ids).zip(done.await) {
        match done {
            None => {}
            Some(Ok(_)) => {
                results[place] = TaskAnswer { task_id: Some(*id), status: 200, detail: None, field: None };
            }
            Some(Err(error)) => results[place] = TaskAnswer::failed(Some(*id), &error),
        }
    }
    TaskAnswers { results }
}

impl TaskAnswer {
    fn failed(task_id: Option<Uuid>, error: &ApiError) -> Self {
        Self {
            task_id,
            status: error.status().as_u16(),
            detail: Some(error.to_string()),
            field: error.field().map(str::to_owned),
        }
    }
}
