//! Reads a Flask configuration file, which is Python source, without running it.

use std::path::Path;

use ruff_text_size::TextSize;

use super::error::{ConfigError, Origin};
use super::keys::Key;
use super::python::{self, Fault, FaultKind, Value};

/// A file may have this many bytes.
pub(super) const LONGEST: usize = 1 << 20;

/// The contents of a file.
#[derive(Debug, Default)]
pub(super) struct FlaskFile {
    /// The upper-case names in the order they first appear, each with its last value.
    pub(super) assignments: Vec<Assignment>,
    /// What the user should know, with the lines it is about.
    pub(super) remarks: Vec<(usize, String)>,
}

/// An upper-case name and its value.
#[derive(Debug, PartialEq)]
pub(super) struct Assignment {
    pub(super) key: String,
    /// The value, or where and why there is none.
    pub(super) value: Result<Value, NoValue>,
    pub(super) line: usize,
    /// Whether the value comes from the environment, and may be secret.
    pub(super) from_environment: bool,
}

/// Why a key has no value.
#[derive(Debug, PartialEq)]
pub(super) struct NoValue {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) reason: String,
    /// Whether Python would find a value.
    pub(super) is_unreadable: bool,
}

impl FlaskFile {
    /// Parses the bytes of a file, whose expressions look up variables in `environment`. The `path` is only
    /// for messages and for `__file__`.
    pub(super) fn parse(
        bytes: &[u8],
        path: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let refuse = |origin, what| ConfigError::Line { origin, what };
        if bytes.len() > LONGEST {
            return Err(refuse(Origin::File(path.to_owned()), "the file is longer than 1 MiB".to_owned()));
        }
        let source = str::from_utf8(bytes).map_err(|error| {
            let (before, _) = bytes.split_at(error.valid_up_to());
            let before = line_ends(&String::from_utf8_lossy(before));
            let line = before.matches('\n').count() + 1;
            refuse(
                Origin::Line(path.to_owned(), line),
                "not UTF-8: save the file in that encoding".to_owned(),
            )
        })?;
        let source = line_ends(source.strip_prefix('\u{feff}').unwrap_or(source));
        let lines = LineIndex::of(&source);
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let module = python::read(&source, &absolute.to_string_lossy(), environment, |name| {
            Key::named(name).is_some()
        })
        .map_err(|(at, what)| {
            let (line, column) = lines.place(at);
            let key = lines.key_at(line).map(|key| format!("{key}: ")).unwrap_or_default();
            refuse(Origin::Place(path.to_owned(), line, column), format!("{key}{what}"))
        })?;

        let mut file = Self::default();
        for (at, remark) in module.remarks {
            file.remarks.push((lines.place(at).0, remark));
        }
        let known: Vec<&str> = module.names.iter().map(|name| name.name.as_str()).collect();
        for name in &known {
            let upper = name.to_uppercase();
            if !is_key(name) && Key::named(&upper).is_some() && !known.contains(&upper.as_str()) {
                let at = module.names.iter().find(|known| known.name == **name).map(|name| name.at);
                let remark = format!("{name} is not a key: keys are in upper case; did you mean {upper}?");
                file.remarks.push((lines.place(at.unwrap_or_default()).0, remark));
            }
        }
        file.assignments = module
            .names
            .into_iter()
            .filter(|name| is_key(&name.name))
            .map(|name| Assignment {
                value: name.value.map_err(|fault| NoValue::of(fault, &lines)),
                line: lines.place(name.at).0,
                key: name.name,
                from_environment: name.from_environment,
            })
            .collect();
        Ok(file)
    }
}

impl NoValue {
    fn of(fault: Fault, lines: &LineIndex<'_>) -> Self {
        let (line, column) = lines.place(fault.at.unwrap_or_default());
        let is_unreadable = fault.kind == FaultKind::Unreadable;
        Self { line, column, reason: fault.reason.into_owned(), is_unreadable }
    }
}

/// Says whether a name is a key: as for Flask, only upper-case names are.
fn is_key(name: &str) -> bool {
    name.chars().any(char::is_uppercase) && !name.chars().any(char::is_lowercase)
}

/// Turns every kind of line end into `\n`, as Python does.
fn line_ends(source: &str) -> String {
    source.replace("\r\n", "\n").replace('\r', "\n")
}

/// The beginnings of the lines of a source.
struct LineIndex<'a> {
    source: &'a str,
    begins: Vec<usize>,
}

impl<'a> LineIndex<'a> {
    fn of(source: &'a str) -> Self {
        let begins = std::iter::once(0).chain(source.match_indices('\n').map(|(end, _)| end + 1)).collect();
        Self { source, begins }
    }

    /// Returns the key that is assigned to in this line, or in a line above that this one continues.
    fn key_at(&self, line: usize) -> Option<&'static str> {
        let begins = self.begins.get(..line)?.iter().rev();
        let mut lines = begins.map(|begin| self.source[*begin..].lines().next().unwrap_or_default());
        let begin = lines.find(|line| line.starts_with(|c: char| !c.is_whitespace()))?;
        let (name, _) = begin.split_once('=')?;
        Key::named(name.trim_end()).map(|key| key.name)
    }

    /// Returns line and column, in characters, both from 1.
    fn place(&self, at: TextSize) -> (usize, usize) {
        let at = at.to_usize();
        let line = self.begins.partition_point(|begin| *begin <= at);
        let begin = self.begins[line.saturating_sub(1)];
        let column = self.source.get(begin..at).map_or(0, |before| before.chars().count()) + 1;
        (line, column)
    }
}

#[cfg(test)]
mod tests;
