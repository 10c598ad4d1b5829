//! The newest failures, by type and error.

use std::collections::BTreeMap;
use std::time::Duration;

use slamon_domain::StateName;
use slamon_protocol::Capability;
use slamon_store::{Counter, ListOrder, States, StoreError, TaskFilter, TaskPage, TaskQuery, TaskSummary};
use uuid::Uuid;

use super::presentation::{Moment, between};
use super::pretty_json::plain;
use super::task::type_query;
use crate::http::api::tasks::pages;
use crate::http::app::App;
use crate::statistics::{OverviewFigures, TypeTimes};

/// So many failures are looked at.
const LOOKED_AT: u32 = 200;

/// So many are looked at of each other type that had failures in the last hour, and of so many such types.
const LOOKED_AT_OF_TYPE: u32 = 20;
const TYPES: usize = 50;

/// So many groups are shown, and so many of one type if there are others.
const SHOWN: usize = 8;
const SHOWN_OF_TYPE: usize = 4;

/// Failures of one type with the same error.
#[derive(Debug)]
pub(super) struct FailureGroup {
    pub(super) task_type: String,
    pub(super) task_version: i64,
    /// How they ended.
    pub(super) state: StateName,
    /// The error of the newest.
    pub(super) error: String,
    pub(super) tasks: u64,
    pub(super) newest: Uuid,
    pub(super) at: Moment,
    pub(super) ago: Duration,
    /// The error without what is different each time.
    key: String,
}

impl FailureGroup {
    /// The filters of the list of such tasks, whatever their error.
    pub(super) fn query(&self) -> String {
        format!("state={}&{}", self.state.as_str(), type_query(&self.task_type, self.task_version))
    }
}

/// Reads the newest failures, and puts together those that say the same. Also says whether these are all failures.
pub(super) async fn newest(
    app: &App,
    figures: &OverviewFigures,
) -> Result<(Vec<FailureGroup>, bool), StoreError> {
    let TaskPage { mut tasks, next, .. } = failures(app, TaskFilter::default(), LOOKED_AT).await?;
    if next.is_some() {
        // Many of one type must not hide those of others.
        let failed = [Counter::Failed, Counter::Lost, Counter::TimedOut, Counter::Expired];
        let has_failed = |of: &&TypeTimes| failed.iter().any(|counter| of.counters.get(*counter) > 0);
        let is_there = |of: &Capability, tasks: &[TaskSummary]| {
            tasks.iter().any(|task| task.task_type == of.task_type && task.task_version == of.version)
        };
        let types = figures.types.iter().filter(has_failed).filter_map(|of| of.capability.as_deref());
        let others: Vec<&Capability> = types.filter(|of| !is_there(of, &tasks)).take(TYPES).collect();
        for Capability { task_type, version } in others {
            let filter = TaskFilter {
                task_type: Some(task_type.clone()),
                task_version: Some(*version),
                ..TaskFilter::default()
            };
            tasks.extend(failures(app, filter, LOOKED_AT_OF_TYPE).await?.tasks);
        }
    }
    Ok((group(tasks, app.clock.now()), next.is_none()))
}

/// Reads the newest failures of a list, looking past what was cancelled for a bounded time.
async fn failures(app: &App, filter: TaskFilter, limit: u32) -> Result<TaskPage, StoreError> {
    let failed = [StateName::Failed, StateName::Lost, StateName::TimedOut, StateName::Expired];
    let filter = TaskFilter { states: States::of(&failed), ..filter };
    let order = ListOrder::NewestFirst;
    pages::read(app, TaskQuery { filter, order, after: None, up_to: None, limit }).await
}

fn group(tasks: Vec<TaskSummary>, now: jiff::Timestamp) -> Vec<FailureGroup> {
    let mut groups: Vec<FailureGroup> = Vec::new();
    for task in tasks {
        let error = task.error.map(|error| plain(error.as_str())).unwrap_or_default();
        let key = without_numbers(&error);
        // What the AFM says of its own names agents and counts tasks.
        let key = if task.state == StateName::Failed { key } else { without_names(&key) };
        let same = |group: &&mut FailureGroup| {
            group.task_type == task.task_type
                && group.task_version == task.task_version
                && group.state == task.state
                && group.key == key
        };
        let at = Moment(task.finished.unwrap_or(task.created));
        match groups.iter_mut().find(same) {
            Some(group) => {
                group.tasks += 1;
                if group.at < at {
                    (group.at, group.newest, group.error) = (at, task.task_id, error);
                }
            }
            None => groups.push(FailureGroup {
                task_type: task.task_type,
                task_version: task.task_version,
                state: task.state,
                error,
                tasks: 1,
                newest: task.task_id,
                at,
                ago: Duration::ZERO,
                key,
            }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.at));
    // Many errors of one type must not hide those of others.
    let mut of_types: BTreeMap<(String, i64), usize> = BTreeMap::new();
    groups.sort_by_cached_key(|group| {
        let before = of_types.entry((group.task_type.clone(), group.task_version)).or_default();
        *before += 1;
        *before > SHOWN_OF_TYPE
    });
    groups.truncate(SHOWN);
    groups.sort_by_key(|group| std::cmp::Reverse(group.at));
    for group in &mut groups {
        group.ago = between(group.at.0, now);
    }
    groups
}

/// Replaces names, which stand in quotation marks, and tells one task from many no more.
fn without_names(text: &str) -> String {
    let mut parts = text.split('"');
    let mut out = parts.next().unwrap_or_default().to_owned();
    if let Some(last) = parts.next_back() {
        // A name may have quotation marks itself.
        out.push_str("\"\"");
        out.push_str(last);
    }
    out.replace(" tasks ", " task ")
}

/// Replaces ids, times and other numbers, which are different each time.
fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    let end_word = |word: &mut String, out: &mut String| {
        let has_digit = word.contains(|c: char| c.is_ascii_digit());
        out.push_str(if has_digit { "#" } else { word.as_str() });
        word.clear();
    };
    for c in text.chars() {
        if c.is_alphanumeric() || matches!(c, '-' | '.' | ':') {
            word.push(c);
        } else {
            end_word(&mut word, &mut out);
            out.push(c);
        }
    }
    end_word(&mut word, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_differ_in_numbers_alone_are_the_same() {
        let error =
            |agent: &str, seconds: u32| format!("Agent \"A\" ({agent}) was lost: silent for {seconds} s");
        let [one, other] = [
            error("de305d54-75b4-431b-adb2-eb6b9e546013", 300),
            error("00000000-75b4-431b-adb2-eb6b9e546014", 301),
        ];
        assert_eq!(without_numbers(&one), without_numbers(&other));
        let [one, other] = [
            "Task TTL of 3 s expired: waited 3.0 s, behind 1 task of wait version 1",
            "Task TTL of 3 s expired: waited 3.2 s, behind 12 tasks of wait version 1",
        ];
        assert_eq!(without_names(&without_numbers(one)), without_names(&without_numbers(other)));
        let [one, other] = ["Agent \"A\" was lost", "Agent \"the \"B\" of it\" was lost"].map(without_names);
        assert_eq!(one, other);
        assert_ne!(without_numbers("no route"), without_numbers("no host"));
        assert_eq!(without_numbers(""), "");
    }
}
