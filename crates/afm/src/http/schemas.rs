//! The bodies of protocol 1 and of errors, for the OpenAPI document. `slamon-protocol` reads them, and the handlers
//! write them.
#![expect(dead_code, reason = "these types describe bodies, and no value of them is made")]

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::Ref;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use uuid::Uuid;

/// A task, as a process engine posts it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTask {
    /// Chosen by the client.
    task_id: Uuid,
    /// Groups the tasks of one process instance.
    test_id: Uuid,
    /// What an agent must be capable of.
    #[schema(max_length = 1_024, pattern = "^[^\\u0000]*$")]
    task_type: String,
    /// An agent must offer exactly this version.
    task_version: i64,
    /// For the agent.
    #[schema(nullable = false)]
    task_data: Option<Map<String, Value>>,
    /// Seconds from posting until the task must be finished.
    #[schema(minimum = 0.000001, maximum = 31_536_000, nullable = false)]
    task_ttl: Option<f64>,
    /// Seconds from claim to result, for each attempt.
    #[schema(minimum = 0.000001, maximum = 31_536_000, nullable = false)]
    task_timeout: Option<f64>,
    /// How often the task may be handed out in all.
    #[schema(minimum = 1, maximum = 20, nullable = false)]
    task_max_attempts: Option<u32>,
    /// Whether an error that an agent reports may be followed by another attempt.
    #[schema(nullable = false)]
    task_retry_errors: Option<bool>,
    /// Seconds before the second attempt.
    #[schema(minimum = 0, maximum = 31_536_000, nullable = false)]
    task_retry_delay: Option<f64>,
    /// Higher first.
    #[schema(minimum = -100, maximum = 100, nullable = false)]
    task_priority: Option<i32>,
    /// Seconds from posting until it may be handed out.
    #[schema(minimum = 0, maximum = 31_536_000, nullable = false)]
    task_delay: Option<f64>,
    /// Which agents may have it.
    #[schema(nullable = false)]
    agent_filter: Option<AgentFilter>,
}

/// Which agents may have a task: those that match all that is given.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AgentFilter {
    #[schema(nullable = false)]
    agent_id: Option<Uuid>,
    #[schema(nullable = false, max_length = 1_024, pattern = "^[^\\u0000]*$")]
    agent_name: Option<String>,
    #[schema(nullable = false, min_length = 2, max_length = 2, pattern = "^[^\\u0000]*$")]
    country: Option<String>,
    #[schema(nullable = false, min_length = 2, max_length = 4, pattern = "^[^\\u0000]*$")]
    region: Option<String>,
}

/// A task, as `GET /task/{task_id}` shows it. Times are in UTC, such as `2026-11-22 19:23:01.621614`.
#[derive(ToSchema)]
pub(super) struct TaskView {
    task_id: Uuid,
    test_id: Uuid,
    task_type: String,
    task_version: i64,
    #[schema(nullable = false)]
    task_data: Option<Map<String, Value>>,
    /// When it was completed.
    #[schema(nullable = false)]
    task_completed: Option<String>,
    /// What the agent posted.
    #[schema(nullable = false)]
    task_result: Option<Map<String, Value>>,
    /// When it failed, expired or was cancelled.
    #[schema(nullable = false)]
    task_failed: Option<String>,
    /// What the agent posted, or what happened.
    #[schema(nullable = false)]
    task_error: Option<String>,
    /// delayed, pending, claimed, completed, failed, expired or cancelled.
    task_state: String,
    /// When it was posted.
    task_created: String,
    /// How often it has been handed out.
    #[schema(nullable = false)]
    task_attempt: Option<u32>,
    /// When the attempt that runs, or the last one, was handed out.
    #[schema(nullable = false)]
    task_claimed: Option<String>,
    #[schema(nullable = false)]
    agent_id: Option<Uuid>,
    #[schema(nullable = false)]
    agent_name: Option<String>,
    /// Why it waits.
    #[schema(nullable = false)]
    task_waiting: Option<WaitingReason>,
    /// The attempts that have ended without finishing it.
    #[schema(nullable = false)]
    attempts: Option<Vec<EndedAttempt>>,
}

/// Why a task waits.
#[derive(ToSchema)]
pub(super) struct WaitingReason {
    /// A word for programs.
    code: String,
    /// A sentence for people.
    reason: String,
}

/// An attempt that has ended without finishing its task.
#[derive(ToSchema)]
pub(super) struct EndedAttempt {
    #[schema(minimum = 1)]
    attempt: u32,
    /// error, lost, abandoned, `timed_out`, expired or cancelled.
    code: String,
    reason: String,
    /// How long the error is, where only its beginning is given.
    #[schema(nullable = false)]
    reason_bytes: Option<u64>,
    claimed: String,
    ended: String,
    agent_id: Uuid,
    agent_name: String,
    /// When a result came after the end.
    #[schema(nullable = false)]
    late: Option<String>,
    #[schema(nullable = false)]
    late_result: Option<Map<String, Value>>,
    #[schema(nullable = false)]
    late_result_bytes: Option<u64>,
    #[schema(nullable = false)]
    late_error: Option<String>,
    #[schema(nullable = false)]
    late_error_bytes: Option<u64>,
}

/// The poll of an agent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Poll {
    /// Always 1.
    #[schema(minimum = 1, maximum = 1)]
    protocol: u32,
    agent_id: Uuid,
    /// For people, and for `agent_filter`.
    #[schema(max_length = 1_024, pattern = "^[^\\u0000]*$")]
    agent_name: String,
    /// Nobody reads it.
    agent_time: String,
    /// Task types, each with the version that is offered.
    #[schema(schema_with = capabilities)]
    agent_capabilities: HashMap<String, Offer>,
    /// How many tasks it takes now.
    #[schema(schema_with = any_count)]
    max_tasks: u64,
    #[schema(nullable = false)]
    agent_location: Option<AgentLocation>,
    /// How many seconds the answer may wait for a task.
    #[schema(minimum = 0, maximum = 300, nullable = false)]
    max_wait: Option<f64>,
    /// The attempts that it executes, by the ids under which it got them.
    #[schema(max_items = 1_000, nullable = false)]
    agent_running: Option<Vec<Uuid>>,
}

/// The version of a task type that an agent offers.
#[derive(Deserialize, ToSchema)]
pub(super) struct Offer {
    version: i64,
}

/// Where an agent is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AgentLocation {
    #[schema(min_length = 2, max_length = 2, pattern = "^[^\\u0000]*$")]
    country: String,
    #[schema(min_length = 2, max_length = 4, pattern = "^[^\\u0000]*$")]
    region: String,
    #[schema(nullable = false)]
    latitude: Option<f64>,
    #[schema(nullable = false)]
    longitude: Option<f64>,
}

/// The answer to a poll.
#[derive(ToSchema)]
pub(super) struct PollAnswer {
    tasks: Vec<HandedOut>,
    /// When to poll next.
    return_time: String,
    /// Tasks that were cancelled or have expired since the agent got them.
    #[schema(nullable = false)]
    cancelled: Option<Vec<Uuid>>,
}

/// A task that is handed to an agent.
#[derive(ToSchema)]
pub(super) struct HandedOut {
    /// The id to post the result under.
    task_id: Uuid,
    task_type: String,
    task_version: i64,
    task_data: Map<String, Value>,
    #[schema(minimum = 1)]
    task_attempt: u32,
    /// From when on a result is too late.
    #[schema(nullable = false)]
    task_deadline: Option<String>,
}

/// The result of an attempt, `task_data` or `task_error`; or several of them.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum TaskResult {
    Completed(Completed),
    Failed(Failed),
    Several(SeveralResults),
}

/// Several results in one request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SeveralResults {
    /// Each is what a request with it alone would bring, and is judged by itself.
    #[schema(min_items = 1, max_items = 1_000)]
    results: Vec<Value>,
}

/// What an agent has found out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Completed {
    /// Always 1.
    #[schema(minimum = 1, maximum = 1)]
    protocol: u32,
    /// The id under which the task was handed out.
    task_id: Uuid,
    /// The result.
    task_data: Map<String, Value>,
    /// Who answers.
    #[schema(nullable = false)]
    agent_id: Option<Uuid>,
}

/// Why an agent could not execute a task.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Failed {
    /// Always 1.
    #[schema(minimum = 1, maximum = 1)]
    protocol: u32,
    /// The id under which the task was handed out.
    task_id: Uuid,
    /// The error.
    task_error: String,
    /// Who answers.
    #[schema(nullable = false)]
    agent_id: Option<Uuid>,
}

/// The counts of `GET /status`.
#[derive(ToSchema)]
pub(super) struct StatusCounts {
    /// How many agents are active.
    agents: u64,
    /// How many tasks are pending.
    tasks_waiting: u64,
}

/// The lists of `GET /dashboard/status`.
#[derive(ToSchema)]
pub(super) struct StatusLists {
    /// The newest tasks that no agent has claimed.
    tasks: Vec<StatusTask>,
    /// The agents that were seen last.
    agents: Vec<StatusAgent>,
    /// How many entries each list has at most.
    limit: u32,
    /// How many tasks no agent has claimed, in all.
    tasks_total: u64,
    /// How many agents there are in all.
    agents_total: u64,
}

/// An agent in `GET /dashboard/status`.
#[derive(ToSchema)]
pub(super) struct StatusAgent {
    agent_id: Uuid,
    agent_name: String,
    last_seen: String,
    /// Its newest tasks.
    tasks: Vec<StatusTask>,
    /// Whether it has more.
    tasks_truncated: bool,
}

/// A task in `GET /dashboard/status`.
#[derive(ToSchema)]
pub(super) struct StatusTask {
    task_id: Uuid,
    test_id: Uuid,
    /// The type, cut after 200 characters.
    task_type: String,
    task_version: i64,
    task_completed: Option<String>,
    task_failed: Option<String>,
    /// The result, as a text of JSON.
    task_result: Option<String>,
    /// How large a result is that is left out, in bytes.
    #[schema(nullable = false)]
    task_result_bytes: Option<u64>,
    /// The error, cut after 200 characters.
    task_error: Option<String>,
    /// How large an error is that was cut, in bytes.
    #[schema(nullable = false)]
    task_error_bytes: Option<u64>,
}

/// Why a request fails, as problem details (RFC 9457).
#[derive(ToSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    r#type: String,
    /// The name of the status.
    title: String,
    /// The status.
    status: u16,
    /// What is wrong, in a sentence.
    detail: String,
    /// The field or the parameter that is wrong.
    field: Option<String>,
}

/// An integer from 0 on, however large.
fn any_count() -> Object {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).build()
}

/// Task types, each with the version that is offered.
fn capabilities() -> Object {
    let name = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[^\\u0000]*$"));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Task types, each with the version that is offered."))
        .property_names(Some(name.build()))
        .additional_properties(Some(Ref::from_schema_name("Offer")))
        .build()
}
