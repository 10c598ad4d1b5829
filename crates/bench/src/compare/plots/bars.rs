//! Horizontal bars on a logarithmic scale, each with its number.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::style::{Picture, decades, marks, text};
use crate::compare::spread::{grouped, short};

/// One bar.
pub(super) struct Bar {
    pub(super) label: String,
    /// More than zero.
    pub(super) value: f64,
    pub(super) colour: RGBColor,
    /// Paler, to tell two of one colour apart.
    pub(super) light: bool,
}

const WIDTH: u32 = 860;
/// For labels.
const LEFT: u32 = 420;
/// For the number of the longest.
const RIGHT: u32 = 70;
const ROW: u32 = 26;
/// For the title and the marks of the axis.
const AROUND: u32 = 90;

/// All of them, in the order given.
pub(super) fn bars(title: &str, bars: &[Bar]) -> Result<String> {
    let across = decades(bars.iter().map(|bar| bar.value));
    let first = across.start;
    Picture::draw(title, (WIDTH, AROUND + ROW * bars.len() as u32), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin_right(RIGHT)
            .margin_top(10)
            .set_label_area_size(LabelAreaPosition::Left, LEFT)
            .set_label_area_size(LabelAreaPosition::Bottom, 30)
            .build_cartesian_2d(across.clone().log_scale(), 0.0..bars.len() as f64)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(TRANSPARENT)
            .y_labels(0)
            .x_labels(marks(&across))
            .x_label_formatter(&|value| grouped(*value))
            .label_style(text(13))
            .draw()?;
        let at = |side| text(13).pos(Pos::new(side, VPos::Center));
        // Rows are counted from below.
        for (row, bar) in bars.iter().rev().enumerate() {
            let middle = row as f64 + 0.5;
            let rectangle = |style: ShapeStyle| {
                Rectangle::new([(first, middle - 0.35), (bar.value, middle + 0.35)], style)
            };
            // The lines behind must not show through a pale one.
            let colour = bar.colour.mix(if bar.light { 0.5 } else { 1.0 });
            chart.draw_series([rectangle(WHITE.filled()), rectangle(colour.filled())])?;
            let label = Text::new(bar.label.clone(), (-8, 0), at(HPos::Right));
            chart.plotting_area().draw(&(EmptyElement::at((first, middle)) + label))?;
            let number = Text::new(short(bar.value), (6, 0), at(HPos::Left));
            chart.plotting_area().draw(&(EmptyElement::at((bar.value, middle)) + number))?;
        }
        Ok(())
    })
}
