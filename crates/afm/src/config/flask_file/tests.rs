use std::path::Path;

use super::{FlaskFile, Value};

fn parse(bytes: impl AsRef<[u8]>) -> Result<FlaskFile, String> {
    FlaskFile::parse(bytes.as_ref(), Path::new("FILE"), &|_| None).map_err(|error| error.to_string())
}

#[track_caller]
fn assert_holds(bytes: impl AsRef<[u8]>, expected: &[(&str, i128, usize)]) {
    let file = parse(bytes).unwrap();
    let found = file.assignments.iter().map(|assignment| match &assignment.value {
        Ok(Value::Int(number)) => (assignment.key.as_str(), *number, assignment.line),
        other => panic!("{}: {other:?}", assignment.key),
    });
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

#[test]
fn statements() {
    assert_holds("", &[]);
    assert_holds("# A = 1", &[]);
    assert_holds("A=1", &[("A", 1, 1)]);
    assert_holds("A = 1 # one\n\n\t\nB_2 = 2", &[("A", 1, 1), ("B_2", 2, 4)]);
    assert_holds("A = 1; B = 2;\nC = \\\n 3\nD = 4", &[("A", 1, 1), ("B", 2, 1), ("C", 3, 2), ("D", 4, 4)]);
    assert_holds("A = 1\nB = 2\nA = 3", &[("A", 3, 3), ("B", 2, 2)]);
    assert_holds("a = 1\nAb = 2\n_ = 3\nÉ = 4", &[("É", 4, 4)]);
    assert_holds("'''About\nthis file'''\nA = 1", &[("A", 1, 3)]);
    assert_holds("a = {\n 'b': '}',\n # }\n 'c': [1,\n 2]}\nA = 1", &[("A", 1, 6)]);
    assert_holds("a = '''\nB = 2\n'''\nA = 1", &[("A", 1, 4)]);
    assert_holds("A = 1 + 1\nif A:\n  B = A", &[("A", 2, 1), ("B", 2, 3)]);
    assert_holds("A: int = 1\nA += 1\nB = C = 5", &[("A", 2, 2), ("B", 5, 3), ("C", 5, 3)]);
}

#[test]
fn line_ends_and_the_byte_order_mark() {
    assert_holds("\u{feff}A = 1\r\nB = (2 *\r\n 3)\r\n", &[("A", 1, 1), ("B", 6, 2)]);
    assert_holds("A = 1\rB = 2\r", &[("A", 1, 1), ("B", 2, 2)]);
    let text = parse("A = '''a\r\nb'''").unwrap().assignments.remove(0).value;
    assert_eq!(text, Ok(Value::Str("a\nb".into())));
}

#[test]
fn what_is_passed_over_is_remarked_on() {
    let file = parse(
        "import os, logging; A = 1\nfrom x import (  # (\n  load_dotenv,\n  z)\nimport a \\\n as b\nload_dotenv()\nB = 2\n\
         class Config:\n  AGENT_RETURN_TIME = 5\n  OTHER = 1\nfor x in y: pass\nlog_level = 'INFO'\nauto_create = True\nAUTO_CREATE = auto_create\n",
    );
    const RUN: &str = "is passed over: this file is read, not run";
    assert_eq!(
        file.unwrap().remarks,
        [
            (2, format!("an import {RUN}")),
            (5, format!("an import {RUN}")),
            (7, format!("this statement {RUN}")),
            (
                9,
                format!(
                    "AGENT_RETURN_TIME in a class {RUN}, and settings stand outside of classes, as for Flask's from_pyfile"
                )
            ),
            (12, format!("this statement {RUN}")),
            (13, "log_level is not a key: keys are in upper case; did you mean LOG_LEVEL?".to_owned()),
        ]
    );
}

#[test]
fn what_cannot_be_read_is_named_by_line_and_column() {
    for (source, message) in [
        (
            "A = 1\nif A:\nB = 2",
            "FILE:3:1: this is not Python: expected an indented block after `if` statement",
        ),
        ("1 = A", "FILE:1:1: this is not Python: invalid assignment target"),
        ("A =\n1", "FILE:1:4: this is not Python: expected an expression"),
        (
            "A = 1 B = 2",
            "FILE:1:7: this is not Python: simple statements must be separated by newlines or semicolons",
        ),
        (
            "A = 'it's'",
            "FILE:1:9: this is not Python: simple statements must be separated by newlines or semicolons",
        ),
        ("A = 1\nB = [\n1\nC = 2", "FILE:4:1: this is not Python: expected `,`, found name"),
        ("\nA = '''\n\n", "FILE:2:5: this is not Python: missing closing quote in string literal"),
        ("LOG_LEVEL =\nA = 1", "FILE:1:12: LOG_LEVEL: this is not Python: expected an expression"),
        ("LOG_LEVEL = (1\n\n  2)", "FILE:3:3: LOG_LEVEL: this is not Python: expected `)`, found int"),
        ("A", "FILE:1:1: this name is not defined above; is it a string without quotes?"),
        ("A = 1\nraise ValueError('x')", "FILE:2:1: the file refuses its settings here, with an exception"),
        ("A = 1\nB = ((((", "FILE:2:9: this is not Python: unexpected EOF while parsing"),
    ] {
        assert_eq!(parse(source).map(|_| ()), Err(message.to_owned()), "{source}");
    }
    assert_eq!(
        parse(b"A = 1\rB = 2\r\nC = '\xe9'").map(|_| ()),
        Err("FILE:3: not UTF-8: save the file in that encoding".to_owned())
    );
    assert_eq!(
        parse("#".repeat((1 << 20) + 1)).map(|_| ()),
        Err("FILE: the file is longer than 1 MiB".to_owned())
    );
    assert!(parse("#".repeat(1 << 20)).is_ok());
    let deep = format!("A = 1\n\nB = {}", "[".repeat(1000));
    assert_eq!(
        parse(deep).map(|_| ()),
        Err("FILE:3:1: brackets, blocks or operators are nested too deeply".to_owned())
    );
}
