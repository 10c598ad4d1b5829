//! A PgBouncer between tests and a cluster.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::cluster::{PgCluster, uri_at};
use crate::port::free_port;
use crate::process::Process;

/// Names a PgBouncer other than Debian's.
const PROGRAM: &str = "SLAMON_TEST_PGBOUNCER";
const DEBIAN: &str = "/usr/sbin/pgbouncer";

/// Has a PgBouncer stand before each cluster; its value is the mode of the pool.
const CHOICE: &str = "SLAMON_TEST_POOLER";

/// How long it may take to listen.
const START: Duration = Duration::from_secs(30);

/// A private PgBouncer on 127.0.0.1, in front of all databases of a cluster. It ends with this value, or with the test process.
///
/// Whoever is named in its list of users is let in without a password: `postgres` is, and may use its console.
#[derive(Debug)]
pub struct PgBouncer {
    pooler: Pooler,
    cluster: PgCluster,
}

impl PgBouncer {
    /// Starts one with PgBouncer's defaults but for these settings, name and value as in `pgbouncer.ini`: `pool_mode`,
    /// `default_pool_size`.
    ///
    /// # Errors
    ///
    /// When PgBouncer is not installed, or does not start; the error holds what it said.
    pub fn start(cluster: &PgCluster, settings: &[(&str, &str)]) -> Result<Self> {
        Ok(Self { pooler: Pooler::start(cluster.port(), settings)?, cluster: cluster.clone() })
    }

    /// The URI of a database behind it, for the superuser.
    #[must_use]
    pub fn uri(&self, database: &str) -> String {
        uri_at(self.port(), database)
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.pooler.port
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log_lines(&self) -> Vec<String> {
        self.pooler.process.log_lines()
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
        let pooler = &mut self.pooler;
        pooler.settings.retain(|(known, _)| known != name);
        pooler.settings.push((name.to_owned(), value.to_owned()));
        pooler.write_settings().expect("it can be written");
        self.console("reload");
    }
}

/// The process, without the cluster that it is in front of.
#[derive(Debug)]
pub(super) struct Pooler {
    process: Process,
    folder: TempDir,
    /// That of the cluster.
    server: u16,
    port: u16,
    settings: Vec<(String, String)>,
}

impl Pooler {
    /// The one that [`CHOICE`] has stand before each cluster. It lets in whom the cluster lets in, as the cluster's file `access`
    /// says.
    pub(super) fn chosen(server: u16, access: &Path) -> Result<Option<Self>> {
        let mode = env::var(CHOICE).unwrap_or_default();
        match mode.as_str() {
            "" => return Ok(None),
            "session" => {}
            _ => bail!("{CHOICE}={mode}: it may be session, in which all is as without a pooler"),
        }
        let access = access.to_string_lossy();
        let settings = [
            ("pool_mode", &*mode),
            ("auth_type", "hba"),
            ("auth_hba_file", &access),
            // Asks the cluster for the passwords of roles.
            ("auth_user", "postgres"),
            // Else it waits for 15 s after it has found no server.
            ("server_login_retry", "0.1"),
        ];
        Self::start(server, &settings).map(Some)
    }

    fn start(server: u16, settings: &[(&str, &str)]) -> Result<Self> {
        let program = env::var_os(PROGRAM).map_or_else(|| PathBuf::from(DEBIAN), PathBuf::from);
        if !program.is_file() {
            bail!("{} is missing: install Debian's package pgbouncer (`make setup` does)", program.display());
        }
        let folder = TempDir::new()?;
        // It refuses to run as root, and then is the user postgres, who has to read what is in here.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        fs::write(folder.path().join("users"), "\"postgres\" \"\"\n")?;
        let settings: Vec<_> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut attempts = 10;
        loop {
            let port = free_port();
            attempts -= 1;
            let file = write_settings(folder.path(), server, port, &settings)?;
            let process = run(&program, &file)?;
            // The last thing that it says before it serves.
            match process.find_line(START, |line| line.contains("process up").then_some(())) {
                Ok(()) => return Ok(Self { process, folder, server, port, settings }),
                // Somebody took the port since we looked.
                Err(error) if attempts > 0 && format!("{error:#}").contains("in use") => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    fn write_settings(&self) -> Result<PathBuf> {
        write_settings(self.folder.path(), self.server, self.port, &self.settings)
    }
}

fn write_settings(folder: &Path, server: u16, port: u16, settings: &[(String, String)]) -> Result<PathBuf> {
    let mut text = format!(
        "[databases]\n* = host=127.0.0.1 port={server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = trust\nauth_file = {}\nadmin_users = postgres\n",
        folder.join("users").display()
    );
    for (name, value) in settings {
        text.push_str(&format!("{name} = {value}\n"));
    }
    let file = folder.join("pgbouncer.ini");
    fs::write(&file, text).context("cannot write pgbouncer.ini")?;
    Ok(file)
}

fn run(program: &Path, file: &Path) -> Result<Process> {
    let file = file.to_string_lossy();
    if fs::metadata("/proc/self").is_ok_and(|ours| ours.uid() == 0) {
        let program = program.to_string_lossy();
        let group =
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", &program, &file];
        Process::start("/usr/bin/env".as_ref(), &group, &[])
    } else {
        Process::start(program, &[&*file], &[])
    }
}
