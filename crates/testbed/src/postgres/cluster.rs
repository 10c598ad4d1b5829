//! A cluster: its folder, its postmaster, and the supervisor that ends both.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, bail, ensure};

use super::bouncer::Pooler;
use super::programs::{self, Programs};
use crate::port::free_port;

/// Who may log in, in the cluster's folder.
const ACCESS: &str = "data/pg_hba.conf";

const SUPERVISOR: &str = include_str!("supervise.sh");

/// How a cluster differs from what PostgreSQL does by itself.
#[derive(Debug, Clone)]
pub struct PgOptions {
    /// The major version, of those that `scripts/setup-tests` installs. Default: the one that SLAMON_TEST_PG_VERSION names,
    /// or else the one that the machine has.
    pub version: Option<u32>,
    /// The encoding of its databases, as `initdb` takes it: `UTF8`, `LATIN1`, `SQL_ASCII`. Default: `UTF8`.
    pub encoding: String,
    /// The locale of its databases; it must fit the encoding, as `C` does any. Default: `C.UTF-8`.
    pub locale: String,
    /// Whether what is committed is flushed to the disk. Without it everything still survives the death of every process, only
    /// not that of the machine. Default: no.
    pub fsync: bool,
    /// Connections there may be at once. Default: 200, for tests that run beside each other.
    pub max_connections: u32,
    /// Whether anybody may log in as anybody, without a password. Default: no.
    pub open: bool,
    /// More settings, name and value as in `postgresql.conf`; they come last and win.
    pub settings: Vec<(String, String)>,
}

impl Default for PgOptions {
    fn default() -> Self {
        Self {
            version: None,
            encoding: "UTF8".to_owned(),
            locale: "C.UTF-8".to_owned(),
            fsync: false,
            max_connections: 200,
            open: false,
            settings: Vec::new(),
        }
    }
}

/// How a cluster is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// In order: open transactions are rolled back, connections closed with a message.
    Fast,
    /// As a crash: everything ends at once, and the next start recovers.
    Immediate,
}

/// A private PostgreSQL cluster on 127.0.0.1 and on a socket in its folder. Handles are cheap to clone; with the last one, its
/// databases included, the cluster and its folder go. They go too when the test process ends in any other way.
///
/// Its superuser is `postgres` and needs no password. Other roles need theirs.
///
/// With SLAMON_TEST_POOLER=session its URIs lead to a PgBouncer before it; what it does by itself never goes through that.
#[derive(Debug, Clone)]
pub struct PgCluster {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Ends before the cluster does.
    pooler: Option<Pooler>,
    programs: Programs,
    folder: PathBuf,
    port: u16,
    supervisor: Mutex<Supervisor>,
}

impl PgCluster {
    /// Creates a cluster and starts it.
    ///
    /// # Errors
    ///
    /// When PostgreSQL is not installed (the error names the package or the command that installs it), or does not start (the
    /// error holds what it said).
    pub fn start(options: &PgOptions) -> Result<Self> {
        let programs = Programs::find(options.version)?;
        let (mut supervisor, folder) = Supervisor::spawn(&programs.server)?;
        supervisor.order(&folder, &format!("create {} {}", options.encoding, options.locale))?;
        configure(&folder, options)?;
        Self::run(programs, supervisor, folder)
    }

    fn run(programs: Programs, mut supervisor: Supervisor, folder: PathBuf) -> Result<Self> {
        let port = first_start(&mut supervisor, &folder)?;
        let pooler = Pooler::chosen(port, &folder.join(ACCESS))?;
        let supervisor = Mutex::new(supervisor);
        Ok(Self { inner: Arc::new(Inner { pooler, programs, folder, port, supervisor }) })
    }

    /// A hot standby of this cluster, which follows it until it is promoted. `options` are its own, as of
    /// [`PgCluster::start`]; only a cluster that is not newer than the machine's own PostgreSQL can be followed, whose
    /// `pg_basebackup` copies it.
    ///
    /// # Errors
    ///
    /// When it cannot be copied or started; the error holds what was said.
    pub fn start_standby(&self, options: &PgOptions) -> Result<Self> {
        let programs = self.inner.programs.clone();
        let (mut supervisor, folder) = Supervisor::spawn(&programs.server)?;
        supervisor.order(&folder, &format!("clone {} {}", self.inner.port, programs.client.display()))?;
        configure(&folder, options)?;
        Self::run(programs, supervisor, folder)
    }

    /// Has a standby follow nobody any more, and waits until it takes writes.
    ///
    /// # Panics
    ///
    /// When it was no standby.
    #[track_caller]
    pub fn promote(&self) {
        self.order("promote");
    }

    /// The cluster that the tests of this process share, started when first asked for. A test that stops the database or
    /// counts its connections starts one of its own.
    ///
    /// # Panics
    ///
    /// When it cannot be started, as [`PgCluster::start`].
    #[track_caller]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PgCluster> = OnceLock::new();
        SHARED.get_or_init(|| match Self::start(&PgOptions::default()) {
            Ok(cluster) => cluster,
            Err(error) => panic!("{error:#}"),
        })
    }

    /// Creates a role that may log in with `password` and owns nothing. Roles belong to the whole cluster: beside other tests
    /// it takes a name of its own.
    ///
    /// # Panics
    ///
    /// When there is such a role.
    #[track_caller]
    pub fn create_role(&self, name: &str, password: &str) {
        let password = password.replace('\'', "''");
        self.sql("postgres", &format!("create role {} login password '{password}'", quoted(name)));
    }

    /// Runs statements as `postgres`, each in a transaction of its own. Rows are lines, their columns separated by `|`.
    ///
    /// # Panics
    ///
    /// At the first statement that fails.
    #[track_caller]
    pub fn sql(&self, database: &str, sql: &str) -> String {
        match self.try_sql(database, sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{error:#}\nin: {sql}"),
        }
    }

    /// [`PgCluster::sql`] that can fail.
    ///
    /// # Errors
    ///
    /// The message of the first statement that failed.
    pub fn try_sql(&self, database: &str, sql: &str) -> Result<String> {
        let uri = uri_at(self.inner.port, database);
        programs::psql(&self.inner.programs.client, &uri, sql)
    }

    /// [`PgCluster::sql`] that can fail, as the role a URI names.
    ///
    /// # Errors
    ///
    /// The message of the first statement that failed, or why there is no connection.
    pub fn try_sql_at(&self, uri: &str, sql: &str) -> Result<String> {
        programs::psql(&self.inner.programs.client, uri, sql)
    }

    /// Ends every connection to `database` and says how many there were.
    ///
    /// # Panics
    ///
    /// When the cluster does not answer.
    #[track_caller]
    pub fn terminate_backends(&self, database: &str) -> usize {
        let database = database.replace('\'', "''");
        self.sql(
            "postgres",
            &format!(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                 where datname = '{database}' and pid <> pg_backend_pid()"
            ),
        )
        .parse()
        .expect("count() is a number")
    }

    /// Stops the cluster and waits until it has.
    ///
    /// # Panics
    ///
    /// When it was not running.
    #[track_caller]
    pub fn stop(&self, stop: Stop) {
        let mode = match stop {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        self.order(&format!("stop {mode}"));
    }

    /// Starts a stopped cluster again, on the same port and with the same data, and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[track_caller]
    pub fn start_again(&self) {
        self.order(&format!("start {}", self.inner.port));
    }

    /// One of PostgreSQL's programs for clients: `psql`, `pgbench`. They are those of the machine's own PostgreSQL, whatever
    /// the version of this cluster.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.inner.programs.client.join(name)
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.inner.port
    }

    /// The folder that holds all of it. The server's log is `log` in there; its socket is there too: the `host` of a URI.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// The process id of the postmaster; none while it is stopped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        fs::read_to_string(self.inner.folder.join("data/postmaster.pid")).ok()?.lines().next()?.parse().ok()
    }

    /// The port that its URIs have: that of the PgBouncer before it, if there is one.
    #[must_use]
    pub fn way_in(&self) -> u16 {
        self.inner.pooler.as_ref().map_or(self.inner.port, Pooler::port)
    }

    /// The URI of a database for the superuser: `postgresql://postgres@127.0.0.1:PORT/NAME`.
    #[must_use]
    pub fn uri(&self, database: &str) -> String {
        uri_at(self.way_in(), database)
    }

    #[track_caller]
    fn order(&self, order: &str) {
        let mut supervisor = self.inner.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = supervisor.order(&self.inner.folder, order) {
            panic!("{error:#}");
        }
    }
}

/// The URI of a database on this port, for the superuser.
pub(super) fn uri_at(port: u16, database: &str) -> String {
    format!("postgresql://postgres@127.0.0.1:{port}/{database}")
}

/// An SQL identifier, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn configure(folder: &Path, options: &PgOptions) -> Result<()> {
    let mut settings = vec![
        ("listen_addresses".to_owned(), "127.0.0.1".to_owned()),
        ("unix_socket_directories".to_owned(), folder.display().to_string()),
        ("max_connections".to_owned(), options.max_connections.to_string()),
        ("timezone".to_owned(), "UTC".to_owned()),
        ("lc_messages".to_owned(), "C".to_owned()),
        // As pg_hba.conf below wants it; before version 14 it is not the default.
        ("password_encryption".to_owned(), "scram-sha-256".to_owned()),
    ];
    if !options.fsync {
        // Not synchronous_commit: without it a commit could be lost to an immediate stop, which no test could tell from a bug.
        settings.extend(["fsync", "full_page_writes"].map(|name| (name.to_owned(), "off".to_owned())));
    }
    settings.extend_from_slice(&options.settings);
    let lines = settings.iter().map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''")));
    let mut file = OpenOptions::new().append(true).open(folder.join("data/postgresql.conf"))?;
    file.write_all(lines.collect::<String>().as_bytes())?;
    let access = "\
        local all postgres trust\n\
        host all postgres 127.0.0.1/32 trust\n\
        host replication postgres 127.0.0.1/32 trust\n\
        local all all scram-sha-256\n\
        host all all 127.0.0.1/32 scram-sha-256\n";
    let access = if options.open { access.replace("scram-sha-256", "trust") } else { access.to_owned() };
    fs::write(folder.join(ACCESS), access).context("cannot write pg_hba.conf")
}

/// Starts the cluster on a port that it then keeps.
fn first_start(supervisor: &mut Supervisor, folder: &Path) -> Result<u16> {
    let mut attempts = 10;
    loop {
        let port = free_port();
        attempts -= 1;
        match supervisor.order(folder, &format!("start {port}")) {
            Ok(()) => return Ok(port),
            // Somebody took the port since we looked.
            Err(error) if attempts > 0 && format!("{error:#}").contains("Address already in use") => {}
            Err(error) => return Err(error),
        }
    }
}

/// The shell that runs `supervise.sh`: it alone starts and stops the postmaster, one order after the other, so the end of the
/// test process can come at any moment and nothing is left.
#[derive(Debug)]
struct Supervisor {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Supervisor {
    /// Starts it; with it comes the folder it has made.
    fn spawn(programs: &Path) -> Result<(Self, PathBuf)> {
        let mut child = Command::new("sh")
            .args(["-c", SUPERVISOR, "supervise"])
            .arg(programs)
            .env_remove("PGDATA")
            .env("LC_ALL", "C.UTF-8")
            // What a terminal sends to the tests must not reach it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start sh")?;
        let orders = child.stdin.take();
        let stdout = child.stdout.take().context("the supervisor has no stdout")?;
        let mut supervisor = Self { child, orders, answers: BufReader::new(stdout) };
        let folder = supervisor.answer().context("cannot make a temporary folder")?;
        Ok((supervisor, folder.into()))
    }

    fn order(&mut self, folder: &Path, order: &str) -> Result<()> {
        let said_before = said(folder).len();
        let orders = self.orders.as_mut().context("the supervisor has ended")?;
        writeln!(orders, "{order}").context("the supervisor has ended")?;
        if self.answer()? != "done" {
            let said = said(folder);
            bail!("PostgreSQL: {order} failed:\n{}", said.get(said_before..).unwrap_or(&said));
        }
        Ok(())
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        let length = self.answers.read_line(&mut line).context("cannot read from the supervisor")?;
        ensure!(length > 0, "the supervisor has ended");
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.orders.take());
        drop(self.child.wait());
    }
}

/// What the programs and the server have said, for a person who wonders why.
fn said(folder: &Path) -> String {
    let text = |name: &str| fs::read(folder.join(name)).unwrap_or_default();
    String::from_utf8_lossy(&[text("output"), text("log")].concat()).into_owned()
}
