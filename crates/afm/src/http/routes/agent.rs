//! The requests of agents: `/tasks` and `/tasks/response`.

use std::pin::pin;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jiff::Timestamp;
use slamon_domain::{Delivery, Polled, Reported};
use slamon_protocol::{ArrayWriter, JsonText, ObjectWriter, PollRequest, ResultPost, iso_time};
use uuid::Uuid;

use super::results::report_all;
use crate::clock::Clock;
use crate::dispatch::claimed::Claimed;
use crate::dispatch::committer::{CommitError, RunningReport};
use crate::http::access::Caller;
use crate::http::answer::json_object;
use crate::http::app::{App, Routes};
use crate::http::body::JsonBody;
use crate::http::error::ApiError;
use crate::http::many::answers::TaskAnswers;
use crate::http::peer::outstanding::Outstanding;
use crate::http::schemas::{Poll, PollAnswer, Problem, TaskResult};
use crate::http::{peer, request_deadline, request_log};

/// When this AFM stops, agents whose polls it would have held open are told to come back at the latest after
/// this long: another AFM, or the next one, can hold them.
const AFTER_STOP: Duration = Duration::from_secs(5);

pub(super) fn routes() -> Routes {
    vec![("/tasks", post(poll)), ("/tasks/response", post(report))]
}

/// Registers an agent, and hands it tasks.
#[utoipa::path(
    post,
    path = "/tasks",
    tag = "protocol 1: agents",
    request_body = Poll,
    responses(
        (status = 200, description = "The tasks, and when to poll next", body = PollAnswer),
        (status = 400, description = "A field is wrong", content_type = "application/problem+json", body = Problem),
        (status = 413, description = "The body is too large", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(in crate::http) async fn poll(
    State(app): State<App>,
    caller: Caller,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let mut poll = PollRequest::parse_within(&body.text()?, &app.settings.limits)?;
    drop(body);
    request_log::agent(poll.agent_id);
    caller.polls_as(&app, poll.agent_id).await?;
    poll.max_wait = peer::hold(poll.max_wait);
    let allowed = app.settings.request_timeout.saturating_add(poll.max_wait);
    let (agent_id, may_be_held) = (poll.agent_id, !poll.max_wait.is_zero());
    let reported =
        poll.agent_running.take().map(|running| RunningReport { running, at: request_log::started().into() });
    let polled = carry(request_deadline::within(allowed, pin!(claim(&app, poll, reported))).await??);
    if polled.tasks.is_empty() && polled.cancelled.is_empty() {
        request_log::routine();
    }
    request_log::tasks(&polled.tasks);
    let mut tasks = ArrayWriter::new();
    for delivery in &polled.tasks {
        tasks.object(describe(delivery, &app.clock));
    }
    let mut answer = ObjectWriter::new();
    let now = app.clock.now();
    if may_be_held {
        app.cache.answered(agent_id, now);
    }
    let is_cut_short = may_be_held && app.stop.is_cancelled();
    let longest = if is_cut_short { AFTER_STOP } else { Duration::MAX };
    let return_time = return_time(now, app.settings.agent_return_time.min(longest), agent_id);
    answer.array("tasks", tasks).string("return_time", &iso_time(app.clock.for_agents(return_time)));
    if !polled.cancelled.is_empty() {
        answer.ids("cancelled", &polled.cancelled);
    }
    Ok(json_object(answer))
}

/// Claims tasks. If there are none and the agent can wait, claims them as soon as there are.
async fn claim(
    app: &App,
    poll: PollRequest,
    mut reported: Option<RunningReport>,
) -> Result<Claimed, CommitError> {
    let polled = app.waiters.poll_until_claimed(
        poll,
        app.settings.agent_active_threshold,
        &app.stop,
        // Only the first claim of a poll says what the agent executes.
        |poll, older_began| {
            app.committer.poll(poll, reported.take().map(|reported| reported.before(older_began)))
        },
    );
    let polled = polled.await?;
    if polled.is_none() {
        request_log::note("a newer poll of the agent ended it");
    }
    Ok(polled.unwrap_or_default())
}

/// Has the answer carry what a poll has brought: if it does not get to the agent, that is given back.
fn carry(claimed: Claimed) -> Polled {
    let (polled, give_back) = claimed.into_parts();
    if let Some(give_back) = give_back {
        peer::current(|peer| peer.carries(Outstanding::new(give_back)));
    }
    polled
}

/// Returns until when an agent is told to poll again, in an answer at this time.
pub(in crate::http) fn return_time(answered: Timestamp, interval: Duration, agent_id: Uuid) -> Timestamp {
    // A time so far off that no calendar has it means "now".
    answered.checked_add(spread(interval, agent_id)).unwrap_or(answered)
}

/// Returns up to a tenth less than `interval`, always the same for one agent: a fleet that is started at once
/// drifts apart, instead of polling in step for ever.
fn spread(interval: Duration, agent_id: Uuid) -> Duration {
    // In ids of version 1 the first 64 bits are the time; the last ones differ, too.
    let (first, last) = agent_id.as_u64_pair();
    let mixed = (first ^ last).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let share = (mixed >> 32) as f64 / f64::from(u32::MAX);
    interval.mul_f64(1.0 - share / 10.0)
}

fn describe(task: &Delivery, clock: &Clock) -> ObjectWriter {
    let mut object = ObjectWriter::new();
    object
        .id("task_id", task.alias)
        .string("task_type", &task.task_type)
        .integer("task_version", task.task_version);
    match &task.task_data {
        Some(data) => object.json("task_data", data),
        // Agents read this field without checking whether it is there.
        None => object.json("task_data", &JsonText::from_stored("{}".to_owned())),
    };
    object.integer("task_attempt", task.attempt);
    if let Some(deadline) = task.deadline {
        object.string("task_deadline", &iso_time(clock.for_agents(deadline)));
    }
    object
}

/// Posts the result of an attempt, or several.
#[utoipa::path(
    post,
    path = "/tasks/response",
    tag = "protocol 1: agents",
    request_body = TaskResult,
    responses(
        (status = 200, description = "The result is stored; of several results, the answer to each", body = TaskAnswers),
        (status = 400, description = "A field is wrong, or the task is not the agent's any more", content_type = "application/problem+json", body = Problem),
        (status = 413, description = "The body is too large", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(in crate::http) async fn report(
    State(app): State<App>,
    caller: Caller,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let caller = caller.bound(&app).await?;
    let mut result = match ResultPost::parse(&body.text()?) {
        Ok(result) => result,
        Err(invalid) => {
            // The future is in a box, since it is large and most requests bring one result.
            return Box::pin(report_all(&app, &caller, &body.text()?)).await.unwrap_or(Err(invalid.into()));
        }
    };
    drop(body);
    request_log::task(result.task_id);
    caller.reports(&mut result)?;
    let report = pin!(app.committer.report(result));
    if request_deadline::within(app.settings.request_timeout, report).await??? == Reported::Repeated {
        request_log::note("the same result was there already");
    }
    Ok(StatusCode::OK.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn return_times_are_spread_over_a_tenth() {
        let interval = Duration::from_secs(60);
        let mut times: Vec<f64> =
            (0..1_000).map(|_| spread(interval, Uuid::new_v4()).as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        assert!(times[0] >= 54.0 && times[0] < 54.6, "{}", times[0]);
        assert!(times[999] <= 60.0 && times[999] > 59.4, "{}", times[999]);
        assert!((times[500] - 57.0).abs() < 0.6, "{}", times[500]);
        assert_eq!(spread(interval, Uuid::nil()), interval);
    }
}
