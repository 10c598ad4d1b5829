use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::*;

/// What the Python agent makes of data: the number, with half a second more or less by chance as nothing, or the error.
/// It waits for none of what it is asked for.
const PYTHON: &str = r"
import json, random, sys, time
from slamon_agent.handlers.wait_task_handler import wait_task_handler
random.random = lambda: 0.5
sleep = time.sleep
time.sleep = lambda seconds: sleep(seconds) if not 0 < seconds < 9e9 else None
for line in sys.stdin:
    try:
        print(json.dumps({'ok': repr(wait_task_handler(json.loads(line))['time'])}))
    except Exception as error:
        print(json.dumps({'error': str(error)}))
";

fn by_python(cases: &[String]) -> Vec<Value> {
    let python = slamon_testbed::original_agent().unwrap().program("python");
    let mut child = Command::new(python)
        .args(["-c", PYTHON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(cases.join("\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn by_us(data: &str) -> Value {
    let data: Data = serde_json::from_str(data).unwrap();
    let time = seconds(data.time.as_deref());
    match time.and_then(|time| sleep(time - 0.5 + 0.5).map(|_| time - 0.5 + 0.5).map_err(str::to_owned)) {
        Ok(time) => serde_json::json!({ "ok": crate::handlers::python::str_of(&time.into()) }),
        Err(error) => serde_json::json!({ "error": error }),
    }
}

#[test]
fn it_does_what_the_python_agent_does() {
    let long = "9".repeat(400);
    let times = [
        "1",
        "0",
        "0.5",
        "-1",
        "-0.0",
        "1e308",
        "1e400",
        "-1e400",
        "1e20",
        "9223372037",
        "null",
        "true",
        "false",
        "[1]",
        "[]",
        "{}",
        r#"{"a": 1}"#,
        r#""0.5""#,
        r#"" 1_0.0e-1 ""#,
        r#""x""#,
        r#""""#,
        r#"" ""#,
        r#""1e400""#,
        r#""inf""#,
        r#""-inf""#,
        r#""nan""#,
        r#""+NaN""#,
        r#""infinity""#,
        r#""1__0""#,
        r#""_1""#,
        r#""1_""#,
        r#""+1""#,
        r#""0x1""#,
        r#""1.5f""#,
        r#""\u00a01\u2003""#,
        r#"".5""#,
        r#""5.""#,
        r#"".""#,
        r#""1 2""#,
        r#""a'b""#,
        r#""a\"b'c\n\u00e9\ud83d\ude00\u0000""#,
        r#""--1""#,
        r#""1e5_0""#,
        r#""e1""#,
        &long,
    ];
    let mut cases: Vec<String> = times.iter().map(|time| format!(r#"{{"time": {time}}}"#)).collect();
    cases.extend(["{}".to_owned(), r#"{"Time": 1}"#.to_owned(), r#"{"time": 1, "x": 2}"#.to_owned()]);
    let python = by_python(&cases);
    assert_eq!(python.len(), cases.len());
    for (case, python) in cases.iter().zip(python) {
        assert_eq!(by_us(case), python, "{case}");
    }
}

#[tokio::test]
async fn numbers_reach_it_as_they_were_posted() {
    let handler = crate::handlers::built_in().into_iter().find(|handler| handler.name == "wait").unwrap();
    let handler = handler.handler(Arc::default());
    for (data, expected) in [
        (r#"{"time": 1e400}"#.to_owned(), "timestamp too large to convert to C _PyTime_t"),
        (format!(r#"{{"time": {}}}"#, "9".repeat(400)), "int too large to convert to float"),
        (
            r#"{"time": null}"#.to_owned(),
            "float() argument must be a string or a real number, not 'NoneType'",
        ),
        ("{}".to_owned(), "'time'"),
    ] {
        let data = RawValue::from_string(data).unwrap();
        assert_eq!(handler.execute(&data, Context::alone()).await.unwrap_err().to_string(), expected);
    }
}

#[tokio::test]
async fn it_waits_for_about_that_time() {
    let began = std::time::Instant::now();
    let data = serde_json::from_str(r#"{"time": "0.6"}"#).unwrap();
    let output = execute(data, Context::alone(), Arc::default()).await.unwrap();
    assert!((0.1..1.1).contains(&output.time), "{output:?}");
    assert!(began.elapsed().as_secs_f64() >= output.time);
}

/// Texts that are nearly numbers, always the same.
fn near_numbers(count: usize) -> Vec<String> {
    #[rustfmt::skip]
    let parts = [
        "0", "1", "9", "00", "12345", ".", ".", "e", "E", "+", "-", "_", " ", "\t", "\n", "\u{a0}", "\u{85}", "\u{1f}",
        "\u{200b}", "\u{feff}", "\0", "inf", "Nan", "INFINITY", "infinit", "nan1", "x", "0x1p3", "1e", "e-5", "e5", "e308", "e309",
        ",", "\u{661}", "\u{ff11}", "\u{1d7d9}", "\u{96c}", "½", "²", "Ⅷ", "五", "j", "l", "'", "\"", "\\", "(1)", "true", "\u{2212}",
    ];
    let mut state = 11_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut text = || {
        let length = next(6);
        (0..length).fold(String::new(), |text, _| text + parts[next(parts.len())])
    };
    (0..count).map(|_| text()).collect()
}

#[test]
fn it_reads_texts_as_the_python_agent_does() {
    let texts = near_numbers(4_000);
    let cases: Vec<String> =
        texts.iter().map(|text| serde_json::json!({ "time": text }).to_string()).collect();
    let python = by_python(&cases);
    assert_eq!(python.len(), cases.len());
    let mut differences = Vec::new();
    for (case, python) in cases.iter().zip(python) {
        let ours = by_us(case);
        if ours != python {
            differences.push(format!("{case}\n  Python: {python}\n    ours: {ours}"));
        }
    }
    assert!(differences.is_empty(), "{} of {}\n{}", differences.len(), cases.len(), differences.join("\n"));
}
