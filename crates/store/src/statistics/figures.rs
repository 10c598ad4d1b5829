//! The figures of each type in a minute, and how they are saved.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use slamon_protocol::Capability;

use super::histogram::Histogram;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Tasks that were posted.
    Posted,
    /// Attempts that began.
    Claimed,
    /// Tasks that ended with a result.
    Completed,
    /// Tasks that ended with an error of their agent. An error after which the task is tried again is none.
    Failed,
    /// Attempts that ended, and after which the task is tried again.
    Retried,
    /// Tasks that ended because their last attempt took too long.
    TimedOut,
    /// Tasks that ended because the agent of their last attempt was lost.
    Lost,
    /// Tasks that ended because nobody had finished them in time.
    Expired,
    /// Tasks that were cancelled.
    Cancelled,
    /// Claims that were taken back, because the answer did not reach the agent.
    Released,
}

impl Counter {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Posted,
        Self::Claimed,
        Self::Completed,
        Self::Failed,
        Self::Retried,
        Self::TimedOut,
        Self::Lost,
        Self::Expired,
        Self::Cancelled,
        Self::Released,
    ];

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Claimed => "claimed",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Retried => "retried",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Released => "released",
        }
    }
}

/// How often each thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters([u64; Counter::ALL.len()]);

impl Counters {
    /// Counts once.
    pub fn increment(&mut self, counter: Counter) {
        self.0[counter as usize] += 1;
    }

    /// How often it happened.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    /// Adds others.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    /// How many tasks ended otherwise than with a result.
    #[must_use]
    pub fn ended_badly(&self) -> u64 {
        [Counter::Failed, Counter::TimedOut, Counter::Lost, Counter::Expired, Counter::Cancelled]
            .map(|counter| self.get(counter))
            .iter()
            .sum()
    }
}

/// What happened to the tasks of a type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TypeFigures {
    /// How often each thing happened.
    pub counters: Counters,
    /// How long tasks waited for their first attempt, without the delay that was asked for.
    pub queue: Histogram,
    /// How long attempts took.
    pub run: Histogram,
    /// How long tasks took from post to end.
    pub total: Histogram,
}

impl TypeFigures {
    /// Adds others.
    pub fn merge(&mut self, other: &Self) {
        self.counters.merge(&other.counters);
        self.queue.merge(&other.queue);
        self.run.merge(&other.run);
        self.total.merge(&other.total);
    }
}

/// What happened to tasks in a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinuteStatistics {
    /// When the minute began.
    pub minute: Timestamp,
    /// The figures of each type; those of all types that are not listed by their names have `None`.
    pub types: Vec<(Option<Arc<Capability>>, TypeFigures)>,
}

/// The figures of a type as they are saved.
#[derive(Serialize, Deserialize)]
struct SavedFigures {
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    task_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    #[serde(default, skip_serializing_if = "Histogram::is_empty")]
    queue: Histogram,
    #[serde(default, skip_serializing_if = "Histogram::is_empty")]
    run: Histogram,
    #[serde(default, skip_serializing_if = "Histogram::is_empty")]
    total: Histogram,
    /// By name, without zeros. A counter of a later version is passed over.
    counts: BTreeMap<String, u64>,
}

/// Writes the figures of a minute as JSON.
pub(crate) fn to_text(minute: &MinuteStatistics) -> String {
    let saved = minute.types.iter().map(|(capability, figures)| SavedFigures {
        task_type: capability.as_ref().map(|capability| capability.task_type.clone()),
        version: capability.as_ref().map(|capability| capability.version),
        queue: figures.queue.clone(),
        run: figures.run.clone(),
        total: figures.total.clone(),
        counts: Counter::ALL
            .into_iter()
            .map(|counter| (counter.name().to_owned(), figures.counters.get(counter)))
            .filter(|(_, count)| *count > 0)
            .collect(),
    });
    // Texts and numbers are always JSON.
    serde_json::to_string(&saved.collect::<Vec<_>>()).unwrap_or_else(|_| "[]".to_owned())
}

/// Reads what [`to_text`] has written, and adds it to the figures of the same minute.
///
/// # Errors
/// Fails when it is something else.
pub(crate) fn add_text(
    text: &str,
    types: &mut BTreeMap<Option<Arc<Capability>>, TypeFigures>,
) -> Result<(), serde_json::Error> {
    for saved in serde_json::from_str::<Vec<SavedFigures>>(text)? {
        let SavedFigures { task_type, version, queue, run, total, counts } = saved;
        let mut counters = Counters::default();
        for counter in Counter::ALL {
            counters.0[counter as usize] = counts.get(counter.name()).copied().unwrap_or_default();
        }
        let capability =
            task_type.zip(version).map(|(task_type, version)| Arc::new(Capability { task_type, version }));
        types.entry(capability).or_default().merge(&TypeFigures { counters, queue, run, total });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_saved_is_read_and_added_up() {
        let mut figures = TypeFigures::default();
        figures.counters.increment(Counter::Posted);
        figures.counters.increment(Counter::Cancelled);
        figures.total.record(Duration::from_secs(3));
        let named = Some(Arc::new(Capability { task_type: "\u{0}é\"".to_owned(), version: i64::MIN }));
        let types = vec![(None, TypeFigures::default()), (named.clone(), figures.clone())];
        let text = to_text(&MinuteStatistics { minute: Timestamp::UNIX_EPOCH, types });
        let mut read = BTreeMap::new();
        for _ in 0..2 {
            add_text(&text, &mut read).unwrap();
        }
        figures.merge(&figures.clone());
        assert_eq!(read[&named], figures);
        assert_eq!(read.len(), 2);
        assert_eq!(figures.counters.ended_badly(), 2);
        // A later version may count more.
        add_text(r#"[{"type":"a","version":1,"counts":{"odd":3},"odd":[]}]"#, &mut read).unwrap();
        add_text("{", &mut read).unwrap_err();
    }
}
