//! Horizontal bars on a logarithmic scale, each with its number.

use super::svg::{Anchor, BLACK, GREY, PALE, Svg, WHITE, power};
use crate::compare::spread::short;

/// One bar.
pub(super) struct Bar {
    pub(super) label: String,
    /// More than zero.
    pub(super) value: f64,
    pub(super) colour: &'static str,
    /// Paler, to tell two of one colour apart.
    pub(super) light: bool,
}

const WIDTH: u32 = 860;
/// Where bars begin: labels are left of it.
const LEFT: f64 = 430.0;
/// Where the longest may end: its number is right of it.
const RIGHT: f64 = 790.0;
const TOP: f64 = 52.0;
const ROW: f64 = 26.0;
const BOTTOM: f64 = 34.0;

/// All of them, in the order given.
pub(super) fn bars(title: &str, bars: &[Bar]) -> String {
    let bottom = TOP + ROW * bars.len() as f64;
    let exponents = || bars.iter().map(|bar| bar.value.log10());
    let first = exponents().fold(f64::INFINITY, f64::min).floor();
    let last = exponents().fold(f64::NEG_INFINITY, f64::max).ceil().max(first + 1.0);
    let x = |exponent: f64| LEFT + (exponent - first) / (last - first) * (RIGHT - LEFT);

    let mut svg = Svg::new(title, WIDTH, (bottom + BOTTOM) as u32);
    for exponent in first as i32..=last as i32 {
        let at = x(f64::from(exponent));
        svg.line(&[(at, TOP - 6.0), (at, bottom)], PALE, 1.0, false);
        svg.text((at, bottom + 14.0), 12, GREY, Anchor::Middle, &power(exponent));
    }
    for (row, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let middle = y + ROW / 2.0 - 2.0;
        let end = x(bar.value.log10());
        svg.text((LEFT - 8.0, middle), 13, BLACK, Anchor::End, &bar.label);
        let (corner, size) = ((LEFT, y + 2.0), (end - LEFT, ROW - 8.0));
        // The lines behind must not show through a pale one.
        svg.bar(corner, size, WHITE, 1.0);
        svg.bar(corner, size, bar.colour, if bar.light { 0.5 } else { 1.0 });
        svg.text((end + 6.0, middle), 13, BLACK, Anchor::Start, &short(bar.value));
    }
    svg.finish()
}
