//! What the pages of agents and of types show of the last hour, and of the next poll of an agent.

use super::frame::Frame;
use super::presentation::{Moment, between, duration, number};
use crate::http::api::agent_figures::{AgentFigures, NextPoll};
use crate::http::api::last_hour::LastHour;

/// How many ended in the last hour, for people.
pub(super) struct HourShown {
    pub(super) completed: String,
    pub(super) failed: String,
    /// The share of errors; `None` if nothing ended.
    pub(super) share: Option<String>,
    /// Whether anything failed.
    pub(super) is_bad: bool,
}

impl From<LastHour> for HourShown {
    fn from(LastHour { completed, failed, error_share }: LastHour) -> Self {
        Self {
            completed: number(completed),
            failed: number(failed),
            share: error_share.map(percent),
            is_bad: failed > 0,
        }
    }
}

/// Writes a share. Only what is nothing, or all, is written as such.
fn percent(share: f64) -> String {
    let percent = (share * 100.0).round();
    if share > 0.0 && percent < 1.0 {
        "under 1 %".to_owned()
    } else if share < 1.0 && percent > 99.0 {
        "over 99 %".to_owned()
    } else {
        format!("{percent} %")
    }
}

/// When an agent polls next, for people.
pub(super) struct PollShown {
    /// The time at which it is or was due; `None` while a poll is held open.
    pub(super) at: Option<Moment>,
    pub(super) words: String,
    pub(super) is_overdue: bool,
}

impl PollShown {
    fn of(next_poll: NextPoll, frame: &Frame) -> Self {
        let NextPoll::Due(due) = next_poll else {
            return Self { at: None, words: "held now".to_owned(), is_overdue: false };
        };
        let is_overdue = due < frame.now.0;
        let words = if is_overdue {
            format!("was due {} ago", duration(frame.since(due)))
        } else {
            format!("in {}", duration(between(frame.now.0, due)))
        };
        Self { at: Some(Moment(due)), words, is_overdue }
    }
}

/// What is known of an agent, for people.
pub(super) struct FiguresShown {
    pub(super) next_poll: PollShown,
    pub(super) hour: HourShown,
}

impl FiguresShown {
    pub(super) fn of(AgentFigures { next_poll, last_hour }: AgentFigures, frame: &Frame) -> Self {
        Self { next_poll: PollShown::of(next_poll, frame), hour: last_hour.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_nothing_or_all_only_where_it_is() {
        for (share, text) in [
            (0.0, "0 %"),
            (0.001, "under 1 %"),
            (0.006, "1 %"),
            (2.0 / 3.0, "67 %"),
            (0.999, "over 99 %"),
            (1.0, "100 %"),
        ] {
            assert_eq!(percent(share), text);
        }
    }
}
