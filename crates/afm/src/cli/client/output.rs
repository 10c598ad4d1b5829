//! What is written for whoever has started the program.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::value::RawValue;

use super::failure::Failure;
use super::terminal_text;

/// Standard output.
#[derive(Debug)]
pub(super) struct Output {
    out: io::BufWriter<io::Stdout>,
    room: Option<usize>,
}

impl Output {
    pub(super) fn new() -> Self {
        let room = io::stdout().is_terminal().then(|| crossterm::terminal::size().ok()).flatten();
        Self { out: io::BufWriter::new(io::stdout()), room: room.map(|(columns, _)| columns.into()) }
    }

    /// How many columns a line has; `None`: any number, since no terminal shows it.
    pub(super) fn room(&self) -> Option<usize> {
        self.room.filter(|room| *room > 0)
    }

    /// Writes a line, which is safe to show.
    pub(super) fn line(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.out, "{line}").map_err(Failure::of_writing)
    }

    /// Writes lines, which are safe to show.
    pub(super) fn lines<T: AsRef<str>>(&mut self, lines: impl IntoIterator<Item = T>) -> Result<(), Failure> {
        lines.into_iter().try_for_each(|line| self.line(line.as_ref()))
    }

    /// Writes a JSON text as it came, on a line.
    pub(super) fn raw_json(&mut self, json: &RawValue) -> Result<(), Failure> {
        self.line(&terminal_text::json(json.get()))
    }

    /// Writes something as JSON, on a line.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(io::Error::from).map_err(Failure::of_writing)?;
        self.line(&terminal_text::json(&text))
    }

    /// Has what was written reach its reader.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::of_writing)
    }
}

/// Writes a line about how things go, or why they do not, to standard error.
pub(super) fn tell(line: &str) {
    // If that cannot be written, there is nobody left to tell.
    let _ = writeln!(io::stderr(), "slamon-afm: {}", terminal_text::shown(line));
}
