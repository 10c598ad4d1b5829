//! The newest failures, by type and error.

use std::sync::Arc;
use std::time::Duration;

use slamon_domain::StateName;
use slamon_store::{ListOrder, States, StoreError, TaskFilter, TaskQuery, TaskSummary};
use uuid::Uuid;

use super::presentation::{Moment, between};
use super::pretty_json::plain;
use crate::http::app::App;

/// So many failures are looked at.
const LOOKED_AT: u32 = 200;

/// So many groups are shown.
const SHOWN: usize = 8;

/// Failures of one type with the same error.
#[derive(Debug)]
pub(super) struct FailureGroup {
    pub(super) task_type: String,
    pub(super) task_version: i64,
    /// The error of the newest.
    pub(super) error: String,
    pub(super) tasks: u64,
    pub(super) newest: Uuid,
    pub(super) at: Moment,
    pub(super) ago: Duration,
    /// The error without what is different each time.
    key: String,
}

/// Reads the newest failures, and puts together those that say the same.
pub(super) async fn newest(app: &App) -> Result<Vec<FailureGroup>, StoreError> {
    let failed = [StateName::Failed, StateName::Lost, StateName::TimedOut, StateName::Expired];
    let filter = TaskFilter { states: States::of(&failed), ..TaskFilter::default() };
    let order = ListOrder::NewestFirst;
    let query = TaskQuery { filter, order, after: None, up_to: None, limit: LOOKED_AT };
    let tasks = app.store.list_tasks(Arc::new(query)).await?.tasks;
    Ok(group(tasks, app.clock.now()))
}

fn group(tasks: Vec<TaskSummary>, now: jiff::Timestamp) -> Vec<FailureGroup> {
    let mut groups: Vec<FailureGroup> = Vec::new();
    for task in tasks {
        let error = task.error.map(|error| plain(error.as_str())).unwrap_or_default();
        let key = without_numbers(&error);
        let same = |group: &&mut FailureGroup| {
            group.task_type == task.task_type && group.task_version == task.task_version && group.key == key
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
    groups.truncate(SHOWN);
    for group in &mut groups {
        group.ago = between(group.at.0, now);
    }
    groups
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
        assert_ne!(without_numbers("no route"), without_numbers("no host"));
        assert_eq!(without_numbers(""), "");
    }
}
