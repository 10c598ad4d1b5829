//! Callgrind: a program under it, and what it has counted.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use slamon_testbed::Process;

/// A program that runs under callgrind.
pub(super) struct Callgrind {
    process: Process,
    /// Counts are written to files of this name and a number, from 1 on.
    out: PathBuf,
    dumps: Cell<u32>,
}

/// What was counted between two moments.
pub(super) struct Cost {
    pub(super) total: u64,
    /// With all that they call.
    functions: BTreeMap<String, u64>,
}

/// Of these there are many, and all they say is that the program runs.
const PLUMBING: [&str; 16] = [
    "FnOnce::call_once",
    "__rust_begin_short_backtrace",
    "as core::future::future::Future>::poll",
    "start_thread",
    "Thread>::new",
    "clone",
    "tokio::runtime",
    "tokio::task",
    "axum::middleware",
    "tower_service",
    "poll_catch",
    "{{closure}}",
    "core::ops::function",
    "std::thread",
    "core::ptr::drop_in_place",
    "core::iter",
];

/// How many functions are named.
const NAMED: usize = 14;

impl Callgrind {
    pub(super) fn new(process: Process, out: PathBuf) -> Self {
        Self { process, out, dumps: Cell::new(0) }
    }

    /// Counts from now on.
    pub(super) fn zero(&self) -> Result<()> {
        self.control("--zero")
    }

    /// What was counted since.
    pub(super) fn dump(&self) -> Result<Cost> {
        self.control("--dump")?;
        self.dumps.set(self.dumps.get() + 1);
        let mut file = OsString::from(&self.out);
        file.push(format!(".{}", self.dumps.get()));
        annotate(Path::new(&file))
    }

    fn control(&self, what: &str) -> Result<()> {
        let output = Command::new("callgrind_control")
            .args([what, &self.process.pid().to_string()])
            .output()
            .context("cannot start callgrind_control (Debian's package valgrind)")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success() && said.contains("OK"),
            "callgrind_control {what}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

/// Has callgrind's own program add up what functions take with all they call.
fn annotate(file: &Path) -> Result<Cost> {
    let output = Command::new("callgrind_annotate")
        .args(["--inclusive=yes", "--threshold=100"])
        .arg(file)
        .output()
        .context("cannot start callgrind_annotate")?;
    ensure!(output.status.success(), "callgrind_annotate: {}", String::from_utf8_lossy(&output.stderr));
    parse(&String::from_utf8_lossy(&output.stdout)).context("callgrind_annotate says no total")
}

/// Lines are `12,345 (67.89%)  file:function [object]`.
fn parse(text: &str) -> Option<Cost> {
    let mut total = None;
    let mut functions = BTreeMap::new();
    for line in text.lines() {
        let Some((count, name)) = line.split_once("%)  ") else { continue };
        let digits: String = count.split('(').next()?.chars().filter(char::is_ascii_digit).collect();
        let Ok(count) = digits.parse::<u64>() else { continue };
        if name.contains("PROGRAM TOTALS") {
            total = Some(count);
            continue;
        }
        let name = name.split(" [").next().unwrap_or(name);
        let function = name.split_once(':').map_or(name, |(_, function)| function);
        // A function that calls itself is listed once for each depth; the outermost has all of it.
        let function = function.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('\'');
        let most = functions.entry(function.to_owned()).or_insert(0);
        *most = count.max(*most);
    }
    Some(Cost { total: total?, functions })
}

impl Cost {
    /// The functions that take most of what this has more than `other`, and how much.
    pub(super) fn less(&self, other: &Self) -> Vec<(String, f64)> {
        let more = |(name, count): (&String, &u64)| {
            let less = other.functions.get(name).copied().unwrap_or_default();
            (name.clone(), *count as f64 - less as f64)
        };
        let mut functions: Vec<_> = self
            .functions
            .iter()
            .filter(|(name, _)| !PLUMBING.iter().any(|plumbing| name.contains(plumbing)))
            .map(more)
            .collect();
        functions.sort_by(|a, b| b.1.total_cmp(&a.1));
        functions.truncate(NAMED);
        functions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNOTATED: &str = "\
        Thresholds:       100\n\
        120,605,058 (100.0%)  PROGRAM TOTALS\n\
        120,605,058 (100.0%)  ./misc/clone.S:clone [/usr/lib/libc.so.6]\n\
         78,370,352 (64.98%)  ???:slamon_store::sqlite::apply::apply [/bin/slamon-afm]\n\
         10,068,549 ( 8.35%)  ./malloc/./malloc/malloc.c:free [/usr/lib/libc.so.6]\n\
          5,926,388 ( 4.91%)  ???:sqlite3WalkExprNN'2 [/bin/slamon-afm]\n\
          5,926,389 ( 4.91%)  ???:sqlite3WalkExprNN [/bin/slamon-afm]\n";

    #[test]
    fn counts_are_read_from_what_callgrind_annotate_prints() {
        let cost = parse(ANNOTATED).unwrap();
        assert_eq!(cost.total, 120_605_058);
        assert_eq!(cost.functions["slamon_store::sqlite::apply::apply"], 78_370_352);
        assert_eq!(cost.functions["sqlite3WalkExprNN"], 5_926_389);
        assert!(parse("nothing").is_none());
    }

    #[test]
    fn what_is_left_is_named_from_the_most_on() {
        let cost = parse(ANNOTATED).unwrap();
        let other =
            parse(&ANNOTATED.replace("78,370,352", "8,370,352").replace("10,068,549", "68,549")).unwrap();
        let names: Vec<_> = cost.less(&other);
        assert_eq!(names[0], ("slamon_store::sqlite::apply::apply".to_owned(), 70_000_000.0));
        assert_eq!(names[1], ("free".to_owned(), 10_000_000.0));
        assert!(names.iter().all(|(name, _)| name != "clone"));
    }
}
