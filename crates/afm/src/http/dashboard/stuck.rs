//! What waits, by the reason why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use slamon_domain::{StateName, Task, pending_reason};
use slamon_protocol::Capability;
use slamon_store::{ListOrder, States, StoreError, TaskFilter, TaskQuery, TaskSummary};
use uuid::Uuid;

use super::presentation::{between, count};
use super::task::type_query;
use crate::http::app::App;

/// So many of the tasks that have waited longest are looked at.
const OLDEST: u32 = 200;

/// So many types are looked for besides, should those all be of the same one.
const TYPES: u32 = 100;

/// So many of the tasks of such a type are looked at.
const OLDEST_OF_TYPE: u32 = 10;

/// So many groups are shown.
pub(super) const SHOWN: usize = 12;

/// For so many kinds of tasks of one type it is found out why they wait. In all it is as many as groups are shown, and for
/// each type one at least.
const KINDS_OF_TYPE: usize = 4;

/// The waiting tasks of a type that wait for the same reason.
#[derive(Debug)]
pub(super) struct StuckGroup {
    pub(super) capability: Capability,
    /// The reason, for programs.
    pub(super) code: &'static str,
    /// The reason, for people.
    pub(super) sentence: String,
    pub(super) tasks: Number,
    /// The task that has waited longest.
    pub(super) oldest: Uuid,
    pub(super) waits_for: Duration,
}

/// How many tasks there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) tasks: u64,
    /// There may be more.
    pub(super) is_least: bool,
}

impl Number {
    pub(super) fn in_words(self) -> String {
        format!("{}{}", if self.is_least { "at least " } else { "" }, count(self.tasks, "task"))
    }
}

impl StuckGroup {
    /// Whether no agent can take them as things are.
    pub(super) fn is_bad(&self) -> bool {
        matches!(self.code, "no_agent" | "other_versions" | "filter" | "lost")
    }

    /// Whether no task of the type can be handed out, whatever agents it is for.
    fn is_of_all(&self) -> bool {
        matches!(self.code, "paused" | "no_agent" | "other_versions")
    }

    /// Whether tasks of the same type wait for the same reason. Those that only wait for their turn do.
    fn is_like(&self, other: &Self) -> bool {
        self.code == other.code || self.class() == "calm" && other.class() == "calm"
    }

    /// Whether they wait because somebody wants it so.
    pub(super) fn is_paused(&self) -> bool {
        matches!(self.code, "paused" | "agents_paused")
    }

    /// The filters of the list of the type's tasks.
    pub(super) fn type_query(&self) -> String {
        type_query(&self.capability.task_type, self.capability.version)
    }

    /// The class: `bad`, `busy` or `calm`.
    pub(super) fn class(&self) -> &'static str {
        match self.code {
            _ if self.is_bad() => "bad",
            _ if self.is_paused() => "busy",
            _ => "calm",
        }
    }
}

/// Waiting tasks that the same agents may take.
struct Kind {
    /// Whether any agent of the type may take them.
    is_open: bool,
    /// How many of them were looked at.
    tasks: u64,
    oldest: TaskSummary,
}

/// What is known of the waiting tasks of a type.
#[derive(Default)]
struct Waiting {
    kinds: BTreeMap<String, Kind>,
    /// How many were looked at.
    looked_at: u64,
    /// How many there are.
    all: u64,
}

impl Waiting {
    fn add(&mut self, task: TaskSummary) {
        self.looked_at += 1;
        let is_open = task.agent_filter.is_empty();
        let filter = task.agent_filter.clone();
        self.kinds.entry(filter).or_insert(Kind { is_open, tasks: 0, oldest: task }).tasks += 1;
    }

    /// Says how many tasks wait as those of a group do that were looked at. Those that any agent may take are all that
    /// are not known to be others.
    fn number(&self, group: &StuckGroup, is_open: bool) -> Number {
        let tasks = group.tasks.tasks;
        let others = self.looked_at.saturating_sub(tasks);
        if group.is_of_all() {
            Number { tasks: self.all.max(tasks), is_least: false }
        } else if is_open || self.looked_at >= self.all {
            Number { tasks: self.all.saturating_sub(others).max(tasks), is_least: false }
        } else {
            Number { tasks, is_least: true }
        }
    }
}

/// Reads what waits, and why: the tasks of each type by the reason, those first that have waited longest. For the same
/// reason wait tasks for the same agents; tasks of one type may be for other ones.
pub(super) async fn waiting(app: &App) -> Result<Vec<StuckGroup>, StoreError> {
    let types = look(app).await?;
    let active_since = app.active_since().await;
    let now = app.clock.now();
    let mut groups = Vec::new();
    let (mut left, all) = (SHOWN, types.len());
    for (place, (capability, waiting)) in types.into_iter().enumerate() {
        let mut kinds: Vec<&Kind> = waiting.kinds.values().collect();
        kinds.sort_by_key(|kind| kind.oldest.created);
        let others = all - place - 1;
        kinds.truncate(KINDS_OF_TYPE.min(left.saturating_sub(others)).max(1));
        left = left.saturating_sub(kinds.len());
        let mut of_type: Vec<(StuckGroup, bool)> = Vec::new();
        for kind in kinds {
            // It may have been claimed, or deleted, meanwhile.
            let Some(task) = app.store.task(kind.oldest.task_id).await? else { continue };
            let diagnostics = app.store.queue_diagnostics(&task, active_since).await?;
            let Some(why) = pending_reason(&task, &diagnostics) else { continue };
            let waits_for = between(waits_since(&task, &kind.oldest), now);
            let group = StuckGroup {
                capability: capability.clone(),
                code: why.code,
                sentence: why.sentence,
                tasks: Number { tasks: kind.tasks, is_least: true },
                oldest: kind.oldest.task_id,
                waits_for,
            };
            match of_type.iter_mut().find(|(other, _)| other.is_like(&group)) {
                Some((same, is_open)) => {
                    same.tasks.tasks += kind.tasks;
                    *is_open |= kind.is_open;
                }
                None => of_type.push((group, kind.is_open)),
            }
        }
        for (mut group, is_open) in of_type {
            group.tasks = waiting.number(&group, is_open);
            groups.push(group);
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.waits_for));
    groups.truncate(SHOWN);
    Ok(groups)
}

/// Looks at the tasks that have waited longest, and at some of types that are not among those.
async fn look(app: &App) -> Result<Vec<(Capability, Waiting)>, StoreError> {
    let mut types: BTreeMap<Capability, Waiting> = BTreeMap::new();
    for task in pending(app, TaskFilter::default(), OLDEST).await? {
        types.entry(capability(&task)).or_default().add(task);
    }
    let counted = app.store.counts_by_type(TYPES, None).await?;
    for of_type in counted.iter().filter(|of_type| of_type.counts.pending > 0) {
        if types.len() >= SHOWN || types.contains_key(&of_type.capability) {
            continue;
        }
        let filter = TaskFilter {
            task_type: Some(of_type.capability.task_type.clone()),
            task_version: Some(of_type.capability.version),
            ..TaskFilter::default()
        };
        for task in pending(app, filter, OLDEST_OF_TYPE).await? {
            types.entry(of_type.capability.clone()).or_default().add(task);
        }
    }
    let mut types: Vec<(Capability, Waiting)> = types.into_iter().collect();
    types.sort_by_key(|(_, waiting)| waiting.kinds.values().map(|kind| kind.oldest.created).min());
    types.truncate(SHOWN);
    let names: Arc<[Capability]> = types.iter().map(|(capability, _)| capability.clone()).collect();
    for counted in app.store.counts_of_types(names).await? {
        if let Some((_, waiting)) = types.iter_mut().find(|(capability, _)| *capability == counted.capability)
        {
            waiting.all = u64::try_from(counted.counts.pending).unwrap_or(0);
        }
    }
    Ok(types)
}

async fn pending(app: &App, filter: TaskFilter, limit: u32) -> Result<Vec<TaskSummary>, StoreError> {
    let filter = TaskFilter { states: States::of(&[StateName::Pending]), ..filter };
    let query = TaskQuery { filter, order: ListOrder::OldestFirst, after: None, up_to: None, limit };
    Ok(app.store.list_tasks(Arc::new(query)).await?.tasks)
}

fn capability(task: &TaskSummary) -> Capability {
    Capability { task_type: task.task_type.clone(), version: task.task_version }
}

/// Since when a task could have been handed out: a delay is no wait, and an attempt that has ended is over.
fn waits_since(task: &Task, summary: &TaskSummary) -> Timestamp {
    let delayed = task.created.checked_add(task.posted.terms.delay).unwrap_or(task.created);
    summary.claimed.map_or(delayed, |claimed| claimed.max(delayed))
}
