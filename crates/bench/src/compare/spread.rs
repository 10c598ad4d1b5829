//! The middle of several rounds, and how far they lie apart.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Median, least and most of some values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// None when there are no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let (below, above) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { median: f64::midpoint(below, above), least, most })
    }
}

/// `0.91 (0.88–0.93)`.
impl fmt::Display for Spread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, least, most } = *self;
        if least.total_cmp(&most).is_eq() {
            return out.write_str(&short(median));
        }
        write!(out, "{} ({}–{})", short(median), short(least), short(most))
    }
}

/// A number with the digits that mean something: `0.912`, `9.4`, `83`, `38,100`.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => {
            let unit = 10_f64.powf(size.log10().floor() - 2.0).max(1.0);
            grouped((value / unit).round() * unit)
        }
        size if size >= 99.95 => grouped(value),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.9995 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A whole number with commas between its thousands: `1,000,000`.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0]), Some(Spread { median: 3.0, least: 3.0, most: 3.0 }));
        assert_eq!(Spread::of([9.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 9.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0]), Some(Spread { median: 3.0, least: 1.0, most: 9.0 }));
    }

    #[test]
    fn it_is_written_with_its_range() {
        let spread = Spread { median: 0.9119, least: 0.88, most: 1.0 };
        assert_eq!(spread.to_string(), "0.912 (0.880–1.00)");
        assert_eq!(Spread { median: 120.4, least: 120.4, most: 120.4 }.to_string(), "120");
    }

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        let written = [0.0, 0.04567, 0.9996, 9.994, 9.996, 99.96, 833.0, 999.7, 38_149.0, 1e6, -2_500.0];
        let expected = [
            "0.000",
            "0.046",
            "1.00",
            "9.99",
            "10.0",
            "100",
            "833",
            "1,000",
            "38,100",
            "1,000,000",
            "-2,500",
        ];
        assert_eq!(written.map(short), expected);
        assert_eq!([0.0, 999.0, 1_000.0, 10_000_000.0].map(grouped), ["0", "999", "1,000", "10,000,000"]);
    }
}
