//! What it ran on.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::spread::{Spread, short};
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
        let (files, database) = (workshop.scratch(), workshop.cluster()?.folder());
        let [of_files, of_database] = [files, database].map(file_system);
        let disk = format!(
            "SQLite files on {of_files}, PostgreSQL on {of_database}; appending 4 KiB and fdatasync takes {} ms (median of {SYNCS})",
            short(sync_ms(files)?)
        );
        let facts = [
            ("processor", format!("{processor}, {cores} cores, shared by servers, databases and load")),
            ("memory", memory),
            ("disk", disk),
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

/// How often the disk is asked.
const SYNCS: usize = 200;

/// Milliseconds until the disk says that it has a page more of a file.
fn sync_ms(folder: &Path) -> Result<f64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut once = || -> Result<f64> {
        let began = Instant::now();
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        Ok(began.elapsed().as_secs_f64() * 1e3)
    };
    let times = (0..SYNCS).map(|_| once()).collect::<Result<Vec<_>>>()?;
    Ok(Spread::of(times).map_or(f64::NAN, |times| times.median))
}

/// The kind of file system a folder is on.
fn file_system(folder: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let holding = mounts.filter(|(place, _)| folder.starts_with(place));
    // The last of those mounted on the same place is what is seen there.
    let nearest = holding.max_by_key(|(place, _)| place.len());
    nearest.map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned())
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
