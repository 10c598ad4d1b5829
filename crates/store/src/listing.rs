//! Lists of tasks: what is asked for, what is answered, and how several indexes are read as one list.

#[cfg(test)]
mod every_filter;
mod merge;
mod states;
mod text;

use jiff::Timestamp;
use slamon_domain::StateName;
use slamon_protocol::{AgentFilter, JsonText};
use uuid::Uuid;

#[cfg(test)]
pub(crate) use self::every_filter::every_filter;
pub(crate) use self::merge::{Walked, merge};
pub use self::states::States;
pub(crate) use self::text::Searched;

/// At most this many rows are passed over for one page, whether they are in the list or not.
pub(crate) const PASSED: u32 = 5_000;

/// At most this many bytes of errors are searched for one page, and one error more.
pub(crate) const SEARCHED_BYTES: usize = 16 * 1024 * 1024;

/// A result of more than this many bytes is not listed.
pub(crate) const RESULT_LISTED: u32 = 1_024;

/// How many characters of a type are read: one more than is listed.
pub(crate) const TYPE_READ: u32 = 1_025;

/// How far the times at which tasks were posted may be out of the order of arrival, in seconds: clocks are set.
pub(crate) const SLACK: i64 = 3_600;

/// Which tasks are asked for. What is `None` says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskFilter {
    /// The id of the only task.
    pub task_id: Option<Uuid>,
    /// The process instance that they belong to.
    pub test_id: Option<Uuid>,
    /// Their type, to the letter.
    pub task_type: Option<String>,
    /// The version of the type.
    pub task_version: Option<i64>,
    /// Their states.
    pub states: States,
    /// The agent that executes them, or executed them last.
    pub agent_id: Option<Uuid>,
    /// The country that their agent filter names, to the letter.
    pub country: Option<String>,
    /// They were posted then or later.
    pub from: Option<Timestamp>,
    /// They were posted before.
    pub to: Option<Timestamp>,
    /// Their error has this text in it, whatever the case of the letters.
    pub error_text: Option<String>,
}

/// In which order tasks are listed. What counts is the order of their arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListOrder {
    /// The last to arrive comes first.
    #[default]
    NewestFirst,
    /// The first to arrive comes first.
    OldestFirst,
}

/// The place of a task in the order of arrival.
pub type TaskPlace = i64;

/// A page that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskQuery {
    /// Which tasks are listed.
    pub filter: TaskFilter,
    /// In which order.
    pub order: ListOrder,
    /// Where the page before has ended, as its `next` says.
    pub after: Option<TaskPlace>,
    /// No task that arrived behind this place is listed.
    pub up_to: Option<TaskPlace>,
    /// The most tasks that the page may have; at least one.
    pub limit: u32,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskPage {
    /// The tasks in their order. There may be fewer than were asked for although more follow: a page passes
    /// over a bounded number of other tasks.
    pub tasks: Vec<TaskSummary>,
    /// Where the next page begins; `None` at the end of the list.
    pub next: Option<TaskPlace>,
    /// About how many tasks were passed over for the page, whether they are in the list or not.
    pub passed: u32,
}

/// A task as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSummary {
    /// Its id.
    pub task_id: Uuid,
    /// The process instance it belongs to.
    pub test_id: Uuid,
    /// Its type, cut where it has more than 1,024 characters.
    pub task_type: String,
    /// The version of the type.
    pub task_version: i64,
    /// Which agents may take it, as the store compares it, cut where it is long.
    pub agent_filter: String,
    /// Its priority.
    pub priority: i32,
    /// When it was posted.
    pub created: Timestamp,
    /// Its state.
    pub state: StateName,
    /// How often it has been handed out.
    pub attempts: u32,
    /// The agent that executes it, or executed it last, with its name, which is cut where it is long.
    pub agent: Option<(Uuid, String)>,
    /// When it was handed out last.
    pub claimed: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// The result, a JSON object; `None` also where it has more than 1,024 bytes.
    pub result: Option<JsonText>,
    /// How large the result is, in bytes.
    pub result_bytes: Option<u64>,
    /// The error, a JSON string, or the beginning of one.
    pub error: Option<JsonText>,
    /// How large the error is, in bytes, where only its beginning is given.
    pub error_bytes: Option<u64>,
}

/// The parts that the tasks of a store consist of, each of which has an order of arrival of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Pending,
    Claimed,
    Delayed,
    Completed,
    Unsuccessful,
}

impl Part {
    pub(crate) const ALL: [Self; 5] =
        [Self::Pending, Self::Claimed, Self::Delayed, Self::Completed, Self::Unsuccessful];

    /// The states of its tasks.
    pub(crate) fn states(self) -> States {
        match self {
            Self::Pending => States::of(&[StateName::Pending]),
            Self::Claimed => States::of(&[StateName::Claimed]),
            Self::Delayed => States::of(&[StateName::Delayed]),
            Self::Completed => States::of(&[StateName::Completed]),
            Self::Unsuccessful => States::UNSUCCESSFUL,
        }
    }
}

impl TaskFilter {
    /// The states that tasks of this list can have: only what ended without a result has an error.
    pub(crate) fn possible_states(&self) -> States {
        if self.error_text.is_some() { self.states.and(States::UNSUCCESSFUL) } else { self.states }
    }

    /// How the agent filters of these tasks begin as they are stored: the country is what they have first.
    pub(crate) fn agent_filter_begins(&self) -> Option<String> {
        let mut begins = AgentFilter { country: Some(self.country.clone()?), ..AgentFilter::default() }.key();
        // What follows is the end, or a comma with the rest.
        begins.pop();
        Some(begins)
    }
}

/// The places from which on and up to which a page reads, both included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) first: TaskPlace,
    pub(crate) last: TaskPlace,
}

impl Span {
    /// The span of a page, as far as it follows from places alone.
    pub(crate) fn of(query: &TaskQuery) -> Self {
        let mut span = Self { first: i64::MIN, last: query.up_to.unwrap_or(i64::MAX) };
        match (query.order, query.after) {
            (_, None) => {}
            (ListOrder::NewestFirst, Some(after)) => span.last = span.last.min(after.saturating_sub(1)),
            (ListOrder::OldestFirst, Some(after)) => span.first = after.saturating_add(1),
        }
        span
    }

    pub(crate) fn is_empty(self) -> bool {
        self.first > self.last
    }
}

/// The first whole microsecond at or after a time, as stores keep times. It is within what they can keep: a task
/// is never posted before year 1.
pub(crate) fn microsecond_from(time: Timestamp) -> i64 {
    const YEAR_1: i64 = -62_135_596_800_000_000;
    let micros =
        time.as_nanosecond().div_euclid(1_000) + i128::from(time.as_nanosecond().rem_euclid(1_000) > 0);
    i64::try_from(micros).unwrap_or(i64::MAX).clamp(YEAR_1, Timestamp::MAX.as_microsecond())
}

/// Cuts a type to what is listed.
pub(crate) fn listed_type(text: &str) -> String {
    let mut ends = text.char_indices().skip(TYPE_READ as usize - 2);
    match (ends.next(), ends.next()) {
        (Some((end, _)), Some(_)) => format!("{}…", &text[..end]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_to_what_is_stored() {
        for (time, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.000001Z", 1),
            ("1970-01-01T00:00:00.000001001Z", 2),
            ("1969-12-31T23:59:59.999999001Z", 0),
        ] {
            assert_eq!(microsecond_from(time.parse().unwrap()), micros, "{time}");
        }
        assert!(microsecond_from(Timestamp::MIN) > Timestamp::MIN.as_microsecond());
        assert_eq!(microsecond_from(Timestamp::MAX), Timestamp::MAX.as_microsecond());
    }

    #[test]
    fn agent_filters_are_known_by_their_beginning() {
        let named =
            |country: &str| AgentFilter { country: Some(country.to_owned()), ..AgentFilter::default() };
        for country in ["", "FI", "\"", "\\", "\0", "é", "a\",\"region\":\"b"] {
            let filter = TaskFilter { country: Some(country.to_owned()), ..TaskFilter::default() };
            let begins = filter.agent_filter_begins().unwrap();
            let more = AgentFilter {
                region: Some("18".to_owned()),
                agent_id: Some(Uuid::nil()),
                agent_name: Some("a".to_owned()),
                ..named(country)
            };
            assert!(named(country).key().starts_with(&begins) && more.key().starts_with(&begins), "{begins}");
            let longer = named(&format!("{country}x")).key();
            let elsewhere =
                AgentFilter { agent_name: Some(country.to_owned()), ..AgentFilter::default() }.key();
            for other in [&longer, &elsewhere, ""] {
                assert!(!other.starts_with(&begins), "{other} {begins}");
            }
        }
        assert_eq!(TaskFilter::default().agent_filter_begins(), None);
    }

    #[test]
    fn long_types_are_cut_between_characters() {
        for character in ["a", "ä", "😀"] {
            let longest = character.repeat(1_024);
            assert_eq!(listed_type(&longest), longest);
            assert_eq!(listed_type(&character.repeat(1_025)), format!("{}…", character.repeat(1_023)));
        }
        assert_eq!(listed_type(""), "");
    }
}
