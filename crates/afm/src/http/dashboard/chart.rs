//! The pictures of the last hour, as SVG. They are drawn here and not in the browser: so they are there without a
//! script, and cost no library.
//!
//! A picture is stretched to its place; numbers and times stand around it, as text of the page.

use std::fmt::Write;

use slamon_store::{Counter, Counters, TaskCounts};

use super::presentation::{count, number};
pub(super) use crate::http::api::last_hour::failed;
use crate::statistics::MinutePoint;

/// How wide a minute is drawn.
const MINUTE: usize = 10;

/// How high a picture is drawn.
const HEIGHT: f64 = 100.0;

/// A picture with what belongs around it.
pub(super) struct Chart {
    /// The elements within the SVG, which are made of numbers alone.
    pub(super) shapes: String,
    /// The width of the drawing.
    pub(super) width: usize,
    /// What stands at the top of the scale.
    pub(super) top: String,
    /// What stands in its middle.
    pub(super) middle: String,
    /// What it shows, in one sentence.
    pub(super) says: String,
}

/// How many tasks ended in a minute, with a result and without.
#[derive(Clone, Copy)]
struct Ended {
    well: u64,
    badly: u64,
}

/// Draws how many tasks finished and failed in each minute.
pub(super) fn ended(minutes: &[MinutePoint]) -> Chart {
    let ended: Vec<Ended> = minutes
        .iter()
        .map(|minute| Ended {
            well: minute.counters.get(Counter::Completed),
            badly: failed(&minute.counters),
        })
        .collect();
    let scale = Scale::for_up_to(ended.iter().map(|ended| ended.well + ended.badly).max().unwrap_or(0));
    let mut shapes = String::new();
    for (place, ended) in ended.iter().enumerate() {
        let (well, badly) = (scale.height(ended.well), scale.height(ended.badly));
        bar(&mut shapes, "good", place, HEIGHT - well, well);
        bar(&mut shapes, "bad", place, HEIGHT - well - badly, badly);
        let says = format!("{} finished, {} failed", number(ended.well), number(ended.badly));
        hit(&mut shapes, place, minutes.len(), &says);
    }
    let (well, badly): (u64, u64) =
        (ended.iter().map(|it| it.well).sum(), ended.iter().map(|it| it.badly).sum());
    let says = format!("In the last hour {} finished and {} failed", count(well, "task"), number(badly));
    Chart { shapes, width: ended.len() * MINUTE, top: scale.top(), middle: scale.middle(), says }
}

/// Draws how many tasks waited and ran at the end of each minute: what there is now, and from there back what has
/// changed.
pub(super) fn unfinished(minutes: &[MinutePoint], now: TaskCounts) -> Chart {
    let levels = levels(minutes, now);
    let scale =
        Scale::for_up_to(levels.iter().flat_map(|level| [level.waiting, level.running]).max().unwrap_or(0));
    let mut shapes = String::new();
    line(&mut shapes, "calm", levels.iter().map(|level| scale.height(level.waiting)));
    line(&mut shapes, "busy", levels.iter().map(|level| scale.height(level.running)));
    for (place, level) in levels.iter().enumerate() {
        let says = format!("{} waiting, {} running", number(level.waiting), number(level.running));
        hit(&mut shapes, place, minutes.len(), &says);
    }
    let last = levels.last().copied().unwrap_or_default();
    let says = format!(
        "Now {} and {}; the most in the last hour were {} and {}",
        waiting(last.waiting),
        number(last.running).to_string() + " running",
        number(levels.iter().map(|level| level.waiting).max().unwrap_or(0)),
        number(levels.iter().map(|level| level.running).max().unwrap_or(0)),
    );
    Chart { shapes, width: levels.len() * MINUTE, top: scale.top(), middle: scale.middle(), says }
}

fn waiting(tasks: u64) -> String {
    format!("{} waiting", count(tasks, "task"))
}

/// How many tasks waited (or were delayed) and ran at the end of a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Level {
    pub(super) waiting: u64,
    running: u64,
}

/// Returns the level at the end of each minute.
pub(super) fn levels(minutes: &[MinutePoint], now: TaskCounts) -> Vec<Level> {
    let get = |counters: &Counters, which: &[Counter]| -> i64 {
        let sum = which.iter().map(|counter| counters.get(*counter)).sum::<u64>();
        i64::try_from(sum).unwrap_or(i64::MAX)
    };
    let mut unfinished = now.delayed + now.pending + now.claimed;
    let mut running = now.claimed;
    let mut levels = Vec::with_capacity(minutes.len());
    for minute in minutes.iter().rev() {
        let runs = running.clamp(0, unfinished.max(0));
        let level = |count: i64| u64::try_from(count).unwrap_or(0);
        levels.push(Level { running: level(runs), waiting: level(unfinished - runs) });
        let counters = &minute.counters;
        let ended =
            i64::try_from(counters.ended_badly()).unwrap_or(i64::MAX) + get(counters, &[Counter::Completed]);
        unfinished += ended - get(counters, &[Counter::Posted]);
        // Whether a task that expired or was cancelled ran before is not counted; most did not.
        let stopped = [
            Counter::Completed,
            Counter::Failed,
            Counter::Lost,
            Counter::TimedOut,
            Counter::Retried,
            Counter::Released,
        ];
        running += get(counters, &stopped) - get(counters, &[Counter::Claimed]);
    }
    levels.reverse();
    levels
}

/// A scale from nothing to a round number.
struct Scale(u64);

impl Scale {
    fn for_up_to(most: u64) -> Self {
        let mut power = 1_u64;
        loop {
            for step in [2, 4, 10] {
                let top = power.saturating_mul(step);
                if top >= most {
                    return Self(top);
                }
            }
            power = power.saturating_mul(10);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a picture has a hundred lines")]
    fn height(&self, value: u64) -> f64 {
        value as f64 / self.0 as f64 * HEIGHT
    }

    fn top(&self) -> String {
        number(self.0)
    }

    fn middle(&self) -> String {
        number(self.0 / 2)
    }
}

fn bar(shapes: &mut String, class: &str, place: usize, y: f64, height: f64) {
    if height > 0.0 {
        let x = place * MINUTE + 1;
        let width = MINUTE - 2;
        let _ = write!(
            shapes,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y:.2}\" width=\"{width}\" height=\"{height:.2}\"/>"
        );
    }
}

fn line(shapes: &mut String, class: &str, heights: impl Iterator<Item = f64>) {
    let points: Vec<String> = heights
        .enumerate()
        .map(|(place, height)| format!("{},{:.2}", place * MINUTE + MINUTE / 2, HEIGHT - height))
        .collect();
    let _ = write!(shapes, "<polyline class=\"line {class}\" points=\"{}\"/>", points.join(" "));
}

/// Adds what is said of a minute to who points at it.
fn hit(shapes: &mut String, place: usize, minutes: usize, says: &str) {
    let when = match minutes - place - 1 {
        0 => "this minute".to_owned(),
        ago => format!("{ago} min ago"),
    };
    let x = place * MINUTE;
    let _ = write!(
        shapes,
        "<rect class=\"hit\" x=\"{x}\" y=\"0\" width=\"{MINUTE}\" height=\"{HEIGHT}\"><title>{when}: {says}</title></rect>"
    );
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn minute(what: &[(Counter, u64)]) -> MinutePoint {
        let mut counters = Counters::default();
        for (counter, times) in what {
            for _ in 0..*times {
                counters.increment(*counter);
            }
        }
        MinutePoint { minute: Timestamp::UNIX_EPOCH, counters }
    }

    #[test]
    fn levels_follow_from_what_has_changed() {
        let minutes = [
            minute(&[(Counter::Posted, 5)]),
            minute(&[(Counter::Claimed, 3), (Counter::Completed, 1)]),
            minute(&[(Counter::Retried, 1), (Counter::Cancelled, 1), (Counter::Posted, 2)]),
        ];
        let now = TaskCounts { delayed: 1, pending: 3, claimed: 1 };
        let level = |waiting, running| Level { waiting, running };
        assert_eq!(levels(&minutes, now), [level(5, 0), level(2, 2), level(4, 1)]);
    }

    #[test]
    fn scales_end_in_round_numbers() {
        for (most, top) in
            [(0, 2), (2, 2), (3, 4), (5, 10), (11, 20), (40, 40), (41, 100), (u64::MAX, u64::MAX)]
        {
            assert_eq!(Scale::for_up_to(most).0, top, "{most}");
        }
    }

    #[test]
    fn a_picture_says_what_it_shows() {
        let chart = ended(&[
            minute(&[(Counter::Completed, 3)]),
            minute(&[(Counter::Lost, 1), (Counter::Cancelled, 9)]),
        ]);
        assert_eq!(chart.says, "In the last hour 3 tasks finished and 1 failed");
        assert_eq!((chart.top.as_str(), chart.middle.as_str(), chart.width), ("4", "2", 20));
        assert!(chart.shapes.contains("<title>1 min ago: 3 finished, 0 failed</title>"), "{}", chart.shapes);
    }
}
