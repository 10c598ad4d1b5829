//! Lines over a plain, logarithmic or named axis.

use std::ops::Range;

use anyhow::Result;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::style::{Area, Picture, decades, marks, text};
use crate::compare::spread::grouped;

/// One line, its points marked.
pub(super) struct Line {
    pub(super) label: String,
    pub(super) points: Vec<(f64, f64)>,
    pub(super) colour: RGBColor,
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

    /// Where it begins and ends.
    fn range(&self, values: impl Iterator<Item = f64>) -> Range<f64> {
        match &self.layout {
            Layout::Logarithm => decades(values),
            Layout::Names(names) => -0.3..names.len() as f64 - 0.7,
            Layout::FromZero => 0.0..values.fold(f64::MIN_POSITIVE, f64::max) * 1.05,
        }
    }

    /// What stands at a mark.
    fn mark(&self, value: f64) -> String {
        match &self.layout {
            Layout::Names(names) => names.get(value.round() as usize).cloned().unwrap_or_default(),
            _ if value >= 1_000.0 => grouped(value),
            // No digits that say nothing.
            _ => format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned(),
        }
    }

    /// How many marks there are, at most.
    fn marks(&self, range: &Range<f64>) -> usize {
        match &self.layout {
            Layout::Logarithm => marks(range),
            Layout::Names(names) => names.len(),
            Layout::FromZero => 8,
        }
    }

    fn is_logarithm(&self) -> bool {
        matches!(self.layout, Layout::Logarithm)
    }
}

const WIDTH: u32 = 820;
const HEIGHT: u32 = 400;
/// The legend is right of it.
const RIGHT: i32 = 530;

/// All of them, with a legend; none without points.
pub(super) fn lines(title: &str, x_axis: &Axis, y_axis: &Axis, lines: &[Line]) -> Result<String> {
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let across = x_axis.range(points().map(|(x, _)| x));
    let up = y_axis.range(points().map(|(_, y)| y));
    Picture::draw(title, (WIDTH, HEIGHT), |area| {
        let (area, legend) = area.split_horizontally(RIGHT);
        let marks = (x_axis.marks(&across), y_axis.marks(&up));
        let plot = Plot { area: &area, x_axis, y_axis, marks, lines };
        match (x_axis.is_logarithm(), y_axis.is_logarithm()) {
            (true, true) => plot.draw(across.log_scale(), up.log_scale())?,
            (true, false) => plot.draw(across.log_scale(), up)?,
            (false, true) => plot.draw(across, up.log_scale())?,
            (false, false) => plot.draw(across, up)?,
        }
        for (row, line) in (0..).zip(lines) {
            let height = 40 + 24 * row;
            draw_sample(&legend, height, line)?;
            legend.draw(&Text::new(line.label.clone(), (52, height - 7), text(13)))?;
        }
        Ok(())
    })
}

struct Plot<'a, 'b> {
    area: &'a Area<'b>,
    x_axis: &'a Axis,
    y_axis: &'a Axis,
    marks: (usize, usize),
    lines: &'a [Line],
}

impl Plot<'_, '_> {
    fn draw<X, Y>(&self, across: X, up: Y) -> Result<()>
    where
        X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
        Y: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    {
        let mut chart = ChartBuilder::on(self.area)
            .margin(10)
            .set_label_area_size(LabelAreaPosition::Left, 65)
            .set_label_area_size(LabelAreaPosition::Bottom, 45)
            .build_cartesian_2d(across, up)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc(self.x_axis.label.clone())
            .y_desc(self.y_axis.label.clone())
            .x_labels(self.marks.0)
            .y_labels(self.marks.1)
            .x_label_formatter(&|value| self.x_axis.mark(*value))
            .y_label_formatter(&|value| self.y_axis.mark(*value))
            .label_style(text(12))
            .draw()?;
        for line in self.lines {
            let points = line.points.iter().copied();
            let style = line.colour.stroke_width(2);
            if line.dashed {
                chart.draw_series(DashedLineSeries::new(points.clone(), 6, 4, style))?;
            } else {
                chart.draw_series(LineSeries::new(points.clone(), style))?;
            }
            chart.draw_series(points.map(|point| Circle::new(point, 3, line.colour.filled())))?;
        }
        Ok(())
    }
}

/// A line of the legend, as the plot has it.
fn draw_sample(area: &Area<'_>, height: i32, line: &Line) -> Result<()> {
    let dashes: &[(i32, i32)] = if line.dashed { &[(14, 20), (24, 30), (34, 40)] } else { &[(14, 44)] };
    for (begin, end) in dashes {
        area.draw(&PathElement::new([(*begin, height), (*end, height)], line.colour.stroke_width(2)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_begin_and_end_where_all_is_seen() {
        assert_eq!(Axis::from_zero("s").range([3.0, 20.0].into_iter()), 0.0..21.0);
        let Range { start, end } = Axis::logarithm("n").range([20.0, 900.0].into_iter());
        assert!((9.99..=10.0).contains(&start) && (1_000.0..1_000.1).contains(&end), "{start} {end}");
        let names = Axis::names(&["a", "b"]);
        assert_eq!([0.0, 1.0, 2.0].map(|value| names.mark(value)), ["a", "b", ""]);
        let numbers = Axis::from_zero("s");
        assert_eq!([0.0, 0.5, 20.0, 1e6].map(|value| numbers.mark(value)), ["0", "0.5", "20", "1,000,000"]);
    }
}
