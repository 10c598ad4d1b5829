//! A PostgreSQL of the test's own, in a folder that goes with it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use slamon_store::{PostgresOptions, PostgresStore};

pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    binaries: PathBuf,
    port: u16,
}

impl Cluster {
    /// Makes a cluster that anyone may use as anyone, and starts it.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cluster = Self { folder, binaries: binaries(), port };
        let data = cluster.data();
        run(cluster
            .tool("initdb")
            .args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"])
            .arg("-D")
            .arg(data)
            .args(["-U", "postgres"]));
        cluster.set("listen_addresses = '127.0.0.1'");
        cluster.set(&format!("port = {port}"));
        cluster.set(&format!("unix_socket_directories = '{}'", cluster.folder().display()));
        cluster.set("fsync = off");
        cluster.serve();
        cluster
    }

    /// A connection of somebody else.
    pub(crate) async fn connect(&self) -> tokio_postgres::Client {
        let uri = self.uri("postgres", "postgres", "");
        let (client, connection) = tokio_postgres::connect(&uri, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// Adds a line to the configuration, for the next start.
    pub(crate) fn set(&self, line: &str) {
        let path = self.data().join("postgresql.conf");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{text}{line}\n")).unwrap();
    }

    pub(crate) fn serve(&self) {
        let log = self.folder().join("log");
        run(self.tool("pg_ctl").arg("start").arg("-w").arg("-l").arg(log).arg("-D").arg(self.data()));
    }

    pub(crate) fn stop(&self) {
        run(self.tool("pg_ctl").args(["stop", "-w", "-m", "fast"]).arg("-D").arg(self.data()));
    }

    /// Where the database is; `rest` is what comes after it, such as `?sslmode=disable`.
    pub(crate) fn uri(&self, user: &str, database: &str, rest: &str) -> String {
        format!("postgresql://{user}@127.0.0.1:{}/{database}{rest}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A store in the database `postgres`.
    pub(crate) fn store(&self) -> PostgresStore {
        store(&self.uri("postgres", "postgres", ""))
    }

    /// Runs SQL as a superuser and gives what it prints, columns parted by `|`.
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        let mut psql = Command::new(self.binaries.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h"]).arg(self.folder());
        let output = run(psql.args(["-p", &self.port.to_string(), "-U", "postgres", "-c", sql, "postgres"]));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Waits until the SQL prints `expected`.
    #[track_caller]
    pub(crate) fn wait_for(&self, sql: &str, expected: &str) {
        for _ in 0..600 {
            if self.sql(sql) == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{sql}\nnever gave {expected}, but {}", self.sql(sql));
    }

    fn tool(&self, name: &str) -> Command {
        let path = self.binaries.join(name);
        if !is_root() {
            return Command::new(path);
        }
        // The server refuses to run as root.
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(path).current_dir(self.folder());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = self.tool("pg_ctl");
        let _ = stop.args(["stop", "-w", "-m", "immediate"]).arg("-D").arg(self.data()).output();
    }
}

#[track_caller]
pub(crate) fn store(uri: &str) -> PostgresStore {
    PostgresStore::new(&PostgresOptions {
        uri: uri.to_owned(),
        pool_size: 4,
        pool_timeout: Duration::from_secs(20),
        statement_timeout: Duration::from_secs(20),
        echo: false,
    })
    .unwrap()
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    output
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Where the newest PostgreSQL is installed, as Debian has it; else the search path.
fn binaries() -> PathBuf {
    let Ok(versions) = fs::read_dir("/usr/lib/postgresql") else { return PathBuf::new() };
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions
        .map(|entry| entry.unwrap().path())
        .filter(|path| version(path).is_some())
        .max_by_key(version);
    newest.map(|path| path.join("bin")).unwrap_or_default()
}
