//! What README.md says: ours beside the original.

use super::kind::Kind;
use super::rates::{Rates, Way, Who};
use super::results::Results;
use super::spread::short;
use super::table::Table;

/// Ours, and whom of the original it is compared with.
const PAIRS: [(Who, Who); 3] = [
    ((Kind::File, Way::Kept), (Kind::Development, Way::Closed)),
    ((Kind::Postgres, Way::Kept), (Kind::Gunicorn, Way::Closed)),
    ((Kind::Memory, Way::Kept), (Kind::Development, Way::Closed)),
];

/// Rates a second, and how many times those of the original they are; none before they were measured.
pub(crate) fn table(results: &Results) -> Option<Table> {
    let (lives, polls) = (&results.lives.as_ref()?.found, &results.polls.as_ref()?.found);
    let mut table = Table::new(["", "whole lives a second", "idle polls a second"]);
    for original in [Kind::Development, Kind::Gunicorn] {
        let rate = |rates: &Rates| Some(short(rates.per_second((original, Way::Closed))?.median));
        table.row([original.label().to_owned(), rate(lives)?, rate(polls)?]);
    }
    for (ours, original) in PAIRS {
        let times = |rates: &Rates| {
            let (rate, ratio) = (rates.per_second(ours)?.median, rates.ratio(ours, original)?.median);
            Some(format!("{}: {} ×", short(rate), short(ratio)))
        };
        table.row([ours.0.label().to_owned(), times(lives)?, times(polls)?]);
    }
    Some(table)
}
