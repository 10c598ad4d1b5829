//! A table, as Markdown that is also legible on a terminal.

use std::fmt;

/// Rows under a head; columns but the first hold numbers unless said otherwise.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { head: head.map(str::to_owned).into(), rows: Vec::new() }
    }

    pub(crate) fn row<const N: usize>(&mut self, row: [String; N]) {
        self.rows.push(row.into());
    }
}

/// Every line ends with a newline.
impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&self.head]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |out: &mut fmt::Formatter<'_>, cells: &[String]| {
            for (cell, width) in cells.iter().zip(&widths) {
                write!(out, "| {cell:<width$} ")?;
            }
            writeln!(out, "|")
        };
        line(out, &self.head)?;
        for width in &widths {
            write!(out, "|{:-<1$}", "", width + 2)?;
        }
        writeln!(out, "|")?;
        self.rows.iter().try_for_each(|row| line(out, row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["what", "÷"]);
        table.row(["polls".to_owned(), "0.91".to_owned()]);
        table.row(["a".to_owned(), "0.912 (0.88–1)".to_owned()]);
        let expected = "\
            | what  | ÷              |\n\
            |-------|----------------|\n\
            | polls | 0.91           |\n\
            | a     | 0.912 (0.88–1) |\n";
        assert_eq!(table.to_string(), expected);
    }
}
