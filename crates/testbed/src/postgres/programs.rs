//! Where PostgreSQL's programs are, and running `psql`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, thread};

use anyhow::{Context, Result, bail, ensure};

/// Names the folder to take PostgreSQL's programs from, before all others.
const CHOICE: &str = "SLAMON_TEST_PG_BIN";
const DEBIAN: &str = "/usr/lib/postgresql";
const NEEDED: [&str; 4] = ["initdb", "pg_ctl", "postgres", "psql"];

/// The folder with PostgreSQL's programs: the one chosen, else the newest version Debian has installed, else the first in PATH.
pub(super) fn find() -> Result<PathBuf> {
    if let Some(chosen) = env::var_os(CHOICE).map(PathBuf::from) {
        ensure!(
            complete(&chosen),
            "{CHOICE}: {} does not hold all of {}",
            chosen.display(),
            NEEDED.join(", ")
        );
        return Ok(chosen);
    }
    let newest = fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .map(|version| (version, Path::new(DEBIAN).join(version.to_string()).join("bin")))
        .filter(|(_, folder)| complete(folder))
        .max();
    if let Some((_, folder)) = newest {
        return Ok(folder);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    match env::split_paths(&path).find(|folder| complete(folder)) {
        Some(folder) => Ok(folder),
        None => bail!(
            "PostgreSQL's programs ({}) are neither under {DEBIAN} nor in PATH: install Debian's package postgresql \
             (`make setup` does), or name their folder in {CHOICE}",
            NEEDED.join(", ")
        ),
    }
}

fn complete(folder: &Path) -> bool {
    NEEDED.iter().all(|program| folder.join(program).is_file())
}

/// Runs `sql` through `psql`, statement by statement, each committed by itself; the rows come back as lines, their columns
/// separated by `|`. The first error ends it.
pub(super) fn psql(programs: &Path, uri: &str, sql: &str) -> Result<String> {
    let mut child = Command::new(programs.join("psql"))
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", uri])
        .env_clear()
        .env("PGCONNECT_TIMEOUT", "30")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start psql")?;
    let mut stdin = child.stdin.take().context("psql has no stdin")?;
    let input = sql.to_owned();
    // From a thread: psql prints rows while statements are still being written. It stops reading at the first error.
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().context("cannot wait for psql")?;
    drop(writer.join());
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let text = String::from_utf8(output.stdout).context("psql printed bytes that are not UTF-8")?;
    Ok(text.trim_end_matches('\n').to_owned())
}
