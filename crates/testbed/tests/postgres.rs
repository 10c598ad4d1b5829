//! The private PostgreSQL does what tests ask of it, and leaves nothing behind.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use slamon_testbed::{PgCluster, PgOptions, Stop};

const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `pid` is gone: nobody tells of the end of a process that is not one's child.
#[track_caller]
fn wait_until_gone(pid: u32) {
    let deadline = Instant::now() + PATIENCE;
    while Path::new(&format!("/proc/{pid}")).exists() {
        assert!(Instant::now() < deadline, "process {pid} is still there");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn databases_are_separate_and_dropped_with_their_value() {
    let cluster = PgCluster::shared();
    let (one, two) = (cluster.create_database(), cluster.create_database());
    one.sql("create table t (a int, b text); insert into t values (1, 'ä'), (2, null)");
    assert_eq!(one.sql("select * from t order by a"), "1|ä\n2|");
    assert!(two.try_sql("select * from t").unwrap_err().to_string().contains("does not exist"));

    let name = one.name().to_owned();
    drop(one);
    assert_eq!(
        cluster.sql("postgres", &format!("select count(*) from pg_database where datname = '{name}'")),
        "0"
    );
}

#[test]
fn it_is_utf8_in_the_c_locale() {
    let database = PgCluster::shared().create_database();
    assert_eq!(database.sql("show server_encoding; show lc_collate; show timezone"), "UTF8\nC.UTF-8\nUTC");
}

#[test]
fn a_role_needs_its_password_and_owns_nothing() {
    let database = PgCluster::shared().create_database();
    database.cluster().create_role("tenant", "it's secret");
    let good = database.uri_as("tenant", "it's%20secret");
    assert_eq!(database.cluster().try_sql_at(&good, "select current_user").unwrap(), "tenant");
    let denied = database.cluster().try_sql_at(&good, "create table t ()").unwrap_err().to_string();
    assert!(denied.contains("permission denied for schema public"), "{denied}");
    let refused = database.cluster().try_sql_at(&database.uri_as("tenant", "wrong"), "select 1").unwrap_err();
    assert!(refused.to_string().contains("password authentication failed"), "{refused}");
}

#[test]
fn backends_can_be_terminated() {
    let database = PgCluster::shared().create_database();
    assert_eq!(database.terminate_backends(), 0);
    thread::scope(|scope| {
        // The lock is the event: once it is held, the other connection is there.
        let sleeper = scope.spawn(|| database.try_sql("select pg_advisory_lock(1); select pg_sleep(600)"));
        let held = "select count(*) from pg_locks where locktype = 'advisory' \
                    and database = (select oid from pg_database where datname = current_database())";
        let deadline = Instant::now() + PATIENCE;
        while database.sql(held) != "1" {
            assert!(Instant::now() < deadline);
        }
        assert_eq!(database.terminate_backends(), 1);
        assert!(sleeper.join().unwrap().is_err());
    });
}

#[test]
fn it_stops_and_comes_back_where_it_was() {
    let options = PgOptions { settings: vec![("work_mem".into(), "5MB".into())], ..PgOptions::default() };
    let cluster = PgCluster::start(&options).unwrap();
    let database = cluster.create_database();
    database.sql("create table t (a int)");
    for (stop, row) in [(Stop::Fast, 1), (Stop::Immediate, 2)] {
        database.sql(&format!("insert into t values ({row})"));
        cluster.stop(stop);
        assert!(cluster.pid().is_none());
        assert!(TcpStream::connect(("127.0.0.1", cluster.port())).is_err());
        assert!(database.try_sql("select 1").is_err());
        cluster.start_again();
    }
    assert_eq!(database.sql("select a from t order by a; show work_mem; show fsync"), "1\n2\n5MB\noff");

    let (pid, folder) = (cluster.pid().unwrap(), cluster.folder().to_owned());
    drop(cluster);
    assert_eq!(database.sql("select count(*) from t"), "2", "a database keeps its cluster");
    drop(database);
    assert!(!folder.exists());
    wait_until_gone(pid);
}

#[test]
fn a_setting_postgres_refuses_is_an_error_that_says_so() {
    let options =
        PgOptions { settings: vec![("max_wal_senders".into(), "many".into())], ..PgOptions::default() };
    let error = format!("{:#}", PgCluster::start(&options).unwrap_err());
    assert!(error.contains("max_wal_senders"), "{error}");
}

#[test]
fn nothing_is_left_when_the_test_process_is_killed() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_scratch-postgres"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let (_uri, folder) = (lines.next().unwrap(), lines.next().unwrap());
    let postmaster = fs::read_to_string(format!("{folder}/data/postmaster.pid")).unwrap();
    let pid = postmaster.lines().next().unwrap().parse().unwrap();
    assert!(Path::new(&format!("/proc/{pid}")).exists());

    child.kill().unwrap();
    child.wait().unwrap();

    // The supervisor holds this pipe as well; it closes when the supervisor has done its work.
    let mut stderr = child.stderr.take().unwrap();
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let mut said = String::new();
        stderr.read_to_string(&mut said).unwrap();
        ended.send(said).unwrap();
    });
    assert_eq!(end.recv_timeout(PATIENCE).expect("the supervisor ends"), "");
    assert!(!Path::new(&folder).exists());
    wait_until_gone(pid);
}

#[test]
fn each_version_that_is_installed_starts() {
    for version in [12, 13, 14, 16, 17, 18] {
        let options = PgOptions { version: Some(version), ..PgOptions::default() };
        let cluster = PgCluster::start(&options).unwrap();
        let database = cluster.create_database();
        database.cluster().create_role("tenant", "secret");
        let tenant = database.uri_as("tenant", "secret");
        let found =
            cluster.try_sql_at(&tenant, "select current_setting('server_version_num')::int / 10000").unwrap();
        assert_eq!(found, version.to_string());
        let locale = "select datcollate from pg_database where datname = current_database()";
        assert_eq!(database.sql(&format!("show server_encoding; {locale}")), "UTF8\nC.UTF-8");
    }
}

/// What a test finds that is told nothing, where these variables are set: a version, and a way to it.
#[track_caller]
fn found(variables: &[(&str, &str)], database: Option<&str>, sql: &str) -> Result<String, String> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_scratch-postgres"))
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let uri = BufReader::new(child.stdout.take().expect("it is piped"))
        .lines()
        .next()
        .map(|line| line.expect("a line"));
    let found = uri.map(|uri| {
        let (server, name) = uri.rsplit_once('/').expect("a path");
        let uri = format!("{server}/{}", database.unwrap_or(name));
        PgCluster::shared().try_sql_at(&uri, sql).map_err(|error| error.to_string())
    });
    let ended = child.wait_with_output().expect("it ends");
    found.unwrap_or_else(|| Err(String::from_utf8_lossy(&ended.stderr).into_owned()))
}

#[test]
fn the_environment_chooses_the_version_and_the_way_to_it() {
    let version = ("SLAMON_TEST_PG_VERSION", "17");
    let pooler = ("SLAMON_TEST_POOLER", "session");
    assert!(found(&[version], None, "show server_version").unwrap().starts_with("17."));
    assert!(found(&[version, pooler], None, "show server_version").unwrap().starts_with("17."));
    let console = Some("pgbouncer");
    assert!(found(&[version], console, "show databases").unwrap_err().contains("does not exist"));
    assert!(found(&[version, pooler], console, "show config").unwrap().contains("pool_mode|session"));

    for (variable, value) in [("SLAMON_TEST_PG_VERSION", "new"), ("SLAMON_TEST_POOLER", "transaction")] {
        let error = found(&[(variable, value)], None, "select 1").unwrap_err();
        assert!(error.contains(&format!("{variable}={value}")), "{error}");
    }
}

#[test]
fn a_version_that_is_missing_names_the_command_that_installs_it() {
    let options = PgOptions { version: Some(11), ..PgOptions::default() };
    let error = format!("{:#}", PgCluster::start(&options).unwrap_err());
    assert!(error.contains("PostgreSQL 11 is missing") && error.contains("make setup"), "{error}");
}

#[test]
fn databases_may_have_another_encoding() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let options =
            PgOptions { encoding: encoding.to_owned(), locale: "C".to_owned(), ..PgOptions::default() };
        let database = PgCluster::start(&options).unwrap().create_database();
        assert_eq!(database.sql("show server_encoding"), encoding);
    }
}

/// As root, PostgreSQL runs as a user who may not look into somebody's home.
#[test]
fn it_starts_from_a_folder_that_is_closed_to_others() {
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let installed = workspace.join(".postgres/16/postgres/.");
    let copied = Command::new("cp").arg("-R").arg(installed).arg(closed.path()).status().unwrap();
    assert!(copied.success());
    let programs = closed.path().join("bin");
    symlink(PgCluster::shared().program("psql"), programs.join("psql")).unwrap();

    let mut child = Command::new(env!("CARGO_BIN_EXE_scratch-postgres"))
        .env("SLAMON_TEST_PG_BIN", &programs)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let uri = BufReader::new(child.stdout.take().unwrap()).lines().next().map(Result::unwrap);
    let version = uri.as_deref().map(|uri| PgCluster::shared().try_sql_at(uri, "show server_version_num"));
    // It ends with its input.
    let ended = child.wait_with_output().unwrap();
    let version = version.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&ended.stderr))).unwrap();
    assert!(version.starts_with("16"), "{version}");
}

#[test]
fn a_standby_follows_until_it_is_promoted() {
    let primary = PgCluster::start(&PgOptions::default()).unwrap();
    primary.sql("postgres", "create table t (a int)");
    let standby = primary.start_standby(&PgOptions::default()).unwrap();
    primary.sql("postgres", "insert into t values (1)");
    let deadline = Instant::now() + PATIENCE;
    while standby.sql("postgres", "select a from t") != "1" {
        assert!(Instant::now() < deadline);
    }
    let refused = standby.try_sql("postgres", "insert into t values (2)").unwrap_err().to_string();
    assert!(refused.contains("read-only transaction"), "{refused}");
    standby.promote();
    standby.sql("postgres", "insert into t values (2)");
}
