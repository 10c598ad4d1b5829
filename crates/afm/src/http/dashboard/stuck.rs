//! What waits, by the reason why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use slamon_domain::{StateName, Task, pending_reason};
use slamon_protocol::Capability;
use slamon_store::{ListOrder, States, StoreError, TaskFilter, TaskQuery, TaskSummary, WaitingHead};
use uuid::Uuid;

use super::presentation::{between, count};
use super::task::type_query;
use crate::http::app::App;

/// So many of the tasks that have waited longest are looked at.
const OLDEST: u32 = 200;

/// So many kinds of waiting tasks are looked at besides, each with its first task. Where there are more, they are looked
/// at in turn.
const HEADS: u32 = 1_000;

/// So many groups are shown.
pub(super) const SHOWN: usize = 12;

/// For so many kinds of tasks it is found out why they wait, for so many of one type, and for each type one at least.
const KINDS: usize = 24;
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
    oldest: Oldest,
    /// Whether an active agent is known that may take them.
    is_served: bool,
}

/// The task of a kind that has waited longest.
struct Oldest {
    task_id: Uuid,
    created: Timestamp,
    claimed: Option<Timestamp>,
}

/// What is remembered from one time to the next.
#[derive(Default)]
pub(super) struct Seen {
    /// Where to look on, if not everything was looked at.
    after: Option<WaitingHead>,
    /// What was stuck, of what is not looked at each time.
    stuck: Vec<WaitingHead>,
}

impl Kind {
    fn rank(&self) -> (bool, Timestamp) {
        (self.is_served, self.oldest.created)
    }
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
        let TaskSummary { task_id, created, claimed, agent_filter, .. } = task;
        let oldest = Oldest { task_id, created, claimed };
        let kind = Kind { is_open: agent_filter.is_empty(), tasks: 0, oldest, is_served: true };
        self.looked_at += 1;
        self.kinds.entry(agent_filter).or_insert(kind).tasks += 1;
    }

    /// Adds the first task of a kind. One that has waited longer may be known already.
    fn add_head(&mut self, head: &WaitingHead) {
        let WaitingHead { agent_filter, task_id, created, .. } = head;
        let oldest = Oldest { task_id: *task_id, created: *created, claimed: None };
        match self.kinds.get_mut(agent_filter) {
            None => {
                self.looked_at += 1;
                let kind = Kind { is_open: agent_filter.is_empty(), tasks: 1, oldest, is_served: true };
                self.kinds.entry(agent_filter.clone()).or_insert(kind).is_served = head.is_served;
            }
            Some(kind) => {
                kind.is_served &= head.is_served;
                if *created < kind.oldest.created {
                    kind.oldest = oldest;
                }
            }
        }
    }

    /// Orders kinds and types: those first for which no agent is known, then those that have waited longest.
    fn rank(&self) -> Option<(bool, Timestamp)> {
        self.kinds.values().map(Kind::rank).min()
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
/// reason wait tasks for the same agents; tasks of one type may be for other ones. Also says whether all kinds were
/// looked at.
pub(super) async fn waiting(app: &App, seen: &mut Seen) -> Result<(Vec<StuckGroup>, bool), StoreError> {
    let active_since = app.active_since().await;
    let (types, heads, is_all) = look(app, active_since, seen).await?;
    let now = app.clock.now();
    let mut groups = Vec::new();
    let (mut left, all) = (KINDS, types.len());
    for (place, (capability, waiting)) in types.into_iter().enumerate() {
        let mut kinds: Vec<&Kind> = waiting.kinds.values().collect();
        kinds.sort_by_key(|kind| kind.rank());
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
    groups.sort_by_key(|group| (!group.is_bad(), std::cmp::Reverse(group.waits_for)));
    groups.truncate(SHOWN);
    groups.sort_by_key(|group| std::cmp::Reverse(group.waits_for));
    let is_stuck = |head: &WaitingHead| groups.iter().any(|of| of.is_bad() && of.oldest == head.task_id);
    seen.stuck = if is_all { Vec::new() } else { heads.into_iter().filter(is_stuck).collect() };
    Ok((groups, is_all))
}

/// Looks at the tasks that have waited longest, and at the first ones of all kinds, or of some. Also returns these, and
/// whether they are all.
async fn look(
    app: &App,
    active_since: Timestamp,
    seen: &mut Seen,
) -> Result<(Vec<(Capability, Waiting)>, Vec<WaitingHead>, bool), StoreError> {
    let mut types: BTreeMap<Capability, Waiting> = BTreeMap::new();
    for task in pending(app, OLDEST).await? {
        types.entry(capability(&task)).or_default().add(task);
    }
    let after = seen.after.take();
    let is_begin = after.is_none();
    let part = app.store.waiting_heads(after, active_since, HEADS).await?;
    let is_all = is_begin && part.next.is_none();
    seen.after = part.next;
    let heads: Vec<WaitingHead> = part.heads.into_iter().chain(seen.stuck.drain(..)).collect();
    for head in &heads {
        types.entry(head.capability.clone()).or_default().add_head(head);
    }
    let mut types: Vec<(Capability, Waiting)> = types.into_iter().collect();
    types.sort_by_key(|(_, waiting)| waiting.rank());
    types.truncate(SHOWN);
    let names: Arc<[Capability]> = types.iter().map(|(capability, _)| capability.clone()).collect();
    for counted in app.store.counts_of_types(names).await? {
        if let Some((_, waiting)) = types.iter_mut().find(|(capability, _)| *capability == counted.capability)
        {
            waiting.all = u64::try_from(counted.counts.pending).unwrap_or(0);
        }
    }
    Ok((types, heads, is_all))
}

async fn pending(app: &App, limit: u32) -> Result<Vec<TaskSummary>, StoreError> {
    let filter = TaskFilter { states: States::of(&[StateName::Pending]), ..TaskFilter::default() };
    let query = TaskQuery { filter, order: ListOrder::OldestFirst, after: None, up_to: None, limit };
    Ok(app.store.list_tasks(Arc::new(query)).await?.tasks)
}

fn capability(task: &TaskSummary) -> Capability {
    Capability { task_type: task.task_type.clone(), version: task.task_version }
}

/// Since when a task could have been handed out: a delay is no wait, and an attempt that has ended is over.
fn waits_since(task: &Task, summary: &Oldest) -> Timestamp {
    let delayed = task.created.checked_add(task.posted.terms.delay).unwrap_or(task.created);
    summary.claimed.map_or(delayed, |claimed| claimed.max(delayed))
}
