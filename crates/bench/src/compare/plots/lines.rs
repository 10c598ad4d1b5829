//! Lines over a plain, logarithmic or named axis.

use super::svg::{Anchor, BLACK, GREY, PALE, Point, Svg, power};

/// One line, its points marked.
pub(super) struct Line {
    pub(super) label: String,
    pub(super) points: Vec<Point>,
    pub(super) colour: &'static str,
    pub(super) dashed: bool,
}

/// What is on an axis, and how it is laid out.
pub(super) struct Axis {
    label: String,
    layout: Layout,
}

enum Layout {
    FromZero,
    Logarithm,
    Names(Vec<String>),
}

impl Axis {
    /// From zero to the most.
    pub(super) fn from_zero(label: &str) -> Self {
        Self { label: label.to_owned(), layout: Layout::FromZero }
    }

    /// By powers of ten.
    pub(super) fn logarithm(label: &str) -> Self {
        Self { label: label.to_owned(), layout: Layout::Logarithm }
    }

    /// A name at each of 0, 1, 2 …
    pub(super) fn names(names: &[&str]) -> Self {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        Self { label: String::new(), layout: Layout::Names(names) }
    }

    /// Where it begins and ends, and what is marked on it.
    fn lay_out(&self, values: impl Iterator<Item = f64> + Clone) -> Laid {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(f64::NEG_INFINITY, f64::max);
        match &self.layout {
            Layout::Logarithm => {
                let first = least.log10().floor();
                let last = most.log10().ceil().max(first + 1.0);
                let mark = |exponent: i32| (f64::from(exponent), power(exponent));
                Laid { first, last, marks: (first as i32..=last as i32).map(mark).collect(), logarithm: true }
            }
            Layout::Names(names) => {
                let marks = names.iter().enumerate().map(|(n, name)| (n as f64, name.clone())).collect();
                Laid { first: -0.3, last: names.len() as f64 - 0.7, marks, logarithm: false }
            }
            Layout::FromZero => {
                let step = round_step(most / 6.0);
                let steps = (most / step).ceil().max(1.0);
                let mark = |n: i32| (f64::from(n) * step, without_zeros(f64::from(n) * step));
                Laid {
                    first: 0.0,
                    last: steps * step,
                    marks: (0..=steps as i32).map(mark).collect(),
                    logarithm: false,
                }
            }
        }
    }
}

/// In the measure of the axis: of a logarithmic one, exponents.
struct Laid {
    first: f64,
    last: f64,
    marks: Vec<(f64, String)>,
    logarithm: bool,
}

impl Laid {
    /// A value's share of the axis.
    fn share(&self, value: f64) -> f64 {
        self.share_of_mark(if self.logarithm { value.log10() } else { value })
    }

    fn share_of_mark(&self, mark: f64) -> f64 {
        (mark - self.first) / (self.last - self.first)
    }
}

/// 1, 2 or 5 times a power of ten, at least `step`.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.max(1e-9).log10().floor());
    let rounds = [1.0, 2.0, 5.0, 10.0].map(|n| n * power);
    rounds.into_iter().find(|round| *round >= step * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

/// No digits that say nothing.
fn without_zeros(mark: f64) -> String {
    let text = format!("{mark:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

const WIDTH: u32 = 820;
const HEIGHT: u32 = 400;
const LEFT: f64 = 70.0;
/// The legend is right of it.
const RIGHT: f64 = 520.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 345.0;

/// All of them, with a legend; none without points.
pub(super) fn lines(title: &str, x_axis: &Axis, y_axis: &Axis, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let (across, up) = (x_axis.lay_out(points().map(|(x, _)| x)), y_axis.lay_out(points().map(|(_, y)| y)));
    let x = |share: f64| LEFT + share * (RIGHT - LEFT);
    let y = |share: f64| BOTTOM - share * (BOTTOM - TOP);

    let mut svg = Svg::new(title, WIDTH, HEIGHT);
    svg.text((12.0, TOP - 18.0), 12, GREY, Anchor::Start, &y_axis.label);
    svg.text((x(0.5), BOTTOM + 38.0), 12, GREY, Anchor::Middle, &x_axis.label);
    for (mark, name) in &across.marks {
        let at = x(across.share_of_mark(*mark));
        svg.line(&[(at, TOP), (at, BOTTOM)], PALE, 1.0, false);
        svg.text((at, BOTTOM + 16.0), 12, GREY, Anchor::Middle, name);
    }
    for (mark, name) in &up.marks {
        let at = y(up.share_of_mark(*mark));
        svg.line(&[(LEFT, at), (RIGHT, at)], PALE, 1.0, false);
        svg.text((LEFT - 8.0, at), 12, GREY, Anchor::End, name);
    }
    for (row, line) in lines.iter().enumerate() {
        let places: Vec<_> =
            line.points.iter().map(|point| (x(across.share(point.0)), y(up.share(point.1)))).collect();
        svg.line(&places, line.colour, 2.0, line.dashed);
        for place in places {
            svg.dot(place, line.colour);
        }
        let height = TOP + 10.0 + 24.0 * row as f64;
        svg.line(&[(RIGHT + 24.0, height), (RIGHT + 54.0, height)], line.colour, 2.0, line.dashed);
        svg.text((RIGHT + 62.0, height), 13, BLACK, Anchor::Start, &line.label);
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_begin_and_end_at_round_numbers() {
        let names = |laid: Laid| laid.marks.into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        let axis = Axis::from_zero("s").lay_out([3.0, 11.0].into_iter());
        assert_eq!((axis.first, axis.last), (0.0, 12.0));
        assert_eq!(names(axis), ["0", "2", "4", "6", "8", "10", "12"]);
        let axis = Axis::logarithm("n").lay_out([20.0, 900.0].into_iter());
        assert!((axis.share(100.0) - 0.5).abs() < 1e-9);
        assert_eq!(names(axis), ["10", "100", "1,000"]);
        let axis = Axis::names(&["a", "b"]).lay_out([0.0].into_iter());
        assert_eq!(names(axis), ["a", "b"]);
    }
}
