//! A PgBouncer between tests and a cluster.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::cluster::PgCluster;
use crate::port::free_port;
use crate::process::Process;

const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// How long it may take to listen.
const START: Duration = Duration::from_secs(30);

/// A private PgBouncer on 127.0.0.1, in front of all databases of a cluster. It ends with this value, or with the test process.
///
/// Whoever is named in its list of users is let in without a password: `postgres` is, and may use its console.
#[derive(Debug)]
pub struct PgBouncer {
    process: Process,
    cluster: PgCluster,
    folder: TempDir,
    port: u16,
    settings: Vec<(String, String)>,
}

impl PgBouncer {
    /// Starts one with PgBouncer's defaults but for these settings, name and value as in `pgbouncer.ini`: `pool_mode`,
    /// `default_pool_size`.
    ///
    /// # Errors
    ///
    /// When PgBouncer is not installed, or does not start; the error holds what it said.
    pub fn start(cluster: &PgCluster, settings: &[(&str, &str)]) -> Result<Self> {
        if !Path::new(PROGRAM).is_file() {
            bail!("{PROGRAM} is missing: install Debian's package pgbouncer (`make setup` does)");
        }
        let folder = TempDir::new()?;
        // It refuses to run as root, and then is the user postgres, who has to read what is in here.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let users = folder.path().join("users");
        fs::write(&users, "\"postgres\" \"\"\n")?;
        let settings: Vec<_> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut attempts = 10;
        loop {
            let port = free_port();
            attempts -= 1;
            let file = write_settings(folder.path(), cluster, port, &settings)?;
            let process = run(&file)?;
            // The last thing that it says before it serves.
            match process.find_line(START, |line| line.contains("process up").then_some(())) {
                Ok(()) => return Ok(Self { process, cluster: cluster.clone(), folder, port, settings }),
                // Somebody took the port since we looked.
                Err(error) if attempts > 0 && format!("{error:#}").contains("in use") => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The URI of a database behind it, for the superuser.
    #[must_use]
    pub fn uri(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log_lines(&self) -> Vec<String> {
        self.process.log_lines()
    }

    /// Runs statements through it, as [`PgCluster::sql`].
    ///
    /// # Panics
    ///
    /// At the first statement that fails.
    #[track_caller]
    pub fn sql(&self, database: &str, sql: &str) -> String {
        match self.cluster.try_sql_at(&self.uri(database), sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{error:#}\nin: {sql}"),
        }
    }

    /// Gives its console a command, such as `show pools`.
    ///
    /// # Panics
    ///
    /// When the command fails.
    #[track_caller]
    pub fn console(&self, command: &str) -> String {
        self.sql("pgbouncer", command)
    }

    /// Changes a setting while it runs: by RELOAD.
    ///
    /// # Panics
    ///
    /// When it does not take it.
    #[track_caller]
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
        write_settings(self.folder.path(), &self.cluster, self.port, &self.settings)
            .expect("it can be written");
        self.console("reload");
    }
}

fn write_settings(
    folder: &Path,
    cluster: &PgCluster,
    port: u16,
    settings: &[(String, String)],
) -> Result<PathBuf> {
    let mut text = format!(
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = trust\nauth_file = {}\nadmin_users = postgres\n",
        cluster.port(),
        folder.join("users").display()
    );
    for (name, value) in settings {
        text.push_str(&format!("{name} = {value}\n"));
    }
    let file = folder.join("pgbouncer.ini");
    fs::write(&file, text).context("cannot write pgbouncer.ini")?;
    Ok(file)
}

fn run(file: &Path) -> Result<Process> {
    let file = file.to_string_lossy();
    let is_root =
        fs::metadata("/proc/self").is_ok_and(|ours| std::os::unix::fs::MetadataExt::uid(&ours) == 0);
    if is_root {
        let group =
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", PROGRAM, &file];
        Process::start("/usr/bin/env".as_ref(), &group, &[])
    } else {
        Process::start(PROGRAM.as_ref(), &[&*file], &[])
    }
}
