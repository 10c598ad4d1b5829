//! Changes the tasks of a filter: first they are counted, then, with the token of the count, they are changed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use slamon_protocol::{Invalid, excerpt, parse_id};
use slamon_store::{ListOrder, TaskFilter, TaskPage, TaskPlace, TaskQuery};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use super::action::{AT_ONCE, Action, MOST};
use crate::http::api::query::Query;
use crate::http::api::tasks::filter;
use crate::http::api::tasks::pages::{PASSED, passed_over};
use crate::http::app::App;
use crate::http::bulk::Plan;
use crate::http::error::{ApiError, invalid};
use crate::http::many;
use crate::http::members::kind;
use crate::http::posted_in::PostedIn;

/// Tasks are counted up to this many.
const COUNTED: usize = 10_000;

/// A page that is changed has at most this many tasks.
const PAGE: u32 = 250;

/// How many tasks there are to be changed. Nothing was changed.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Counted {
    /// How many tasks of the filter can be changed: cancelled, if they have not ended, or posted again, if they
    /// ended without a result.
    pub(in crate::http) count: usize,
    /// Whether there may be more than were counted.
    pub(in crate::http) more: bool,
    /// With it, the same request changes them; it is good for ten minutes, and at the AFM that gave it.
    pub(in crate::http) token: Uuid,
}

/// What was changed.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Done {
    /// How many tasks were changed.
    pub(in crate::http) changed: usize,
    /// How many were not, because they have come to another state meanwhile.
    pub(in crate::http) refused: usize,
    /// Whether tasks are left that have to be looked at.
    more: bool,
    /// The token with which to go on; null where none are left.
    pub(in crate::http) token: Option<Uuid>,
}

/// Reads a filter, which has the names of the parameters of the list.
///
/// # Errors
/// The error names the member that is wrong.
pub(super) fn parse(members: &BTreeMap<String, &RawValue>) -> Result<TaskFilter, ApiError> {
    let pair = |(name, value): (&String, &&RawValue)| {
        let wrong = |problem: String| invalid(&format!("filter.{}", excerpt(name)), problem);
        let text = match value.get().as_bytes().first() {
            Some(b'"') => {
                serde_json::from_str(value.get()).map_err(|_| wrong("is not valid Unicode".to_owned()))?
            }
            Some(b'-' | b'0'..=b'9') => value.get().to_owned(),
            _ => return Err(wrong(format!("must be a string or a number, is {}", kind(value)))),
        };
        // A filter that was left empty by mistake would change everything.
        if text.is_empty() {
            return Err(wrong("must not be empty; leave it out if it says nothing".to_owned()));
        }
        Ok((Cow::Owned(name.clone()), Cow::Owned(text)))
    };
    let mut query = Query::of_pairs(members.iter().map(pair).collect::<Result<_, _>>()?);
    let filter = filter::read(&mut query).and_then(|filter| query.end().map(|()| filter));
    filter.map_err(|error| match error {
        ApiError::Invalid(Invalid { field: Some(name), problem }) => {
            invalid(&format!("filter.{name}"), problem)
        }
        other => other,
    })
}

/// Reads a token.
///
/// # Errors
/// Fails when it is none.
pub(super) fn parse_token(token: &RawValue) -> Result<Uuid, ApiError> {
    let text: Option<String> = serde_json::from_str(token.get()).ok();
    text.and_then(|text| parse_id(&text)).ok_or_else(unknown_token)
}

fn unknown_token() -> ApiError {
    let problem = "is not known here: it was given more than ten minutes ago, or by another AFM, or before a \
                   restart; count the tasks again";
    invalid("token", problem)
}

/// Reads a page of the tasks that can be changed, those first that arrived first.
async fn page(
    app: &App,
    plan: &Plan,
    states: slamon_store::States,
    limit: u32,
    deadline: Instant,
) -> Result<TaskPage, ApiError> {
    let filter = TaskFilter { states: plan.filter.states.and(states), ..plan.filter.clone() };
    let (after, up_to) = (plan.after, Some(plan.up_to));
    let query = TaskQuery { filter, order: ListOrder::OldestFirst, after, up_to, limit };
    let page = tokio::time::timeout_at(deadline, app.store.list_tasks(Arc::new(query))).await;
    let page = page.map_err(|_| ApiError::TryAgain("the request took too long".to_owned()))?;
    page.map_err(|error| app.read_failed(&error))
}

/// Counts the tasks, and answers with the token for them.
pub(in crate::http) async fn count(
    app: &App,
    action: Action,
    filter: TaskFilter,
    deadline: Instant,
) -> Result<Counted, ApiError> {
    let last = tokio::time::timeout_at(deadline, app.store.last_place()).await;
    let last = last.map_err(|_| ApiError::TryAgain("the request took too long".to_owned()))?;
    let last = last.map_err(|error| app.read_failed(&error))?;
    // Whatever arrives from now on is not touched.
    let plan = Plan::new(action.name(), filter, last.unwrap_or(TaskPlace::MIN));
    let (mut counted, mut count, mut more, mut passed) = (plan.clone(), 0, true, 0);
    while more && count < COUNTED && passed < PASSED {
        let page = page(app, &counted, action.states(), 1_000, deadline).await?;
        count += page.tasks.len();
        passed += passed_over(&page);
        more = page.next.is_some();
        counted.after = page.next;
    }
    let token = app.bulk.give(plan, app.clock.now());
    Ok(Counted { count, more, token })
}

/// Changes tasks that were counted, a bounded number of them.
pub(in crate::http) async fn change(
    app: &App,
    action: Action,
    filter: &TaskFilter,
    token: Uuid,
    posted_in: PostedIn,
    deadline: Instant,
) -> Result<Done, ApiError> {
    let mut plan = app.bulk.plan(token, app.clock.now()).ok_or_else(unknown_token)?;
    if plan.action != action.name() || plan.filter != *filter {
        return Err(invalid(
            "token",
            "was given for another request: its filter and its path must be the same",
        ));
    }
    let (mut changed, mut refused, mut more, mut passed) = (0, 0, true, 0);
    while more && changed + refused < MOST && passed < PASSED {
        let step = step(app, action, &plan, posted_in, deadline).await;
        let step = match step {
            Ok(step) => step,
            // What was changed before is told; what is left can be done later.
            Err(_) if changed > 0 => break,
            Err(error) => return Err(error),
        };
        (changed, refused) = (changed + step.changed, refused + step.refused);
        if let Some(error) = step.failed {
            if changed == 0 {
                return Err(error);
            }
            break;
        }
        more = step.next.is_some();
        plan.after = step.next;
        passed += step.passed;
    }
    let token = more.then(|| app.bulk.give(plan, app.clock.now()));
    Ok(Done { changed, refused, more, token })
}

/// What came of a page of tasks.
struct Step {
    changed: usize,
    refused: usize,
    /// Why some were not even decided: the page has to be done again, which changes nothing of what was done.
    failed: Option<ApiError>,
    next: Option<TaskPlace>,
    /// How many tasks were passed over.
    passed: u32,
}

async fn step(
    app: &App,
    action: Action,
    plan: &Plan,
    posted_in: PostedIn,
    deadline: Instant,
) -> Result<Step, ApiError> {
    let page = page(app, plan, action.states(), PAGE, deadline).await?;
    let passed = passed_over(&page);
    let ids: Vec<Uuid> = page.tasks.iter().map(|task| task.task_id).collect();
    let results = many::each(app, &ids, AT_ONCE, deadline, |n| {
        action.apply(app, ids[n], plan.new_id(ids[n]), posted_in)
    });
    let mut step = Step { changed: 0, refused: 0, failed: None, next: page.next, passed };
    for result in results.await {
        match result {
            Some(Ok(_)) => step.changed += 1,
            Some(Err(error)) if error.status().is_client_error() => step.refused += 1,
            Some(Err(error)) => step.failed = Some(error),
            None => step.failed = Some(ApiError::TryAgain("the request took too long".to_owned())),
        }
    }
    Ok(step)
}
