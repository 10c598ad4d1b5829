//! The few elements of SVG that the plots are made of.

use std::fmt::{self, Write};

use crate::compare::spread::grouped;

/// A picture on white ground, so that it is legible wherever it is shown.
pub(super) struct Svg {
    body: String,
    width: u32,
    height: u32,
}

/// Which end of a text is where it is put.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A place, in pixels from the upper left corner.
pub(super) type Point = (f64, f64);

pub(super) const WHITE: &str = "#ffffff";
pub(super) const BLACK: &str = "#1a1a1a";
pub(super) const GREY: &str = "#5a5a5a";
pub(super) const PALE: &str = "#dcdcdc";

impl Svg {
    pub(super) fn new(title: &str, width: u32, height: u32) -> Self {
        let mut svg = Self { body: String::new(), width, height };
        svg.write(format_args!("<title>{}</title>", Escaped(title)));
        svg.write(format_args!("<rect width=\"{width}\" height=\"{height}\" fill=\"{WHITE}\"/>"));
        svg.text((12.0, 22.0), 16, BLACK, Anchor::Start, title);
        svg
    }

    /// Its middle height is where it is put.
    pub(super) fn text(&mut self, (x, y): Point, size: u32, colour: &str, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        // Not every program that shows SVG knows of other base lines.
        let y = y + 0.35 * f64::from(size);
        self.write(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{colour}\" text-anchor=\"{anchor}\">{}</text>",
            Escaped(text)
        ));
    }

    pub(super) fn bar(&mut self, (x, y): Point, (width, height): Point, colour: &str, opacity: f64) {
        self.write(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\" \
             fill-opacity=\"{opacity}\"/>"
        ));
    }

    pub(super) fn line(&mut self, points: &[Point], colour: &str, width: f64, dashed: bool) {
        let places: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let places = places.join(" ");
        let dashes = if dashed { " stroke-dasharray=\"6 4\"" } else { "" };
        self.write(format_args!(
            "<polyline points=\"{places}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"{dashes}/>"
        ));
    }

    pub(super) fn dot(&mut self, (x, y): Point, colour: &str) {
        self.write(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"));
    }

    pub(super) fn finish(self) -> String {
        let Self { body, width, height } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"system-ui, sans-serif\">\n{body}</svg>\n"
        )
    }

    fn write(&mut self, element: fmt::Arguments<'_>) {
        self.body.push_str(&format!("{element}\n"));
    }
}

/// A power of ten, as the mark of an axis: `0.1`, `1`, `1,000`.
pub(super) fn power(exponent: i32) -> String {
    if exponent < 0 {
        return format!("{:.1$}", 10_f64.powi(exponent), exponent.unsigned_abs() as usize);
    }
    grouped(10_f64.powi(exponent))
}

/// Text without what SVG would take for markup.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '&' => out.write_str("&amp;")?,
                c => out.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_written_without_digits_that_say_nothing() {
        assert_eq!([-2, -1, 0, 1, 6].map(power), ["0.01", "0.1", "1", "10", "1,000,000"]);
    }
}
