//! What waits, by the reason why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use slamon_domain::{StateName, pending_reason};
use slamon_protocol::Capability;
use slamon_store::{ListOrder, States, StoreError, TaskFilter, TaskQuery, TaskSummary};
use uuid::Uuid;

use super::presentation::{between, count};
use crate::http::app::App;

/// So many of the tasks that have waited longest are looked at.
const OLDEST: u32 = 200;

/// So many types are looked for besides, should those all be of the same one.
const TYPES: u32 = 100;

/// For so many types it is found out why they wait.
const SHOWN: usize = 12;

/// The waiting tasks of a type.
#[derive(Debug)]
pub(super) struct StuckGroup {
    pub(super) capability: Capability,
    /// The reason, for programs.
    pub(super) code: &'static str,
    /// The reason, for people.
    pub(super) sentence: String,
    /// How many tasks of the type wait; `None` until they have been counted.
    pub(super) tasks: Option<u64>,
    /// The task that has waited longest.
    pub(super) oldest: Uuid,
    pub(super) waits_for: Duration,
}

impl StuckGroup {
    /// Whether no agent can take them as things are.
    pub(super) fn is_bad(&self) -> bool {
        matches!(self.code, "no_agent" | "other_versions" | "filter" | "lost")
    }

    /// The class: `bad`, `busy` or `calm`.
    pub(super) fn class(&self) -> &'static str {
        match self.code {
            _ if self.is_bad() => "bad",
            "paused" | "agents_paused" => "busy",
            _ => "calm",
        }
    }

    /// Names how many tasks wait.
    pub(super) fn tasks_in_words(&self) -> String {
        self.tasks.map_or_else(|| "some tasks".to_owned(), |tasks| count(tasks, "task"))
    }
}

/// Reads what waits, and why: for each type the task that has waited longest, the oldest first.
pub(super) async fn waiting(app: &App) -> Result<Vec<StuckGroup>, StoreError> {
    let now = app.clock.now();
    let mut oldest: BTreeMap<Capability, TaskSummary> = BTreeMap::new();
    for task in pending(app, TaskFilter::default(), OLDEST).await? {
        oldest.entry(capability(&task)).or_insert(task);
    }
    let counted = app.store.counts_by_type(TYPES, None).await?;
    for of_type in counted.iter().filter(|of_type| of_type.counts.pending > 0) {
        if oldest.len() >= SHOWN || oldest.contains_key(&of_type.capability) {
            continue;
        }
        let filter = TaskFilter {
            task_type: Some(of_type.capability.task_type.clone()),
            task_version: Some(of_type.capability.version),
            ..TaskFilter::default()
        };
        for task in pending(app, filter, 1).await? {
            oldest.insert(of_type.capability.clone(), task);
        }
    }
    let mut oldest: Vec<(Capability, TaskSummary)> = oldest.into_iter().collect();
    oldest.sort_by_key(|(_, task)| task.created);
    oldest.truncate(SHOWN);
    let kinds: Arc<[Capability]> = oldest.iter().map(|(capability, _)| capability.clone()).collect();
    let counts = app.store.counts_of_types(kinds).await?;
    let active_since = app.active_since().await;
    let mut groups = Vec::with_capacity(oldest.len());
    for (capability, summary) in oldest {
        // It may have been claimed, or deleted, meanwhile.
        let Some(task) = app.store.task(summary.task_id).await? else { continue };
        let diagnostics = app.store.queue_diagnostics(&task, active_since).await?;
        let Some(why) = pending_reason(&task, &diagnostics) else { continue };
        let counted = counts.iter().find(|of_type| of_type.capability == capability);
        let tasks = counted.and_then(|of_type| u64::try_from(of_type.counts.pending).ok());
        groups.push(StuckGroup {
            capability,
            code: why.code,
            sentence: why.sentence,
            tasks: tasks.filter(|tasks| *tasks > 0),
            oldest: summary.task_id,
            waits_for: between(summary.created, now),
        });
    }
    Ok(groups)
}

async fn pending(app: &App, filter: TaskFilter, limit: u32) -> Result<Vec<TaskSummary>, StoreError> {
    let filter = TaskFilter { states: States::of(&[StateName::Pending]), ..filter };
    let query = TaskQuery { filter, order: ListOrder::OldestFirst, after: None, up_to: None, limit };
    Ok(app.store.list_tasks(Arc::new(query)).await?.tasks)
}

fn capability(task: &TaskSummary) -> Capability {
    Capability { task_type: task.task_type.clone(), version: task.task_version }
}
