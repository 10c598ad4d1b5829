//! Tables for people.

use super::terminal_text::{cut, padded, width};

/// Blanks between two columns.
const GAP: usize = 2;
/// The last column has at least so much room, however narrow the terminal is.
const LEAST: usize = 12;

/// A table. The texts in it are safe to show.
#[derive(Debug)]
pub(in crate::cli) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// How wide columns were in the part of the table before.
    widths: Vec<usize>,
}

impl Table {
    /// An empty table.
    pub(in crate::cli) fn new(header: &[&'static str]) -> Self {
        Self {
            header: header.to_vec(),
            rows: Vec::new(),
            widths: header.iter().map(|name| width(name)).collect(),
        }
    }

    /// Adds a row, with a text for each column.
    pub(in crate::cli) fn row(&mut self, row: Vec<String>) {
        debug_assert_eq!(row.len(), self.header.len());
        for (widest, text) in self.widths.iter_mut().zip(&row) {
            *widest = (*widest).max(width(text));
        }
        self.rows.push(row);
    }

    /// The names of the columns.
    pub(in crate::cli) fn header(&self, room: Option<usize>) -> String {
        self.line(&self.header.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), room)
    }

    /// Takes the rows out, one line each. The last column is cut where there is room for less.
    pub(in crate::cli) fn take_rows(&mut self, room: Option<usize>) -> Vec<String> {
        std::mem::take(&mut self.rows).iter().map(|row| self.line(row, room)).collect()
    }

    /// The header and all rows.
    pub(in crate::cli) fn lines(&mut self, room: Option<usize>) -> Vec<String> {
        let mut lines = vec![self.header(room)];
        lines.extend(self.take_rows(room));
        lines
    }

    fn line(&self, row: &[String], room: Option<usize>) -> String {
        let last = row.len().saturating_sub(1);
        let mut line = String::new();
        let mut used = 0;
        for (place, (text, widest)) in row.iter().zip(&self.widths).enumerate() {
            if place == last {
                match room {
                    Some(room) => line.push_str(&cut(text, room.saturating_sub(used).max(LEAST))),
                    None => line.push_str(text),
                }
            } else {
                line.push_str(&padded(text, widest + GAP));
                used += widest + GAP;
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_begin_at_the_same_place_and_the_last_one_is_cut() {
        let mut table = Table::new(&["NAME", "COUNT", "ERROR"]);
        table.row(vec!["日本語".into(), "1".into(), "none".into()]);
        table.row(vec!["a".into(), "23".into(), "a long text that does not fit".into()]);
        let lines = table.lines(Some(30));
        assert_eq!(lines[0], "NAME    COUNT  ERROR");
        assert_eq!(lines[1], "日本語  1      none");
        assert_eq!(lines[2], "a       23     a long text th…");
        assert!(table.take_rows(None).is_empty());
        table.row(vec!["b".into(), String::new(), String::new()]);
        assert_eq!(table.take_rows(None), ["b"]);
    }
}
