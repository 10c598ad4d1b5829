//! A session of psql in the database, which keeps a transaction open.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use slamon_testbed::PgCluster;

/// A session, which ends and rolls back when it is dropped.
pub(super) struct PsqlSession {
    psql: Child,
    statements: ChildStdin,
    rows: BufReader<ChildStdout>,
}

impl PsqlSession {
    #[track_caller]
    pub(super) fn start(cluster: &PgCluster, database: &str) -> Self {
        let mut psql = Command::new(cluster.program("psql"))
            .args(["-X", "-q", "-A", "-t", &cluster.uri(database)])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql starts");
        let statements = psql.stdin.take().expect("its input");
        let rows = BufReader::new(psql.stdout.take().expect("its output"));
        Self { psql, statements, rows }
    }

    /// Runs statements, and returns when they have run or failed.
    #[track_caller]
    pub(super) fn run(&mut self, sql: &str) {
        writeln!(self.statements, "{sql};\n\\echo done").expect("psql takes statements");
        let mut row = String::new();
        while row.trim_end() != "done" {
            row.clear();
            assert!(self.rows.read_line(&mut row).expect("psql prints UTF-8") > 0, "psql ended: {sql}");
        }
    }
}

impl Drop for PsqlSession {
    fn drop(&mut self) {
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}
