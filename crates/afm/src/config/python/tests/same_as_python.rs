//! Compares files read by Flask 0.12 and by this crate: both find the same keys and values.

mod expressions;
mod files;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};
use slamon_testbed::original_afm;

use super::super::budget::Budget;
use super::super::render::repr;
use super::super::{Fault, FaultKind, Value};
use super::read;

/// The variables that every file finds in its environment.
const VARIABLES: [(&str, &str); 6] = [
    ("DATABASE_URL", "postgres://afm:p%40ss@db.example/afm"),
    ("EMPTY", ""),
    ("HOME", "/home/afm"),
    ("NUMBER", " 42 "),
    ("FLAG", "true"),
    ("PASSWORD", "a b&c/d@é"),
];

/// This text stands for a container that cannot be shown.
const NOT_SHOWN: &str = "not shown";

const ORACLE: &str = include_str!("oracle.py");

/// The result of reading a file: the keys and their values, or an exception.
#[derive(Debug, PartialEq)]
enum Evaluated {
    Keys(BTreeMap<String, String>),
    Raises(String),
}

/// Runs Flask over all sources, as a file of that path.
fn by_flask(path: &str, sources: &[String]) -> Vec<Evaluated> {
    let python = original_afm().expect("make setup has been run").program("python");
    let variables: BTreeMap<_, _> = VARIABLES.into();
    let cases: Vec<_> =
        sources.iter().map(|source| json!({"source": source, "variables": variables})).collect();
    let mut child = Command::new(python)
        .args(["-c", ORACLE, path])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(Json::from(cases).to_string().as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    let found: Vec<Json> = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |json: &Json| json.as_str().expect("a string").to_owned();
    let of = |found: &Json| match found.get("keys").and_then(Json::as_object) {
        Some(keys) => Evaluated::Keys(keys.iter().map(|(key, value)| (key.clone(), text(value))).collect()),
        None => Evaluated::Raises(text(&found["raises"])),
    };
    found.iter().map(of).collect()
}

/// Reads a file with this crate: returns the keys with their values or faults.
fn by_us(path: &str, source: &str) -> Result<BTreeMap<String, Result<String, Fault>>, String> {
    let find =
        |name: &str| VARIABLES.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let module = read(source, path, &find, |_| false).map_err(|(_, what)| what)?;
    let keys = module.names.into_iter().filter(|name| name.name.chars().all(|c| !c.is_lowercase()));
    let keys = keys.filter(|name| name.name.chars().any(char::is_uppercase));
    Ok(keys.map(|name| (name.name, name.value.map(|value| show(&value)))).collect())
}

/// Shows a value in the form of the oracle.
fn show(value: &Value) -> String {
    let kind = match value {
        Value::None => "NoneType",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float",
        Value::Str(_) => "str",
        Value::Tuple(_) => "tuple",
        Value::List(_) => "list",
        Value::Dict(_) => "dict",
        Value::Timedelta(micros) => return format!("timedelta {micros}"),
        Value::Bytes(_) => return "bytes".to_owned(),
        Value::Set(_) => return "set".to_owned(),
        Value::Function(_) | Value::Module(_) | Value::Environ | Value::Ellipsis => {
            return "other".to_owned();
        }
    };
    match (repr(value, &mut Budget(1 << 24)), value) {
        (Ok(text), _) => format!("{kind} {text}"),
        // Python quotes by its table of characters.
        (Err(_), Value::Str(text)) => format!("{kind} '{text}'"),
        // This happens only with containers that have a timedelta in them.
        (Err(_), _) => NOT_SHOWN.to_owned(),
    }
}

/// How the expressions of `X = …` compare; what differs, and what has no value here.
fn differences(expressions: &[String]) -> (Vec<String>, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("afm.cfg").display().to_string();
    let sources: Vec<String> = expressions
        .iter()
        .map(|expression| {
            format!(
                "import os, logging\nfrom datetime import timedelta\nfrom urllib.parse import quote, quote_plus\n\
                 X = {expression}\n"
            )
        })
        .collect();
    let mut unread = Vec::new();
    let mut differ = Vec::new();
    for ((expression, source), theirs) in expressions.iter().zip(&sources).zip(by_flask(&path, &sources)) {
        let ours = by_us(&path, source).map(|mut keys| keys.remove("X"));
        let same = match (&ours, &theirs) {
            (Ok(Some(Ok(ours))), Evaluated::Keys(theirs)) => {
                ours == NOT_SHOWN || theirs.get("X") == Some(ours)
            }
            (Ok(Some(Err(fault))), theirs) => match fault.kind {
                FaultKind::Unreadable => {
                    unread.push(expression.clone());
                    true
                }
                FaultKind::Raises(_) => matches!(theirs, Evaluated::Raises(_)),
            },
            (Err(_), Evaluated::Raises(_)) => true,
            _ => false,
        };
        if !same {
            differ.push(format!("{expression}\n  Python: {theirs:?}\n  ours:   {ours:?}"));
        }
    }
    (differ, unread)
}
