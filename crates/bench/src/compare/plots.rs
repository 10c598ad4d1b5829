//! Plots of what was measured, as SVG.

mod bars;
mod lines;
mod style;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use plotters::style::RGBColor;

use super::backlog::{Backlogs, KINDS};
use super::dispatch::Dispatches;
use super::held::Held;
use super::kind::{Kind, OURS};
use super::load::Latency;
use super::rates::{Rates, Way, Who};
use super::results::Results;
use super::targets::DISPATCH_MS;
use bars::{Bar, bars};
use lines::{Axis, Line, lines};

/// What shows the plot of a section, if it has one.
pub(crate) fn link(section: &str) -> String {
    let title = match section {
        "polls" => POLLS,
        "lives" => LIVES,
        "dispatch" => DISPATCH,
        "backlog" => BACKLOG,
        "held" => HELD,
        _ => return String::new(),
    };
    format!("\n![{title}](performance/{section}.svg)\n")
}

const POLLS: &str = "Idle polls a second";
const LIVES: &str = "Whole lives of tasks a second";
const DISPATCH: &str = "From the post of a task to the agent that waits for it";
const BACKLOG: &str = "Claims and idle polls as the store grows; a tenth of it waits";
const HELD: &str = "Claims while a transaction is held open, PostgreSQL";

/// Writes those of which there is something into a folder.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write(folder: &Path, results: &Results) -> Result<()> {
    fs::create_dir_all(folder)?;
    let write = |name: &str, svg: Option<Result<String>>| match svg {
        Some(svg) => fs::write(folder.join(name), svg?).with_context(|| format!("cannot write {name}")),
        None => Ok(()),
    };
    let polls = results.polls.as_ref().map(|polls| of_rates(POLLS, &polls.found));
    write("polls.svg", polls)?;
    let lives = results.lives.as_ref().map(|lives| of_rates(LIVES, &lives.found));
    write("lives.svg", lives)?;
    write("dispatch.svg", results.dispatch.as_ref().map(|of| of_dispatches(&of.found)))?;
    write("backlog.svg", results.backlog.as_ref().map(|of| of_backlogs(&of.found)))?;
    write("held.svg", results.held.as_ref().map(|of| of_held(&of.found)))
}

/// The same server has the same colour everywhere; told apart also without red and green.
fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Bare | Kind::Pgbench => GREY,
        Kind::Memory => RGBColor(0x00, 0x9e, 0x73),
        Kind::File => RGBColor(0x00, 0x72, 0xb2),
        Kind::Postgres => RGBColor(0x7b, 0x4f, 0xb5),
        Kind::Development | Kind::Gunicorn => RGBColor(0xd5, 0x5e, 0x00),
    }
}

const GREY: RGBColor = RGBColor(0x78, 0x78, 0x78);

fn of_rates(title: &str, rates: &Rates) -> Result<String> {
    let bar = |who: Who| {
        let (kind, way) = who;
        let how = match way {
            Way::Kept => String::new(),
            Way::ManyKept => format!(" ({} connections)", rates.connections(who)?),
            Way::Closed => " (a connection each)".to_owned(),
        };
        let (label, value) = (kind.label().to_owned() + &how, rates.per_second(who)?.median);
        Some(Bar { label, value, colour: colour(kind), light: way == Way::Closed })
    };
    bars(title, &rates.all().filter_map(bar).collect::<Vec<_>>())
}

fn of_dispatches(dispatches: &Dispatches) -> Result<String> {
    let line = |kind: Kind| {
        let Latency { p50, p90, p99, p999, max } = dispatches.latency(kind)?;
        let points = [p50, p90, p99, p999, max].into_iter().enumerate();
        let points = points.map(|(place, us)| (place as f64, us / 1e3)).collect();
        Some(Line { label: kind.label().to_owned(), points, colour: colour(kind), dashed: false })
    };
    let mut all: Vec<_> = OURS.into_iter().filter_map(line).collect();
    let asked = |place| (place, DISPATCH_MS);
    let label = "asked for at p99".to_owned();
    all.push(Line { label, points: vec![asked(0.0), asked(4.0)], colour: GREY, dashed: true });
    lines(
        DISPATCH,
        &Axis::names(&["p50", "p90", "p99", "p99.9", "longest"]),
        &Axis::logarithm("milliseconds"),
        &all,
    )
}

fn of_backlogs(backlogs: &Backlogs) -> Result<String> {
    let line = |(kind, step): (Kind, &str)| {
        let at =
            |stored| Some((stored as f64, backlogs.time(kind, stored, step, |latency| latency.p50)?.median));
        let points: Vec<_> = backlogs.sizes().into_iter().filter_map(at).collect();
        let label = format!("{step}, {}", kind.label());
        (!points.is_empty()).then(|| Line { label, points, colour: colour(kind), dashed: step == "poll" })
    };
    let all = ["claim", "poll"].into_iter().flat_map(|step| KINDS.map(|kind| (kind, step)));
    lines(
        BACKLOG,
        &Axis::logarithm("stored tasks"),
        &Axis::logarithm("milliseconds, p50"),
        &all.filter_map(line).collect::<Vec<_>>(),
    )
}

fn of_held(held: &Held) -> Result<String> {
    let during = held.during();
    let end = during.last().map_or(1.0, |(seconds, _)| *seconds);
    let line = |label: &str, points, dashed| Line {
        label: label.to_owned(),
        points,
        colour: colour(Kind::Postgres),
        dashed,
    };
    let mut all = vec![line("while it is open", during, false)];
    all.extend(held.before().map(|claim| line("before", vec![(0.0, claim), (end, claim)], true)));
    lines(HELD, &Axis::from_zero("seconds since it began"), &Axis::from_zero("milliseconds, p50"), &all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a picture whose elements are all closed, its attributes quoted.
    fn texts(svg: &str) -> Vec<String> {
        let (mut open, mut texts) = (Vec::new(), Vec::new());
        for piece in svg.split('<').skip(1) {
            let (tag, text) = piece.split_once('>').expect("a tag ends");
            let name = tag.split([' ', '/']).find(|name| !name.is_empty()).expect("a tag has a name");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            if tag.starts_with('/') {
                assert_eq!(open.pop().as_deref(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(name.to_owned());
            }
            texts.extend((!text.trim().is_empty()).then(|| text.trim().to_owned()));
        }
        assert!(open.is_empty(), "{open:?}");
        texts
    }

    #[test]
    fn plots_are_well_formed_and_say_what_they_show() {
        let bar = |label: &str, value| Bar { label: label.to_owned(), value, colour: GREY, light: false };
        let svg = bars("A < B & C", &[bar("one", 12.0), bar("two", 34_500.0)]).unwrap();
        let texts_of_bars = texts(&svg);
        for text in ["A &lt; B &amp; C", "one", "12.0", "two", "34,500"] {
            assert!(texts_of_bars.iter().any(|found| found == text), "{text}: {svg}");
        }
        let line =
            Line { label: "up".to_owned(), points: vec![(1e3, 0.1), (1e7, 2.0)], colour: GREY, dashed: true };
        let svg = lines("L", &Axis::logarithm("stored"), &Axis::logarithm("ms"), &[line]).unwrap();
        let texts_of_lines = texts(&svg);
        for text in ["up", "stored", "ms", "10,000,000", "0.1"] {
            assert!(texts_of_lines.iter().any(|found| found == text), "{text}: {svg}");
        }
    }
}
