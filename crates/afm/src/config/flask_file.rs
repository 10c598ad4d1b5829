//! Reads a Flask configuration file, which is Python source, without running it.

use std::path::Path;

use super::error::{ConfigError, Origin};
use super::literal::{Fault, Reader, Value};

/// What a file says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct FlaskFile {
    /// The upper-case keys in the order they first appear, each with its last value.
    pub(super) assignments: Vec<Assignment>,
    /// The lines that hold imports, which are passed over.
    pub(super) imports: Vec<usize>,
}

/// A line `KEY = literal`.
#[derive(Debug, PartialEq)]
pub(super) struct Assignment {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) line: usize,
}

impl FlaskFile {
    /// Reads the bytes of a file; the path is for messages only.
    pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Self, ConfigError> {
        let refuse = |line, what| ConfigError::Line { origin: Origin::Line(path.to_owned(), line), what };
        let source = str::from_utf8(bytes).map_err(|error| {
            let (before, _) = bytes.split_at(error.valid_up_to());
            let before = line_ends(&String::from_utf8_lossy(before));
            refuse(before.matches('\n').count() + 1, "not UTF-8".to_owned())
        })?;
        let source = line_ends(source.strip_prefix('\u{feff}').unwrap_or(source));

        let mut file = Self::default();
        let mut reader = Reader::new(&source);
        loop {
            let mut key = None;
            match statement(&mut reader, &mut file, &mut key) {
                Ok(true) => {}
                Ok(false) => return Ok(file),
                Err(Fault { line, reason }) => {
                    let key = key.map(|key| format!("{key}: ")).unwrap_or_default();
                    return Err(refuse(line, format!("{key}{reason}")));
                }
            }
        }
    }

    fn assign(&mut self, key: &str, value: Value, line: usize) {
        // As Flask does: only upper-case names are keys.
        if !key.chars().any(char::is_uppercase) || key.chars().any(char::is_lowercase) {
            return;
        }
        match self.assignments.iter_mut().find(|known| known.key == key) {
            Some(known) => (known.value, known.line) = (value, line),
            None => self.assignments.push(Assignment { key: key.to_owned(), value, line }),
        }
    }
}

/// As Python reads its source: every kind of line end is `\n`.
fn line_ends(source: &str) -> String {
    source.replace("\r\n", "\n").replace('\r', "\n")
}

/// Reads one statement; false at the end of the file. Says which key it read, for the message about a fault.
fn statement<'a>(
    reader: &mut Reader<'a>,
    file: &mut FlaskFile,
    key: &mut Option<&'a str>,
) -> Result<bool, Fault> {
    reader.blank();
    while reader.eat("\n") || reader.eat(";") {
        reader.blank();
    }
    if reader.peek().is_none() {
        return Ok(false);
    }
    let line = reader.line();
    if reader.string_ahead() {
        // A text on its own, such as the one that opens a module, does nothing in Python either.
        reader.strings()?;
    } else {
        match reader.name() {
            Some("import" | "from") => {
                reader.skip_statement();
                file.imports.push(line);
            }
            Some(name) => {
                reader.blank();
                if !reader.eat("=") || reader.peek() == Some('=') {
                    return reader.fault("expected KEY = literal");
                }
                *key = Some(name);
                reader.blank();
                let value = reader.value()?;
                file.assign(name, value, line);
            }
            None => return reader.fault("expected KEY = literal"),
        }
    }
    reader.blank();
    match reader.peek() {
        None | Some('\n' | ';') => Ok(true),
        Some(_) => reader.fault("something follows the value; it must be a literal or a product of numbers"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Assignment, FlaskFile, Value};

    fn parse(bytes: impl AsRef<[u8]>) -> Result<FlaskFile, String> {
        FlaskFile::parse(bytes.as_ref(), Path::new("FILE")).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn assert_holds(bytes: impl AsRef<[u8]>, expected: &[(&str, i128, usize)]) {
        let expected = expected.iter().map(|(key, number, line)| Assignment {
            key: (*key).to_owned(),
            value: Value::Int(*number),
            line: *line,
        });
        assert_eq!(parse(bytes).unwrap().assignments, expected.collect::<Vec<_>>());
    }

    #[test]
    fn statements() {
        assert_holds("", &[]);
        assert_holds("# A = 1", &[]);
        assert_holds("A=1", &[("A", 1, 1)]);
        assert_holds("A = 1 # one\n\n\t\nB_2 = 2", &[("A", 1, 1), ("B_2", 2, 4)]);
        assert_holds(
            "A = 1; B = 2;\nC = \\\n 3\nD = 4",
            &[("A", 1, 1), ("B", 2, 1), ("C", 3, 2), ("D", 4, 4)],
        );
        assert_holds("A = 1\nB = 2\nA = 3", &[("A", 3, 3), ("B", 2, 2)]);
        assert_holds("a = 1\nAb = 2\n_ = 3\nÉ = 4", &[("É", 4, 4)]);
        assert_holds("'''About\nthis file'''\nA = 1", &[("A", 1, 3)]);
        assert_holds("a = {\n 'b': '}',\n # }\n 'c': [1,\n 2]}\nA = 1", &[("A", 1, 6)]);
        assert_holds("a = '''\nB = 2\n'''\nA = 1", &[("A", 1, 4)]);
    }

    #[test]
    fn line_ends_and_the_byte_order_mark() {
        assert_holds("\u{feff}A = 1\r\nB = (2 *\r\n 3)\r\n", &[("A", 1, 1), ("B", 6, 2)]);
        assert_holds("A = 1\rB = 2\r", &[("A", 1, 1), ("B", 2, 2)]);
        let text = parse("A = '''a\r\nb'''").unwrap().assignments.remove(0).value;
        assert_eq!(text, Value::Str("a\nb".to_owned()));
    }

    #[test]
    fn imports_are_passed_over() {
        let file =
            parse("import os, logging; A = 1\nfrom x import (  # (\n  y,\n  z)\nimport a \\\n as b\nB = 2")
                .unwrap();
        assert_eq!(file.imports, [1, 2, 5]);
        assert_eq!(
            file.assignments.iter().map(|a| (&*a.key, a.line)).collect::<Vec<_>>(),
            [("A", 1), ("B", 7)]
        );
    }

    #[test]
    fn what_cannot_be_read_is_named_by_line_and_key() {
        const STATEMENT: &str = "expected KEY = literal";
        const LITERAL: &str = "expected a literal: a number, a quoted string, True, False or None";
        const MORE: &str = "something follows the value; it must be a literal or a product of numbers";
        for (source, message) in [
            ("A = 1\nif A:\n  B = 2", format!("FILE:2: {STATEMENT}")),
            ("A += 1", format!("FILE:1: {STATEMENT}")),
            ("A == 1", format!("FILE:1: {STATEMENT}")),
            ("A: int = 1", format!("FILE:1: {STATEMENT}")),
            ("A", format!("FILE:1: {STATEMENT}")),
            ("1 = A", format!("FILE:1: {STATEMENT}")),
            ("A =\n1", format!("FILE:1: A: {LITERAL}")),
            ("a = os.environ['A']", format!("FILE:1: a: {LITERAL}")),
            ("A = B = 1", format!("FILE:1: A: {LITERAL}")),
            ("A = 1 + 1", format!("FILE:1: A: {MORE}")),
            ("A = 1 B = 2", format!("FILE:1: A: {MORE}")),
            ("A = 'it's'", format!("FILE:1: A: {MORE}")),
            ("A = 1\nB = [\n1\nC = 2", "FILE:4: B: expected a comma or a closing bracket".to_owned()),
            ("A = 1\nB = [\n1\n", "FILE:2: B: a bracket is never closed".to_owned()),
            ("\nA = '''\n\n", "FILE:2: A: a string is never closed".to_owned()),
        ] {
            assert_eq!(parse(source), Err(message), "{source}");
        }
        assert_eq!(parse(b"A = 1\rB = 2\r\nC = '\xe9'"), Err("FILE:3: not UTF-8".to_owned()));
    }
}
