//! What all plots have in common.

use std::ops::Range;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::TextStyle;

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const FONT: &str = "system-ui, sans-serif";

/// Text in this size, in pixels.
pub(super) fn text(size: u32) -> TextStyle<'static> {
    // plotters has sizes of a line, of which it takes the letters to be four fifths.
    (FONT, f64::from(size) * 1.24).into_text_style(&(0, 0))
}

/// The powers of ten around values that are more than zero.
pub(super) fn decades(values: impl Iterator<Item = f64>) -> Range<f64> {
    let exponents: Vec<f64> = values.map(f64::log10).collect();
    let first = exponents.iter().copied().fold(f64::INFINITY, f64::min).floor();
    let last = exponents.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil().max(first + 1.0);
    // A little more: both ends are to be marked, whichever way they are rounded.
    10_f64.powf(first - 1e-9)..10_f64.powf(last + 1e-9)
}

/// How many marks such an axis has: one a power of ten.
pub(super) fn marks(decades: &Range<f64>) -> usize {
    (decades.end / decades.start).log10().round() as usize
}

/// A picture on white ground, so that it is legible wherever it is shown.
pub(super) struct Picture;

impl Picture {
    /// Has `draw` fill what the title leaves.
    ///
    /// # Errors
    /// When something cannot be drawn.
    pub(super) fn draw(
        title: &str,
        size: (u32, u32),
        draw: impl FnOnce(&Area<'_>) -> Result<()>,
    ) -> Result<String> {
        let mut svg = String::new();
        let whole = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        whole.fill(&WHITE)?;
        let (_, below) = whole.split_vertically(34);
        whole.draw(&Text::new(title.to_owned(), (12, 12), text(16)))?;
        draw(&below)?;
        whole.present()?;
        drop((whole, below));
        Ok(svg)
    }
}
