//! What was to be reached, and whether it was.

use super::backlog::{Growth, KINDS};
use super::batches::{self, SIZE};
use super::fleet::mib;
use super::kind::{Kind, OURS};
use super::rates::{Rates, Way};
use super::results::Results;
use super::spread::{Spread, grouped, short};
use super::table::Table;

/// One row: how much of what, and what was measured.
#[derive(Debug)]
struct Target {
    what: String,
    bound: Bound,
    value: f64,
    /// Both numbers of a ratio, or the one of a time.
    measured: String,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtLeast(f64, &'static str),
    AtMost(f64, &'static str),
}

impl Target {
    fn reached(&self) -> bool {
        match self.bound {
            Bound::AtLeast(bound, _) => self.value >= bound,
            Bound::AtMost(bound, _) => self.value <= bound,
        }
    }

    fn asked(&self) -> String {
        match self.bound {
            Bound::AtLeast(bound, unit) => format!("at least {}{unit}", plain(bound)),
            Bound::AtMost(bound, unit) => format!("at most {}{unit}", plain(bound)),
        }
    }
}

/// As people write it: `0.85`, `40`.
fn plain(bound: f64) -> String {
    if bound >= 1_000.0 { grouped(bound) } else { bound.to_string() }
}

/// All targets of which something was measured.
pub(crate) fn table(results: &Results) -> Table {
    let mut table = Table::new(["what", "asked for", "measured", "from", "verdict"]);
    for target in all(results) {
        let verdict = if target.reached() { "reached" } else { "**not reached**" };
        let value = match target.bound {
            Bound::AtLeast(_, unit) | Bound::AtMost(_, unit) => format!("{}{unit}", short(target.value)),
        };
        table.row([target.what.clone(), target.asked(), value, target.measured.clone(), verdict.to_owned()]);
    }
    table
}

fn all(results: &Results) -> Vec<Target> {
    let polls = results.polls.iter().flat_map(|polls| of_polls(&polls.found));
    let lives = results.lives.iter().flat_map(|lives| of_lives(&lives.found));
    polls
        .chain(lives)
        .chain(KINDS.into_iter().filter_map(|kind| of_backlog(results, kind)))
        .chain(of_held(results))
        .chain(KINDS.into_iter().flat_map(|kind| of_lists(results, kind)))
        .chain(KINDS.into_iter().filter_map(|kind| of_batches(results, kind)))
        .chain(OURS.into_iter().filter_map(|kind| of_dispatch(results, kind)))
        .chain(OURS.into_iter().flat_map(|kind| of_fleet(results, kind)))
        .chain(OURS.into_iter().filter_map(|kind| of_start(results, kind)))
        .chain(OURS.into_iter().filter_map(|kind| of_overload(results, kind)))
        .collect()
}

fn of_polls(polls: &Rates) -> Vec<Target> {
    let target = |kind: Kind| {
        let (who, bare) = ((kind, Way::Kept), (Kind::Bare, Way::Kept));
        Some(Target {
            what: format!("idle polls, {}, by those of the {}", kind.label(), Kind::Bare.label()),
            bound: Bound::AtLeast(0.85, ""),
            value: polls.ratio(who, bare)?.median,
            measured: two(polls.per_second(who)?, polls.per_second(bare)?, "polls/s"),
        })
    };
    OURS.into_iter().filter_map(target).collect()
}

fn of_lives(lives: &Rates) -> Vec<Target> {
    let lives_by = |what: &str, who, by, least| {
        Some(Target {
            what: format!("{what}; {} connections", lives.connections(who)?),
            bound: Bound::AtLeast(least, " ×"),
            value: lives.ratio(who, by)?.median,
            measured: two(lives.per_second(who)?, lives.per_second(by)?, "lives/s"),
        })
    };
    let (file, bare) = ((Kind::File, Way::ManyKept), (Kind::Bare, Way::ManyKept));
    let by_bare = || {
        Some(Target {
            what: format!(
                "requests of whole lives, SQLite file, by the same requests to the bare axum route; {} connections each",
                lives.connections(file)?
            ),
            bound: Bound::AtLeast(0.6, ""),
            value: lives.ratio_of_requests(file, bare)?.median,
            measured: two(lives.requests_per_second(file)?, lives.requests_per_second(bare)?, "requests/s"),
        })
    };
    let original = (Kind::Development, Way::Closed);
    let workers = (Kind::Gunicorn, Way::Closed);
    let pgbench = (Kind::Pgbench, Way::Kept);
    [
        lives_by("whole lives, SQLite file, by slamon-afm 1.1.0", file, original, 100.0),
        by_bare(),
        lives_by(
            "whole lives, PostgreSQL, by slamon-afm 1.1.0 with 4 workers",
            (Kind::Postgres, Way::ManyKept),
            workers,
            40.0,
        ),
        lives_by(
            "whole lives, PostgreSQL, by pgbench's four statements",
            (Kind::Postgres, Way::ManyKept),
            pgbench,
            2.0,
        ),
        lives_by(
            "whole lives, PostgreSQL, by pgbench's four statements",
            (Kind::Postgres, Way::Kept),
            pgbench,
            1.1,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_backlog(results: &Results, kind: Kind) -> Option<Target> {
    let Growth { small, large, at_small, at_large } = results.backlog.as_ref()?.found.growth(kind)?;
    Some(Target {
        what: format!(
            "claim with {} stored tasks, a tenth of them waiting, by the same at {}; {}",
            grouped(large as f64),
            grouped(small as f64),
            kind.label()
        ),
        bound: Bound::AtMost(1.2, " ×"),
        value: at_large / at_small,
        measured: format!("{} by {} ms (p50)", short(at_large), short(at_small)),
    })
}

fn of_held(results: &Results) -> Option<Target> {
    let held = &results.held.as_ref()?.found;
    let (before, last) = (held.before()?, held.last()?);
    Some(Target {
        what: format!(
            "the same with {} stored tasks under load, a transaction held open for {} s, by the same before; {}",
            grouped(held.stored as f64),
            held.seconds(),
            Kind::Postgres.label()
        ),
        bound: Bound::AtMost(2.0, " ×"),
        value: last / before,
        measured: format!("{} by {} ms (p50)", short(last), short(before)),
    })
}

fn of_lists(results: &Results, kind: Kind) -> Vec<Target> {
    let Some(lists) = results.lists.as_ref().map(|lists| &lists.found) else { return Vec::new() };
    let (small, large) = (grouped(lists.small() as f64), grouped(lists.large() as f64));
    let list = lists.worst_list(kind).map(|worst| Target {
        what: format!(
            "the list of a full page that grows most ({}) with {large} stored tasks, by the same at {small}; {}",
            worst.name,
            kind.label()
        ),
        bound: Bound::AtMost(1.2, " ×"),
        value: worst.value,
        measured: worst.measured,
    });
    let page = lists.worst_page(kind).map(|worst| Target {
        what: format!(
            "the slowest page ({}) with {large} stored tasks, p99, unloaded; {}",
            worst.name,
            kind.label()
        ),
        bound: Bound::AtMost(100.0, " ms"),
        value: worst.value,
        measured: worst.measured,
    });
    list.into_iter().chain(page).collect()
}

fn of_batches(results: &Results, kind: Kind) -> Option<Target> {
    let (gain, in_batches, single) = results.batches.as_ref()?.found.gain(kind, batches::Way::ManySingle)?;
    Some(Target {
        what: format!("whole lives in batches of {SIZE}, by single ones; {}", kind.label()),
        bound: Bound::AtLeast(if kind == Kind::Postgres { 4.0 } else { 3.0 }, " ×"),
        value: gain.median,
        measured: two(in_batches, single, "lives/s"),
    })
}

/// From a post to the agent that waits, at p99.
pub(super) const DISPATCH_MS: f64 = 5.0;

fn of_dispatch(results: &Results, kind: Kind) -> Option<Target> {
    let latency = results.dispatch.as_ref()?.found.latency(kind)?;
    Some(Target {
        what: format!("post to a long-polling agent, p99, unloaded; {}", kind.label()),
        bound: Bound::AtMost(DISPATCH_MS, " ms"),
        value: latency.p99 / 1e3,
        measured: format!("p50 {} ms", short(latency.p50 / 1e3)),
    })
}

fn of_fleet(results: &Results, kind: Kind) -> Vec<Target> {
    let targets = || {
        let fleets = &results.fleet.as_ref()?.found;
        let measured = fleets.of(kind)?;
        let agents = grouped(fleets.agents as f64);
        let interval = fleets.interval;
        let (answered, due) = (measured.per_second, fleets.rate());
        let what = |of: &str| format!("{agents} agents polling each {interval} s: {of}; {}", kind.label());
        let polls = Target {
            what: what("polls answered, by those due"),
            bound: Bound::AtLeast(0.99, ""),
            value: answered / due,
            measured: format!("{} by {} polls/s", short(answered), short(due)),
        };
        let cores = Target {
            what: what("CPU seconds a second"),
            bound: Bound::AtMost(1.0, ""),
            value: measured.server_cores()?,
            measured: format!("{} polls/s answered on one core", short(answered)),
        };
        let memory = measured.server.map(|server| mib(server.peak_rss_bytes))?;
        let memory = Target {
            what: what("peak memory"),
            bound: Bound::AtMost(1_024.0, " MiB"),
            value: memory,
            measured: format!(
                "{} bytes an agent",
                grouped(memory * f64::from(1 << 20) / fleets.agents as f64)
            ),
        };
        Some(vec![polls, cores, memory])
    };
    targets().unwrap_or_default()
}

fn of_start(results: &Results, kind: Kind) -> Option<Target> {
    let time = results.start.as_ref()?.found.empty(kind)?;
    Some(Target {
        what: format!("start to first answer, empty database; {}", kind.label()),
        bound: Bound::AtMost(50.0, " ms"),
        value: time.median,
        measured: format!("{time} ms"),
    })
}

/// What counts as no less: rounds differ by that much.
const NO_LESS: f64 = 0.9;

fn of_overload(results: &Results, kind: Kind) -> Option<Target> {
    let overloads = &results.overload.as_ref()?.found;
    let (capacity, overloaded) = overloads.taken(kind)?;
    Some(Target {
        what: format!("requests answered with 200 at 5 × capacity, by those at capacity; {}", kind.label()),
        bound: Bound::AtLeast(NO_LESS, ""),
        value: overloads.ratio(kind)?.median,
        measured: two(overloaded, capacity, "requests/s"),
    })
}

fn two(who: Spread, by: Spread, unit: &str) -> String {
    format!("{} by {} {unit}", short(who.median), short(by.median))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(bound: Bound, value: f64) -> Target {
        Target { what: String::new(), bound, value, measured: String::new() }
    }

    #[test]
    fn bounds_are_reached_from_their_side() {
        assert!(target(Bound::AtLeast(0.85, ""), 0.85).reached());
        assert!(!target(Bound::AtLeast(0.85, ""), 0.84).reached());
        assert!(target(Bound::AtMost(50.0, " ms"), 50.0).reached());
        assert!(!target(Bound::AtMost(50.0, " ms"), 50.1).reached());
        assert!(!target(Bound::AtMost(1.2, " ×"), f64::NAN).reached());
        assert_eq!(target(Bound::AtLeast(0.85, ""), 1.0).asked(), "at least 0.85");
        assert_eq!(target(Bound::AtMost(1_024.0, " MiB"), 1.0).asked(), "at most 1,024 MiB");
    }

    #[test]
    fn what_was_not_measured_has_no_verdict() {
        assert!(all(&Results::default()).is_empty());
    }
}
