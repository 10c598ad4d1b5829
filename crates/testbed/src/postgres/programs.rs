//! Where PostgreSQL's programs are, and running `psql`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, thread};

use anyhow::{Context, Result, bail, ensure};

/// Names the folder to take PostgreSQL's programs from, before all others.
const CHOICE: &str = "SLAMON_TEST_PG_BIN";
/// Names the major version of the servers of which a test asks for none.
const VERSION: &str = "SLAMON_TEST_PG_VERSION";
const DEBIAN: &str = "/usr/lib/postgresql";
const NEEDED: [&str; 4] = ["initdb", "pg_ctl", "postgres", "psql"];
const SERVER: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// The folders of PostgreSQL's programs.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    /// `initdb`, `pg_ctl` and `postgres`.
    pub(super) server: PathBuf,
    /// `psql` and what else a client needs. It may be of another version than the server.
    pub(super) client: PathBuf,
}

impl Programs {
    /// Those of a major version: the one that is asked for here, or by [`VERSION`]; else those of the machine.
    pub(super) fn find(version: Option<u32>) -> Result<Self> {
        let client = find()?;
        let chosen = env::var(VERSION).ok().filter(|chosen| version.is_none() && !chosen.is_empty());
        let chosen = chosen.map(|chosen| chosen.parse().with_context(|| format!("{VERSION}={chosen}")));
        let server = version.or(chosen.transpose()?).map_or_else(|| Ok(client.clone()), of_version)?;
        Ok(Self { server, client })
    }
}

/// The folder with the server's programs of a major version: as `scripts/setup-tests` installs them, or as Debian does.
fn of_version(version: u32) -> Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("no workspace")?;
    let folder = workspace.join(".postgres").join(version.to_string());
    let programs = folder.join("postgres/bin");
    let of_debian = Path::new(DEBIAN).join(version.to_string()).join("bin");
    if !folder.exists() && holds(&of_debian, &SERVER) {
        return Ok(of_debian);
    }
    // The stamp is written when everything is installed, not before.
    ensure!(
        folder.join("stamp").is_file() && holds(&programs, &SERVER),
        "PostgreSQL {version} is missing or half installed in {}: run `make setup`",
        folder.display()
    );
    programs.canonicalize().with_context(|| format!("cannot find {}", programs.display()))
}

/// The folder with the machine's own programs: the one chosen, else the newest version Debian has installed, else the first in
/// PATH.
fn find() -> Result<PathBuf> {
    if let Some(chosen) = env::var_os(CHOICE).map(PathBuf::from) {
        ensure!(
            holds(&chosen, &NEEDED),
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
        .filter(|(_, folder)| holds(folder, &NEEDED))
        .max();
    if let Some((_, folder)) = newest {
        return Ok(folder);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    match env::split_paths(&path).find(|folder| holds(folder, &NEEDED)) {
        Some(folder) => Ok(folder),
        None => bail!(
            "PostgreSQL's programs ({}) are neither under {DEBIAN} nor in PATH: install Debian's package postgresql \
             (`make setup` does), or name their folder in {CHOICE}",
            NEEDED.join(", ")
        ),
    }
}

fn holds(folder: &Path, programs: &[&str]) -> bool {
    programs.iter().all(|program| folder.join(program).is_file())
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
