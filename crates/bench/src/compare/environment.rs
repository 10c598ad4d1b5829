//! What it ran on.

use std::fs;
use std::process::Command;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::table::Table;
use super::workshop::Workshop;

/// The machine and the programs, in words.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Environment {
    facts: Vec<(String, String)>,
}

impl Environment {
    /// Looks around.
    ///
    /// # Errors
    /// When PostgreSQL does not start.
    pub(crate) fn of_now(workshop: &Workshop) -> Result<Self> {
        let cores = std::thread::available_parallelism()?.to_string();
        let processor = line_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
        let memory = line_of("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".to_owned());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let postgres = workshop.cluster()?.try_sql("postgres", "show server_version")?;
        let ours = said(Command::new(workshop.ours()).arg("--version"));
        let revision = said(Command::new("git").args(["describe", "--always", "--dirty"]));
        let sqlite = rusqlite::version();
        let facts = [
            ("processor", format!("{processor}, {cores} cores, shared by servers, databases and load")),
            ("memory", memory),
            ("kernel", format!("Linux {}", kernel.trim())),
            ("ours", format!("{ours}, revision {revision}")),
            ("SQLite", sqlite.to_owned()),
            ("PostgreSQL", postgres),
        ];
        Ok(Self { facts: facts.map(|(name, fact)| (name.to_owned(), fact)).to_vec() })
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(["", ""]);
        for (name, fact) in &self.facts {
            table.row([name.clone(), fact.clone()]);
        }
        table
    }
}

/// What follows `name :` in a file of such lines.
fn line_of(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
    value.map(|(_, value)| value.trim().to_owned())
}

/// The first line that a program prints.
fn said(command: &mut Command) -> String {
    let output = command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    output
        .ok()
        .and_then(|text| text.lines().next().map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned())
}
